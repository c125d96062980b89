"""Who may have a binding at a correspondent node, and which gives way (RFC 6275 section 9.6)."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv6Address

from agents.core.quotas import Quotas, Share
from agents.mip6.correspondent_cache import CorrespondentLimits

_PREFIX_LENGTH = 64
_UNUSED, _USED = 0, 1


class Room:
    """The home addresses that are bound: so many, and so many within one /64.

    Whoever has a /64 has all of its addresses, and both tests prove no more than that. Where
    there are too many, the oldest by which nothing has gone since it was made or renewed gives way,
    which `in_use` tells: its owner hears of that when it speaks, and registers anew.
    """

    def __init__(self, limits: CorrespondentLimits, in_use: Callable[[IPv6Address], bool]) -> None:
        self._limits = limits
        self._in_use = in_use
        self._quotas: Quotas[IPv6Address] = Quotas(firm=_USED)

    def enter(self, home: IPv6Address) -> list[IPv6Address]:
        """Take in a home address and return those that give way to it; raises NoRoomError."""
        link = int(home) >> (128 - _PREFIX_LENGTH)
        shares = (
            Share(("link", link), self._limits.bindings_of_link),
            Share("all", self._limits.bindings),
        )
        while (other := self._quotas.next(shares)) is not None and self._in_use(other):
            self._quotas.move(other, _USED)
        return self._quotas.enter(home, shares)

    def renew(self, home: IPv6Address) -> None:
        """A binding begins anew: nothing has gone by it."""
        self._quotas.move(home, _UNUSED)

    def leave(self, home: IPv6Address) -> None:
        """A home address is not bound any more."""
        self._quotas.leave(home)
