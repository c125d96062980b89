"""What an attack is, and how its frames are made: no sockets and no clock.

An attack hears every frame on its link and returns the frames that it sends. Whether it came to
anything is what it has `won`; the victims' own state is looked at beside it.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from ipaddress import IPv6Address
from typing import ClassVar, TypeAlias

from scapy.layers.inet import UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from agents.nodes.attacker.settings import End, Known
from agents.pana.dialect import PORT as PANA_PORT

Frames: TypeAlias = Iterable[bytes]


class Attack:
    """The base of all attacks: it hears, and does nothing."""

    patience: ClassVar[float] = 1.5
    """Seconds that the victims have to fall for it."""

    def __init__(self, known: Known, rng: random.Random) -> None:
        self.known, self.rng = known, rng
        self.won = ""
        """What it got that it should not have, in words."""

        self.told = ""
        """What it was told instead."""

        self.ready = True
        """Whether others may begin."""

    def begin(self, now: float) -> Frames:  # noqa: ARG002
        """Return what is sent before the mobile node starts."""
        return ()

    def heard(self, frame: Ether, now: float) -> Frames:  # noqa: ARG002
        """Take a frame that another host sent; return what is sent on it."""
        return ()

    def tick(self, now: float) -> Frames:  # noqa: ARG002
        """Return what is sent ten times a second, from the beginning on."""
        return ()

    def attack(self, now: float) -> Frames:  # noqa: ARG002
        """Return what is sent at the command."""
        return ()

    def judge(self) -> None:
        """Look back when the victims' time is over."""


class StreamAttack(Attack):
    """An attack over TCP: one connection to the home network's `port`."""

    port: ClassVar[int]

    def opening(self) -> bytes:
        """Return what is sent first."""
        raise NotImplementedError

    def answered(self, data: bytes) -> None:
        """Take what came back until the end, or until the victims' time was over."""


def datagram(sender: End, to: End, ports: tuple[int, int], data: bytes, mac: str = "") -> bytes:
    """Return a frame with a UDP datagram; `mac` is whom it claims to be on the link, if another."""
    return bytes(
        Ether(src=mac or sender.mac, dst=to.mac)
        / IPv6(src=sender.address, dst=to.address)
        / UDP(sport=ports[0], dport=ports[1])
        / data
    )


def packet(frame: Ether, mac: str, to: str) -> bytes:
    """Return the packet of a frame again, as it is, between other hosts of the link."""
    return bytes(Ether(src=mac, dst=to) / bytes(frame.payload))


def is_pana(frame: Ether) -> bool:
    """Return whether a frame has a PANA message."""
    return UDP in frame and PANA_PORT in (frame[UDP].sport, frame[UDP].dport)


def goes_to(frame: Ether, address: str) -> bool:
    """Return whether a frame has a packet to an address."""
    return IPv6 in frame and IPv6Address(frame[IPv6].dst) == IPv6Address(address)


def comes_from(frame: Ether, address: str) -> bool:
    """Return whether a frame has a packet from an address."""
    return IPv6 in frame and IPv6Address(frame[IPv6].src) == IPv6Address(address)
