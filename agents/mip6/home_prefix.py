"""The home link's prefix and how long it lasts (RFC 6275 sections 10.3.1 and 10.6)."""

from __future__ import annotations

import math
from ipaddress import IPv6Address, IPv6Network

from agents.mip6.codec import LIFETIME_UNIT
from agents.mip6.prefixes import INFINITE, PrefixInformation


class HomePrefix:
    """A prefix whose lifetimes run down from `now` on, in seconds.

    Without `valid` it is so for ever, without `preferred` for as long as it is valid.
    """

    def __init__(
        self,
        network: IPv6Network,
        home_agent: IPv6Address,
        *,
        valid: float | None = None,
        preferred: float | None = None,
        now: float = 0.0,
    ) -> None:
        self.network = network
        self._home_agent = home_agent
        self.change(valid, preferred, now)

    def change(self, valid: float | None, preferred: float | None, now: float) -> None:
        """Give the prefix other lifetimes; ValueError unless 0 <= preferred <= valid."""
        until = math.inf if valid is None else now + valid
        preferred_until = until if preferred is None else now + preferred
        if not now <= preferred_until <= until:
            raise ValueError("a prefix is preferred for 0 s at least, and no longer than valid")
        self.valid_until, self._preferred_until = until, preferred_until

    def valid_left(self, now: float) -> int:
        """Return for how many seconds it is valid, INFINITE if for ever."""
        return _left(self.valid_until, now)

    def preferred_left(self, now: float) -> int:
        """Return for how many seconds it is not deprecated, INFINITE if for ever."""
        return _left(self._preferred_until, now)

    def is_to_be_discovered(self, lifetime: int, now: float) -> bool:
        """Return whether a binding of this lifetime is to be acknowledged with status 1.

        That is if the prefix is deprecated while the binding lasts, or ends with it.
        """
        units = lifetime // LIFETIME_UNIT
        deprecated = self.preferred_left(now) // LIFETIME_UNIT < units
        return deprecated or self.valid_left(now) // LIFETIME_UNIT <= units

    def information(self, now: float) -> PrefixInformation:
        """Return what is advertised: the home agent's own address, and the lifetimes."""
        length, valid = self.network.prefixlen, self.valid_left(now)
        preferred = self.preferred_left(now)
        return PrefixInformation(self._home_agent, length, valid, preferred, is_router=True)


def _left(until: float, now: float) -> int:
    return int(min(max(0.0, until - now), INFINITE))
