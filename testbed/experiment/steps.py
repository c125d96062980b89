"""What a run must come to, and the steps in and after the bootstrap: what they say, if it can be.

Hosts, commands and events are those of the topology and of the programs that an approach starts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Annotated, Literal, TypeAlias

import msgspec

from agents.approaches import Program
from agents.approaches.cast import Cast
from agents.core.documents import absent, listed, nearest
from agents.core.eventlog import known_events
from testbed.base.phases import PHASES
from testbed.experiment.throughput import PREPARATION, Transfer
from topologies.model import HostRole, Topology

TRAFFIC_INTERVAL = 0.02
"""Seconds between the packets of the correspondent node while steps are carried out."""

MOST_SECONDS = 86_400
"""Of whatever may be waited for: a day."""

_FLOODER = "agents.nodes.flooder.main"

Seconds: TypeAlias = Annotated[float, msgspec.Meta(gt=0, le=MOST_SECONDS)]
Text: TypeAlias = Annotated[
    str,
    msgspec.Meta(
        pattern=r"\A[^\x00-\x1f\x7f-\x9f\ud800-\udfff]*\Z",
        max_length=1000,
        description="one line of up to 1000 letters",
    ),
]
Script: TypeAlias = Annotated[
    str,
    msgspec.Meta(
        pattern=r"\A[^\x00\ud800-\udfff]*\Z", max_length=10_000, description="a shell script"
    ),
]


class Expectation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a run must come to, where that is not simply a bootstrap.

    `event` ("B Impersonated": host and event) ends the run well as soon as it is seen. `reason`, a
    regular expression, is what the bootstrap must fail for. `home_agent` is the address of the one
    that the mobile node must end up with. `silence` is how long, in seconds, the correspondent node
    may get no answer to what it asks while steps are carried out, `lost` how many of its packets
    may stay without. `attempt`, a regular expression too, is what an attempt before the successful
    one must fail for. Of a fleet, `up` is how many mobile nodes must be registered in the end, if
    not all. `detour` is how many times as long the round trip to the home address may be as that to
    the care-of address, of those that steps measure; `throughput` is what part of the throughput to
    the care-of address that to the home address has to be, in each direction. `octets_back` is how
    many octets may come back to a stranger for one that its flood sends. `growth` is how many
    octets of memory may come with each cycle of the steps, beside which nothing that is held may
    grow (testbed.analysis.growth). `must` says all of it in words.
    """

    must: Text = ""
    event: Text = ""
    reason: Text = ""
    attempt: Text = ""
    home_agent: Text = ""
    silence: Seconds | None = None
    lost: Annotated[int, msgspec.Meta(ge=0, le=10_000_000)] | None = None
    up: Annotated[int, msgspec.Meta(ge=0, le=10_000_000)] | None = None
    detour: Annotated[float, msgspec.Meta(ge=1, le=1000)] | None = None
    throughput: Annotated[float, msgspec.Meta(gt=0, le=10)] | None = None
    octets_back: Annotated[float, msgspec.Meta(ge=0, le=1000)] | None = None
    growth: Annotated[float, msgspec.Meta(ge=0, le=1e9)] | None = None

    def __post_init__(self) -> None:
        for name in ("reason", "attempt"):
            try:
                re.compile(getattr(self, name))
            except (re.error, OverflowError, RecursionError) as error:
                raise ValueError(f"{name}: no regular expression: {error}") from None


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a host does after the bootstrap; traffic from the correspondent node goes on meanwhile.

    `run` is a shell command in the host, `command` a line for its program. The step is over with
    the event `until` ("A PingAnswered": host and event), for which it has `timeout` seconds, and
    when `packets` more of the traffic were answered. The traffic is judged up to the first step
    that `cuts` it.

    A step `at` a phase of the bootstrap, or at an event ("B Authenticated"), is in the bootstrap:
    it begins when the mobile node is in that phase, or with that event; the bootstrap goes on.

    With `kill` the host's "program" is killed, and its kernel keeps what it had; or the "host" is
    off its links and its kernel has lost all, as without power. `start` undoes either. With `cut`
    nothing passes the host's end of a link any more, until the host has it `heal`. A mobile node
    that a step has `attach` is on that link from then on, in place of the one before. A step
    `lasts` so many seconds at least, and undoes what it undoes after them. In a fleet `moves`, a
    home agent's host, has the step last until each mobile node that was there is reachable at
    another one; it is measured how long that takes. A correspondent node's host `measures` the
    round trip to the mobile node's home address or care-of address, or with a transfer the
    `throughput` of the path there.
    """

    host: Text
    command: Text = ""
    run: Script = ""
    until: Text = ""
    packets: Annotated[int, msgspec.Meta(ge=0, le=10_000_000)] = 0
    timeout: Seconds = 15.0
    cuts: bool = False
    at: Text = ""
    kill: Literal["program", "host"] | None = None
    start: bool = False
    cut: Text = ""
    heal: Text = ""
    attach: Text = ""
    lasts: Annotated[float, msgspec.Meta(ge=0, le=MOST_SECONDS)] = 0.0
    moves: Text = ""
    measures: Literal["home address", "care-of address"] | None = None
    throughput: Transfer | None = None

    @property
    def name(self) -> str:
        """What the host does, in words."""
        others: dict[str, object] = {
            f"loses {self.cut}": self.cut,
            "has its program killed": self.kill == "program",
            "loses its power": self.kill == "host",
            f"has {self.heal} back": self.heal,
            f"moves to {self.attach}": self.attach,
            "is started again": self.start,
            f"measures the {self._measured} to the {self.measures}": self.measures is not None,
        }
        done = [name for name, is_so in others.items() if is_so]
        return self.command or self.run or " and ".join(done) or "goes on"

    @property
    def _measured(self) -> str:
        return f"throughput of {self.throughput.protocol.upper()}" if self.throughput else "way"

    @property
    def least(self) -> float:
        """Seconds that it takes at least, as far as it says so."""
        return self.lasts + (self.throughput.lasts if self.throughput else 0)

    def __post_init__(self) -> None:
        acts = self.command.strip() or self.run.strip() or self.kill or self.start
        acts = acts or self.cut or self.heal or self.attach or bool(self.measures)
        ends = self.until or self.packets or self.moves
        if not (acts or ends or self.lasts):
            raise ValueError(
                "a step needs `command`, `run`, `kill`, `start`, `cut`, `heal`, `attach`, `lasts`, "
                "`until`, `moves`, `measures` or `packets`"
            )
        if self.kill and self.command.strip():
            raise ValueError("a step cannot `kill` a program and give it a `command`")
        if self.at and (ends or self.cuts or self.measures):
            raise ValueError(
                "a step `at` some point of the bootstrap has no `until`, `packets`, `moves`, "
                "`measures` or `cuts`: the bootstrap goes on, and traffic follows it"
            )
        if (least := self.packets * TRAFFIC_INTERVAL) > self.timeout:
            raise ValueError(
                f"{self.packets} packets take {least:g} s at least; "
                f"the step's timeout is {self.timeout:g} s"
            )
        if self.throughput:
            self._check_throughput(self.throughput)

    def _check_throughput(self, transfer: Transfer) -> None:
        if not self.measures:
            raise ValueError(
                "`throughput` is that of a path to an address; say to which: measures = 'home"
                " address' or measures = 'care-of address'"
            )
        if (least := transfer.lasts + len(transfer.ways) * PREPARATION) > self.timeout:
            raise ValueError(
                f"its transfers take {least:g} s with what prepares them; the step's timeout is"
                f" {self.timeout:g} s"
            )


def check(
    expected: Expectation | None,
    steps: Sequence[Step],
    cycles: int,
    topology: Topology,
    composed: Iterable[Program],
) -> None:
    """Raise ValueError, with the place, for what these hosts and programs cannot do.

    Steps behind the bootstrap that are taken in several `cycles` follow each other.
    """
    programs: dict[str, Program] = {}
    composed = list(composed)
    for program in sorted(composed, key=lambda program: not program.commands):
        programs.setdefault(program.host, program)  # The first that takes commands gets them.
    if expected:
        _check_expectation(expected, steps, topology, programs)
        _check_flood(expected, composed)
    uncut = True
    killed: dict[str, str] = {}
    cut: dict[tuple[str, str], str] = {}
    left: set[str] = set()
    attached: dict[str, str] = {}
    after = beside = ""
    taken = [(f"steps[{number}]", step) for number, step in enumerate(steps)]
    if cycles > 1:
        taken += [(f"cycle 2: {place}", step) for place, step in taken if not step.at]
    hosts = [host.name for host in topology.hosts]
    for place, step in taken:
        if step.host not in hosts:
            raise ValueError(
                f"{place}.host: {absent(f'host {step.host!r}', step.host, sorted(hosts))}"
            )
        if step.at:
            _check_moment(f"{place}.at", step.at, topology, programs)
        if step.at and after:
            raise ValueError(f"{place}.at: the bootstrap is over by then, for {after} has no `at`")
        after = after or ("" if step.at else place)
        _check_life(place, step, topology, programs, killed)
        if step.command:
            _check_command(f"{place}.command", step, topology, programs)
        _check_cut(place, step, topology, cut)
        if step.attach:
            _check_attach(f"{place}.attach", step, topology, attached)
        _note_leaving(step, topology, left)
        if step.moves:
            _check_moves(f"{place}.moves", step.moves, topology, composed, left)
        if step.measures:
            _check_measures(f"{place}.measures", step.host, topology)
        if step.throughput and beside:
            raise ValueError(f"{place}.throughput: that of {beside} goes on: one at a time")
        if step.throughput and step.throughput.beside:
            beside = place
        if step.until:
            _check_event(f"{place}.until", step.until, programs)
        uncut = uncut and not step.cuts
        if step.packets and not uncut:
            raise ValueError(f"{place}.packets: the traffic is over, for a step `cuts` it")


def _check_expectation(
    expected: Expectation, steps: Sequence[Step], topology: Topology, programs: dict[str, Program]
) -> None:
    _check_outcome(expected, topology)
    if expected.event:
        _check_event("expect.event", expected.event, programs)
    if any(not step.at for step in steps) and (expected.event or expected.reason):
        raise ValueError("expect: the steps would never be taken: they follow a bootstrap")
    judges = expected.silence is not None or expected.lost is not None
    if judges and all(step.at for step in steps):
        raise ValueError(
            "expect: there is traffic to judge during `steps` after the bootstrap only; "
            "there are none"
        )
    _check_comparisons(expected, steps)
    if not expected.home_agent:
        return
    if topology.is_fleet:
        cast = Cast(topology)
        whose, addresses = "home agent", [str(cast.address(one).ip) for one in cast.home_agents]
    else:
        ends = [end for link in topology.links for end in link.ends]
        whose, addresses = "host", [str(one.ip) for end in ends for one in end.addresses]
    if expected.home_agent not in addresses:
        raise ValueError(
            f"expect.home_agent: {expected.home_agent!r} is no {whose}'s address; "
            f"use one of {listed(addresses)}"
        )


def _check_comparisons(expected: Expectation, steps: Sequence[Step]) -> None:
    """Refuse to compare two paths of which one is not measured."""
    for name, how, one in (
        ("detour", "", [step for step in steps if not step.throughput]),
        ("throughput", " with `throughput`", [step for step in steps if step.throughput]),
    ):
        measured = {step.measures for step in one if step.measures}
        if getattr(expected, name) is not None and len(measured) < 2:
            raise ValueError(
                f"expect.{name}: there is nothing to compare; let a step{how} `measures` the home"
                " address, and another one the care-of address"
            )


def _check_flood(expected: Expectation, composed: Iterable[Program]) -> None:
    """Refuse to judge a flood where nobody floods."""
    if expected.octets_back is None:
        return
    if not any(program.module == _FLOODER for program in composed):
        raise ValueError(
            "expect.octets_back: nobody floods, so that nothing comes back for it; set"
            " settings.flood.attack"
        )


def _check_outcome(expected: Expectation, topology: Topology) -> None:
    """Refuse what no run can come to, and two things of which none comes to both."""
    if expected.up is not None and not topology.is_fleet:
        raise ValueError("expect.up: there is one mobile node; this is for topology operator")
    there = len(topology.hosts_with(HostRole.MOBILE_NODE))
    if expected.up is not None and expected.up > there:
        raise ValueError(f"expect.up: there are {there} mobile nodes, fewer than {expected.up}")
    for name in ("event", "attempt"):
        if getattr(expected, name) and topology.is_fleet:
            raise ValueError(
                f"expect.{name}: there are many mobile nodes; this is for one: leave it out"
            )
    for name in ("up", "home_agent", "attempt"):
        if expected.reason and getattr(expected, name) not in ("", None):
            raise ValueError(
                f"expect: `reason` is what the bootstrap must fail for, and `{name}` is what it"
                " must come to: leave one of them out"
            )


def _check_moment(place: str, text: str, topology: Topology, programs: dict[str, Program]) -> None:
    if topology.is_fleet:
        raise ValueError(f"{place}: there are many bootstraps; this is for one mobile node")
    if text not in PHASES and " " not in text:
        missing = absent(f"phase {text!r}", text, PHASES)
        raise ValueError(f"{place}: {missing}; or an event, as in 'B Authenticated'")
    if " " in text:
        _check_event(place, text, programs)


def _check_life(
    place: str,
    step: Step,
    topology: Topology,
    programs: dict[str, Program],
    killed: dict[str, str],
) -> None:
    """Refuse to kill what is dead, and to start what lives; `killed` has what is, and where."""
    mobile = topology.hosts_with(HostRole.MOBILE_NODE)
    for what in ("kill", "start"):
        if getattr(step, what) and step.host not in programs:
            raise ValueError(f"{place}.{what}: no program runs in host {step.host}")
        if getattr(step, what) and topology.is_fleet and step.host in mobile:
            raise ValueError(f"{place}.{what}: the mobile nodes of a fleet are one program")
    if step.host in killed and (step.kill or step.command):
        what, since = "kill" if step.kill else "command", killed[step.host]
        raise ValueError(f"{place}.{what}: the program in host {step.host} is dead since {since}")
    if step.kill:
        killed[step.host] = place
    if step.start and killed.pop(step.host, None) is None:
        raise ValueError(f"{place}.start: the program in host {step.host} runs")


def _check_cut(place: str, step: Step, topology: Topology, cut: dict[tuple[str, str], str]) -> None:
    """Refuse to cut what is cut, and to heal what is whole; `cut` has what is, and where."""
    host = step.host
    for what in ("cut", "heal"):
        if link := getattr(step, what):
            links = [one.name for one, _ in topology.at(host)]
            if link not in links:
                missing = absent(f"link {link!r} of host {host}", link, sorted(links))
                raise ValueError(f"{place}.{what}: {missing}")
    if step.cut:
        if since := cut.get((host, step.cut)):
            raise ValueError(f"{place}.cut: link {step.cut!r} of host {host} is cut since {since}")
        cut[host, step.cut] = place
    if step.heal and cut.pop((host, step.heal), None) is None:
        raise ValueError(
            f"{place}.heal: link {step.heal!r} of host {host} is whole; a step of this host has to"
            " `cut` it first"
        )


def _check_attach(place: str, step: Step, topology: Topology, attached: dict[str, str]) -> None:
    """Refuse to move what does not, or to where it is; `attached` has where hosts have moved to."""
    links, home = topology.roaming, topology.roaming_at(step.host)
    if home is None or step.host not in topology.hosts_with(HostRole.MOBILE_NODE):
        raise ValueError(
            f"{place}: host {step.host} is no mobile node that moves between links; "
            "there is one in topology mobility"
        )
    if step.attach not in (names := [link.name for link in links]):
        what = f"access link {step.attach!r}"
        raise ValueError(f"{place}: {absent(what, step.attach, sorted(names))}")
    if step.attach == attached.get(step.host, home.name):
        raise ValueError(f"{place}: host {step.host} is on link {step.attach!r} already")
    if faulty := [link.name for link in links if link.shape.is_faulty]:
        raise ValueError(
            f"{place}: who moves leaves behind what goes wrong on link {faulty[0]!r}; let nothing"
            " go wrong on access links"
        )
    attached[step.host] = step.attach


def _note_leaving(step: Step, topology: Topology, left: set[str]) -> None:
    """Add to `left` the home agents' hosts which a step may make mobile nodes leave."""
    agents = topology.hosts_with(HostRole.HOME_AGENT)
    match step.command.split():
        case ["drain", name]:
            left.add(Cast(topology).home_agents_by_name[name].host)
        case ["undrain", name]:
            left.discard(Cast(topology).home_agents_by_name[name].host)
    if step.host in agents and (step.kill or step.cut == "core"):
        left.add(step.host)
    if step.run:  # Nobody knows what a shell command may do.
        left.update(agents)


def _check_event(place: str, text: str, programs: dict[str, Program]) -> None:
    host, _, event = text.partition(" ")
    if host not in programs:
        what = f"host with a program, {host!r}"
        raise ValueError(f"{place}: {absent(what, host, sorted(programs))}")
    if event not in known_events():
        import_module(programs[host].module)  # It brings its machines' events.
    if event not in (known := known_events()):
        raise ValueError(f"{place}: no program tells of {event!r}{nearest(event, known)}")


def _check_measures(place: str, host: str, topology: Topology) -> None:
    if topology.is_fleet:
        raise ValueError(f"{place}: there are many mobile nodes; this is for one")
    correspondents = topology.hosts_with(HostRole.CORRESPONDENT_NODE)
    if host not in correspondents:
        what = f"correspondent node {host!r}"
        raise ValueError(f"{place}: {absent(what, host, sorted(correspondents))}")


def _check_moves(
    place: str, host: str, topology: Topology, composed: Iterable[Program], left: set[str]
) -> None:
    if not topology.is_fleet:
        raise ValueError(f"{place}: there is one mobile node only; this is for topology operator")
    agents = topology.hosts_with(HostRole.HOME_AGENT)
    if host not in agents:
        raise ValueError(f"{place}: {absent(f'home agent {host!r}', host, sorted(agents))}")
    if len(agents) == 1:
        raise ValueError(f"{place}: there is no other home agent; set operator.home_agents = 2")
    if any(program.module == "agents.daemons.nsd" for program in composed):
        raise ValueError(f"{place}: by DNS a mobile node asks for the same home agent again")
    if host not in left:
        names = {agent.host: name for name, agent in Cast(topology).home_agents_by_name.items()}
        aaa = topology.host(HostRole.HOME_AAA)
        raise ValueError(
            f"{place}: no mobile node has to leave {host} by then; let this step or one before it"
            f" drain it (host = {aaa}, command = drain {names[host]}), kill it (host = {host},"
            f" kill = host) or cut it off (host = {host}, cut = core)"
        )


def _check_command(
    place: str, step: Step, topology: Topology, programs: dict[str, Program]
) -> None:
    program = programs.get(step.host)
    if program is None:
        raise ValueError(f"{place}: no program runs in host {step.host}")
    name, *arguments = step.command.split() or [""]
    if not program.commands:
        raise ValueError(f"{place}: the program in host {step.host} takes no commands")
    if name not in program.commands:
        raise ValueError(f"{place}: {absent(f'command {name!r}', name, sorted(program.commands))}")
    readers = program.commands[name]
    if len(readers) != len(arguments):
        raise ValueError(f"{place}: {name} takes {len(readers)} arguments, not {len(arguments)}")
    for reader, argument in zip(readers, arguments, strict=True):
        try:
            reader(argument)
        except ValueError as error:
            raise ValueError(f"{place}: {name}: {error}") from None
    if name in ("drain", "undrain"):
        (agent,), known = arguments, Cast(topology).home_agents_by_name
        if agent not in known:
            missing = absent(f"home agent {agent!r}", agent, known)
            raise ValueError(f"{place}: {name}: {missing}")
