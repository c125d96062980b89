"""The mobile node's configuration."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv6Address, IPv6Network
from typing import Annotated, Literal, TypeAlias

import msgspec

from agents.bootstrap.assignment import DEFAULT_PROTECTION, Protection
from agents.bootstrap.keys import PskSource
from agents.core.configuration import CommandNames, Configuration
from agents.core.settings import (
    BindingLifetime,
    DialectName,
    FragmentSize,
    Identity,
    IkeImplementation,
    PartOfLifetime,
)
from agents.core.unicast import home_agent_address
from agents.mip6.home_agent_discovery import anycast_address
from agents.nodes.crowd import USUAL, CrowdSettings
from agents.nodes.habits import Habits
from agents.nodes.ike_daemon.ikev2_settings import Ikev2Settings
from agents.nodes.ike_daemon.settings import Ikev1Settings
from agents.nodes.tls import TlsSettings
from agents.pana.mobility import MobilityCapability


class EapSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who the mobile node is, and how it proves it by EAP-TLS."""

    identity: Identity
    server_name: str
    tls: TlsSettings
    fragment_size: FragmentSize = 1000


WishName: TypeAlias = Literal["either", "home", "local"]
Liveness: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=86400)]
LIVENESS = 60.0
"""Seconds of silence after which a PAA is tested, unless it is said."""


class PanaSettings(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="pana"
):
    """The PAA's address, PANA on the wire, and whether and where a home agent is wanted.

    `encryption` offers RFC 6786's for what the access link should not see. After `liveness` seconds
    without a word from the PAA it is tested, 0 means never: one that was restarted knows nothing
    of the session, and its filter is closed. After the part `reauth_at` of a session's lifetime
    there is a re-authentication, 0 means never.
    """

    paa: str
    dialect: DialectName = "rfc5191"
    encryption: bool = False
    mobility: bool = True
    wish: WishName = "either"
    liveness: Liveness = LIVENESS
    reauth_at: PartOfLifetime = 0.8

    @property
    def capability(self) -> MobilityCapability:
        """What the PaC asks for in its answer to the start request."""
        if not self.mobility:
            return MobilityCapability(0)
        places = {
            "either": MobilityCapability(0),
            "home": MobilityCapability.HOME_DOMAIN_HOME_AGENT,
            "local": MobilityCapability.LOCAL_HOME_AGENT,
        }
        return MobilityCapability.MOBILE_IPV6 | places[self.wish]


class Dot1xSettings(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="802.1x"
):
    """Access by IEEE 802.1X, which knows nothing but EAP and brings no home agent."""


AccessSettings: TypeAlias = PanaSettings | Dot1xSettings

PREFIX_LENGTH = 64
"""Of a home link whose prefix length nobody has said: that of every link with SLAAC (RFC 4291)."""


class StaticSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="static"):
    """Home agent and home address are preconfigured."""

    home_agent: str
    home_address: str | None = None
    prefix_length: int = PREFIX_LENGTH

    def __post_init__(self) -> None:
        home_agent_address(self.home_agent)


class Dhcpv6Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="dhcpv6"):
    """An Information-request on the access link (RFC 6610); `network` is the home domain.

    With `initial_delay` the first one waits for a random time of up to 1 s (RFC 8415 section
    18.2.6).
    """

    network: str
    home: Literal["local", "home"] = "home"
    initial_delay: bool = True


class DnsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="dns"):
    """A query for the home domain's `_mip6._ipv6` (RFC 5026)."""

    server: str
    domain: str


class DhaadSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="dhaad"):
    """A request to the home agents of the home link, whose prefix is known (RFC 6275 11.4.1)."""

    prefix: str

    def __post_init__(self) -> None:
        IPv6Network(self.prefix)

    @property
    def network(self) -> IPv6Network:
        """The home prefix."""
        return IPv6Network(self.prefix)


SoughtSettings: TypeAlias = Dhcpv6Settings | DnsSettings | DhaadSettings
"""How a home agent is looked for."""

DiscoverySettings: TypeAlias = StaticSettings | SoughtSettings


class MobileNodeConfiguration(Configuration, frozen=True, kw_only=True):
    """The mobile node's configuration; times in seconds.

    With `protection` "sealed" only what the home AAA server has sealed counts, whatever the access
    router says. Without `access` the network is open. Without `discovery` the access network
    delivers the home agent. `psk_file` holds a preconfigured key for IKE; otherwise the key comes
    from EAP. With `early` IKE begins as soon as the home AAA server has sealed an assignment, while
    EAP is still at its last round; nothing is registered before access is granted. With
    `route_optimisation` correspondent nodes are told the care-of address (RFC 6275 section 5.2).
    With `movement` the interface's link may become another one, whose router is the PAA there. With
    `authentication_option` there is no IKE: `psk_file` is for Binding Updates (RFC 4285).
    """

    interface: str
    eap: EapSettings
    work: str
    access: AccessSettings | None = None
    discovery: DiscoverySettings | None = None
    ikev1: Ikev1Settings | None = None
    ikev2: Ikev2Settings | None = None
    psk_source: PskSource = "msk"
    protection: Protection = DEFAULT_PROTECTION
    early: bool = False
    psk_file: str | None = None
    binding_lifetime: BindingLifetime = 420.0
    route_optimisation: bool = False
    movement: bool = False
    authentication_option: bool = False
    ike_daemon: IkeImplementation = "agent"
    launch: Literal["resident", "script"] = "resident"
    habits: Habits = Habits()
    crowd: CrowdSettings = USUAL
    keys: str | None = None

    @property
    def commands(self) -> CommandNames:
        """The daemons of a script are told of nothing, and of a movement where there is access."""
        names: dict[str, tuple[Callable[[str], object], ...]] = {}
        if self.launch == "resident":
            names |= {"deregister": (), "refresh": (), "move": (IPv6Address,)}
        if self.access:
            names |= {"reauthenticate": (), "terminate": (), "move": (IPv6Address,)}
        if isinstance(self.access, PanaSettings):
            names |= {"ping": ()}
        if self.ikev2:
            names |= {"rekey-ike": (), "rekey-children": ()}
        return names

    @property
    def ike_by_eap(self) -> bool:
        """Whether IKE authenticates by EAP rather than by a key that was there before."""
        return self.ikev2 is not None and self.ikev2.authentication == "eap"

    @property
    def ike_by_exported_key(self) -> bool:
        """Whether IKE's key follows from what EAP exports at network access."""
        return self.psk_file is None and not self.ike_by_eap

    def __post_init__(self) -> None:
        if self.authentication_option:
            self._check_authentication_option()
        elif (self.ikev1 is None) == (self.ikev2 is None):
            raise ValueError("either ikev1 or ikev2 is needed")
        if self.access is None and self.discovery is None:
            raise ValueError("an open network delivers no home agent: discovery is needed")
        if isinstance(self.access, Dot1xSettings):
            self._check_dot1x()
        if self.access is None and self.psk_file is None and not self.ike_by_eap:
            raise ValueError("an open network brings no key for IKE: it needs a file, or EAP")
        if self.psk_file is not None and self.ike_by_eap:
            raise ValueError("a preconfigured key is not for IKEv2 with EAP")
        if self.protection == "sealed" and isinstance(self.discovery, SoughtSettings):
            raise ValueError("what DHCPv6, DNS and home agents tell is not sealed")
        if self.launch == "script" and self.ikev1 is None:
            raise ValueError("the launch script starts IKEv1 only")
        if self.route_optimisation and self.launch == "script":
            raise ValueError("the daemons that the launch script starts do not optimise routes")
        if self.movement and self.launch == "script":
            raise ValueError("the daemons that the launch script starts know of no movement")
        if self.movement and isinstance(self.access, Dot1xSettings):
            raise ValueError("access by 802.1X knows of no movement to another access router")
        if self.ike_daemon != "agent" and self.ike_by_eap and self.eap.tls.version != "TLSv1.2":
            raise ValueError(
                "strongSwan's EAP-TLS with TLS 1.3 is older than RFC 9190: use tls_version ="
                " 'TLSv1.2', or ike.authentication = 'psk'"
            )
        if self.early and (self.ikev2 is None or self.ikev2.authentication != "psk"):
            raise ValueError("an early start needs IKEv2 with a pre-shared key")
        if self.early and (self.protection != "sealed" or self.psk_source != "emsk"):
            raise ValueError("an early start needs a sealed assignment, and a key from the EMSK")

    def _check_authentication_option(self) -> None:
        if self.ikev1 or self.ikev2:
            raise ValueError("the authentication option stands in IKE's place: leave out ike")
        if not isinstance(self.discovery, StaticSettings) or self.psk_file is None:
            raise ValueError("the authentication option needs a configured home agent and key")
        if self.route_optimisation:
            raise ValueError(
                "route_optimisation: without IPsec nobody protects home tests (RFC 4285 section 2);"
                " leave it out, or use an approach with IKE"
            )
        if self.ike_daemon != "agent":
            raise ValueError("roles.ike.initiator: with this approach there is no IKE")

    def _check_dot1x(self) -> None:
        if self.discovery is None:
            raise ValueError("802.1X delivers no home agent: discovery is needed")
        if self.protection == "sealed":
            raise ValueError("802.1X delivers nothing that is sealed: leave out protection")
        if self.eap.tls.crl is not None:
            raise ValueError("wpa_supplicant looks at no list of what is revoked: leave out crl")

    @property
    def first_peer(self) -> IPv6Address | None:
        """Whom it speaks to first, if that is known: the care-of address is to suit this host."""
        match self:
            case MobileNodeConfiguration(access=PanaSettings(paa=host)):
                pass
            case MobileNodeConfiguration(discovery=StaticSettings(home_agent=host)):
                pass
            case MobileNodeConfiguration(discovery=DnsSettings(server=host)):
                pass
            case MobileNodeConfiguration(discovery=DhaadSettings(network=prefix)):
                host = str(anycast_address(prefix))
            case _:
                return None
        address = IPv6Address(host)
        return None if address.is_link_local else address
