"""Links between simulated stacks: rate, delay, queues, and what goes wrong on them."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from ipaddress import IPv6Address
from typing import Protocol

from agents.core.record import Record
from agents.kernel.packet import Packet, is_multicast
from agents.simulation.frames import frames, link_address, size
from agents.simulation.world import World

BURST = 15 * 1024
"""Octets that may leave an interface at once, as the lab's token buckets have it."""

QUEUE = 1000
"""Packets that wait at an interface at most: what netem takes by default."""

_ETHERNET, _TWO = 14, 2


class Faults(Record, frozen=True):
    """What goes wrong on a link, as probabilities, independently in each direction.

    What is reordered overtakes everything that is delayed. What is corrupted has one bit wrong, of
    which a checksum tells whoever it is for. In a burst (Gilbert and Elliott's model), which begins
    and ends before a packet with these probabilities, so much more is lost.
    """

    loss: float = 0.0
    duplication: float = 0.0
    reordering: float = 0.0
    corruption: float = 0.0
    burst_begins: float = 0.0
    burst_ends: float = 1.0
    burst_loss: float = 1.0


NO_FAULTS = Faults()


class Tap(Protocol):
    """Who hears an interface's frames, in both directions."""

    def __call__(self, time: float, frame: bytes) -> None:
        """Take one, at a time in seconds."""


class End(Protocol):
    """A network stack's interface on a link."""

    mac: bytes
    """Its link-layer address; no two ends of a link have the same."""

    tap: Tap | None
    """Who hears all that passes it."""

    def receive(self, packet: Packet) -> None:
        """Take a packet off the link."""


class _Way:
    """The way out at one end: traffic control's queue, rate and delay."""

    def __init__(self) -> None:
        self.rng: random.Random | None = None
        self.free = self.piped = 0.0
        """When all that has left would have left at the link's rate."""

        self.waiting = 0
        self.bursting = False


class Link:
    """Carries packets to one end or to several: a switch that knows who listens to which group.

    `delay` is in seconds, `rate` in Mbit/s (0: no limit). Both are at the way out of each end, as
    traffic control has them: there a frame is heard when it has passed it, and so when it arrives.
    An end that `hears_all` gets what is for any group, and so does the only other one.
    """

    def __init__(
        self,
        world: World,
        name: str,
        delay: float = 0.0,
        rate: float = 0.0,
        faults: Faults = NO_FAULTS,
    ) -> None:
        self._world = world
        self.name = name
        self.delay = delay
        self.rate = rate
        self.faults = faults if faults != NO_FAULTS else NO_FAULTS
        self.is_cut = False
        """Whether nothing gets through; what is under way is lost, too."""

        self._ends: dict[bytes, End] = {}
        self._ways: dict[bytes, _Way] = {}
        self._listening: dict[IPv6Address | None, dict[End, None]] = {}

    def attach(self, end: End, *, hears_all: bool = False) -> None:
        """Join one more end; one that has the same link-layer address is gone by then."""
        self._ends[end.mac] = end
        if hears_all:
            self.listen(end, None)

    def connects(self, end: End) -> bool:
        """Return whether an end is on this link, and the link is not cut."""
        return not self.is_cut and self._ends.get(end.mac) is end

    def detach(self, end: End) -> None:
        """Leave; what waits at the way out is lost."""
        if self._ends.get(end.mac) is end:
            del self._ends[end.mac]
            self._ways.pop(end.mac, None)
        for group in [group for group, ends in self._listening.items() if end in ends]:
            self.leave(end, group)

    def listen(self, end: End, group: IPv6Address | None) -> None:
        """Bring an end what is for a group, or for any."""
        self._listening.setdefault(group, {})[end] = None

    def leave(self, end: End, group: IPv6Address | None) -> None:
        """Undo listen()."""
        ends = self._listening.get(group, {})
        ends.pop(end, None)
        if not ends:
            self._listening.pop(group, None)

    def send(self, packet: Packet, sender: End, receiver: bytes | None = None) -> bool:
        """Carry a packet to a neighbour, or to all who listen; return whether it was not lost."""
        if not self.connects(sender) or self._world.loses_next(self.name, packet):
            return False
        way = self._ways.get(sender.mac)
        if way is None:
            way = self._ways[sender.mac] = _Way()
        if self.faults is NO_FAULTS:
            return self._put(packet, sender, receiver, way, self.delay)
        return self._risk(packet, sender, receiver, way)

    def _risk(self, packet: Packet, sender: End, receiver: bytes | None, way: _Way) -> bool:
        faults = self.faults
        rng = way.rng = way.rng or self._world.random(self.name, sender.mac.hex())
        chance = rng.random
        if way.bursting:
            way.bursting = not happens(chance, faults.burst_ends)
        else:
            way.bursting = happens(chance, faults.burst_begins)
        if happens(chance, faults.loss) or (way.bursting and happens(chance, faults.burst_loss)):
            return False
        for _ in range(1 + happens(chance, faults.duplication)):
            delay = 0.0 if happens(chance, faults.reordering) else self.delay
            bit = rng.randrange(1 << 16) if happens(chance, faults.corruption) else None
            self._put(packet, sender, receiver, way, delay, bit)
        return True

    def _put(
        self,
        packet: Packet,
        sender: End,
        receiver: bytes | None,
        way: _Way,
        delay: float,
        wrong_bit: int | None = None,
    ) -> bool:
        """Put a packet into the queue; return whether there was room."""
        if way.waiting >= QUEUE:
            return False
        clock = self._world.clock
        leaves = clock.now + delay
        if self.rate:
            per_octet = 8e-6 / self.rate
            leaves = max(leaves, way.free - BURST * per_octet)
            way.free = max(way.free, leaves) + size(packet) * per_octet
        way.waiting += 1
        clock.at(leaves, partial(self._pass, packet, sender, receiver, way, wrong_bit))
        return True

    def book(self, sender: End, octets: int) -> float:
        """Return when so many octets arrive that a program sends now; nothing else is done."""
        way = self._ways.get(sender.mac)
        if way is None:
            way = self._ways[sender.mac] = _Way()
        world = self._world
        leaves = world.clock.now + world.lag + self.delay
        if self.rate:
            per_octet = 8e-6 / self.rate
            leaves = max(leaves, way.free - BURST * per_octet)
            way.free = max(way.free, leaves) + octets * per_octet
        way.piped = max(leaves, way.piped)
        return way.piped

    def _pass(
        self,
        packet: Packet,
        sender: End,
        receiver: bytes | None,
        way: _Way,
        wrong_bit: int | None,
    ) -> None:
        """Let a packet leave its queue, and arrive."""
        way.waiting -= 1
        if not self.connects(sender):
            return
        receivers = self._receivers(packet, sender, receiver)
        taps = [end.tap for end in (sender, *receivers) if end.tap]
        if taps:
            parts = frames(packet, sender.mac, link_address(packet, receiver))
            if wrong_bit is not None:
                parts[0] = _with_wrong_bit(parts[0], wrong_bit)
            now = self._world.clock.now
            for tap in taps:
                for part in parts:
                    tap(now, part)
        if wrong_bit is None:
            for end in receivers:
                end.receive(packet)

    def _receivers(self, packet: Packet, sender: End, receiver: bytes | None) -> list[End]:
        if receiver is not None:
            end = self._ends.get(receiver)
            return [end] if end else []
        ends = self._ends
        if len(ends) <= _TWO or not is_multicast(packet.destination):
            return [end for end in ends.values() if end is not sender]
        listening = self._listening.get(None, {}) | self._listening.get(packet.destination, {})
        return [end for end in listening if end is not sender]


def happens(chance: Callable[[], float], probability: float) -> bool:
    """Return whether something of a probability happens; what cannot takes no randomness."""
    return probability > 0 and chance() < probability


def _with_wrong_bit(frame: bytes, bit: int) -> bytes:
    """Return a frame with one bit of what it carries changed."""
    at = _ETHERNET + bit // 8 % (len(frame) - _ETHERNET)
    return frame[:at] + bytes((frame[at] ^ 1 << bit % 8,)) + frame[at + 1 :]
