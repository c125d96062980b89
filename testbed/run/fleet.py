"""One run of many mobile nodes: each begins when it is told to, and is followed to its end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any

from agents.approaches import Program
from testbed.experiment.steps import Step
from testbed.run.course import RunError
from testbed.run.events import Events
from testbed.run.members import Member
from testbed.run.net import Network
from testbed.run.parts import Shells, Told
from testbed.run.probe import Echo
from testbed.run.usage import Meter
from testbed.run.worker import Worker
from testbed.trace import fleet
from topologies.model import HostRole

_OVERFLOWS = ("Udp6RcvbufErrors", "Ip6InDiscards")
_LEAD = 0.1
"""Seconds between the command to begin and the first beginning."""


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
        return fleet.captured(self.topology)

    def _begin(self, net: Network, events: Events, mobile_node: Sequence[Program]) -> None:
        """Start the fleet, and have all begin in their turn when it is ready."""
        for program in mobile_node:
            self._start(net, events, program)
        self._wait_until_ready(events, Counter(program.host for program in mobile_node))
        self._meter = Meter(process.pid for process in self._all_processes())
        (program,) = mobile_node
        self._zero = time.monotonic() + _LEAD
        lines = [f"begin {m.host} {self._zero + m.start:.6f}\n" for m in self._members.values()]
        self._tell(program.host, "".join(lines))

    def _bootstrap(self, net: Shells, events: Told) -> IPv6Address:  # noqa: ARG002
        """Follow all bootstraps to their ends, or to the run's; return the first home address."""
        waiting = set(self._members)
        try:
            for event in self._events(events, self.timeout, "binding of all"):
                member = self._members.get(event["host"])
                if member is None or event["host"] not in waiting:
                    continue
                self._note(member, event)
                if member.is_over(self.variant.attempts):
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
            self._judge_part(len(done), f"{self.outcome}; {lost[0].host}: {reason}")
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
            moving = self._follow_moves(events, step, since, self._members.values())
            self._reach_again(net, moving)  # type: ignore[arg-type]  # It is real here.

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

    def _finish(self) -> None:
        if self._net:
            self._overflows = {host: overflows(self._net, host) for host in self._others()}
        super()._finish()

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
