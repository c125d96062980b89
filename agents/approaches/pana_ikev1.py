"""The paper's approach as implemented: PANA delivers HA, HoA and key; IKEv1 makes the SAs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import IPv6Address
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import tomli_w

from agents.approaches import Role
from agents.diameter.config import PORT, TLS_PORT
from agents.eap import ca
from agents.roles.access_router import AccessRouterConfiguration
from agents.roles.diameter import DiameterPeer
from agents.roles.home_network import HomeNetworkConfiguration
from agents.roles.ike import IkeSettings
from agents.roles.mobile_node import MobileNodeConfiguration
from agents.roles.tls import TlsSettings
from topologies.model import Topology

NEEDS = (
    "veth",
    "xfrm_user",
    "esp6",
    "mip6",
    "ip6_tunnel",
    "policy_routing",
)
IDENTITY, SOMEBODY_ELSE = "mn@home.test", "somebody.else@home.test"
HOME_REALM, VISITED_REALM = "home.test", "visited.test"
HOME_AAA, ACCESS_ROUTER = "aaa.home.test", "ar.visited.test"
HOME_ADDRESS = IPv6Address("2001:db8:100::1234")
_PROGRAMS = "agents.roles"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What an experiment may set; times in seconds."""

    dialect: Literal["rfc5191"] = "rfc5191"
    launch: Literal["resident", "script"] = "resident"
    duplicate_address_detection: bool = True
    identity: str = IDENTITY
    key_type: Literal["p256", "rsa2048"] = "p256"
    tls_version: Literal["TLSv1.2", "TLSv1.3"] = "TLSv1.3"
    eap_fragment_size: Annotated[int, msgspec.Meta(ge=100, le=1200)] = 1000
    session_lifetime: Annotated[float, msgspec.Meta(ge=10)] = 3600.0
    binding_lifetime: Annotated[float, msgspec.Meta(ge=8, le=262140)] = 420.0
    diameter_tls: bool = False
    credential: Literal["valid", "expired", "other-ca"] = "valid"
    subscribed: bool = True
    mobility_subscribed: bool = True
    ike: IkeSettings = IkeSettings()


def _make_certificates(folder: Path, settings: Settings) -> None:
    names = [settings.identity]
    made = ca.create(folder, names, server=HOME_AAA, key_type=settings.key_type)
    authority = ca.CertificateAuthority(ca.Identity.read(ca.Files(made.ca, folder / "ca.key")))
    authority.issue_server(ACCESS_ROUTER).write(folder, ACCESS_ROUTER)
    if settings.credential == "expired":
        yesterday = datetime.now(UTC) - timedelta(days=1)
        past = ca.Validity(yesterday - timedelta(days=30), yesterday)
        authority.issue_client(settings.identity, validity=past).write(folder, settings.identity)
    elif settings.credential == "other-ca":
        stranger = ca.CertificateAuthority.generate("another CA", settings.key_type)
        stranger.issue_client(settings.identity).write(folder, settings.identity)


def prepare(folder: Path, settings: Settings) -> None:
    """Make the certificates and the list of subscribers."""
    _make_certificates(folder / "pki", settings)
    document = {
        "home_agents": [
            {"name": "ha1", "address": "2001:db8:100::1", "prefix": "2001:db8:100::/64"}
        ],
        "subscribers": [
            {
                "identity": settings.identity if settings.subscribed else SOMEBODY_ELSE,
                "mobility": settings.mobility_subscribed,
                "home_agent": "ha1",
                "home_address": str(HOME_ADDRESS),
            }
        ],
    }
    (folder / "subscribers.toml").write_text(tomli_w.dumps(document), encoding="utf-8")


def _tls(folder: Path, name: str, settings: Settings) -> TlsSettings:
    pki = folder / "pki"
    return TlsSettings(
        ca=str(pki / "ca.pem"),
        certificate=str(pki / f"{name}.pem"),
        key=str(pki / f"{name}.key"),
        version=settings.tls_version,
    )


def compose(settings: Settings, topology: Topology, shared: Path, run: Path) -> list[Role]:
    """Return the roles of hosts C, B and A."""
    roles = {host.role: host.name for host in topology.hosts}
    a, b, c = (roles[r] for r in ("mobile node", "access router", "home network"))
    access, core, home = (topology.link(name) for name in ("access", "core", "home"))
    keys = str(run / "keys")
    diameter_tls = {
        name: _tls(shared, name, settings) if settings.diameter_tls else None
        for name in ("server", ACCESS_ROUTER)
    }
    diameter_port = TLS_PORT if settings.diameter_tls else PORT
    access_router = AccessRouterConfiguration(
        host=b,
        access_interface=topology.interface_name(b, "access"),
        access_prefix=str(access.end(b).advertise),
        address=str(access.end(b).address),
        keys=keys,
        session_lifetime=settings.session_lifetime,
        diameter_identity=ACCESS_ROUTER,
        diameter_tls=diameter_tls[ACCESS_ROUTER],
        diameter_realm=VISITED_REALM,
        home=DiameterPeer(
            host=HOME_AAA,
            realm=HOME_REALM,
            address=str(core.end(c).address),
            port=diameter_port,
        ),
    )
    home_network = HomeNetworkConfiguration(
        host=c,
        diameter_identity=HOME_AAA,
        diameter_tls=diameter_tls["server"],
        diameter_port=diameter_port,
        diameter_realm=HOME_REALM,
        diameter_address=str(core.end(c).address),
        access_routers=[DiameterPeer(host=ACCESS_ROUTER, realm=VISITED_REALM)],
        subscribers=str(shared / "subscribers.toml"),
        leases=str(run / "configuration" / "leases.sqlite"),
        tls=_tls(shared, "server", settings),
        eap_fragment_size=settings.eap_fragment_size,
        session_lifetime=settings.session_lifetime,
        home_agent=str(home.end(c).address),
        home_interface=topology.interface_name(c, "home"),
        home_prefix=str(home.end(c).addresses[0].network),
        duplicate_address_detection=settings.duplicate_address_detection,
        launch=settings.launch,
        work=str(run / "configuration"),
        ike=settings.ike,
    )
    mobile_node = MobileNodeConfiguration(
        host=a,
        interface=topology.interface_name(a, "access"),
        paa=str(access.end(b).address),
        identity=settings.identity,
        server_name=HOME_AAA,
        tls=_tls(shared, settings.identity, settings),
        eap_fragment_size=settings.eap_fragment_size,
        binding_lifetime=settings.binding_lifetime,
        launch=settings.launch,
        work=str(run / "configuration"),
        keys=keys,
        ike=settings.ike,
    )
    return [
        _role(c, "home_network", home_network),
        _role(b, "access_router", access_router),
        _role(a, "mobile_node", mobile_node),
    ]


def _role(host: str, program: str, configuration: Any) -> Role:
    return Role(host, f"{_PROGRAMS}.{program}", msgspec.to_builtins(configuration))
