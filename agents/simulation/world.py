"""What simulated hosts share: a virtual clock, randomness, and what becomes of packets."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any, ParamSpec, TypeVar

from agents.core.record import Record
from agents.kernel.packet import Packet

P = ParamSpec("P")
T = TypeVar("T")

NETWORK = "network"
"""Who carries packets from host to host, to World's `turn`."""

_FEW = 64
"""Cancelled appointments that are not worth a look at all others."""


class Appointment:
    """Something to be done at a time, unless it is cancelled; `action` is None afterwards."""

    __slots__ = ("action", "time")

    def __init__(self, time: float, action: Callable[[], object]) -> None:
        self.time = time
        self.action: Callable[[], object] | None = action


class Clock:
    """Time in seconds, which passes from one appointment to the next."""

    def __init__(self) -> None:
        self.now = 0.0
        self._order = count()
        self._appointments: list[tuple[float, int, Appointment]] = []
        self._cancelled = 0

    def at(self, time: float, action: Callable[[], object]) -> Appointment:
        """Act at a time; one that is past is now."""
        made = Appointment(max(time, self.now), action)
        heapq.heappush(self._appointments, (made.time, next(self._order), made))
        return made

    def cancel(self, appointment: Appointment) -> None:
        """Do not act; those that are cancelled are thrown away before they are the most."""
        if appointment.action is None:
            return
        appointment.action = None
        self._cancelled += 1
        if self._cancelled > _FEW and 2 * self._cancelled > len(self._appointments):
            self._appointments = [entry for entry in self._appointments if entry[2].action]
            heapq.heapify(self._appointments)
            self._cancelled = 0

    @property
    def appointments(self) -> int:
        """How many there are, with those that are cancelled and not thrown away yet."""
        return len(self._appointments)

    def run(self, until: float, done: Callable[[], bool] = lambda: False) -> bool:
        """Let time pass until `until`, or until `done`; return whether it is."""
        while not done():
            if not self._appointments or self._appointments[0][0] > until:
                self.now = max(self.now, until)
                return False
            time, _, appointment = heapq.heappop(self._appointments)
            action = appointment.action
            if action is None:
                self._cancelled -= 1
                continue
            appointment.action = None
            self.now = time
            action()
        return True


class Sent(Record, frozen=True):
    """A packet on its way over a link; `number` counts all packets of a world from 0."""

    number: int
    at: float
    link: str
    packet: Packet
    lost: bool


class Tally:
    """What is sent: messages by protocol, and those that are the same as the one before.

    That is the last one between the same two sockets. `dropped` are those for which there was no
    room at a host.
    """

    def __init__(self) -> None:
        self.messages: Counter[str] = Counter()
        self.repeated: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self._last: dict[Hashable, int] = {}

    def note(self, protocol: str, flow: Hashable, data: bytes) -> None:
        """Count one message."""
        self.messages[protocol] += 1
        number = hash(data)
        if self._last.get(flow) == number:
            self.repeated[protocol] += 1
        self._last[flow] = number


class World:
    """What simulated hosts share: the clock, randomness, and what happens to packets.

    `loses` decides about every packet that goes onto a link; `sent` keeps them all if it is to
    `record`. `turn` is told whose code runs from now on, a program's or the NETWORK's, and returns
    whose ran before.
    """

    def __init__(
        self,
        seed: int = 0,
        loses: Callable[[int, Packet], bool] | None = None,
        turn: Callable[[str], str] | None = None,
        *,
        record: bool = True,
    ) -> None:
        self.turn = turn or (lambda _: NETWORK)
        self.clock = Clock()
        self.seed = seed
        self.packets = 0
        """How many have gone onto a link."""

        self.tally: Tally | None = None
        """Where messages are counted, if they are."""

        self.pipes = False
        """Whether streams carry octets without segments: in order, as fast as their link."""

        self.streams: dict[Hashable, Any] = {}
        """All ends of streams (agents.simulation.tcp), by who sends to them."""

        self.sent: list[Sent] = []
        self.loses = loses
        self.lag = self._last_lag = 0.0
        """Seconds after which what is being sent leaves its program."""

        self.lags: Iterator[float] = iter(())
        self._record = record

    def random(self, *names: object) -> random.Random:
        """Return randomness for one purpose, which no other one takes anything from."""
        return random.Random(" ".join(map(str, (self.seed, *names))))

    def carry(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do something of the network's for a program, whose turn it is again afterwards."""
        before = self.turn(NETWORK)
        self.lag = next(self.lags, self._last_lag)
        self._last_lag = self.lag
        try:
            return function(*args, **kwargs)
        finally:
            self.lag = 0.0
            self.turn(before)

    @contextmanager
    def lagging(self, lags: Iterable[float]) -> Iterator[None]:
        """Let what a program sends meanwhile leave so many seconds later, each in its turn."""
        self.lags = iter(lags)
        try:
            yield
        finally:
            self.lags, self._last_lag = iter(()), 0.0

    def loses_next(self, link: str, packet: Packet) -> bool:
        """Count and keep a packet that goes onto a link; return whether it is to be lost."""
        number = self.packets
        self.packets += 1
        lost = self.loses is not None and self.loses(number, packet)
        if self._record:
            self.sent.append(Sent(number, self.clock.now, link, packet, lost))
        return lost
