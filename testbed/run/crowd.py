"""One run of many mobile nodes on a virtual clock, each made when it begins."""

from __future__ import annotations

import gc
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any

from agents.approaches import Program
from agents.approaches.cast import numbered
from agents.core.documents import fit
from agents.core.eventlog import EventLog
from agents.nodes.fleet.settings import FleetConfiguration
from agents.nodes.mobile_node.settings import MobileNodeConfiguration
from agents.simulation import public_keys
from agents.simulation.fleet import Newcomers, Teller, without_public_keys
from agents.simulation.laboratory import Laboratory, Provision
from agents.simulation.services import Service
from agents.simulation.stack import Stack
from agents.simulation.world import NETWORK, Tally, World
from testbed.base.medians import medians
from testbed.experiment.simulable import MOST_MEMBERS
from testbed.experiment.spec import PlannedRun, Spec
from testbed.experiment.steps import Step
from testbed.run.members import Member
from testbed.run.parts import Shells, Told
from testbed.run.simulated import Capture, Heard, SimulatedWorker
from testbed.trace.phases import MILESTONES, PhaseError, Timeline, from_moments, reach
from topologies.model import HostRole

SETTLED = 1.0
"""Seconds of the virtual clock in which the programs that are not mobile nodes become ready."""

POINTS = 200
_STARTS = {("pana", "Started"), ("ikev1", "Started"), ("ikev2", "Started"), ("dhcpv6", "Started")}
_MOMENTS: Mapping[tuple[str, str], Sequence[str]] = {
    event: [name for name, wanted in MILESTONES if event in wanted]
    for event in {event for _, wanted in MILESTONES for event in wanted}
}
_KINDS = {HostRole.HOME_AAA, HostRole.HOME_AGENT, HostRole.ACCESS_ROUTER}


class _Written(EventLog):
    """An event log that tells of events, too."""

    def __init__(self, host: str, agent: str, *arguments: Any, take: Any) -> None:
        super().__init__(host, agent, *arguments)
        self._names, self._take = (host, agent), take

    def child(self, agent: str) -> EventLog:
        """Return a log for another agent in the same host."""
        return _Written(self._names[0], agent, self.stream, self.clock, take=self._take)

    def _write(self, event: str, fields: Mapping[str, object]) -> None:
        super()._write(event, fields)
        self._take(*self._names, event, self.clock(), fields)


class _Watch:
    """Adds up the CPU time of each kind of program, as "mobile_node"."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._who, self._since = NETWORK, time.process_time()

    def turn(self, who: str) -> str:
        """Note whose turn it is; return whose it was."""
        now, before = time.process_time(), self._who
        self.seconds[before.partition("-")[2] or before] += now - self._since
        self._who, self._since = who, now
        return before


class CrowdWorker(SimulatedWorker):
    """Carries out one run: a bootstrap of each of many mobile nodes, and steps after them."""

    def __init__(
        self,
        results: Path,
        planned: PlannedRun,
        spec: Spec,
        service: Callable[[Program], Service],
        forwarding: float,
    ) -> None:
        super().__init__(results, planned, spec, service, forwarding)
        self._nodes = len(self.topology.hosts_with(HostRole.MOBILE_NODE))
        self.topology = spec.sample_topology(planned.variant)
        self._simulation = self.variant.simulation
        self._starts = self.variant.starts(self._nodes, planned.seed)
        self.timeout += max(self._starts)
        self._watch = _Watch()
        self._world = World(planned.seed, turn=self._watch.turn, record=False)
        self._world.tally = self._tally = Tally()
        self._world.pipes = not self._is_captured
        self._told = type(self._told)(self._world.clock)
        self._first: dict[str, dict[str, int]] = {}
        self._members: dict[str, Member] = {}
        self._counted: Counter[tuple[str, str]] = Counter()
        self._ends: list[float] = []
        self._home_agents: set[str] = set()
        self._failures: Counter[str] = Counter()
        self._given_up = 0
        self._zero = 0.0
        self._bootstraps: dict[str, Any] | None = None
        self._heard: Heard[dict[str, Any]] | None = None

    @property
    def _is_captured(self) -> bool:
        return self._nodes <= self._simulation.captures

    # Making it

    def _provision(self, sample: MobileNodeConfiguration, home_aaa: Program) -> Provision:
        own = dict.fromkeys(
            self.topology.hosts_with(HostRole.HOME_AAA), self._simulation.home_aaa_servers
        )
        common: dict[str, Any] = {
            "processors": own,
            "receive_buffer": self._simulation.receive_buffer,
            "log": self._log_of,
        }
        if self._simulation.public_keys == "real":
            return Provision(**common)
        rng = self._world.random("TLS")
        return without_public_keys(Provision(**common), sample, home_aaa, rng)

    def _log_of(self, laboratory: Laboratory, host: str) -> EventLog:
        now = laboratory.nanoseconds
        if self._is_captured:
            return _Written(host, "role", self._told, now, take=self._take)
        return Teller(host, "role", self._take, now)

    def _prepare(self) -> None:
        """Make the network without its mobile nodes, and who makes those."""
        others, (fleet,) = self._compose()
        samples = fit(fleet.configuration, FleetConfiguration).nodes
        home_aaa = next(p for p in others if p.module == "agents.nodes.home_network.main")
        self._laboratory = Laboratory(
            self.topology,
            others,
            self._world,
            self._told,
            self._secrets.log if self._is_captured else None,
            self._service,
            self._provision(samples[0], home_aaa),
        )
        for stack in self._laboratory.stacks.values():
            stack.forwarding = self._forwarding
        if self._is_captured:
            routers = self.topology.hosts_with(HostRole.ACCESS_ROUTER)
            self._captures = [Capture(self._laboratory.stacks[host]) for host in routers]
        self._newcomers = Newcomers(
            self._laboratory, samples, self.settings.identity, self._log_of, self._has_joined
        )

    def _has_joined(self, stack: Stack) -> None:
        """Capture a mobile node on a link on which things go wrong."""
        links = [interface.link for interface in stack.interfaces.values()]
        if self._is_captured and any(link.is_faulty for link in links):
            self._captures.append(Capture(stack))

    # Carrying it out

    @contextmanager
    def _surroundings(self) -> Iterator[None]:
        """Have no garbage looked for, and the model of public keys if it is wanted."""
        gc.disable()  # It would look at what stays, again and again.
        try:
            if self._simulation.public_keys == "model":
                with public_keys.without_diffie_hellman():
                    yield
            else:
                yield
        finally:
            gc.enable()

    def _simulate(self) -> None:
        """Have all begin, and follow them to their ends."""
        laboratory, clock = self._laboratory, self._world.clock
        laboratory.start()
        laboratory.run(SETTLED)
        laboratory.go_wrong()
        self._zero = clock.now
        self._tally.messages.clear()
        self._before = {name: stack.processor.busy for name, stack in laboratory.stacks.items()}
        self._watch.seconds.clear()
        self._begin_from(1)
        ends, nodes = self._ends, self._nodes
        laboratory.run(self._zero + self.timeout, lambda: len(ends) + self._given_up == nodes)
        self._watch.turn(NETWORK)
        self.outcome = f"{len(self._ends)} of {self._nodes} mobile nodes bootstrapped"
        self.programs = {
            f"all-{kind}": {"cpu": round(seconds, 6), "seconds": round(clock.now - self._zero, 6)}
            for kind, seconds in self._watch.seconds.items()
            if kind != NETWORK
        }
        self.attempts = self._failures.total() + len(ends)
        self._bootstraps = self._crowd()
        if len(ends) < nodes:
            self._judge_part(len(ends), f"{self.outcome} in {self.timeout:g} s")
        for home_agent in sorted(self._home_agents):
            self._judge_success(home_agent)
        if self._is_captured or self.variant.steps:
            self._heard = heard = Heard[dict[str, Any]](clock)
            homes = [IPv6Address(member.home_address) for member in self._members.values()]
            for home_address in homes:
                self._answers(home_address)
            self._go_on(heard, homes[0])

    def _carry_out(self, net: Shells, events: Told, step: Step) -> None:
        since = self._world.clock.now
        super()._carry_out(net, events, step)
        if step.moves:
            for member in self._follow_moves(events, step, since, self._members.values()):
                self._answers(IPv6Address(member.place[1]))

    def _begin_from(self, number: int) -> None:
        """Begin a mobile node, and have the next one begin in its turn."""
        clock = self._world.clock
        host = numbered("MN", number)
        self._first[host] = {}
        if self._nodes <= MOST_MEMBERS:
            self._members[host] = Member(host, round(self._starts[number - 1], 6))
        self._newcomers.begin(number)
        if number < self._nodes:
            following = self._zero + self._starts[number]
            clock.at(following, partial(self._begin_from, number + 1))

    def _take(self, host: str, agent: str, event: str, now: int, told: Any) -> None:
        """Hear of an event."""
        first = self._first.get(host)
        self._counted[agent, event] += 1
        if self._heard:
            fields = told.items() if isinstance(told, Mapping) else ()
            known = {"t": now, "host": host, "agent": agent, "event": event}
            self._heard.add({name: str(value) for name, value in fields} | known)
            return
        if first is None:
            return
        if (agent, event) in _MOMENTS:
            for name in _MOMENTS[agent, event]:
                reach(first, name, now)
        member = self._members.get(host)
        if event == "Bootstrapped" and not self._is_over(host):
            first["up"] = now
            self._ends.append(now / 1e9 - self._zero)
            if member:
                member.end = round(now / 1e9 - self._zero, 6)
            self._home_agents.add(str(told["home_agent"]))
        if event == "Bootstrapped" and member and member.end is not None:
            member.home_agent = str(told["home_agent"])
            member.home_address = str(told["home_address"])
        elif event == "AttemptFailed" and not self._is_over(host):
            self._failures[host] += 1
            self._given_up += self._is_over(host)
            if member:
                member.failures += 1
                member.reason = told["reason"]

    def _is_over(self, host: str) -> bool:
        """Return whether a mobile node is up, or has made all attempts that it is allowed."""
        return "up" in self._first[host] or self._failures[host] == (self.variant.attempts or -1)

    # What came of it

    def _timelines(self) -> Iterator[tuple[str, Timeline]]:
        for host, first in self._first.items():
            if "up" in first:
                try:
                    yield host, from_moments(first, f"host {host}")
                except PhaseError:
                    continue

    def _more(self) -> dict[str, Any]:
        members = {host: asdict(member) for host, member in self._members.items()}
        timelines = dict(self._timelines())
        for host in members.keys() & timelines.keys():
            members[host]["phases"] = timelines[host].phases
        phases = medians(timeline.phases for timeline in timelines.values())
        return {
            "members": list(members.values()),
            "phases": phases,
            "event_phases": phases,
            "crowd": self._bootstraps,
        }

    def _crowd(self) -> dict[str, Any]:
        ends, count = sorted(self._ends), self._nodes
        up = {
            name: round(ends[needed - 1], 6)
            for name, part in (("50", 0.5), ("99", 0.99), ("100", 1.0))
            if len(ends) >= (needed := max(1, -int(-part * count // 1)))
        }
        step = max(1, len(ends) // POINTS)
        curve = [(round(ends[i], 3), i + 1) for i in range(0, len(ends), step)]
        if ends:
            curve.append((round(ends[-1], 3), len(ends)))
        stacks, before = self._laboratory.stacks, self._before
        by_name = self._counted
        return {
            "nodes": count,
            "up": up,
            "curve": curve,
            "messages": dict(self._tally.messages),
            "repeated": dict(self._tally.repeated),
            "dropped": dict(self._tally.dropped),
            "failures": self._failures.total(),
            "late": sum(n for (_, event), n in by_name.items() if event == "AaaLate"),
            "unanswered": sum(n for (_, event), n in by_name.items() if event == "AaaFailed"),
            "busy": {
                host: round(stacks[host].processor.busy - before[host], 6)
                for role in _KINDS
                for host in self.topology.hosts_with(role)
            },
            "simulator": round(self._watch.seconds[NETWORK], 6),
            "seconds": round(self._world.clock.now - self._zero, 6),
            "public_keys": self._simulation.public_keys,
        }

    def _write(self) -> None:
        if self._is_captured:
            super()._write()
        else:
            (self.folder / "events.jsonl").write_text("")
            (self.folder / "counts.json").write_text(
                json.dumps({" ".join(key): n for key, n in sorted(self._counted.items())}, indent=1)
            )
