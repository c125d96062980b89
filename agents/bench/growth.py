"""What the n-th mobile node costs: bootstraps on the virtual clock while all others are served."""

from __future__ import annotations

import gc
import resource
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from ipaddress import IPv6Address
from pathlib import Path
from typing import TypeAlias

import msgspec
import tomli_w

import topologies
from agents import approaches
from agents.approaches.cast import HOME_AGENT_ADDRESS
from agents.approaches.scene import program
from agents.bench import FOLDER
from agents.bench.watch import Watch
from agents.core.documents import fit
from agents.core.record import Record
from agents.eap import ca
from agents.nodes.mobile_node.settings import MobileNodeConfiguration
from agents.simulation.laboratory import Events, Laboratory
from agents.simulation.stack import Interface, Stack
from agents.simulation.world import NETWORK, World

Spent: TypeAlias = dict[str, float]
"""Seconds of CPU time by program."""

_FEW, SAMPLES = 10, 50
"""Mobile nodes: those in a small network, and those that are measured then, in either in turn."""

_AFTERWARDS = ("refresh", "reauthenticate")
"""What those do then."""

TELLING = 500
"""Mobile nodes by which a process grows so much that the pages it has anyway do not matter."""

_BOOTSTRAP, _SETTLING = 60.0, 1.0
"""Virtual seconds that a mobile node has, and after which all that it has caused is over."""

_LIFETIME = 250_000.0
"""Seconds: nobody's time is over before the last one has come."""

_POOL = "2001:db8:100:0:1::/80"
_CARE_OF = IPv6Address("2001:db8:a:0:1::")
_CERTIFICATE = "mobile-node"

_USUAL: Mapping[str, object] = {
    "duplicate_address_detection": False,
    "session_lifetime": _LIFETIME,
    "binding_lifetime": _LIFETIME,
}
_IKE: Mapping[str, object] = {"ike_lifetime": _LIFETIME, "esp_lifetime": _LIFETIME}
SCENES: Mapping[str, Mapping[str, object]] = {
    "pana-ikev1": {**_USUAL, "ike": {**_IKE, "mode": "aggressive", "group": "ecp256"}},
    "pana-ikev2": {**_USUAL, "ike": {**_IKE, "liveness": _LIFETIME}},
}
"""The settings of approaches: one has the home network in one program, one a home agent apart."""


class Growth(Record, frozen=True):
    """What was done for the last of so many mobile nodes, and what that has cost.

    `seconds` are medians of CPU time by program, `times` how many times that is what a network of a
    few mobile nodes has taken meanwhile. `memory` is what the process has grown by since the size
    before, in octets for each mobile node; None if too few have come since. `held` is what each
    program has of that in Python's objects, whatever the number; OpenSSL's come to it.
    """

    approach: str
    action: str
    nodes: int
    seconds: dict[str, float]
    times: dict[str, float]
    memory: float | None
    held: Mapping[str, float] = msgspec.field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """Return plain data."""
        return msgspec.structs.asdict(self)


class _Told(Events):
    """Keeps no event; `bootstrapped` tells whether a mobile node has said that it is."""

    def __init__(self) -> None:
        super().__init__()
        self.bootstrapped = False

    def write(self, line: str) -> None:
        """Listen for the end of a bootstrap."""
        self.bootstrapped = self.bootstrapped or '"event":"Bootstrapped"' in line


class Network(Laboratory):
    """An approach's network, to which one mobile node after the other comes, and stays served."""

    def __init__(
        self,
        name: str,
        folder: Path,
        nodes: int,
        wanted: Mapping[str, object],
        clock: Callable[[], float] = time.process_time,
    ) -> None:
        approach = approaches.load(name)
        settings = fit(wanted, approach.Settings)
        for part in ("configuration", "keys"):
            (folder / part).mkdir()
        topology = topologies.load("paper")
        approach.prepare(folder, settings, topology)
        _subscribe(folder / "subscribers.toml", nodes)
        *serving, self._mobile = approach.compose(settings, topology, folder, folder)
        self._watch = Watch(clock)
        super().__init__(topology, serving, World(turn=self._watch.turn))
        self._told = self.events = _Told()
        self._pki = folder / "pki"
        files = ca.Files(self._pki / "ca.pem", self._pki / "ca.key")
        self._authority = ca.CertificateAuthority(ca.Identity.read(files))
        self._key = ca.generate_key("p256")
        self.served = 0
        self.start()
        self._take()

    def serve(self, afterwards: Sequence[str] = ()) -> dict[str, Spent]:
        """Let another mobile node come and do something `afterwards`; return what each costs."""
        self.served += 1
        role = self._newcomer()
        self._told.bootstrapped = False
        host = self.new_host(role.host, role.name)
        node = host.enter(self.make, role, host)
        host.enter(self.begin, node, lambda: None)
        if not self.run(self.world.clock.now + _BOOTSTRAP, lambda: self._told.bootstrapped):
            raise RuntimeError(f"mobile node {self.served} was not served")
        costs = {"bootstrap": self._take()}
        for action in afterwards:
            if not node.commands()[action]():
                raise RuntimeError(f"mobile node {self.served} cannot {action}")
            costs[action] = self._take()
        host.kill()
        return costs

    def _newcomer(self) -> approaches.Program:
        """Return the next mobile node's program, with a host of its own in the last one's place."""
        identity, role = _identity(self.served), self._mobile
        self._authority.issue_client(identity, key=self._key).write(self._pki, _CERTIFICATE)
        ((name, before),) = self.stacks[role.host].interfaces.items()
        before.link.detach(before)
        stack = Stack(self.world, role.host)
        for network, hop in before.stack.routes.hops:
            stack.routes.add(network, hop)
        addresses = (before.addresses[0], _CARE_OF + self.served)
        Interface(stack, name, before.link, addresses, before.prefixes, before.mac)
        self.stacks[role.host] = stack
        configuration = fit(role.configuration, MobileNodeConfiguration)
        eap = msgspec.structs.replace(configuration.eap, identity=identity)
        return program("nodes.mobile_node.main", msgspec.structs.replace(configuration, eap=eap))

    def _take(self) -> Spent:
        """Let everything come to an end, and return what it has cost."""
        self.run(self.world.clock.now + _SETTLING)
        self.world.sent.clear()
        spent = self._watch.take()
        del spent[NETWORK]
        return {name.partition("-")[2]: seconds for name, seconds in spent.items()}


def _identity(number: int) -> str:
    return f"mn{number}@home.test"


def _subscribe(path: Path, nodes: int) -> None:
    """Write down the home agent, and so many subscribers who share its pool."""
    agent = {
        "name": "ha1",
        "address": str(HOME_AGENT_ADDRESS),
        "prefix": "2001:db8:100::/64",
        "pool": _POOL,
    }
    subscribers = [{"identity": _identity(n + 1)} for n in range(nodes)]
    document = {"home_agents": [agent], "subscribers": subscribers}
    path.write_text(tomli_w.dumps(document), encoding="utf-8")


def measure(
    sizes: Sequence[int],
    names: Iterable[str] = SCENES,
    samples: int = SAMPLES,
    telling: int = TELLING,
) -> Iterator[Growth]:
    """Serve more and more mobile nodes; yield what the last of each size cost as it is known.

    The last are so many `samples`; memory is told of `telling` mobile nodes and more.
    """
    for name in names:
        with _network(name, sizes[-1]) as network:
            yield from _measure(network, name, sizes, samples, telling)


@contextmanager
def _network(
    name: str, nodes: int, clock: Callable[[], float] = time.process_time
) -> Iterator[Network]:
    with tempfile.TemporaryDirectory(prefix=FOLDER) as folder:
        yield Network(name, Path(folder), nodes, SCENES[name], clock)


def _held(name: str) -> Spent:
    """Return the octets that each program keeps of one bootstrap."""
    tracemalloc.start()
    try:
        traced = _network(name, 2 * _FEW, lambda: tracemalloc.get_traced_memory()[0])
        with traced as network:
            kept = [network.serve() for _ in range(2 * _FEW)][_FEW:]
        return {p: max(0.0, octets) for p, octets in _medians(kept, "bootstrap").items()}
    finally:
        tracemalloc.stop()


def _measure(
    network: Network, name: str, sizes: Sequence[int], samples: int, telling: int
) -> Iterator[Growth]:
    held, before = _held(name), None
    for size in sizes:
        first = network.served
        while network.served < size - samples:
            network.serve()
        octets, grown = _resident(), network.served - first
        memory = None if before is None or grown < telling else (octets - before) / grown
        small, large = [], []
        with _network(name, _FEW + samples) as few:
            while few.served < _FEW:
                few.serve()
            while network.served < size:
                large.append(network.serve(_AFTERWARDS))
                small.append(few.serve(_AFTERWARDS))
        before = _resident()
        for action in large[0]:
            seconds, usual = _medians(large, action), _medians(small, action)
            times = {p: s / usual[p] for p, s in seconds.items() if usual.get(p)}
            yield Growth(
                name, action, size, seconds, times, memory, held if action == "bootstrap" else {}
            )


def _medians(costs: Sequence[Mapping[str, Spent]], action: str) -> dict[str, float]:
    """Return the median of what an action has cost each program."""
    spent = [cost[action] for cost in costs]
    programs = sorted({program for one in spent for program in one})
    return {p: statistics.median(one.get(p, 0.0) for one in spent) for p in programs}


def _resident() -> int:
    """Return how many octets of this process are in memory."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()
