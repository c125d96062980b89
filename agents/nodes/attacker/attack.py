"""What an attack is, and how its frames are made: no sockets and no clock.

An attack hears every frame on its link and returns the frames that it sends. Whether it came to
anything is what it has `won`; the victims' own state is looked at beside it.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from ipaddress import IPv6Address
from typing import ClassVar, Literal, TypeAlias

import msgspec
from scapy.layers.inet import UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from agents.nodes.tls import TlsSettings
from agents.pana.dialect import PORT as PANA_PORT

Frames: TypeAlias = Iterable[bytes]
Place: TypeAlias = Literal["access", "core", "home", "router"]
"""The link on which an attacker is, or the access router's host, towards the core."""


class End(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A host on the attacker's link."""

    address: str
    mac: str


class Known(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What an attacker knows before it begins.

    `own` is itself, `near` and `far` are the two hosts between which the link is: mobile node and
    access router, access router and home network, home network and correspondent node.
    """

    own: End
    near: End
    far: End
    identity: str
    home_address: str
    home_agent: str
    core_address: str
    """The home network's, on the core link."""

    server_name: str
    router_name: str
    router_realm: str
    own_identity: str = ""
    tls: TlsSettings | None = None
    """Credentials of another subscriber than `identity`, if it has them."""


class Attack:
    """The base of all attacks: it hears, and does nothing."""

    place: ClassVar[Place] = "access"
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
