"""Links between simulated stacks: rate, delay, queues, and what goes wrong on them."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from ipaddress import IPv6Address
from typing import NamedTuple, Protocol

from agents.kernel.packet import Packet, is_multicast
from agents.simulation.frames import before, frames, link_address, size
from agents.simulation.world import World
from topologies.model import Shape

BURST = 15 * 1024
"""Octets that may leave an interface at once, as the lab's token buckets have it."""

QUEUE = 1000
"""Packets that wait at an interface at most: what netem takes by default."""

STILL = Shape(rate=0.0)
"""A link that does nothing to packets."""

_TWO = 2


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


class _OnItsWay(NamedTuple):
    """A packet on a link, with its frames if they were heard where it was sent."""

    packet: Packet
    sender: End
    receiver: bytes | None
    way: _Way
    parts: list[bytes] | None


class Link:
    """Carries packets to one end or to several: a switch that knows who listens to which group.

    Its shape is at the way out of each end, as traffic control has it. A frame is heard when it is
    sent, whatever becomes of it, and where it arrives. What is corrupted is heard and not taken:
    the wrong bit is where a checksum or ESP tells whoever it is for. An end that `hears_all` gets
    what is for any group, and so does the only other one.
    """

    def __init__(self, world: World, name: str, shape: Shape = STILL) -> None:
        self._world = world
        self.name = name
        self.cut_off: set[End] = set()
        """The ends that nothing passes; what is under way there is lost, too."""

        self.shape = shape
        self._ends: dict[bytes, End] = {}
        self._ways: dict[bytes, _Way] = {}
        self._listening: dict[IPv6Address | None, dict[End, None]] = {}

    @property
    def shape(self) -> Shape:
        """What it does to packets; it may change."""
        return self._shape

    @shape.setter
    def shape(self, shape: Shape) -> None:
        self._shape = shape
        self._delay, self._rate = shape.delay, shape.rate
        self.is_faulty = shape.is_faulty

    def attach(self, end: End, *, hears_all: bool = False) -> None:
        """Join one more end; one that has the same link-layer address is gone by then."""
        self._ends[end.mac] = end
        if hears_all:
            self.listen(end, None)

    def connects(self, end: End) -> bool:
        """Return whether an end is on this link, and is not cut off."""
        return end not in self.cut_off and self._ends.get(end.mac) is end

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
        if not self.connects(sender):
            return False
        parts = None
        if sender.tap:
            parts = frames(packet, sender.mac, link_address(packet, receiver))
            for part in parts:
                sender.tap(self._world.clock.now, part)
        if self._world.loses_next(self.name, packet):
            return False
        way = self._ways.get(sender.mac)
        if way is None:
            way = self._ways[sender.mac] = _Way()
        on_its_way = _OnItsWay(packet, sender, receiver, way, parts)
        if self.is_faulty:
            return self._risk(on_its_way)
        return self._put(on_its_way, self._delay)

    def _risk(self, sent: _OnItsWay) -> bool:
        """Let go wrong what does, as netem has it."""
        shape, way = self._shape, sent.way
        rng = way.rng = way.rng or self._world.random(self.name, sent.sender.mac.hex())
        chance = rng.random
        loss = shape.burst_loss if way.bursting else shape.loss
        turns = shape.burst_ends if way.bursting else shape.burst_begins
        way.bursting ^= happens(chance, turns)
        if happens(chance, loss):
            return False
        for _ in range(1 + happens(chance, shape.duplication)):
            delay = 0.0 if happens(chance, shape.reordering) else self._delay
            wrong_bit = rng.randrange(1 << 16) if happens(chance, shape.corruption) else None
            self._put(sent, delay, wrong_bit)
        return True

    def _put(self, sent: _OnItsWay, delay: float, wrong_bit: int | None = None) -> bool:
        """Put a packet into the queue; return whether there was room."""
        way = sent.way
        if way.waiting >= QUEUE:
            return False
        clock = self._world.clock
        leaves = clock.now + delay
        if self._rate:
            per_octet = 8e-6 / self._rate
            leaves = max(leaves, way.free - BURST * per_octet)
            way.free = max(way.free, leaves) + size(sent.packet) * per_octet
        way.waiting += 1
        clock.at(leaves, partial(self._pass, sent, wrong_bit))
        return True

    def book(self, sender: End, octets: int) -> float:
        """Return when so many octets arrive that a program sends now; nothing else is done."""
        way = self._ways.get(sender.mac)
        if way is None:
            way = self._ways[sender.mac] = _Way()
        world = self._world
        leaves = world.clock.now + world.lag + self._delay
        if self._rate:
            per_octet = 8e-6 / self._rate
            leaves = max(leaves, way.free - BURST * per_octet)
            way.free = max(way.free, leaves) + octets * per_octet
        way.piped = max(leaves, way.piped)
        return way.piped

    def _pass(self, sent: _OnItsWay, wrong_bit: int | None) -> None:
        """Let a packet leave its queue, and arrive."""
        sent.way.waiting -= 1
        if not self.connects(sent.sender):
            return
        packet, sender, receiver = sent.packet, sent.sender, sent.receiver
        receivers = self._receivers(packet, sender, receiver)
        if self.cut_off:
            receivers = [end for end in receivers if end not in self.cut_off]
        taps = [end.tap for end in receivers if end.tap]
        if taps:
            parts = sent.parts or frames(packet, sender.mac, link_address(packet, receiver))
            if wrong_bit is not None:
                parts = [_with_wrong_bit(parts[0], before(packet), wrong_bit), *parts[1:]]
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


def happens(chance: Callable[[], float], percent: float) -> bool:
    """Return whether something happens that does so in this percentage of cases.

    What cannot happen takes no randomness.
    """
    return percent > 0 and 100 * chance() < percent


def _with_wrong_bit(frame: bytes, start: int, bit: int) -> bytes:
    """Return a frame with one bit changed behind its headers, which nobody drops for some bits."""
    at = start + bit // 8 % (len(frame) - start)
    return frame[:at] + bytes((frame[at] ^ 1 << bit % 8,)) + frame[at + 1 :]
