"""A virtual clock, and the links that carry packets between simulated network stacks."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import ParamSpec, Protocol, TypeVar

from agents.core.record import Record
from agents.kernel.packet import Packet

P = ParamSpec("P")
T = TypeVar("T")

NETWORK = "network"
"""Who carries packets from host to host, to World's `turn`."""


class Clock:
    """Time in seconds, which passes from one appointment to the next."""

    def __init__(self) -> None:
        self.now = 0.0
        self._order = count()
        self._appointments: list[tuple[float, int, Callable[[], None]]] = []

    def at(self, time: float, action: Callable[[], None]) -> None:
        """Act at a time; one that is past is now."""
        heapq.heappush(self._appointments, (max(time, self.now), next(self._order), action))

    def run(self, until: float, done: Callable[[], bool] = lambda: False) -> bool:
        """Let time pass until `until`, or until `done`; return whether it is."""
        while not done():
            if not self._appointments or self._appointments[0][0] > until:
                self.now = max(self.now, until)
                return False
            self.now, _, action = heapq.heappop(self._appointments)
            action()
        return True


class End(Protocol):
    """A network stack's interface on a link."""

    def receive(self, packet: Packet) -> None:
        """Take a packet off the link."""


class Sent(Record, frozen=True):
    """A packet on its way over a link; `number` counts all packets of a world from 0."""

    number: int
    at: float
    link: str
    packet: Packet
    lost: bool


class World:
    """What simulated hosts share: the clock, randomness, and what happens to packets.

    `loses` decides about every packet that goes onto a link; `sent` keeps them all. `turn` is told
    whose code runs from now on, a program's or the NETWORK's, and returns whose ran before.
    """

    def __init__(
        self,
        seed: int = 0,
        loses: Callable[[int, Packet], bool] | None = None,
        turn: Callable[[str], str] | None = None,
    ) -> None:
        self.turn = turn or (lambda _: NETWORK)
        self.clock = Clock()
        self.rng = random.Random(seed)
        self.sent: list[Sent] = []
        self.loses = loses or (lambda _number, _packet: False)

    def carry(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do something of the network's for a program, whose turn it is again afterwards."""
        before = self.turn(NETWORK)
        try:
            return function(*args, **kwargs)
        finally:
            self.turn(before)


class Link:
    """Carries every packet to all other ends, `delay` seconds later."""

    def __init__(self, world: World, name: str, delay: float = 0.0) -> None:
        self._world = world
        self.name = name
        self.delay = delay
        self._ends: list[End] = []

    def attach(self, end: End) -> None:
        """Join one more end."""
        self._ends.append(end)

    def detach(self, end: End) -> None:
        """Leave."""
        self._ends.remove(end)

    def send(self, packet: Packet, sender: End, receiver: End | None = None) -> bool:
        """Carry a packet to one end, or to all others; return whether it was not lost."""
        world, number = self._world, len(self._world.sent)
        lost = world.loses(number, packet)
        world.sent.append(Sent(number, world.clock.now, self.name, packet, lost))
        if lost:
            return False
        for end in [receiver] if receiver else self.neighbours(sender):
            world.clock.at(world.clock.now + self.delay, partial(end.receive, packet))
        return True

    def neighbours(self, sender: End) -> list[End]:
        """Return the other ends."""
        return [end for end in self._ends if end is not sender]
