"""The interface of every protocol machine: bytes and time in; bytes, timers and events out."""

from __future__ import annotations

import random
from collections import deque
from functools import lru_cache
from ipaddress import IPv6Address
from typing import Any, Protocol, TypeAlias

from agents.core.record import Record

Address: TypeAlias = tuple[str, int]
"""An IPv6 address in text and a port (0 where the protocol has none)."""


@lru_cache(maxsize=256)  # A message's source is looked at several times.
def address_of(host: str) -> IPv6Address:
    """Return a host's address without its zone."""
    return IPv6Address(host.partition("%")[0])


@lru_cache(maxsize=256)  # It takes long to write, and comes in many messages and events.
def text_of(address: IPv6Address) -> str:
    """Return an address in text."""
    return str(address)


class Carried(str):
    """A home address in text, of a packet that came from `care_of` (RFC 6275 section 6.3)."""

    __slots__ = ("care_of",)
    care_of: str

    @classmethod
    def by(cls, home_address: str, care_of: str) -> Carried:
        """Return a home address that was carried by a packet from `care_of`."""
        carried = cls(home_address)
        carried.care_of = care_of
        return carried


class PeerError(Exception):
    """A message that was parsed but that the protocol does not allow.

    `code` is the protocol's own error code where it has one.
    """

    def __init__(self, reason: str, code: int | None = None) -> None:
        super().__init__(reason)
        self.code = code


class Event(Record, frozen=True):
    """Something that a machine tells its owner; `at` is the machine's time in seconds."""

    at: float


class Timed(Protocol):
    """What the owner's loop needs of a machine, whatever it is that this sends."""

    @property
    def outbox(self) -> deque[Any]:
        """What is to be sent, in order."""

    @property
    def events(self) -> deque[Event]:
        """What the owner is told, in order."""

    def handle_timeout(self, now: float) -> None:
        """Act on every deadline that is not after `now`."""

    def next_timeout(self) -> float | None:
        """Return the earliest deadline, or None if no timer runs."""


class Machine(Timed, Protocol):
    """A protocol endpoint without I/O. Time is `time.monotonic()` in seconds, passed in.

    The owner calls a method, then handles what is in `events`, then sends what is in `outbox`,
    then arms one timer for `next_timeout()`. Events come first so that an SA is in the kernel
    before the message that lets the peer use it leaves; what takes long is put off until the
    outbox is empty. Bad input is never raised to the owner: it becomes an event.
    """

    @property
    def outbox(self) -> deque[tuple[bytes, Address]]:
        """Datagrams to be sent, each with its destination."""

    def handle_message(self, data: bytes, source: Address, now: float) -> None:
        """Take one datagram from `source`."""


class Discarded(Event, frozen=True):
    """A message was dropped without an effect; `reason` says why in plain words."""

    source: str
    reason: str


class Timing(Record, frozen=True):
    """Retransmission parameters in seconds, by the names of RFC 8415 section 15 (0: no limit)."""

    initial: float  # IRT
    maximum: float = 0.0  # MRT
    count: int = 0  # MRC
    duration: float = 0.0  # MRD
    jitter: float = 0.1  # RAND lies within plus or minus this


class Retransmission:
    """The deadlines of one message by the rule of RFC 8415 section 15 (RFC 5191 section 9).

    RT starts at IRT (1 + RAND), doubles with 2 RT + RAND RT, and is capped at MRT.
    """

    def __init__(self, timing: Timing, rng: random.Random, now: float) -> None:
        self._timing = timing
        self._rng = rng
        self._started = now
        self._interval = timing.initial * (1 + self._random())
        self.transmissions = 1
        self.deadline = now + self._interval
        self._cap_duration()

    def _random(self) -> float:
        return self._rng.uniform(-self._timing.jitter, self._timing.jitter)

    def _cap_duration(self) -> None:
        if self._timing.duration:
            self.deadline = min(self.deadline, self._started + self._timing.duration)

    def expire(self, now: float) -> bool:
        """Arm the next deadline; return whether the message is to be sent again."""
        timing = self._timing
        if timing.count and self.transmissions >= timing.count:
            return False
        if timing.duration and now >= self._started + timing.duration:
            return False
        self._interval = 2 * self._interval + self._random() * self._interval
        if timing.maximum and self._interval > timing.maximum:
            self._interval = timing.maximum * (1 + self._random())
        self.transmissions += 1
        self.deadline = now + self._interval
        self._cap_duration()
        return True

    def slow_down(self, now: float) -> None:
        """Let the next deadline, and those after it, be as far apart as they come to be."""
        self._interval = self._timing.maximum * (1 + self._random())
        self.deadline = now + self._interval
        self._cap_duration()
