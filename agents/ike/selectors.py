"""Traffic selectors of an SA (RFC 4301 section 4.4.1)."""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import NamedTuple

from agents.ike.constants import MOBILITY_HEADER


class Selectors(NamedTuple):
    """The traffic of an SA as the initiator sees it: for a mobile node HoA, HA, protocol 135.

    Without `local` an IKEv2 responder is asked to assign it. The messages are the Mobility Header
    types that this end sends and that it receives, None for all (RFC 4301 section 4.4.1.3).
    """

    local: IPv6Address | None
    remote: IPv6Address
    protocol: int = MOBILITY_HEADER
    local_message: int | None = None
    remote_message: int | None = None

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
