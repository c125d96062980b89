"""The access router's configuration."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network
from typing import Literal

import msgspec

from agents.bootstrap.assignment import Assignment
from agents.core.configuration import CommandNames
from agents.core.settings import DialectName, PartOfLifetime
from agents.nodes.access_settings import AccessConfiguration
from agents.nodes.crowd import USUAL, CrowdSettings
from agents.nodes.home_agent.settings import HomeAgentSettings
from agents.nodes.ike_daemon.ikev2_settings import Ikev2Settings
from agents.nodes.ike_daemon.settings import Ikev1Settings


class LocalHomeAgent(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A home agent of the visited network on this host, offered to the home AAA server.

    `home_address` is the one proposed for a mobile node that gets it. IKE, of one version, is by
    the pre-shared key that the home AAA server tells with its answer: with EAP the home agent would
    have to ask that server itself, as one on a host of its own does.
    """

    home_agent: HomeAgentSettings
    home_address: str
    ikev1: Ikev1Settings | None = None
    ikev2: Ikev2Settings | None = None

    def __post_init__(self) -> None:
        if (self.ikev1 is None) == (self.ikev2 is None):
            raise ValueError("either ikev1 or ikev2 is needed")
        if self.ikev2 and self.ikev2.authentication != "psk":
            raise ValueError("a home agent on the access router has IKEv2 with 'psk' alone")

    @property
    def ike(self) -> Ikev1Settings | Ikev2Settings | None:
        """How IKE negotiates."""
        return self.ikev1 or self.ikev2

    def candidate(self) -> Assignment:
        """Return the offer as Diameter carries it."""
        prefix = IPv6Network(self.home_agent.prefix)
        address = IPv6Address(self.home_address)
        return Assignment(IPv6Address(self.home_agent.address), prefix.prefixlen, address)


class AccessRouterConfiguration(AccessConfiguration, frozen=True, kw_only=True):
    """The access router's configuration; times in seconds.

    With `relay` every authentication asks the AAA server for a home agent, which the relay agent
    then supplies to the DHCPv6 server; PANA does not deliver it. PANA starts `stateful`,
    `stateless` (no memory before the PaC has proved its address), or `optimized` (the first
    request carries EAP's). The first EAP request asks for the `identity`, or starts EAP-TLS (`tls`)
    in the home AAA server's place, which must pick it up. Without `mobility` no home agent is
    offered: a PaC of RFC 5191 alone may stumble over that AVP. With `early` it lets a mobile node
    begin IKE as soon as the home AAA server has verified it. It re-authenticates who has not done
    so after the part `reauth_at` of a session's lifetime, 0 means never. `pana_relays` are the
    addresses from which PANA is relayed (RFC 6345).
    """

    dialect: DialectName = "rfc5191"
    start: Literal["stateful", "stateless", "optimized"] = "stateful"
    first_request: Literal["identity", "tls"] = "identity"
    early: bool = False
    encryption: bool = False
    local: LocalHomeAgent | None = None
    pana_relays: tuple[str, ...] = ()
    reauth_at: PartOfLifetime = 0.9
    crowd: CrowdSettings = USUAL

    @property
    def commands(self) -> CommandNames:
        """For all sessions at once."""
        return {"ping": (), "reauthenticate": (), "terminate": ()}
