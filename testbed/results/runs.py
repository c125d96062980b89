"""One run of an experiment, as a line of runs.jsonl."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from testbed.base.files import FORMAT, check_format
from testbed.base.jsonl import Number, Whole
from testbed.base.phases import DISCOVERY, OVERLAP, PHASES, TOTAL
from testbed.experiment.spec import PlannedRun
from testbed.trace.counts import Traffic
from testbed.trace.phases import ended_in


class Moved(msgspec.Struct, kw_only=True):
    """How a mobile node came from one home agent to another; times in seconds since the step began.

    Until `noticed` it had SAs with the one before; by `bootstrapped` it had some with the other,
    and by `registered` its home address there was.
    """

    home_agent: str
    home_address: str
    noticed: Number
    bootstrapped: Number
    registered: Number

    @property
    def parts(self) -> dict[str, float]:
        """How long it took: the parts, and the `recovery` that they add up to."""
        return {
            "detection": self.noticed,
            "bootstrap": self.bootstrapped - self.noticed,
            "registration": self.registered - self.bootstrapped,
            "recovery": self.registered,
        }


class Member(msgspec.Struct, kw_only=True):
    """What one of many mobile nodes came to; times in seconds, `start` and `end` since the first.

    `failures` are attempts that failed before the one that succeeded, or before the end of the run,
    `reason` why the last of them did. `phases` are from the capture of its access router, or its
    own where things go wrong on its link, those that it went through whole; `repeated` are messages
    that were sent again, by protocol. `moved` is how it came to another home agent, where it had
    to.
    """

    host: str
    start: Number
    end: Number | None = None
    home_agent: str = ""
    home_address: str = ""
    failures: Whole = 0
    reason: str = ""
    phases: dict[str, Number] = {}
    repeated: dict[str, int] = {}
    moved: Moved | None = None


class Crowd(msgspec.Struct, kw_only=True):
    """What many mobile nodes came to on a virtual clock; times in seconds since the first began.

    `up` is when 50, 99 and 100 % had bootstrapped, `curve` when how many had. `messages` were sent,
    by protocol, and of those were `repeated` unchanged; `dropped` are datagrams for which there was
    no room, by host. `failures` are attempts that failed, `unanswered` requests that were given up
    before the home AAA server answered, `late` answers that nobody waited for any more. `busy` is
    how long the processors of a host worked; `simulator` is what the network took of this machine's
    CPU, as `programs` say it of the nodes. `public_keys` were "real" or a "model".
    """

    nodes: Whole
    up: dict[str, Number]
    curve: list[tuple[Number, int]]
    messages: dict[str, int]
    repeated: dict[str, int]
    dropped: dict[str, int]
    failures: Whole
    late: Whole
    unanswered: Whole
    busy: dict[str, Number]
    simulator: Number
    seconds: Number
    public_keys: str


MEMORY, KERNEL_MEMORY = "memory", "kernel memory"
"""The kinds of what is held that are in octets; all else is by number."""


class Held(msgspec.Struct, kw_only=True):
    """What was held after so many `cycles` of the steps, `seconds` after the first began.

    `amounts` are by kind (testbed.run.held), and by program or host.
    """

    cycles: int
    seconds: Number
    amounts: dict[str, dict[str, Number]]


class Handover(msgspec.Struct, kw_only=True):
    """A movement to another access `link`, in one of the cycles of the steps; times in seconds.

    `parts` are, by the mobile node's events, the `detection` of the movement from when the link is
    up, the `address` on the new link, `access` to the network there, and the `binding` of the new
    care-of address. `gap` is for how long the correspondent node got no answer meanwhile, None if
    that was not waited for.
    """

    cycle: Whole
    link: str
    parts: dict[str, Number]
    gap: Number | None


HOME, CARE_OF = "home address", "care-of address"
"""What paths lead to; to the care-of address they are without mobility."""


class Throughput(msgspec.Struct, kw_only=True):
    """What was transferred over a path in one direction, as iperf3 has measured it.

    `path` is the mobile node's address that the correspondent node spoke to, payload went `towards`
    one of the two. `sent` and `received` are octets of payload, in bit/s; `received` is during
    `seconds`, and is the throughput. `repeated` are TCP's segments that were sent again, `lost` is
    the share of UDP's datagrams that were not received, and `segment` how many octets of payload
    each had, of TCP as the connection began. `cpu` is how many CPUs of the lab's kernel were busy
    meanwhile on average, with whatever.
    """

    path: str
    towards: str
    protocol: str
    seconds: float
    sent: float
    received: float
    repeated: Whole | None = None
    lost: float | None = None
    segment: Whole | None = None
    cpu: float

    @property
    def kind(self) -> tuple[str, str]:
        """What it has in common with those of other paths: protocol and direction."""
        return self.protocol, self.towards


def shares(measured: Iterable[Throughput]) -> dict[tuple[str, str], float]:
    """Return what part of the care-of address's throughput the home address's is, by their kind."""
    found = {(one.path, one.kind): one.received for one in measured}
    return {
        kind: received / found[CARE_OF, kind]
        for (path, kind), received in found.items()
        if path == HOME and found.get((CARE_OF, kind))
    }


class Run(msgspec.Struct, kw_only=True):
    """One line of runs.jsonl: a bootstrap from its first message on. All times in seconds.

    A run is `ok` if it ended in a bootstrap, as it should, and `expected` if it ended otherwise and
    its experiment expects that, with what it came to in `outcome`; both have succeeded. A
    `failed` one says why in `reason`. It took so many `attempts` of all its mobile nodes; 0 is not
    known.

    `phases` are from the capture, those that a run which is not `ok` went through whole, without
    `total`; `event_phases` are from the agents' events; `first_packet` counts from the start of the
    bootstrap; `discovery` and `overlap` are those of testbed.trace.phases.Timeline, in results from
    before them None. `continuity` is the traffic to the home address while steps were carried out:
    `sent`, `answered`, and the longest `silence` in seconds. `recovery` is how long after the first
    step in the bootstrap the mobile node was bootstrapped and answered. `measured` holds what was
    found on each link before the run, by the names of its shape; None is what was not measured.
    `parameters` is the run's point of a sweep's grid; `traffic` what the captures show.
    `processor` is what the hosts' processors were slowed down to (testbed.run.cpu.Processor).
    `programs` is what each program, as "B-access_router", used from the mobile node's start to the
    bootstrap's end: `cpu` of `seconds`, and the peak of its `memory` in octets. `flood` is what a
    stranger sent meanwhile and before: `attempts`, packets `sent`, `answered` and `refused`, in
    `seconds`, `octets` there and `octets_back`, and how many bindings were `accepted`. `warm` is
    whether programs had rehearsed before they began (testbed.run.image). `members` are the mobile
    nodes of a fleet; then `phases` and `event_phases` are medians over those that bootstrapped.
    `overflows` are datagrams for which the sockets of a host had no room. `worker` is the address
    of the cluster's worker that carried it out, empty if that was this machine. `held` is what was
    held while steps were taken again and again. `round_trips` are those that steps measured, in
    seconds: from the correspondent node to the "home address", and to the "care-of address".
    `handovers` are those that steps made, in their order, `throughput` is what they transferred.
    """

    format: int = FORMAT
    run: int
    variant: str
    seed: int
    status: Literal["ok", "expected", "failed"]
    reason: str | None = None
    outcome: str = ""
    attempts: Whole = 0
    continuity: dict[str, Number] | None = None
    recovery: Number | None = None
    phases: dict[str, Number] | None = None
    event_phases: dict[str, Number] | None = None
    first_packet: Number | None = None
    discovery: Number | None = None
    overlap: Number | None = None
    costs: dict[str, Number] = {}
    measured: dict[str, dict[str, Number | None]] = {}
    parameters: dict[str, Any] = {}
    traffic: Traffic | None = None
    processor: dict[str, Number] | None = None
    programs: dict[str, dict[str, Number]] = {}
    flood: dict[str, Number] | None = None
    warm: bool = False
    members: list[Member] = []
    overflows: dict[str, int] = {}
    worker: str = ""
    crowd: Crowd | None = None
    held: list[Held] = []
    round_trips: dict[str, Number] = {}
    handovers: list[Handover] = []
    throughput: list[Throughput] = []

    @property
    def share(self) -> float:
        """The part of a CPU that each host had."""
        return (self.processor or {}).get("share", 1.0)

    @property
    def came_to(self) -> str:
        """What the run ended with, in words."""
        if self.status == "failed":
            return self.reason or "no reason given"
        if self.continuity is None:
            return self.outcome
        silence = f"longest silence {self.silence:.3f} s"
        lost = f"{self.lost:.0f} of {self.continuity['sent']:.0f} packets lost"
        return f"{self.outcome}; {lost}, {silence}"

    @property
    def lost(self) -> float | None:
        """How many packets to the home address were not answered; None without such traffic."""
        if self.continuity is None:
            return None
        return self.continuity["sent"] - self.continuity["answered"]

    @property
    def silence(self) -> float | None:
        """The longest time in seconds without an answer; None without such traffic."""
        return None if self.continuity is None else self.continuity["silence"]

    @property
    def ended_in(self) -> str | None:
        """The phase in which a run ended that did not go through all; None if it is not known."""
        return None if self.phases is None else ended_in(self.phases)

    def __post_init__(self) -> None:
        check_format(self.format)
        times = {**(self.event_phases or {}), **(self.phases or {}), **self.costs}
        times |= {name: getattr(self, name) or 0.0 for name in ("first_packet", DISCOVERY, OVERLAP)}
        for name, value in times.items():
            if value < 0:
                raise ValueError(f"run {self.run}: {name} is {value:g} s; no time is below 0")
        if self.status == "ok":
            missing = [name for name in (*PHASES, TOTAL) if name not in (self.phases or {})]
            if missing:
                raise ValueError(f"run {self.run} is ok but has no {', '.join(missing)}")


def failed(planned: PlannedRun, reason: str) -> dict[str, Any]:
    """Return the result of a run of which nothing is left but why."""
    return {
        "run": planned.run,
        "variant": planned.variant,
        "seed": planned.seed,
        "parameters": planned.parameters,
        "status": "failed",
        "reason": reason,
        "costs": {},
    }
