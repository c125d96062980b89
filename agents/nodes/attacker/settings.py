"""The attacker's configuration."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network
from typing import Literal, TypeAlias

from agents.core.configuration import CommandNames, Configuration
from agents.nodes.attacker.attack import Known
from agents.nodes.mobile_node.settings import MobileNodeConfiguration

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
]

LABORATORY = IPv6Network("2001:db8::/32")
"""Addresses for documentation (RFC 3849): it sends to nobody else."""


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
