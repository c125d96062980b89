"""The home agent's configuration."""

from __future__ import annotations

import math

import msgspec

from agents.core.unicast import home_agent_address
from agents.nodes.crowd import USUAL, CrowdSettings
from agents.nodes.diameter_settings import AaaClientConfiguration
from agents.nodes.ike_daemon.ikev2_settings import Ikev2Settings
from agents.nodes.ike_daemon.settings import Ikev1Settings
from agents.nodes.tls import TlsSettings


class HomeAgentSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The home agent's address, and the home link and prefix that it serves.

    The prefix is valid for so many seconds from the start on, without `prefix_valid` for ever, and
    preferred for so many, without `prefix_preferred` for as long as it is valid. With `discovery`
    it tells its address to who asks the home link's anycast address (RFC 6275 section 10.5). With
    `authentication_option` Binding Updates bear their own authentication, in IPsec's place (RFC
    4285), by the keys that mobile nodes have their home addresses with.
    """

    address: str
    interface: str
    prefix: str
    duplicate_address_detection: bool = True
    prefix_valid: float | None = None
    prefix_preferred: float | None = None
    discovery: bool = False
    authentication_option: bool = False

    def __post_init__(self) -> None:
        home_agent_address(self.address)
        valid = math.inf if self.prefix_valid is None else self.prefix_valid
        preferred = valid if self.prefix_preferred is None else self.prefix_preferred
        if not 0 <= preferred <= valid:
            raise ValueError(
                "prefix_preferred is longer than prefix_valid, or one of them is less than 0"
            )


class HomeAgentConfiguration(AaaClientConfiguration, frozen=True, kw_only=True):
    """The program's configuration; times in seconds.

    A home agent in a visited network proposes itself with `proposed_home_address`, the one home
    address that it has to give: it serves one mobile node at a time, whom the home AAA server lets
    have it. With EAP it needs a `certificate`, and its `identity` is in that; otherwise it asks the
    home AAA server for IKE's keys.
    """

    home_agent: HomeAgentSettings
    ikev1: Ikev1Settings | None = None
    ikev2: Ikev2Settings | None = None
    certificate: TlsSettings | None = None
    identity: str
    proposed_home_address: str | None = None
    crowd: CrowdSettings = USUAL

    @property
    def by_eap(self) -> bool:
        """Whether mobile nodes authenticate by EAP, rather than by a key from the AAA server."""
        return self.ikev2 is not None and self.ikev2.authentication == "eap"

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.ikev1 is None) == (self.ikev2 is None):
            raise ValueError("either ikev1 or ikev2 is needed")
        if self.home_agent.authentication_option:
            raise ValueError("the authentication option is for a home agent with configured keys")
        if self.by_eap and self.certificate is None:
            raise ValueError("IKEv2 with EAP needs a certificate")
