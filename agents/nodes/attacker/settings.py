"""The attacker's configuration."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network
from typing import Literal, TypeAlias

import msgspec

from agents.core.configuration import CommandNames, Configuration
from agents.nodes.mobile_node.settings import MobileNodeConfiguration
from agents.nodes.tls import TlsSettings

AttackName: TypeAlias = Literal[
    "pana-replay",
    "pana-flip",
    "pana-termination",
    "service-theft",
    "updates-in-clear",
    "replayed-updates",
    "rogue-paa",
    "rogue-paa-md5",
    "rogue-paa-other-ca",
    "client-md5",
    "client-old-tls",
    "refused-client",
    "greedy-client",
    "diameter-stranger",
    "diameter-false-router",
    "diameter-without-tls",
    "ike-forged-end",
    "home-address-claim",
    "home-address-spoof",
    "home-address-denial",
    "others-home-address",
    "false-care-of",
    "forged-routes",
]

Place: TypeAlias = Literal["access", "core", "home", "router"]
"""The link on which an attacker is, or the access router's host, towards the core."""

ELSEWHERE: dict[AttackName, Place] = {
    "updates-in-clear": "core",
    "replayed-updates": "core",
    "diameter-stranger": "core",
    "diameter-false-router": "core",
    "diameter-without-tls": "router",
    "ike-forged-end": "core",
    "forged-routes": "core",
    "home-address-claim": "home",
    "home-address-spoof": "home",
    "home-address-denial": "home",
}
"""Where attacks are made that are not made on the access link."""

LABORATORY = IPv6Network("2001:db8::/32")
"""Addresses for documentation (RFC 3849): it sends to nobody else."""


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
    correspondent: str = ""
    """The correspondent node's address."""

    own_identity: str = ""
    tls: TlsSettings | None = None
    """Credentials of another subscriber than `identity`, if it has them."""


class AttackerConfiguration(Configuration, frozen=True, kw_only=True):
    """Which attack it makes on the link behind `interface`, and what it knows."""

    attack: AttackName
    interface: str
    known: Known
    subscriber: MobileNodeConfiguration | None = None
    """How it bootstraps itself first, if its attack wants that."""

    @property
    def commands(self) -> CommandNames:
        """The attack begins at the command."""
        return {"attack": ()}

    def __post_init__(self) -> None:
        for end in (self.known.near, self.known.far):
            if IPv6Address(end.address) not in LABORATORY:
                raise ValueError(f"{end.address} is no address of a laboratory's host")
