"""What one of several home AAA servers may give out, each with a list of leases of its own."""

from __future__ import annotations

from collections.abc import Container
from ipaddress import IPv6Address

import msgspec

from agents.core.record import Record


class Share(Record, frozen=True, forbid_unknown_fields=True):
    """The part `number`, from 1 on, `of` so many: of addresses in pools, and of home agents' room.

    Whose an address is follows from the address alone, so that no two servers give out the same
    one, however pools overlap.
    """

    number: int
    of: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            raise ValueError(f"share: number is from 1 to {self.of}, and not {self.number}")

    def owns(self, address: IPv6Address) -> bool:
        """Tell whether an address of a pool is this server's to give."""
        return int(address) % self.of == self.number - 1

    def room(self, capacity: int | None) -> int | None:
        """Return how many of a home agent's places are this server's; None is no limit."""
        return None if capacity is None else (capacity + self.of - self.number) // self.of


WHOLE = Share(1, 1)
"""That of a server that is alone, or that shares its list of leases."""


class Reserved(msgspec.Struct, frozen=True):
    """Addresses that are not to be given: some, and all that are another server's."""

    some: frozenset[IPv6Address]
    share: Share

    def __contains__(self, address: object) -> bool:
        foreign = isinstance(address, IPv6Address) and not self.share.owns(address)
        return foreign or address in self.some


def reserved(some: frozenset[IPv6Address], share: Share) -> Container[IPv6Address]:
    """Return what must not be given out of a pool."""
    return some if share == WHOLE else Reserved(some, share)
