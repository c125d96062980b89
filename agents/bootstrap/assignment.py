"""What a bootstrap delivers to the mobile node: home agent and home address."""

from __future__ import annotations

from enum import IntEnum
from ipaddress import IPv6Address
from typing import Literal, TypeAlias

from agents.core.record import Record

Protection: TypeAlias = Literal["none", "sealed"]
"""How HA and HoA travel to the mobile node: readable by the NAS, or sealed for the node alone."""

DEFAULT_PROTECTION: Protection = "none"


class Assignment(Record, frozen=True):
    """The home agent and home address that the home AAA server chose for one mobile node.

    `home_agent_name` is the home agent's fully qualified domain name; the address goes before it.
    """

    home_agent: IPv6Address
    prefix_length: int
    home_address: IPv6Address | None = None
    home_agent_name: str | None = None


class Wish(IntEnum):
    """Where a mobile node that asks for a home agent wants to have it."""

    EITHER = 0
    HOME = 1
    LOCAL = 2

    @classmethod
    def of(cls, *, home: bool, local: bool) -> Wish:
        """Return the wish of a mobile node that named these; neither and both leave it open."""
        if home == local:
            return cls.EITHER
        return cls.HOME if home else cls.LOCAL
