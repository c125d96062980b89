"""A topology as boxes and links: what is written at each, and where it is; also as Mermaid's text.

A box is a host, or the mobile nodes of a fleet that are alike. Columns go from the mobile node's
access network to its home, by what hosts are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agents.approaches import Program
from testbed.base.words import several
from testbed.experiment.spec import Spec
from topologies.model import Host, HostRole, Interface, Link, Shape, Topology

_COLUMNS: Mapping[HostRole, int] = {
    HostRole.MOBILE_NODE: 0,
    HostRole.ACCESS_STRANGER: 0,
    HostRole.VISITED_NEIGHBOUR: 0,
    HostRole.PANA_RELAY: 1,
    HostRole.FIRST_HOP_ROUTER: 1,
    HostRole.ACCESS_ROUTER: 2,
    HostRole.DHCPV6_SERVER: 3,
    HostRole.VISITED_HOME_AGENT: 3,
    HostRole.CORE_STRANGER: 3,
    HostRole.HOME_NETWORK: 3,
    HostRole.HOME_AAA: 3,
    HostRole.HOME_AGENT: 3,
    HostRole.CORRESPONDENT_NODE: 4,
    HostRole.HOME_STRANGER: 4,
}
MOST = 6
"""Access routers, and home agents, of a fleet that are shown."""

_FAULTS = ("loss", "burst_begins", "duplication", "reordering", "corruption")
HEAD = ("variants", "link", "host", "role", "programs", "address", "rate_mbit_s", "delay_s")
"""What a graph's data has in each row: a host's end of a link."""


@dataclass(frozen=True, slots=True)
class Box:
    """A host, or `number` that are alike: its place, and what is written in it."""

    host: Host
    number: int
    column: int
    row: int
    addresses: tuple[tuple[str, str], ...]
    """By link: what the host has there, in words."""

    programs: tuple[str, ...]

    @property
    def title(self) -> str:
        """Its name."""
        others = f" and {self.number - 1} others" if self.number > 2 else " and another"
        return f"{self.host.name}{others if self.number > 1 else ''}"


@dataclass(frozen=True, slots=True)
class Wire:
    """A link between boxes; of a `bus` each is at the same wire. `later` move to it."""

    link: Link
    boxes: tuple[Box, ...]
    later: tuple[Box, ...]
    label: tuple[str, ...]

    @property
    def is_bus(self) -> bool:
        """Whether it is more than a line between two."""
        return self.link.hub or self.link.roams or len(self.boxes) != 2


@dataclass(frozen=True, slots=True)
class Graph:
    """One network: who is in it, and of which variants of an experiment it is, if of any."""

    heading: str
    variants: tuple[str, ...]
    topology: Topology
    boxes: tuple[Box, ...]
    wires: tuple[Wire, ...]

    def rows(self) -> Iterator[list[Any]]:
        """Yield each end of each link as HEAD says."""
        for wire in self.wires:
            for box in wire.boxes:
                address = dict(box.addresses)[wire.link.name]
                shape = wire.link.shape
                about = ", ".join(self.variants), wire.link.name, box.title, str(box.host.role)
                yield [*about, ", ".join(box.programs), address, shape.rate, shape.delay]


def of_topology(topology: Topology) -> Graph:
    """Return a topology's graph."""
    return _graph("", (), topology, ())


def of_experiment(spec: Spec, variants: Iterable[str] = ()) -> list[Graph]:
    """Return the networks of an experiment's variants, with their programs; what is alike once.

    Raises SpecError.
    """
    found: dict[Any, list[str]] = {}
    for name in variants or spec.variants:
        programs, nodes = tuple(_programs(spec, name)), spec.variants[name].mobile_nodes
        # Of a fleet, whose nodes may be very many, the sample is as telling.
        found.setdefault((spec.sample_topology(name), nodes, programs), []).append(name)
    graphs = []
    for (_, nodes, programs), names in found.items():
        topology = spec.topology(names[0])
        of = "all variants" if len(found) == 1 < len(names) and not variants else ", ".join(names)
        approaches = list(dict.fromkeys(spec.variants[name].approach for name in names))
        used = [] if approaches == names else [_approaches(approaches)]
        many = [several(nodes, "mobile node")] if topology.is_fleet else []
        shown, left_out = _few_routers(topology)
        about = ", ".join([f"topology {topology.name}", *used, *many, *left_out])
        graphs.append(_graph(f"{of}: {about}", tuple(names), shown, programs))
    return graphs


def _few_routers(topology: Topology) -> tuple[Topology, list[str]]:
    """Return a fleet's network with the first of many routers, and what that leaves out."""
    told, gone = [], set[str]()
    for role in (HostRole.ACCESS_ROUTER, HostRole.HOME_AGENT) if topology.is_fleet else ():
        there = topology.hosts_with(role)
        if there[MOST:]:
            told.append(f"the first {MOST} of {len(there)} {role}s")
            gone.update(there[MOST:])
    if not gone:
        return topology, []
    links = [
        replace(link, ends=tuple(end for end in link.ends if end.host not in gone))
        for link in topology.links
        if link.ends[0].host not in gone  # Else it is that router's own.
    ]
    left = {end.host for link in links for end in link.ends}
    hosts = tuple(host for host in topology.hosts if host.name in left)
    return replace(topology, hosts=hosts, links=tuple(links)), told


def _approaches(names: Sequence[str]) -> str:
    return f"approach{'es' if len(names) > 1 else ''} {', '.join(names)}"


def _programs(spec: Spec, variant: str) -> Iterator[tuple[str, str]]:
    """Yield the programs of a variant, each with its host."""
    settings, few = spec.settings(variant), spec.sample_topology(variant)
    composed: list[Program] = spec.approach(variant).compose(settings, few, Path(), Path())
    for program in composed:
        name = program.name.removeprefix(f"{program.host}-").replace("_", " ")
        yield program.host, name


def _graph(
    heading: str,
    variants: tuple[str, ...],
    topology: Topology,
    programs: Iterable[tuple[str, str]],
) -> Graph:
    boxes = _boxes(topology, programs)
    wires = []
    for link in topology.links:
        there = dict.fromkeys(boxes[end.host] for end in link.ends)
        later = [
            box
            for box in boxes.values()
            if link.roams and box not in there and _roams(topology, box)
        ]
        wires.append(Wire(link, tuple(there), tuple(later), tuple(_label(link))))
    return Graph(heading, variants, topology, tuple(dict.fromkeys(boxes.values())), tuple(wires))


def _roams(topology: Topology, box: Box) -> bool:
    mobile = box.host.role is HostRole.MOBILE_NODE
    return mobile and topology.roaming_at(box.host.name) is not None


def _boxes(topology: Topology, programs: Iterable[tuple[str, str]]) -> dict[str, Box]:
    """Return the box of each host."""
    groups: dict[Any, list[Host]] = {}
    for host in topology.hosts:
        fleet = topology.is_fleet and host.role is HostRole.MOBILE_NODE
        at = [link.name for link, _ in topology.at(host.name)]
        groups.setdefault(tuple(at) if fleet else host.name, []).append(host)
    used = sorted({_COLUMNS[host.role] for host in topology.hosts})
    running = list(programs)
    found: dict[str, Box] = {}
    taken: set[tuple[int, int]] = set()
    for members in sorted(groups.values(), key=lambda one: _COLUMNS[one[0].role]):
        host = members[0]
        column = used.index(_COLUMNS[host.role])
        row = _wished_row(topology, host, column, found)
        while (column, row) in taken:
            row += 1
        taken.add((column, row))
        box = Box(
            host,
            len(members),
            column,
            row,
            tuple((link.name, _address(end)) for link, end in topology.at(host.name)),
            tuple(name for on, name in running if on == host.name),
        )
        found |= {member.name: box for member in members}
    return found


def _wished_row(topology: Topology, host: Host, column: int, placed: Mapping[str, Box]) -> int:
    """Return the row of the neighbours in earlier columns, of a link with few ends first.

    Behind boxes of columns between it is the next one below these.
    """
    for link, _ in sorted(topology.at(host.name), key=lambda at: len(at[0].ends)):
        near = [placed[end.host] for end in link.ends if end.host in placed]
        if not near:
            continue
        first = min(near, key=lambda box: box.row)
        passed = [b.row for b in placed.values() if first.column < b.column < column]
        return max([first.row, *(row + 1 for row in passed)])
    return 0


def _address(end: Interface) -> str:
    fixed = [str(address) for address in end.addresses]
    return ", ".join(fixed) or ("autoconfigured" if end.autoconfigure else "no address")


def _label(link: Link) -> Iterator[str]:
    """Yield what is written at a link, line by line."""
    yield link.name
    yield ", ".join(filter(None, [_rate(link.shape), *_impairments(link.shape)]))
    prefixes = dict.fromkeys(a.network for end in link.ends for a in end.addresses)
    advertised = {end.advertise for end in link.ends}
    for prefix in prefixes:
        yield f"{prefix}{' advertised' if prefix in advertised else ''}"


def _rate(shape: Shape) -> str:
    return f"{shape.rate:g} Mbit/s" if shape.rate else "any rate"


def _impairments(shape: Shape) -> Iterator[str]:
    yield f"{shape.delay * 1e3:g} ms" if shape.delay else "no delay"
    for name in _FAULTS:
        if value := getattr(shape, name):
            what = "bursts of loss" if name == "burst_begins" else name
            yield f"{value:g} % {what}"


def mermaid(graphs: Sequence[Graph]) -> str:
    """Return graphs as a flowchart in Mermaid's language, each in a frame if there are several."""
    lines = ["flowchart LR"]
    for number, graph in enumerate(graphs, 1):
        inside = [f"    {line}" for line in _mermaid(graph, f"g{number}_")]
        framed = [f"  subgraph g{number} [{_quoted(graph.heading)}]", *inside, "  end"]
        lines += framed if len(graphs) > 1 else inside
    return "\n".join(lines) + "\n"


def _mermaid(graph: Graph, prefix: str) -> Iterator[str]:
    """Yield the lines of one graph; the names of its nodes begin with `prefix`."""
    ids = {box: f"{prefix}h{number}" for number, box in enumerate(graph.boxes)}
    for box, name in ids.items():
        addresses = [f"{link}: {address}" for link, address in box.addresses]
        runs = [f"runs {', '.join(box.programs)}"] if box.programs else []
        yield f"{name}[{_quoted(box.title, str(box.host.role), *addresses, *runs)}]"
    for number, wire in enumerate(graph.wires):
        if not wire.is_bus:
            one, other = (ids[box] for box in wire.boxes)
            yield f"{one} ---|{_quoted(*wire.label)}| {other}"
            continue
        bus = f"{prefix}l{number}"
        yield f"{bus}([{_quoted(*wire.label)}])"
        last = max(box.column for box in wire.boxes)
        for box in (*wire.boxes, *wire.later):
            line = "-.-" if box in wire.later else "---"
            before = box.column < last or len({one.column for one in wire.boxes}) == 1
            yield " ".join((ids[box], line, bus) if before else (bus, line, ids[box]))


def _quoted(*lines: str) -> str:
    """Return lines as Mermaid's quoted text; names and addresses have no markup in them."""
    return f'"{"<br>".join(lines)}"'
