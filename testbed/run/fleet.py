"""One run of many mobile nodes: each begins when it is told to, and is followed to its end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any

from agents.approaches import Program
from testbed.experiment.steps import Step
from testbed.run.capture import Capture
from testbed.run.events import Events
from testbed.run.net import Network
from testbed.run.parts import Shells, Told
from testbed.run.probe import Echo
from testbed.run.usage import Meter
from testbed.run.worker import RunError, Worker
from topologies.model import HostRole

_OVERFLOWS = ("Udp6RcvbufErrors", "Ip6InDiscards")
_LEAD = 0.1
"""Seconds between the command to begin and the first beginning."""


@dataclass(slots=True)
class Move:
    """A mobile node's way to another home agent, as testbed.results.runs.Moved has it."""

    home_agent: str = ""
    home_address: str = ""
    noticed: float | None = None
    bootstrapped: float | None = None
    registered: float | None = None

    def note(self, event: Mapping[str, Any], since: float, before: str) -> None:
        """Take note of an event of the mobile node's."""
        at = round(event["t"] / 1e9 - since, 6)
        match event["event"]:
            case "ChildDeleted" if self.noticed is None:
                self.noticed = at
            case "AssignmentChanged":
                self.noticed = at if self.noticed is None else self.noticed
                self.bootstrapped = None
            case "ChildEstablished":
                self.bootstrapped = at
            case "Bootstrapped" if event["home_agent"] != before:
                self.home_agent, self.home_address = event["home_agent"], event["home_address"]
                self.registered = at


@dataclass(slots=True)
class Member:
    """What a mobile node came to; times in seconds since the first one began.

    `failures` are the attempts that failed before one succeeded, or the time was over. `moved` is
    its way to another home agent.
    """

    host: str
    start: float
    end: float | None = None
    home_agent: str = ""
    home_address: str = ""
    failures: int = 0
    reason: str = ""
    moved: Move | None = None

    @property
    def place(self) -> tuple[str, str]:
        """Home agent and home address at present."""
        if self.moved:
            return self.moved.home_agent, self.moved.home_address
        return self.home_agent, self.home_address


class FleetWorker(Worker):
    """Carries out one run: a bootstrap of each of many mobile nodes."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        hosts = self.topology.hosts_with(HostRole.MOBILE_NODE)
        starts = self.variant.starts(len(hosts), self.planned.seed)
        self._members = {h: Member(h, round(s, 6)) for h, s in zip(hosts, starts, strict=True)}
        self.timeout += max(starts)
        self._zero = 0.0
        self._net: Network | None = None
        self._overflows: dict[str, int] = {}

    def _run(self, net: Network, *others: Any) -> None:
        self._net = net
        net.publish(self._members)
        super()._run(net, *others)

    def _captured(self) -> Sequence[str]:
        """Return the access routers: on their links are all messages of all mobile nodes."""
        return self.topology.hosts_with(HostRole.ACCESS_ROUTER)

    def _begin(self, net: Network, events: Events, mobile_node: Sequence[Program]) -> None:
        """Start the fleet, and have all begin in their turn when it is ready."""
        for program in mobile_node:
            self._start(net, events, program)
        self._wait_until_ready(events, Counter(program.host for program in mobile_node))
        self._meter = Meter(process.pid for process in self._all_processes())
        (fleet,) = mobile_node
        self._zero = time.monotonic() + _LEAD
        lines = [f"begin {m.host} {self._zero + m.start:.6f}\n" for m in self._members.values()]
        self._tell(fleet.host, "".join(lines))

    def _bootstrap(self, events: Told) -> IPv6Address:
        """Follow all bootstraps to their ends, or to the run's; return the first home address."""
        waiting = set(self._members)
        try:
            for event in self._events(events, self.timeout, "binding of all"):
                member = self._members.get(event["host"])
                if member is None or event["host"] not in waiting:
                    continue
                self._note(member, event)
                if member.end is not None or member.failures == self.variant.attempts:
                    waiting.discard(member.host)
                if not waiting:
                    break
        except RunError:
            self._check_processes()
        done = [m for m in self._members.values() if m.end is not None]
        self.attempts = sum(m.failures + (m.end is not None) for m in self._members.values())
        self.outcome = f"{len(done)} of {len(self._members)} mobile nodes bootstrapped"
        lost = [m for m in self._members.values() if m.end is None]
        if lost:
            reason = next((m.reason for m in lost if m.reason), "no binding within the time")
            self._judge_failure(f"{self.outcome}; {lost[0].host}: {reason}")
        for home_agent in sorted({member.home_agent for member in done}):
            self._judge_success(home_agent)
        return IPv6Address(done[0].home_address)

    def _note(self, member: Member, event: Mapping[str, Any]) -> None:
        if event["event"] == "AttemptFailed":
            member.failures += 1
            member.reason = event["reason"]
        if event["event"] == "Bootstrapped":
            member.end = round(event["t"] / 1e9 - self._zero, 6)
            member.home_agent, member.home_address = event["home_agent"], event["home_address"]

    def _carry_out(self, net: Shells, events: Told, step: Step) -> None:
        since = time.monotonic()
        super()._carry_out(net, events, step)
        if step.moves:
            ends = {str(e.address) for _, e in self.topology.at(step.moves) if e.addresses}
            moving = {h: m for h, m in self._members.items() if m.place[0] in ends}
            self._follow_moves(events, step, moving, since)
            self._reach_again(net, moving.values())  # type: ignore[arg-type]  # It is real here.

    def _follow_moves(
        self, events: Told, step: Step, moving: Mapping[str, Member], since: float
    ) -> None:
        """Follow mobile nodes until each is registered with another home agent."""
        before = {host: member.place[0] for host, member in moving.items()}
        waiting = {host: Move() for host in moving}
        what = f"registration elsewhere of those at {step.moves}"
        for event in self._events(events, step.timeout, what) if waiting else ():
            host = event["host"]
            if (move := waiting.get(host)) is None:
                continue
            move.note(event, since, before[host])
            if move.registered is not None:
                moving[host].moved = waiting.pop(host)
            if not waiting:
                break
        self.outcome += f"; {len(moving)} moved from {step.moves}"

    def _reach_again(self, net: Network, moved: Iterable[Member]) -> None:
        """Have those that have moved answer."""
        hosts = self.topology.hosts_with(HostRole.CORRESPONDENT_NODE)
        echoes = {host: Echo(net, host) for host in hosts}
        for member in moved:
            super()._reach(echoes, IPv6Address(member.place[1]))

    def _reach(self, echoes: Mapping[str, Echo], home_address: IPv6Address) -> Echo:
        """Have every mobile node answer echo requests at its home address."""
        for member in self._members.values():
            super()._reach(echoes, IPv6Address(member.home_address))
        return super()._reach(echoes, home_address)

    def _finish(self, captures: list[Capture]) -> None:
        if self._net:
            self._overflows = {host: overflows(self._net, host) for host in self._others()}
        super()._finish(captures)

    def _others(self) -> Iterator[str]:
        """Yield the hosts that serve the mobile nodes."""
        for host in self.topology.hosts:
            if host.role not in (HostRole.MOBILE_NODE, HostRole.CORRESPONDENT_NODE):
                yield host.name

    def _more(self) -> dict[str, Any]:
        members = [asdict(member) for member in self._members.values()]
        return {"members": members, "overflows": self._overflows}


def overflows(net: Network, host: str) -> int:
    """Return how many datagrams a host's sockets have had no room for (proc_net_snmp6)."""
    with net.inside(host):
        text = Path("/proc/thread-self/net/snmp6").read_text()
    counters = dict(line.split() for line in text.splitlines())
    return sum(int(counters.get(name, 0)) for name in _OVERFLOWS)
