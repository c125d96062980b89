"""One run as it is followed: what its programs tell, the steps that it takes, and how it is judged.

Whatever carries it out, a kernel or a model, is below (testbed.run.worker, testbed.run.simulated).
"""

from __future__ import annotations

import json
import re
import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from ipaddress import IPv6Address
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any, NoReturn

from agents.approaches import Program
from agents.core.patience import patient
from testbed.base.phases import PHASES
from testbed.experiment.spec import PlannedRun, Spec
from testbed.experiment.steps import Expectation, Step
from testbed.experiment.throughput import Transfer
from testbed.results.folder import run_folder
from testbed.results.runs import CARE_OF, HOME
from testbed.run.handover import Following
from testbed.run.held import Amounts
from testbed.run.members import Member, at_home_agent, follow_moves
from testbed.run.parts import Echoes, Shells, Told
from testbed.run.paths import Paths, Payload
from testbed.trace.phases import IKE_STARTS, MILESTONES
from topologies.model import HostRole

_READY_DEADLINE = 60.0
_REACHABLE_DEADLINE = 10.0
ROUND_TRIPS = 21
"""Echoes of which a round trip is the median."""

_ENTERED = {
    event: phase
    for (_, events), phase in reversed(list(zip(MILESTONES, PHASES, strict=False)))
    for event in events
} | dict.fromkeys(IKE_STARTS, "ike")
_BAD_NEWS = ("Rejected", "Refused", "Failed")
_UNSEEN = {
    HostRole.CORRESPONDENT_NODE,
    HostRole.ACCESS_STRANGER,
    HostRole.CORE_STRANGER,
    HostRole.HOME_STRANGER,
}


def bad_news(event: Mapping[str, Any]) -> str:
    """Return who tells of something that went wrong, and why, or if it says no reason, what."""
    why = event.get("reason") or event.get("status")
    what = f"{event['event']}, {why}" if event.get("status") else why or event["event"]
    return f"{event['host']} {event['agent']}: {what}"


class RunError(Exception):
    """A run that did not succeed; the text is its reason."""


class ExpectedError(Exception):
    """A run that ended otherwise than in a bootstrap, as expected; the text is its outcome."""


class Course(ABC):
    """One run of one variant, from its first program to its verdict."""

    def __init__(
        self,
        results: Path,
        planned: PlannedRun,
        spec: Spec,
        *,
        warm: bool,
        entered: Callable[[str], None],
    ) -> None:
        """`spec` is the experiment at the run's point; `entered` is told each phase.

        `warm` programs are forked, for this process has rehearsed what they do.
        """
        self.warm = warm
        self._entered = entered
        self.planned = planned
        self.variant = spec.variants[planned.variant]
        self.settings = spec.settings(planned.variant)
        self.approach = spec.approach(planned.variant)
        self.topology = spec.topology(planned.variant)
        self.timeout = self.variant.timeout
        """Seconds that the bootstrap, or the last of many, may take from the first one's start."""

        self.shared = results / "shared" / planned.shared
        self.folder = run_folder(results, planned.run)
        self.outcome = ""
        self.attempts = 0
        """How many the mobile node has made, and those of which it was told how they ended."""

        self._refusals: list[str] = []
        self.paths = Paths()
        self._beside = ThreadPoolExecutor()
        self._under_way: list[tuple[str, Payload, Future[dict[str, Any]]]] = []
        """What is transferred while steps go on."""

        self.handovers: list[dict[str, Any]] = []
        self._following: Following | None = None
        """The last handover, until the next one begins."""

        self.continuity: dict[str, float] | None = None
        self.recovery: float | None = None
        """Seconds from the first step in the bootstrap until it was over, and the ping answered."""

        self.held: list[dict[str, Any]] = []
        self.costs: dict[str, float] = {}
        self.programs: dict[str, dict[str, float]] = {}
        self.measured: dict[str, Mapping[str, float | None]] = {}
        self._composed: list[Program] = []
        self._in_bootstrap = deque(step for step in self.variant.steps if step.at)
        """The steps that are still to be taken before it is over."""

        self._struck: tuple[str, float] | None = None
        """What the first of them was, and when."""

        self._unready = Counter[str]()
        """Of each host the programs that were started again, and have not said that they serve."""

    @property
    def longest(self) -> float:
        """Seconds that the bootstrap, or all of many, and all steps may take."""
        steps = sum(step.timeout + step.lasts for step in self.variant.steps)
        return self.timeout + self.variant.cycles * steps

    @abstractmethod
    def execute(self) -> dict[str, Any]:
        """Carry out the run; return its line for runs.jsonl, without what analysis adds."""

    @abstractmethod
    def _now(self) -> float:
        """Return the time in seconds."""

    @abstractmethod
    def _events(self, events: Told, seconds: float, waiting_for: str) -> Iterator[dict[str, Any]]:
        """Yield events, noted, until the caller has enough; RunError at the deadline."""

    @abstractmethod
    def _let_pass(self, seconds: float) -> None:
        """Let time pass; RunError if a program ends meanwhile."""

    @abstractmethod
    def _kill(self, host: str) -> None:
        """Kill a host's programs."""

    @abstractmethod
    def _start_again(self, net: Shells, events: Told, host: str) -> None:
        """Start a host's programs once more; each is expected to be ready."""

    @abstractmethod
    def _tell(self, host: str, lines: str) -> None:
        """Give a host's program lines to read on its standard input."""

    @abstractmethod
    def _round_trips(self, net: Shells, host: str, address: IPv6Address) -> list[float]:
        """Return the seconds that a few echoes from a host to an address took, one by one."""

    @abstractmethod
    def _transfer(self, net: Shells, payload: Payload) -> dict[str, Any]:
        """Transfer payload, and return what came of it as fields of Throughput."""

    @abstractmethod
    def _amounts(self, net: Shells) -> Amounts:
        """Return what the programs and the hosts' kernels hold now."""

    def _compose(self) -> tuple[list[Program], list[Program]]:
        """Return the programs of other hosts, and the mobile node's."""
        mobile_nodes = self.topology.hosts_with(HostRole.MOBILE_NODE)
        programs = self.approach.compose(self.settings, self.topology, self.shared, self.folder)
        self._composed = programs
        for program in programs:
            text = json.dumps(program.configuration, indent=1) + "\n"
            self._configuration(program).write_text(text)
        others = [program for program in programs if program.host not in mobile_nodes]
        return others, [program for program in programs if program.host in mobile_nodes]

    def _configuration(self, program: Program) -> Path:
        return self.folder / "configuration" / f"{program.name}.json"

    def _take_note(self, event: Mapping[str, Any]) -> None:
        """Take note of who is ready, and of the mobile node's addresses and handovers."""
        if self._following:
            self._following.note(event)
        match event:
            case {"event": "CareOfAddress", "address": address} | {
                "event": "BindingUpdateSent",
                "care_of": address,
            }:
                self.paths.addresses[CARE_OF] = IPv6Address(address)
            case {"event": "Bootstrapped", "home_address": address}:
                self.paths.addresses[HOME] = IPv6Address(address)
        if event["event"] == "Ready":
            self._unready -= Counter([event["host"]])

    def _wait_until_ready(self, events: Told, waiting: Counter[str]) -> None:
        """Wait until as many programs of each host are ready as `waiting` counts."""
        if not waiting:
            return
        reasons: dict[str, str] = {}
        try:
            for event in self._events(events, _READY_DEADLINE, "readiness of every program"):
                if event["event"] == "NotReadyYet":
                    reasons[event["host"]] = f"{event['host']}: {event['reason']}"
                if event["event"] == "Ready":
                    waiting -= Counter([event["host"]])
                if not waiting:
                    return
        except RunError as error:
            raise RunError("; ".join([str(error), *reasons.values()])) from None

    def _bootstrap(self, net: Shells, events: Told) -> IPv6Address:
        """Follow the bootstrap to its end, with the steps in it; return the home address."""
        phase, mobile_node = "", self.topology.host(HostRole.MOBILE_NODE)
        others: dict[str, str] = {}
        home_address = None
        for event in self._events(events, self.timeout, "binding"):
            entered = _ENTERED.get((event["agent"], event["event"]))
            if event["host"] == mobile_node and entered and entered != phase:
                phase = entered
                self._entered(phase)
            if event["host"] != mobile_node and event["event"].endswith(_BAD_NEWS):
                others[event["host"]] = bad_news(event)
            self._compare(event)
            told = f"{event['host']} {event['event']}"
            while self._in_bootstrap and self._in_bootstrap[0].at in (phase, told):
                step = self._in_bootstrap.popleft()
                self._entered(f"{step.host} {step.name}")
                self._struck = self._struck or (f"{step.host} {step.name}", self._now())
                self._carry_out(net, events, step)
            if home_address and not self._unready:
                return home_address
            if event["host"] != mobile_node or home_address:
                continue
            if event["event"] in ("AttemptFailed", "Bootstrapped"):
                self.attempts += 1
            if event["event"] == "AttemptFailed":
                self._refusals.append(event["reason"])
            if event["event"] == "AttemptFailed" and self.attempts == self.variant.attempts:
                self._judge_failure("; ".join([event["reason"], *others.values()]))
            if event["event"] == "Bootstrapped" and self._in_bootstrap:
                raise RunError(f"the bootstrap was over without {self._in_bootstrap[0].at}")
            if event["event"] == "Bootstrapped":
                self._judge_success(event["home_agent"])
                self.outcome = "; then ".join(
                    [*self._refusals, f"bootstrapped with home agent {event['home_agent']}"]
                )
                home_address = IPv6Address(event["home_address"])
                if not self._unready:
                    return home_address
        raise AssertionError  # _events() raises before it ends.

    def _compare(self, event: Mapping[str, Any]) -> None:
        """End the run if this is the event that it was made for."""
        expected = self.variant.expect
        if expected is None or expected.event != f"{event['host']} {event['event']}":
            return
        home_agent = str(event.get("home_agent", ""))
        if expected.home_agent in ("", home_agent):
            told = event.get("reason") or home_agent
            raise ExpectedError(f"{expected.event}{f': {told}' if told else ''}")

    def _judge_failure(self, reason: str) -> NoReturn:
        """End a run without a bootstrap, which may be what was wanted."""
        expected = self.variant.expect
        if expected and expected.reason and re.search(expected.reason, reason):
            raise ExpectedError(reason)
        raise RunError(reason)

    def _judge_part(self, up: int, reason: str) -> NoReturn:
        """End a run of many in which not all mobile nodes bootstrapped, which may be enough."""
        expected = self.variant.expect
        if expected and expected.up is not None and up >= expected.up:
            raise ExpectedError(reason)
        self._judge_failure(reason)

    def _judge_success(self, home_agent: str) -> None:
        """Raise RunError if a bootstrap with this home agent is not what was wanted."""
        expected = self.variant.expect
        if expected and (expected.reason or expected.event):
            wanted = expected.reason or expected.event
            raise RunError(f"it succeeded with home agent {home_agent}; expected was: {wanted}")
        if expected and expected.home_agent not in ("", home_agent):
            raise RunError(f"the home agent is {home_agent}, expected was {expected.home_agent}")
        wanted = expected.attempt if expected else ""
        if wanted and not any(re.search(wanted, reason) for reason in self._refusals):
            raise RunError(f"no attempt failed for: {wanted}; but: {self._refusals}")

    def _captured(self) -> Sequence[str]:
        """Return the hosts whose interfaces are captured."""
        return [host.name for host in self.topology.hosts if host.role not in _UNSEEN]

    def _correspondent(self, home_address: IPv6Address) -> str:
        """Return the correspondent node on the home link, or where there is only one, that."""
        there = self.topology.hosts_with(HostRole.CORRESPONDENT_NODE)
        near = [
            host
            for host in there
            for _, end in self.topology.at(host)
            if home_address in end.addresses[0].network
        ]
        return [*near, *there][0]

    @property
    def _reachable_deadline(self) -> float:
        """Seconds that a mobile node has to be reachable: what steps did to others lasts longer."""
        return self.timeout if self._struck else _REACHABLE_DEADLINE

    def _tell_recovery(self) -> None:
        """Note how long after the first step in the bootstrap its end came, the ping's answer."""
        if self._struck:
            what, since = self._struck
            self.recovery = round(self._now() - since, 6)
            self.outcome += f"; reachable {self.recovery:.1f} s after the first step: {what}"

    def _timed(self, cost: str, since: float) -> float:
        now = time.monotonic()
        self.costs[cost] = round(now - since, 6)
        return now

    @property
    def _after_bootstrap(self) -> list[Step]:
        return [step for step in self.variant.steps if not step.at]

    def _live(self, net: Shells, events: Told, traffic: Echoes) -> None:
        """Carry out the steps after the bootstrap, while traffic goes to the home address."""
        found: dict[str, float] | None = None
        begun = self._now()
        try:
            for cycle, step in product(range(1, self.variant.cycles + 1), self._after_bootstrap):
                if step.cuts and found is None:
                    found = traffic.stop()
                self._entered(f"{step.host} {step.name}")
                self._forget(events)
                if step.attach:
                    self._note_handover(traffic)
                    self._following = Following(step.host, step.attach, cycle)
                self._carry_out(net, events, step)
                if step.packets and self._unready:
                    self._wait_for_started(events)
                if step.packets and found is None:
                    traffic.wait_for(step.packets, step.timeout)
                    if self._following:
                        self._following.is_heard = True
                if step is self._after_bootstrap[-1] and self._is_sampled(cycle):
                    seconds = round(self._now() - begun, 6)
                    amounts = self._amounts(net)
                    self.held.append({"cycles": cycle, "seconds": seconds, "amounts": amounts})
            for what, payload, transferred in self._under_way:
                self.paths.add(what, payload, transferred.result())
        finally:
            found = traffic.stop() if found is None else found
            self.continuity = found
            self._note_handover(traffic)
        self._judge_continuity(found)
        for complaint in self.paths.complaints(self.variant.expect or Expectation()):
            raise RunError(complaint)

    def _note_handover(self, traffic: Echoes) -> None:
        """Keep what the last handover took, if it came to its end; forget silences of before."""
        gap, following = round(traffic.longest(), 6), self._following
        self._following = None
        if following and (parts := following.parts):
            self.handovers.append(
                {
                    "cycle": following.cycle,
                    "link": following.link,
                    "parts": parts,
                    "gap": gap if following.is_heard else None,
                }
            )

    def _is_sampled(self, cycle: int) -> bool:
        return self.variant.sampled > 0 and cycle % self.variant.sampled == 0

    def _forget(self, events: Told) -> None:
        """Forget events that have not been asked for, but for who is ready."""
        while event := events.next(self._now()):
            self._take_note(event)

    def _wait_for_started(self, events: Told) -> None:
        """Wait for who was started again; until then the kernel serves as the one before had it."""
        for _ in self._events(events, _READY_DEADLINE, "readiness of what was started again"):
            if not self._unready:
                return

    def _judge_continuity(self, found: Mapping[str, float]) -> None:
        expected = self.variant.expect or Expectation()
        silence, lost = found["silence"], found["sent"] - found["answered"]
        if expected.silence is not None and silence > expected.silence:
            allowed = f"{expected.silence:g} s are allowed"
            raise RunError(f"the correspondent node got no answer for {silence:.3f} s; {allowed}")
        if expected.lost is not None and lost > expected.lost:
            allowed = f"{expected.lost} may be"
            raise RunError(f"{lost:.0f} packets of the correspondent node were lost; {allowed}")

    def _carry_out(self, net: Shells, events: Told, step: Step) -> None:
        if step.run:
            net.execute(step.host, step.run)
        if step.kill == "host":
            net.power_off(step.host)
        if step.kill:
            self._unready.pop(step.host, None)
            self._kill(step.host)
        if step.cut:
            net.cut(step.host, step.cut)
        if step.attach:
            net.attach(step.host, step.attach)
        if step.command:
            self._tell(step.host, f"{step.command}\n")
        if step.measures and step.throughput:
            self._measure_throughput(net, step, step.measures, step.throughput)
        elif step.measures:
            self._measure(net, step.host, step.measures)
        self._let_pass(step.lasts)
        if step.heal:
            net.heal(step.host, step.heal)
        if step.start:
            net.power_on(step.host)
            self._start_again(net, events, step.host)
        if not step.until:
            return
        what = f"{step.until} after {step.host} {step.name}"
        for event in self._answers_to(events, step, what):
            if event["event"] == "Breached":
                raise RunError(f"{event['host']}, {event['attack']}: it got {event['outcome']}")
            if f"{event['host']} {event['event']}" == step.until:
                told = event.get("outcome")
                self.outcome += f"; {event['host']}: {told}" if told else ""
                return

    def _measure(self, net: Shells, host: str, what: str) -> None:
        """Measure the round trip from a correspondent node to an address of the mobile node."""
        address = self.paths.addresses[what]
        trips = self._round_trips(net, host, address)
        if not trips:
            raise RunError(f"{host} gets no echo from the {what} {address}")
        self.paths.round_trips[what] = round(median(trips), 6)
        self.outcome += f"; round trip to the {what} {1000 * median(trips):.2f} ms"

    def _measure_throughput(self, net: Shells, step: Step, what: str, transfer: Transfer) -> None:
        """Measure what passes between a correspondent node and an address of the mobile node."""
        mobile_node, address = self.topology.host(HostRole.MOBILE_NODE), self.paths.addresses[what]
        until = self._now() + patient(step.timeout)
        for towards in transfer.ways:
            self._entered(f"{step.host} {step.name}, towards the {towards}")
            payload = Payload(step.host, mobile_node, address, transfer, towards, until)
            if transfer.beside:
                found = self._beside.submit(self._transfer, net, payload)
                self._under_way.append((what, payload, found))
            else:
                self.paths.add(what, payload, self._transfer(net, payload))

    def _answers_to(self, events: Told, step: Step, what: str) -> Iterator[dict[str, Any]]:
        """Yield events of a step's time; RunError at its end, or where a command is refused."""
        for event in self._events(events, step.timeout, what):
            if event["event"] == "CommandRefused":
                raise RunError(f"{step.host} {step.command}: {event['reason']}")
            yield event

    def _follow_moves(
        self, events: Told, step: Step, since: float, every: Iterable[Member]
    ) -> list[Member]:
        """Follow those of all that have to move to another home agent; return them."""
        moving = at_home_agent(every, step.moves, self.topology)
        what = f"registration elsewhere of all {len(moving)} that were at {step.moves}"
        follow_moves(moving, self._answers_to(events, step, what), since)
        self.outcome += f"; {len(moving)} moved from {step.moves}"
        return moving

    def _expect_ready(self, host: str) -> None:
        """Note that a program of a host is to say that it serves; a mobile node's serves nobody."""
        if host not in self.topology.hosts_with(HostRole.MOBILE_NODE):
            self._unready[host] += 1

    def _result(self, status: str, reason: str | None) -> dict[str, Any]:
        return {
            "run": self.planned.run,
            "variant": self.planned.variant,
            "seed": self.planned.seed,
            "parameters": self.planned.parameters,
            "status": status,
            "reason": reason,
            "outcome": self.outcome,
            "attempts": self.attempts,
            "continuity": self.continuity,
            "recovery": self.recovery,
            "costs": self.costs,
            "programs": self.programs,
            "warm": self.warm,
            "measured": self.measured,
            "processor": None,
            "held": self.held,
            "handovers": self.handovers,
            **self.paths.as_json(),
            **self._more(),
        }

    def _more(self) -> dict[str, Any]:
        """Return what a kind of run adds to its line."""
        return {}
