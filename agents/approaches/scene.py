"""What every approach has in common: identities, certificates, subscribers, usual programs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from typing import Any

import msgspec
import tomli_w

from agents.approaches import Program
from agents.approaches.settings import CommonSettings
from agents.core.configuration import Configuration
from agents.core.documents import fit
from agents.core.record import Record
from agents.diameter.config import PORT, TLS_PORT
from agents.eap import ca
from agents.nodes.access_router.settings import AccessRouterConfiguration, LocalHomeAgent
from agents.nodes.diameter_settings import DiameterPeer
from agents.nodes.flooder.settings import FlooderConfiguration
from agents.nodes.home_agent.settings import HomeAgentConfiguration, HomeAgentSettings
from agents.nodes.home_network.settings import HomeNetworkConfiguration
from agents.nodes.ike_daemon.ikev2_settings import Ikev2Settings
from agents.nodes.ike_daemon.settings import Ikev1Settings
from agents.nodes.mobile_node.settings import (
    EapSettings,
    MobileNodeConfiguration,
    PanaSettings,
)
from agents.nodes.pana_relay.settings import PanaRelayConfiguration
from agents.nodes.rogue_router.settings import RogueConfiguration
from agents.nodes.tls import TlsSettings
from topologies.model import HostRole, Topology

KERNEL_NEEDS = ("veth", "xfrm_user", "esp6", "mip6", "ip6_tunnel", "rpfilter", "policy_routing")
HOME_REALM, VISITED_REALM = "home.test", "visited.test"
HOME_AAA, HOME_AGENT, ACCESS_ROUTER = "aaa.home.test", "ha.home.test", "ar.visited.test"
HOME_AGENT_ADDRESS = IPv6Address("2001:db8:100::1")
VISITED_HOME_AGENT = "ha.visited.test"
VISITED_HOME_AGENT_ADDRESS = IPv6Address("2001:db8:200::2")
HOME_ADDRESS = IPv6Address("2001:db8:100::1234")
_SERVER, _CLIENT = "server", "mobile-node"
"""The file names of the certificates for EAP-TLS, which hold whatever the identity is."""


def _make_certificates(folder: Path, settings: CommonSettings) -> None:
    made = ca.create(folder, (), server=HOME_AAA, key_type=settings.key_type)
    authority = ca.CertificateAuthority(ca.Identity.read(ca.Files(made.ca, folder / "ca.key")))
    for name in (HOME_AAA, ACCESS_ROUTER):
        authority.issue_server(name, client=True).write(folder, name)
    # A mobile node may know no more of its home agent than the address.
    for name, address in (
        (HOME_AGENT, HOME_AGENT_ADDRESS),
        (VISITED_HOME_AGENT, VISITED_HOME_AGENT_ADDRESS),
    ):
        authority.issue_server(name, addresses=[address], client=True).write(folder, name)
    issuer, validity = authority, None
    if settings.credential == "expired":
        yesterday = datetime.now(UTC) - timedelta(days=1)
        validity = ca.Validity(yesterday - timedelta(days=30), yesterday)
    elif settings.credential == "other-ca":
        issuer = ca.CertificateAuthority.generate("another CA", settings.key_type)
    issuer.issue_client(settings.identity, validity=validity).write(folder, _CLIENT)


def prepare(folder: Path, settings: CommonSettings) -> None:
    """Make the certificates and the list of subscribers."""
    _make_certificates(folder / "pki", settings)
    subscriber = {
        "identity": settings.identity,
        "mobility": settings.mobility_subscribed,
        "home_agent": "ha1",
        "home_address": str(HOME_ADDRESS),
        "local_home_agent": settings.local_allowed,
        "prefer": settings.prefer,
    }
    document = {
        "home_agents": [
            {"name": "ha1", "address": str(HOME_AGENT_ADDRESS), "prefix": "2001:db8:100::/64"}
        ],
        "subscribers": [subscriber] if settings.subscribed else [],
    }
    (folder / "subscribers.toml").write_text(tomli_w.dumps(document), encoding="utf-8")


class Scene(Record, frozen=True):
    """The hosts of one run, and the usual configurations of what runs in them.

    The keyword arguments of its methods add to a configuration or replace parts of it.
    """

    settings: CommonSettings
    topology: Topology
    shared: Path
    run: Path

    def host(self, role: HostRole) -> str:
        """Return the name of the host with this role; KeyError if there is none."""
        return self.topology.host(role)

    def address(self, role: HostRole, link: str) -> str:
        """Return the address of a role's host on a link."""
        return str(self.topology.link(link).end(self.host(role)).address)

    def interface(self, role: HostRole, link: str) -> str:
        """Return the interface of a role's host on a link."""
        return self.topology.interface_name(self.host(role), link)

    @property
    def work(self) -> str:
        """The folder for what the programs write in a run."""
        return str(self.run / "configuration")

    @property
    def keys(self) -> str:
        """The folder for keys for Wireshark."""
        return str(self.run / "keys")

    def certificate(self, name: str) -> TlsSettings:
        """Return the files of a certificate of this variant."""
        pki = self.shared / "pki"
        return TlsSettings(
            ca=str(pki / "ca.pem"),
            certificate=str(pki / f"{name}.pem"),
            key=str(pki / f"{name}.key"),
            version=self.settings.tls_version,
        )

    def _diameter_tls(self, name: str) -> TlsSettings | None:
        return self.certificate(name) if self.settings.diameter_tls else None

    def _home_peer(self) -> DiameterPeer:
        return DiameterPeer(
            host=HOME_AAA,
            realm=HOME_REALM,
            address=self.address(HostRole.HOME_NETWORK, "core"),
            port=TLS_PORT if self.settings.diameter_tls else PORT,
        )

    @property
    def _guarded(self) -> str:
        """The link on which the access router hears mobile nodes, maybe behind another router."""
        ends = {end.host for end in self.topology.link("access").ends}
        return "access" if self.host(HostRole.ACCESS_ROUTER) in ends else "backhaul"

    def _access_prefix(self) -> IPv6Network:
        """Return the smallest prefix of all that the access router hears on that link."""
        router = self.topology.link(self._guarded).end(self.host(HostRole.ACCESS_ROUTER))
        prefix = router.addresses[0].network
        for end in self.topology.link("access").ends:
            while end.advertise and not end.advertise.subnet_of(prefix):
                prefix = prefix.supernet()
        return prefix

    def access_network(self, **changes: Any) -> list[Program]:
        """Return the access router's program and, where there is one, the PANA relay's."""
        if not self.topology.has(HostRole.PANA_RELAY):
            return [self._access_router(**changes)]
        if self.settings.dialect != "rfc5191":
            raise ValueError("a PANA relay needs dialect = 'rfc5191': RFC 6345 belongs to that")
        relay = PanaRelayConfiguration(
            host=self.host(HostRole.PANA_RELAY),
            access_interface=self.interface(HostRole.PANA_RELAY, "access"),
            access_address=self.address(HostRole.PANA_RELAY, "access"),
            interface=self.interface(HostRole.PANA_RELAY, self._guarded),
            address=self.address(HostRole.PANA_RELAY, self._guarded),
            paa=self.address(HostRole.ACCESS_ROUTER, self._guarded),
        )
        router = self._access_router(pana_relays=(relay.address,), **changes)
        return [program("nodes.pana_relay.main", relay), router]

    def _access_router(self, **changes: Any) -> Program:
        """Return the access router's program: PAA, enforcement point and AAA client."""
        usual: dict[str, Any] = {
            "host": self.host(HostRole.ACCESS_ROUTER),
            "access_interface": self.interface(HostRole.ACCESS_ROUTER, self._guarded),
            "access_prefix": str(self._access_prefix()),
            "address": self.address(HostRole.ACCESS_ROUTER, self._guarded),
            "dialect": self.settings.dialect,
            "start": self.settings.pana_start,
            "encryption": self.settings.pana_encryption,
            "mobility": self.settings.mobility_offered,
            "session_lifetime": self.settings.session_lifetime,
            # Half-way from the mobile node's turn to the end.
            "reauth_at": self.settings.reauth_at and (1 + self.settings.reauth_at) / 2,
            "diameter_identity": ACCESS_ROUTER,
            "diameter_realm": VISITED_REALM,
            "diameter_tls": self._diameter_tls(ACCESS_ROUTER),
            "keys": self.keys,
            "home": self._home_peer(),
            "local": self._local_home_agent(),
        }
        if self.settings.rogue is None:
            return program(
                "nodes.access_router.main", AccessRouterConfiguration(**(usual | changes))
            )
        rogue: dict[str, Any] = {
            "attack": self.settings.rogue,
            "identity": self.settings.identity,
            "own_address": self.address(HostRole.ACCESS_ROUTER, "core"),
            "interface": self.interface(HostRole.ACCESS_ROUTER, "core"),
            "home_prefix": self.home_agent_settings().prefix,
            # Only aggressive mode lets it use its own address: the key goes by identity.
            "ikev1": Ikev1Settings(
                mode="aggressive" if self.settings.rogue == "impersonate" else "main"
            ),
        }
        return program("nodes.rogue_router.main", RogueConfiguration(**(usual | changes | rogue)))

    def _local_home_agent(self) -> LocalHomeAgent | None:
        if not self.settings.local_offered:
            return None
        home_agent = self._home_agent_on("visited", HostRole.ACCESS_ROUTER)
        return LocalHomeAgent(home_agent=home_agent, home_address=_home_address(home_agent))

    def home_agent_settings(self) -> HomeAgentSettings:
        """Return the home agent of the home network."""
        return self._home_agent_on("home", HostRole.HOME_NETWORK)

    def _home_agent_on(self, link: str, role: HostRole) -> HomeAgentSettings:
        end = self.topology.link(link).end(self.host(role))
        return HomeAgentSettings(
            address=str(end.address),
            interface=self.interface(role, link),
            prefix=str(end.addresses[0].network),
            duplicate_address_detection=self.settings.duplicate_address_detection,
        )

    def home_network(self, **changes: Any) -> Program:
        """Return the home network's program: the home AAA server, and a configured home agent."""
        core = self.address(HostRole.HOME_NETWORK, "core")
        peers = [
            (ACCESS_ROUTER, VISITED_REALM, self.address(HostRole.ACCESS_ROUTER, "core")),
            (HOME_AGENT, HOME_REALM, core),  # On the same host.
            (VISITED_HOME_AGENT, VISITED_REALM, str(VISITED_HOME_AGENT_ADDRESS)),
        ]
        usual: dict[str, Any] = {
            "host": self.host(HostRole.HOME_NETWORK),
            "diameter_identity": HOME_AAA,
            "diameter_realm": HOME_REALM,
            "diameter_address": core,
            "diameter_port": TLS_PORT if self.settings.diameter_tls else PORT,
            "diameter_tls": self._diameter_tls(HOME_AAA),
            "diameter_peers": tuple(
                DiameterPeer(host=h, realm=r, sources=(source,)) for h, r, source in peers
            ),
            "subscribers": str(self.shared / "subscribers.toml"),
            "leases": str(self.run / "configuration" / "leases.sqlite"),
            "tls": self.certificate(_SERVER),
            "work": self.work,
            "eap_fragment_size": self.settings.eap_fragment_size,
            "session_lifetime": self.settings.session_lifetime,
            "psk_source": self.settings.psk_source,
            "protection": self.settings.protection,
        }
        return program("nodes.home_network.main", HomeNetworkConfiguration(**(usual | changes)))

    def home_agent(self, ikev2: Ikev2Settings) -> Program:
        """Return a home agent with IKEv2 and EAP, beside the home AAA server."""
        configuration = HomeAgentConfiguration(
            host=self.host(HostRole.HOME_NETWORK),
            home_agent=self.home_agent_settings(),
            **self._with_eap(HOME_AGENT, HOME_REALM, ikev2),
        )
        return program("nodes.home_agent.main", configuration)

    def visited_home_agent(self, ikev2: Ikev2Settings) -> Program:
        """Return a home agent with IKEv2 and EAP in the visited network, on a host of its own."""
        home_agent = self._home_agent_on("visited", HostRole.VISITED_HOME_AGENT)
        configuration = HomeAgentConfiguration(
            host=self.host(HostRole.VISITED_HOME_AGENT),
            home_agent=home_agent,
            proposed_home_address=_home_address(home_agent),
            **self._with_eap(VISITED_HOME_AGENT, VISITED_REALM, ikev2),
        )
        return program("nodes.home_agent.main", configuration)

    def _with_eap(self, name: str, realm: str, ikev2: Ikev2Settings) -> dict[str, Any]:
        return {
            "ikev2": ikev2,
            "certificate": self.certificate(name),
            "identity": name,
            "diameter_identity": name,
            "diameter_realm": realm,
            "diameter_tls": self._diameter_tls(name),
            "home": self._home_peer(),
        }

    def strangers(
        self, *, ikev1: Ikev1Settings | None = None, ikev2: Ikev2Settings | None = None
    ) -> list[Program]:
        """Return who floods a node, if anybody does: a stranger of the topology `attacked`.

        PANA is attacked from the access link, all else from the core link. Where IKE is, it is to
        negotiate as the home agent does.
        """
        flood = self.settings.flood
        if flood is None:
            return []
        stranger, link = HostRole.CORE_STRANGER, "core"
        if flood.attack.startswith("pana_"):
            stranger, link = HostRole.ACCESS_STRANGER, "access"
        targets = {
            "access": self.pana().paa,
            "core": self.home_agent_settings().address,
        }
        if flood.attack == "diameter":
            targets["core"] = self.address(HostRole.HOME_NETWORK, "core")
        configuration = FlooderConfiguration(
            host=self.host(stranger),
            flood=flood,
            target=targets[link],
            address=self.address(stranger, link),
            interface=self.interface(stranger, link),
            identity=self.settings.identity,
            home_address=str(HOME_ADDRESS),
            home_prefix=self.home_agent_settings().prefix,
            diameter_identity=ACCESS_ROUTER,
            diameter_realm=VISITED_REALM,
            dialect=self.settings.dialect,
            ikev1=ikev1 or Ikev1Settings(),
            ikev2=ikev2 or Ikev2Settings(),
        )
        return [program("nodes.flooder.main", configuration)]

    def pana(self, *, mobility: bool = True) -> PanaSettings:
        """Return the mobile node's network access by PANA; a relay is the PAA to it."""
        paa = self.address(HostRole.ACCESS_ROUTER, self._guarded)
        if self.topology.has(HostRole.PANA_RELAY):
            paa = self.address(HostRole.PANA_RELAY, "access")
        return PanaSettings(
            paa=paa,
            dialect=self.settings.dialect,
            encryption=self.settings.pana_encryption,
            mobility=mobility and self.settings.mobility_wanted,
            wish=self.settings.wish,
            reauth_at=self.settings.reauth_at,
        )

    def mobile_node(self, **changes: Any) -> Program:
        """Return the mobile node's program."""
        settings = self.settings
        usual: dict[str, Any] = {
            "host": self.host(HostRole.MOBILE_NODE),
            "interface": self.interface(HostRole.MOBILE_NODE, "access"),
            "eap": EapSettings(
                identity=settings.identity,
                server_name=HOME_AAA,
                tls=self.certificate(_CLIENT),
                fragment_size=settings.eap_fragment_size,
            ),
            "work": self.work,
            "keys": self.keys,
            "psk_source": settings.psk_source,
            "protection": settings.protection,
            "binding_lifetime": settings.binding_lifetime,
        }
        return program("nodes.mobile_node.main", MobileNodeConfiguration(**(usual | changes)))


def _home_address(home_agent: HomeAgentSettings) -> str:
    """Return the home address that a home agent in the visited network proposes."""
    return str(IPv6Network(home_agent.prefix).network_address + 0x1234)


def program(module: str, configuration: Configuration) -> Program:
    """Return the program that a module of agents is, with its configuration.

    DocumentError for a configuration that the program would refuse.
    """
    plain = msgspec.to_builtins(configuration)
    fit(plain, type(configuration))
    return Program(configuration.host, f"agents.{module}", plain, configuration.commands)
