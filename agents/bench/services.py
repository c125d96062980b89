"""How long each program takes for each message of a bootstrap: measured, for the simulator.

Bootstraps are carried out on the virtual clock without any delay, as agents.bench.bootstraps does;
here it is noted what each event takes of a processor, and after how much a message is sent.
"""

from __future__ import annotations

import os
import socket
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

from agents.approaches import Program
from agents.simulation.laboratory import Laboratory, kind_of_program
from agents.simulation.services import Kind, Known, Service, Took, kind_of
from agents.simulation.world import NETWORK, World
from topologies.model import Shape, Topology

WARM_UP, REPEATS = 2, 5
"""How many bootstraps are carried out before, and for, the medians of what an event takes."""

_DEADLINE, _AFTERWARDS = 60.0, 2.0  # Of the virtual clock.
_LIKE = 16
"""Octets by which messages of one kind may differ in length: signatures do by a few."""

_HOPS = 400


class _Recorder:
    """Notes what each event of each program takes: it is told of events, and whose turn it is."""

    def __init__(self) -> None:
        self.noted: dict[str, dict[tuple[Kind, int], list[Took]]] = defaultdict(
            lambda: defaultdict(list)
        )
        self._event: dict[str, tuple[str, Kind, int]] = {}
        self._who, self._since = NETWORK, 0.0
        self._marks: list[float] = []
        self._spent = 0.0

    def service(self, role: Program) -> Service:
        """Return what is told of a program's events; it lets them take no time."""
        return partial(self._begin, role.name, kind_of_program(role))

    def _begin(self, name: str, program: str, protocol: int, port: int, data: bytes) -> Took:
        self._end()
        self._event = {name: (program, kind_of(protocol, port, data), len(data))}
        return Took()

    def turn(self, who: str) -> str:
        """Note whose turn it is; return whose it was."""
        now, before = time.thread_time(), self._who
        if before in self._event and who == NETWORK:
            self._spent += now - self._since
            self._marks.append(self._spent)
        self._who, self._since = who, time.thread_time()
        return before

    def _end(self) -> None:
        """Keep what the last event has taken: its last mark is its end, the others are sends."""
        if self._marks:
            ((program, kind, length),) = self._event.values()
            *sends, total = self._marks
            self.noted[program][kind, length].append(Took(tuple(sends), total))
        self._event, self._marks, self._spent = {}, [], 0.0


def measure(
    approach: ModuleType, settings: Any, topology: Topology, shared: Path
) -> dict[str, list[Known]]:
    """Return what the programs of an approach, prepared in `shared`, take for their events."""
    still = topology.with_links({link.name: Shape(rate=0.0) for link in topology.links})
    recorder = _Recorder()
    for number in range(WARM_UP + REPEATS):
        if number == WARM_UP:
            recorder.noted.clear()
        with TemporaryDirectory(dir=shared) as name:
            for part in ("configuration", "keys"):
                (Path(name) / part).mkdir()
            roles = approach.compose(settings, still, shared, Path(name))
            world = World(number, turn=recorder.turn, record=False)
            laboratory = Laboratory(still, roles, world, service=recorder.service)
            laboratory.start()
            laboratory.run(_DEADLINE, laboratory.is_bootstrapped)
            laboratory.run(world.clock.now + _AFTERWARDS)
    return {program: list(_alike(found)) for program, found in recorder.noted.items()}


def _alike(found: Mapping[tuple[Kind, int], list[Took]]) -> Iterator[Known]:
    """Yield the medians of what is of one kind and of about the same length."""
    kinds = groupby(sorted(found), key=lambda key: key[0])
    for kind, keys in kinds:
        group: list[int] = []
        for length in [length for _, length in keys]:
            if group and length - group[-1] > _LIKE:
                yield _known(kind, group, found)
                group = []
            group.append(length)
        yield _known(kind, group, found)


def _known(kind: Kind, lengths: list[int], found: Mapping[tuple[Kind, int], list[Took]]) -> Known:
    times = [took for length in lengths for took in found[kind, length]]
    return Known(*kind, lengths[0], lengths[-1], _median(times))


def _median(times: list[Took]) -> Took:
    """Return the medians of those that send as often as most do."""
    usual = statistics.mode(len(took.sends) for took in times)
    same = [took for took in times if len(took.sends) == usual]
    sends = zip(*(took.sends for took in same), strict=True)
    return Took(
        tuple(map(statistics.median, sends)), statistics.median(took.total for took in same)
    )


def hop() -> float:
    """Return the seconds from one program's sending a datagram to another's having it."""
    near, far = (socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) for _ in range(2))
    with near, far:
        for one in (near, far):
            one.bind(("::1", 0))
            one.settimeout(5.0)
        child = os.fork()
        if child == 0:
            _echo(far)
        address, times = far.getsockname(), list[float]()
        for _ in range(_HOPS):
            begun = time.perf_counter()
            near.sendto(b"x", address)
            near.recv(16)
            times.append((time.perf_counter() - begun) / 2)
        near.sendto(b"", address)
        os.waitpid(child, 0)
    return statistics.median(times)


def _echo(far: socket.socket) -> None:
    """Answer until an empty datagram comes, and end this process."""
    try:
        while True:
            data, source = far.recvfrom(16)
            if not data:
                break
            far.sendto(data, source)
    finally:
        os._exit(0)
