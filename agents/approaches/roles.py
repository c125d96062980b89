"""Which roles real daemons take in a run, in place of the agents."""

from __future__ import annotations

from typing import Literal

import msgspec

from agents.core.settings import IkeImplementation


class IkeRoles(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who negotiates at the mobile node, and at the home agents."""

    initiator: IkeImplementation = "agent"
    responder: IkeImplementation = "agent"


class DhcpRoles(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The DHCPv6 server, which is no agent."""

    server: Literal["kea"] = "kea"


class DnsRoles(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The DNS server, which is no agent."""

    server: Literal["nsd"] = "nsd"


class Roles(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who takes each role that a daemon can take."""

    ike: IkeRoles = IkeRoles()
    dhcpv6: DhcpRoles = DhcpRoles()
    dns: DnsRoles = DnsRoles()

    @property
    def needs(self) -> tuple[str, ...]:
        """The daemons' programs that an approach does not need of itself."""
        return (
            ("charon-systemd",) if "strongswan" in (self.ike.initiator, self.ike.responder) else ()
        )
