"""Which roles real daemons take in a run, in place of the agents."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from agents import daemons
from agents.core.documents import absent
from agents.core.settings import IkeImplementation

_SERVER = msgspec.Meta(
    description="its usual daemon by name, or a table with a command of your own, as in"
    " {command = ['mine', '-c', '$work/mine.conf'], files = {'mine.conf' = '...'}}"
)


DOT1X = ("hostapd", "wpa_supplicant", "cls_flower")
"""What access by IEEE 802.1X needs, by the doctor's names."""


class IkeRoles(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who negotiates at the mobile node, and at the home agents."""

    initiator: IkeImplementation = "agent"
    responder: IkeImplementation = "agent"


class OwnDaemon(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A command of one's own, and the texts of its files (agents.daemons.command)."""

    command: Annotated[list[str], msgspec.Meta(min_length=1)]
    files: dict[str, str] = msgspec.field(default_factory=dict)


def _check_server(role: str, server: str | OwnDaemon) -> None:
    if isinstance(server, str) and server not in (known := servers(role)):
        what = f"daemon {server!r} for this role"
        raise ValueError(f"server: {absent(what, server, known)}, or a table with a command")


def servers(role: str) -> list[str]:
    """Return the names of the daemons that can be the server of DHCPv6 or DNS."""
    return daemons.names(role)


class AccessRoles(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How mobile nodes get access: by the agents' PANA, or 802.1X by wpa_supplicant and hostapd."""

    protocol: Literal["pana", "802.1x"] = "pana"


class AaaRoles(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How access routers ask the home AAA server, by whom, and who authenticates for it.

    A relay is freeDiameter or our agent; with `redirect` that says whom to ask, and relays nothing.
    """

    protocol: Literal["diameter", "radius"] = "diameter"
    relay: Literal["none", "freediameter", "agent", "redirect"] = "none"
    server: Literal["agent", "freeradius"] = "agent"


class DhcpRoles(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The DHCPv6 server, which is no agent: Kea, another's by its name, or a command."""

    server: Annotated[str | OwnDaemon, _SERVER] = daemons.USUAL["dhcpv6"]

    def __post_init__(self) -> None:
        _check_server("dhcpv6", self.server)


class DnsRoles(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The DNS server, which is no agent: NSD, another's by its name, or a command."""

    server: Annotated[str | OwnDaemon, _SERVER] = daemons.USUAL["dns"]

    def __post_init__(self) -> None:
        _check_server("dns", self.server)


class Roles(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who takes each role that a daemon can take."""

    access: AccessRoles = AccessRoles()
    ike: IkeRoles = IkeRoles()
    aaa: AaaRoles = AaaRoles()
    dhcpv6: DhcpRoles = DhcpRoles()
    dns: DnsRoles = DnsRoles()

    @property
    def needs(self) -> tuple[str, ...]:
        """What an approach does not need of itself: the daemons' programs first."""
        needs: list[str] = []
        if self.access.protocol == "802.1x":
            needs += DOT1X
        if "strongswan" in (self.ike.initiator, self.ike.responder):
            needs.append("charon-systemd")
        if self.aaa.server == "freeradius":
            needs.append("freeradius")
        if self.aaa.relay == "freediameter":
            needs.append("freeDiameterd")
        for role, server in self._servers.items():
            if isinstance(server, str) and server != daemons.USUAL[role]:
                needs += daemons.load(role, server).NEEDS
        return tuple(needs)

    @property
    def _servers(self) -> dict[str, str | OwnDaemon]:
        return {"dhcpv6": self.dhcpv6.server, "dns": self.dns.server}

    @property
    def replaced(self) -> tuple[str, ...]:
        """The usual daemons' programs in whose place another daemon runs."""
        usual = {"dhcpv6": "kea-dhcp6", "dns": "nsd"}
        servers = self._servers.items()
        return tuple(usual[role] for role, server in servers if server != daemons.USUAL[role])

    @property
    def of_agents(self) -> Roles:
        """The same with agents in place of daemons."""
        relay = "none" if self.aaa.relay == "freediameter" else self.aaa.relay
        return Roles(aaa=AaaRoles(protocol=self.aaa.protocol, relay=relay))
