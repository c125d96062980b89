"""Traffic selectors of an SA (RFC 4301 section 4.4.1)."""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import NamedTuple

from agents.ike.constants import (
    ICMPV6,
    MOBILITY_HEADER,
    PREFIX_ADVERTISEMENT,
    PREFIX_SOLICITATION,
)


class Selectors(NamedTuple):
    """The traffic of an SA as the initiator sees it: for a mobile node HoA, HA, protocol 135.

    Without `local` an IKEv2 responder is asked to assign it. The messages are the types of Mobility
    Header, or ICMPv6, that this end sends and receives, None for all (RFC 4301 section 4.4.1.3).
    """

    local: IPv6Address | None
    remote: IPv6Address
    protocol: int = MOBILITY_HEADER
    local_message: int | None = None
    remote_message: int | None = None

    @classmethod
    def of_discovery(cls, local: IPv6Address, remote: IPv6Address) -> Selectors:
        """Return a mobile node's prefix discovery at its home agent (RFC 4877 section 6.3)."""
        return cls(local, remote, ICMPV6, PREFIX_SOLICITATION, PREFIX_ADVERTISEMENT)

    @property
    def ends(self) -> tuple[IPv6Address, IPv6Address]:
        """Both addresses, the local one first; ValueError if that one is not assigned yet."""
        if self.local is None:
            raise ValueError("the local address is not assigned yet")
        return self.local, self.remote

    def mirrored(self) -> Selectors:
        """Return the same traffic as the other side sees it."""
        local, remote = self.ends
        messages = self.remote_message, self.local_message
        return Selectors(remote, local, self.protocol, *messages)
