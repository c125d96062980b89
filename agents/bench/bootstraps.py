"""What whole bootstraps cost: all nodes of an approach in memory, on the virtual clock.

Measured is from the mobile node's first step to its registration at the home agent. All programs
are up and have read their files, as in the laboratory; a few bootstraps before warm them up, and
what there is then the garbage collector leaves alone, as in a warm variant's programs. Every
bootstrap begins with new programs, so that none finds anything of another's. Each node has what
runs in its host's loop; carrying packets is the network's, which is a model and counts for nobody.
Of what the kernel does, IPsec and its set-up, there is only that model too.

The clock is the wall's, which costs a tenth of the processor's to read: one thread computes and
waits for nothing, for its files are in memory. Of all times the median is kept.
"""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import topologies
from agents.approaches import Program
from agents.bench import FOLDER
from agents.bench.floor import Floor, counted
from agents.bench.watch import Watch
from agents.core.record import Record
from agents.simulation.laboratory import Laboratory, PreparedApproach
from agents.simulation.world import World

_WARM_UP = 5
_REPEATS = 40
_READY, _DEADLINE = 5.0, 60.0
"""Virtual seconds until all other programs are ready, and until the mobile node is registered."""

_NODES = "agents.nodes."
_NO_WAIT = {"duplicate_address_detection": False}

SCENES: dict[str, tuple[str, str, Mapping[str, object]]] = {
    "pana-ikev1, draft12": ("pana-ikev1", "paper", {"dialect": "draft12"}),
    "pana-ikev1": ("pana-ikev1", "paper", {}),
    "pana-ikev2": ("pana-ikev2", "paper", {}),
    "dhcpv6-ikev2": ("dhcpv6-ikev2", "dhcpv6", {}),
    "dns-ikev2": ("dns-ikev2", "paper", {}),
    "static": ("static", "paper", {}),
    "pana-fast": ("pana-fast", "paper", {}),
}
"""Approach, topology and settings by the name that is shown."""


class BootstrapCost(Record, frozen=True):
    """Medians of one approach in seconds: each node, what is between them, and the floor.

    `ratio` is how many times its cryptography a bootstrap costs, measured right before it: the
    median too, for a processor is not always as fast.
    """

    name: str
    nodes: dict[str, float]
    network: float
    cryptography: float
    ratio: float

    @property
    def total(self) -> float:
        """All nodes together."""
        return sum(self.nodes.values())

    def as_json(self) -> dict[str, object]:
        """Return plain data."""
        return {
            "name": self.name,
            "nodes": self.nodes,
            "network": self.network,
            "total": self.total,
            "cryptography": self.cryptography,
            "ratio": self.ratio,
        }


class _Bench:
    """One approach, ready to be run again and again."""

    def __init__(self, scene: str, folder: Path) -> None:
        approach, topology, settings = SCENES[scene]
        self._prepared = PreparedApproach(
            approach, folder, {**_NO_WAIT, **settings}, topologies.load(topology)
        )
        self._watch = Watch()

    def _ready(self) -> Laboratory:
        """Return a laboratory in which only the mobile node has not begun."""
        world = World(turn=self._watch.turn)
        laboratory = self._prepared.laboratory(world)
        *others, mobile = laboratory.programs
        laboratory.programs = others
        laboratory.start()
        laboratory.run(_READY)
        laboratory.programs = [*others, mobile]
        mobile.load()
        return laboratory

    def _run(self, laboratory: Laboratory) -> None:
        laboratory.programs[-1].begin()
        if not laboratory.run(laboratory.world.clock.now + _DEADLINE, laboratory.is_bootstrapped):
            raise RuntimeError("the mobile node was not registered")

    def measure(
        self, floor: Floor, repeats: int
    ) -> Iterator[tuple[dict[str, float], float, float]]:
        """Yield the nodes' seconds, the network's, and those of the same cryptography alone."""
        for _ in range(_WARM_UP):
            self._run(self._ready())
        gc.collect()
        gc.freeze()
        with_hook = self._ready()
        with counted() as calls:
            self._run(with_hook)
        for _ in range(repeats):
            laboratory = self._ready()
            self._watch.take()
            self._run(laboratory)
            spent = self._watch.take()
            begun = time.perf_counter()
            floor.run(calls)
            cryptography = time.perf_counter() - begun
            roles = [p.role for p in laboratory.programs if p.role.module.startswith(_NODES)]
            nodes = {_short(r): spent.pop(r.name, 0.0) for r in roles}
            yield nodes, sum(spent.values()), cryptography


def _short(program: Program) -> str:
    return program.module.removeprefix(_NODES).removesuffix(".main")


def measure(
    scenes: Iterable[str] = tuple(SCENES), repeats: int = _REPEATS
) -> Iterator[BootstrapCost]:
    """Run the approaches; yield each one's cost as it is known."""
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108
    with TemporaryDirectory(prefix=FOLDER, dir=memory) as name:
        folder = Path(name)
        floor = Floor(folder / "floor")
        for scene in scenes:
            here = folder / scene
            here.mkdir()
            runs = list(_Bench(scene, here).measure(floor, repeats))
            nodes, networks, cryptography = zip(*runs, strict=True)
            yield BootstrapCost(
                scene,
                {n: statistics.median(run[n] for run in nodes) for n in nodes[0]},
                statistics.median(networks),
                statistics.median(cryptography),
                statistics.median(sum(n.values()) / c for n, _, c in runs),
            )
