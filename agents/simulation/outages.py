"""How long after an outage a mobile node can be reached again, and what that waits for.

As a program it prints the table of docs/reliability.md.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import topologies
from agents import approaches
from agents.approaches.cast import HOME_ADDRESS
from agents.core.documents import listed
from agents.core.record import Record
from agents.simulation.laboratory import Laboratory, PreparedApproach
from agents.simulation.world import World
from topologies.model import HostRole

LENGTHS = 20.0, 60.0, 200.0, 3000.0
"""Seconds."""

LONGEST = 420.0
"""Within how many seconds a mobile node is back: the lifetime of a binding, the longest timer."""

BOOTSTRAP = 15.0
"""What a bootstrap may take beside, in seconds."""

_TOPOLOGIES = "paper", "dhcpv6"  # The smallest first.
_SETTLED, _FIRST = 3.0, 60.0
_SHORT, _STEP = 3.0, 1.0
_APART = 5.0
"""Seconds between two events of which the second does not follow from the first."""

_ACCEPTED, _UPDATED = ("mip6", "BindingAccepted"), ("mip6", "BindingUpdateSent")
_WAITS = {
    ("pana", "Terminated"): "PANA's liveness test",
    ("pana", "Failed"): "PANA's deadline",
    ("pana", "Started"): "pause",
    ("pana", "Authenticated"): "PCI_MAX_RT",
    ("pana", "AssignmentForetold"): "PCI_MAX_RT",
    ("dhcpv6", "Started"): "pause",
    ("dhcpv6", "HomeAgentLearned"): "INF_MAX_RT",
    ("dns", "Started"): "pause",
    ("dns", "HomeAgentsFound"): "DNS, repeated",
    ("dns", "Failed"): "DNS, repeated",
    ("ikev1", "Phase1Started"): "pause",
    ("ikev1", "Phase1Established"): "IKE, repeated",
    ("ikev1", "ChildEstablished"): "IKE, repeated",
    ("ikev2", "IkeStarted"): "pause",
    ("ikev2", "IkeEstablished"): "IKE, repeated",
    ("ikev2", "ChildEstablished"): "IKE, repeated",
    ("ikev2", "IkeDeleted"): "IKE's liveness test",
    ("ikev2", "Failed"): "IKE, repeated",
    ("ikev1", "Failed"): "IKE, repeated",
    _UPDATED: "MAX_BINDACK_TIMEOUT",
    _ACCEPTED: "MAX_BINDACK_TIMEOUT",
}
"""What a mobile node has waited for that is back by this event, or by what follows from it."""


class Outage(Record, frozen=True):
    """A link that is cut, or a host without power, for so many seconds."""

    kind: str
    name: str
    seconds: float


class Recovery(Record, frozen=True):
    """After how many seconds the mobile node is reachable again, and what that has waited for."""

    seconds: float
    wait: str


def places(approach: str) -> list[tuple[str, str]]:
    """Return the kind and the name of each link and host that can fail."""
    topology = topologies.load(topology_of(approach))
    links = [("link", link.name) for link in topology.links]
    hosts = [h.name for h in topology.hosts if h.role is not HostRole.CORRESPONDENT_NODE]
    return [*links, *(("host", name) for name in hosts)]


def topology_of(approach: str) -> str:
    """Return the name of the smallest topology that has the hosts which an approach needs."""
    module = approaches.load(approach)
    for name in _TOPOLOGIES:
        with suppress(KeyError):
            module.compose(module.Settings(), topologies.load(name), Path(), Path())
            return name
    raise ValueError(f"{approach}: not for any of the topologies {listed(_TOPOLOGIES)}")


def suffer(lab: Laboratory, outage: Outage) -> None:
    """Let an outage begin and end."""
    if outage.kind == "host":
        stack, programs = lab.stacks[outage.name], lab.programs_on(outage.name)
        stack.power_off()
        for program in programs:
            program.kill()
        lab.run(lab.world.clock.now + outage.seconds)
        stack.power_on()
        for program in programs:
            program.restart()
        return
    ends = [
        end
        for stack in lab.stacks.values()
        for end in stack.interfaces.values()
        if end.link.name == outage.name
    ]
    for end in ends:
        end.link.cut_off.add(end)
    lab.run(lab.world.clock.now + outage.seconds)
    for end in ends:
        end.link.cut_off.discard(end)


def back(lab: Laboratory, within: float = LONGEST + BOOTSTRAP) -> Recovery | None:
    """Wait until the correspondent node reaches the mobile node; None if not in so many seconds."""
    clock = lab.world.clock
    ended = clock.now
    correspondent = lab.topology.host(HostRole.CORRESPONDENT_NODE)
    mobile = lab.topology.host(HostRole.MOBILE_NODE)
    while not lab.exchanges(correspondent, mobile, HOME_ADDRESS):
        if clock.now > ended + within:
            return None
        lab.run(clock.now + _STEP)
    return Recovery(clock.now - ended, _wait(lab.events.told, mobile, ended, clock.now))


def _wait(events: list[dict[str, Any]], host: str, ended: float, now: float) -> str:
    """Return what the mobile node has waited for until it began to be back, empty if not long."""
    if now - ended < _SHORT:
        return ""
    names = [(e["t"] / 1e9, (e["agent"], e["event"])) for e in events if e["host"] == host]
    known = [(at, name) for at, name in names if name in _WAITS]
    wait, begun = "", now
    for (_, before), (at, name) in reversed([*pairwise(known)]):
        if at <= ended or (wait and begun - at > _APART):
            break
        refreshes = (before, name) == (_ACCEPTED, _UPDATED)
        wait, begun = "refresh of the binding" if refreshes else _WAITS[name], at
    return wait


def registered(prepared: PreparedApproach, seed: int = 1) -> Laboratory:
    """Return a laboratory whose mobile node is registered, and nothing more is under way."""
    lab = prepared.laboratory(World(seed, record=False))
    lab.start()
    if not lab.run(_FIRST, lab.is_bootstrapped):
        raise RuntimeError(f"no bootstrap in {_FIRST:g} s")
    lab.run(lab.world.clock.now + _SETTLED)
    return lab


def recoveries(prepared: PreparedApproach, kind: str, name: str) -> Iterator[Recovery | None]:
    """Yield what comes after an outage of each length."""
    for seconds in LENGTHS:
        lab = registered(prepared)
        suffer(lab, Outage(kind, name, seconds))
        yield back(lab)


def _cell(recovery: Recovery | None) -> str:
    if recovery is None:
        return "never"
    seconds = f"{recovery.seconds:.0f} s" if recovery.wait else "at once"
    return f"{seconds}, {recovery.wait}" if recovery.wait else seconds


def table() -> Iterator[str]:
    """Yield the lines of the table, in Markdown."""
    yield f"| approach | outage of | {' | '.join(f'{length:,.0f} s' for length in LENGTHS)} |"
    yield "|---" * (2 + len(LENGTHS)) + "|"
    for approach in approaches.simulated():
        with tempfile.TemporaryDirectory() as folder:
            topology = topologies.load(topology_of(approach))
            prepared = PreparedApproach(approach, Path(folder), {}, topology)
            for kind, name in places(approach):
                cells = [_cell(one) for one in recoveries(prepared, kind, name)]
                yield f"| {approach} | {kind} {name} | {' | '.join(cells)} |"


if __name__ == "__main__":
    for line in table():
        print(line, flush=True)
