"""What every approach has in common: the usual programs of who plays in a topology."""

from __future__ import annotations

from ipaddress import IPv6Network
from pathlib import Path
from typing import Any

import msgspec

from agents import daemons
from agents.aaa.share import WHOLE, Share
from agents.approaches import Program
from agents.approaches.cast import (
    ACCESS_ROUTER,
    HOME_AAA,
    HOME_ADDRESS,
    HOME_REALM,
    VISITED_HOME_AGENT,
    VISITED_HOME_AGENT_ADDRESS,
    VISITED_REALM,
    Cast,
    Node,
)
from agents.approaches.preparation import ANOTHER_CERTIFICATE, CRL, SECRETS, SERVER, file_name
from agents.approaches.roles import OwnDaemon
from agents.approaches.settings import ANOTHER, CommonSettings
from agents.approaches.way_home import WayHome
from agents.core.configuration import Configuration
from agents.core.documents import absent, fit
from agents.core.record import Record
from agents.daemons.command import CommandConfiguration
from agents.daemons.freeradius import EapServerConfiguration
from agents.daemons.kea import DhcpServerConfiguration
from agents.daemons.nsd import DnsServerConfiguration
from agents.diameter.config import PORT, TLS_PORT
from agents.nodes.access_router.settings import AccessRouterConfiguration, LocalHomeAgent
from agents.nodes.attacker.settings import (
    ELSEWHERE,
    AttackerConfiguration,
    AttackName,
    End,
    Known,
    Place,
)
from agents.nodes.authenticator.settings import AuthenticatorConfiguration
from agents.nodes.correspondent.settings import CorrespondentConfiguration
from agents.nodes.diameter_settings import DiameterPeer
from agents.nodes.fleet.settings import FleetConfiguration
from agents.nodes.flooder.settings import FlooderConfiguration, FloodSettings
from agents.nodes.home_agent.settings import HomeAgentConfiguration, HomeAgentSettings
from agents.nodes.home_network.settings import HomeNetworkConfiguration
from agents.nodes.ike_daemon.ikev2_settings import Ikev2Settings
from agents.nodes.ike_daemon.settings import Ikev1Settings
from agents.nodes.mobile_node.settings import (
    AccessSettings,
    Dot1xSettings,
    EapSettings,
    MobileNodeConfiguration,
    PanaSettings,
    StaticSettings,
)
from agents.nodes.pana_relay.settings import PanaRelayConfiguration
from agents.nodes.radius_settings import (
    RadiusClientSettings,
    RadiusListenerSettings,
    RadiusServerSettings,
)
from agents.nodes.rogue_router.settings import RogueConfiguration
from agents.nodes.tls import TlsSettings
from topologies.model import (
    HostRole,
    Link,
    Topology,
    autoconfigured,
    link_local_address,
    mac_address,
)

KERNEL_NEEDS = ("veth", "xfrm_user", "esp6", "mip6", "ip6_tunnel", "rpfilter", "policy_routing")

_LOOPBACK = "::1"

_ATTACKERS: dict[Place, tuple[HostRole, str]] = {
    "access": (HostRole.ACCESS_STRANGER, "access"),
    "core": (HostRole.CORE_STRANGER, "core"),
    "home": (HostRole.HOME_STRANGER, "home"),
    "router": (HostRole.ACCESS_ROUTER, "core"),
}
"""Where attackers are: the host, and its link."""


class Scene(Record, frozen=True):
    """The hosts of one run, and the usual configurations of what runs in them.

    The keyword arguments of its methods add to a configuration or replace parts of it. With
    `dhaad` home agents tell who asks on their home link.
    """

    settings: CommonSettings
    topology: Topology
    shared: Path
    run: Path
    dhaad: bool = False

    @property
    def cast(self) -> Cast:
        """Who plays."""
        return Cast(self.topology)

    def host(self, role: HostRole) -> str:
        """Return the name of the host with this role; KeyError if there is none."""
        return self.topology.host(role)

    def address(self, role: HostRole, link: str) -> str:
        """Return the address of a role's host on a link."""
        return str(self.topology.end(self.host(role), link).address)

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
            crl=str(pki / CRL) if self.settings.crl != "none" else None,
            version=self.settings.tls_version,
        )

    def _diameter_tls(self, name: str) -> TlsSettings | None:
        return self.certificate(name) if self.settings.diameter_tls else None

    def _home_peers(self) -> tuple[DiameterPeer, ...]:
        """Return the home AAA servers as others ask them, the first one rather than the second."""
        port = TLS_PORT if self.settings.diameter_tls else PORT
        return tuple(
            DiameterPeer(
                host=server.name, realm=HOME_REALM, address=self._core_address(server), port=port
            )
            for server in self.cast.home_aaas
        )

    @property
    def _speaks_radius(self) -> bool:
        return self.settings.roles.aaa.protocol == "radius"

    def _radius_secret(self, name: str) -> str:
        return str(self.shared / SECRETS / name)

    def _radius_server(self, router: Node) -> RadiusServerSettings | None:
        """Return the home AAA server as an access router asks it, if that is by RADIUS."""
        if not self._speaks_radius:
            return None
        if self.settings.diameter_tls and not self.cast.is_home_aaa_apart:
            raise ValueError(
                "diameter_tls: with roles.aaa.protocol = 'radius' nobody speaks Diameter here, and"
                " RADIUS has no TLS; leave it out, or use 'diameter'"
            )
        if len(self.cast.home_aaas) > 1:
            raise ValueError(
                "roles.aaa.protocol: an access router has one RADIUS server, and topology "
                f"{self.topology.name} has several home AAA servers; use 'diameter'"
            )
        return RadiusServerSettings(
            address=self._core_address(self.cast.home_aaa),
            source=self._core_address(router),
            secret_file=self._radius_secret(router.name),
        )

    def _radius_listener(self) -> RadiusListenerSettings | None:
        if not self._speaks_radius:
            return None
        clients = [
            RadiusClientSettings(
                name=router.name,
                address=self._core_address(router),
                secret_file=self._radius_secret(router.name),
            )
            for router in self.cast.access_routers
        ]
        return RadiusListenerSettings(
            address=self._core_address(self.cast.home_aaa), clients=tuple(clients)
        )

    @property
    def _has_eap_server(self) -> bool:
        return self.settings.roles.aaa.server == "freeradius"

    def _eap_server_settings(self) -> RadiusServerSettings | None:
        if not self._has_eap_server:
            return None
        secret_file = self._radius_secret(HOME_AAA)
        return RadiusServerSettings(address=_LOOPBACK, source=_LOOPBACK, secret_file=secret_file)

    @property
    def _way_home(self) -> WayHome:
        """How access routers reach the home AAA servers."""
        routers = tuple((router, self._core_address(router)) for router in self.cast.access_routers)
        return WayHome(roles=self.settings.roles.aaa, routers=routers, home=self._home_peers())

    def _between(self) -> list[Program]:
        """Return the program of who is between access routers and home AAA servers."""
        way = self._way_home
        found = way.program(
            tls=self._diameter_tls(way.agent) if way.has_agent else None,
            watchdog=self.settings.diameter_watchdog,
            work=self.work,
        )
        return [program(*found)] if found else []

    @property
    def _guarded(self) -> str:
        """The link on which the access router hears mobile nodes, maybe behind another router."""
        return self.cast.access_routers[0].link

    def _access_prefix(self, router: Node) -> IPv6Network:
        """Return the smallest prefix of all that an access router hears on its link."""
        prefix = self.cast.address(router).network
        if router.link != "backhaul":
            return prefix
        for end in self.topology.link("access").ends:
            while end.advertise and not end.advertise.subnet_of(prefix):
                prefix = prefix.supernet()
        return prefix

    def access_network(
        self,
        *,
        ikev1: Ikev1Settings | None = None,
        ikev2: Ikev2Settings | None = None,
        **changes: Any,
    ) -> list[Program]:
        """Return the access routers' programs, and where there are any those of relays.

        A home agent of theirs is to negotiate as the mobile node does.
        """
        between = self._between()
        if "local" not in changes and not self.by_dot1x:
            changes["local"] = self._local_home_agent(ikev1, ikev2)
        if self.by_dot1x:
            routers = self.cast.access_routers
            return [*between, *(self._authenticator(router, **changes) for router in routers)]
        if not self.topology.has(HostRole.PANA_RELAY):
            routers = self.cast.access_routers
            return [*between, *(self._access_router(router, **changes) for router in routers)]
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
        (here,) = self.cast.access_routers
        router = self._access_router(here, pana_relays=(relay.address,), **changes)
        return [*between, program("nodes.pana_relay.main", relay), router]

    def _check_dot1x(self, changes: dict[str, Any]) -> None:
        """Refuse what is PANA's alone; raises ValueError."""
        settings = self.settings
        found = {
            "many mobile nodes are one program: use a topology with one": self.topology.is_fleet,
            "a router is between mobile node and access router: use a topology without": (
                self._guarded != "access"
            ),
            "IKE begins early by what PANA brings: use another approach, as dot1x-dhcpv6-ikev2": (
                changes.get("early", False)
            ),
            "a home agent of the visited network is told by PANA: leave out local_offered": (
                settings.local_offered and "local" not in changes
            ),
            "who accounts counts by address: leave out accounting": settings.accounting,
            "who attacks speaks PANA: leave out attack, flood and rogue": any(
                (settings.attack, settings.flood, settings.rogue)
            ),
        }
        for why, so in found.items():
            if so:
                raise ValueError(f"roles.access.protocol = '802.1x': {why}")

    @property
    def by_dot1x(self) -> bool:
        """Whether mobile nodes get access by IEEE 802.1X."""
        return self.settings.roles.access.protocol == "802.1x"

    def _access(self, router: Node) -> dict[str, Any]:
        """Return what an access router's configuration has, however it grants access."""
        return {
            "host": router.host,
            "access_interface": self.topology.interface_name(router.host, router.link),
            "access_prefix": str(self._access_prefix(router)),
            "address": str(self.cast.address(router).ip),
            "session_lifetime": self.settings.session_lifetime,
            "diameter_identity": router.name,
            "diameter_realm": VISITED_REALM,
            "diameter_tls": self._diameter_tls(router.name),
            "diameter_watchdog": self.settings.diameter_watchdog,
            "keys": self.keys,
            **self._way_home.of_router(),
            "aaa_timeout": self.settings.crowd.aaa_timeout,
            "radius": self._radius_server(router),
        }

    def _authenticator(self, router: Node, **changes: Any) -> Program:
        """Return the program of an access router that is an authenticator."""
        self._check_dot1x(changes)
        usual = self._access(router) | {
            "reauth_at": self.settings.reauth_at,
            "mobility": self.settings.mobility_offered and self.settings.mobility_wanted,
            "work": self.work,
            "relay": changes.get("relay"),
        }
        return program("nodes.authenticator.main", AuthenticatorConfiguration(**usual))

    def _access_router(self, router: Node, **changes: Any) -> Program:
        """Return an access router's program: PAA, enforcement point and AAA client."""
        usual = self._access(router) | {
            "dialect": self.settings.dialect,
            "start": self.settings.pana_start,
            "encryption": self.settings.pana_encryption,
            "mobility": self.settings.mobility_offered,
            # Half-way from the mobile node's turn to the end.
            "reauth_at": self.settings.reauth_at and (1 + self.settings.reauth_at) / 2,
            "crowd": self.settings.crowd,
            "accounting": self.settings.accounting,
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

    def _local_home_agent(
        self, ikev1: Ikev1Settings | None, ikev2: Ikev2Settings | None
    ) -> LocalHomeAgent | None:
        if not self.settings.local_offered:
            return None
        if ikev2 and ikev2.authentication == "eap":
            raise ValueError(
                "local_offered: the home agent on the access router has pre-shared keys, and IKEv2 "
                "here EAP; use ike.authentication = 'psk', or dhcpv6-ikev2 in the topology "
                "dhcpv6-visited, whose local home agent has EAP"
            )
        home_agent = self._home_agent_on("visited", HostRole.ACCESS_ROUTER)
        return LocalHomeAgent(
            home_agent=home_agent, home_address=_home_address(home_agent), ikev1=ikev1, ikev2=ikev2
        )

    def home_agent_settings(self) -> HomeAgentSettings:
        """Return the home agent beside the home AAA server; ValueError if they are apart."""
        (agent, *_), aaa = self.cast.home_agents, self.cast.home_aaa
        if agent.host != aaa.host:
            raise ValueError(
                f"the home agents of topology {self.topology.name} are not beside the home AAA "
                "server, from which this approach has their keys; use an approach with EAP in IKE"
            )
        return self._settings_of(agent)

    def _home_agent_on(self, link: str, role: HostRole) -> HomeAgentSettings:
        return self._settings_of(Node("", self.host(role), link))

    def _settings_of(self, agent: Node) -> HomeAgentSettings:
        address = self.cast.address(agent)
        return HomeAgentSettings(
            address=str(address.ip),
            interface=self.topology.interface_name(agent.host, agent.link),
            prefix=str(address.network),
            duplicate_address_detection=self.settings.duplicate_address_detection,
            discovery=self.dhaad,
        )

    def _core_address(self, node: Node) -> str:
        return str(self.topology.end(node.host, "core").address)

    def home_network(self, **changes: Any) -> list[Program]:
        """Return the home network's programs: each home AAA server, and a configured home agent.

        Before one comes what authenticates in its place, if that is so.
        """
        agents = self.cast.home_agents_by_name
        for name in self.settings.home_agents:
            if name not in agents:
                missing = absent(f"home agent {name!r}", name, agents)
                raise ValueError(f"settings.home_agents: {missing}")
        servers = self.cast.home_aaas
        shares = [Share(number, len(servers)) for number, _ in enumerate(servers, 1)]
        return [
            program
            for server, share in zip(servers, shares, strict=True)
            for program in self._home_aaa(server, share, **changes)
        ]

    def _home_aaa(self, aaa: Node, share: Share, **changes: Any) -> list[Program]:
        """Return one server's programs, with a list of leases of its own."""
        cast, core = self.cast, self._core_address(aaa)
        leases = "leases.sqlite" if share == WHOLE else f"leases-{aaa.host}.sqlite"
        home_agents = [
            *((agent.name, HOME_REALM, self._core_address(agent)) for agent in cast.home_agents),
            (VISITED_HOME_AGENT, VISITED_REALM, str(VISITED_HOME_AGENT_ADDRESS)),
        ]
        usual: dict[str, Any] = {
            "host": aaa.host,
            "diameter_identity": aaa.name,
            "diameter_realm": HOME_REALM,
            "diameter_address": core,
            "diameter_port": TLS_PORT if self.settings.diameter_tls else PORT,
            "diameter_tls": self._diameter_tls(aaa.name),
            "diameter_peers": (
                *self._way_home.askers(),
                *(DiameterPeer(host=h, realm=r, sources=(source,)) for h, r, source in home_agents),
            ),
            "subscribers": str(self.shared / "subscribers.toml"),
            "leases": str(self.run / "configuration" / leases),
            "share": share,
            "tls": self.certificate(SERVER),
            "work": self.work,
            "ike_daemon": self.settings.roles.ike.responder,
            "eap_fragment_size": self.settings.eap_fragment_size,
            "session_lifetime": self.settings.session_lifetime,
            "psk_source": self.settings.psk_source,
            "protection": self.settings.protection,
            "diameter_watchdog": self.settings.diameter_watchdog,
            "selection": self.settings.selection,
            "radius": self._radius_listener(),
            "eap_server": self._eap_server_settings(),
            "accounting": self.settings.accounting,
            "interim_interval": self.settings.interim_interval,
        }
        home = HomeNetworkConfiguration(**(usual | changes))
        return [*self._eap_server(aaa), program("nodes.home_network.main", home)]

    def _eap_server(self, aaa: Node) -> list[Program]:
        if not self._has_eap_server:
            return []
        secret_file = self._radius_secret(HOME_AAA)
        configuration = EapServerConfiguration(
            host=aaa.host,
            address=_LOOPBACK,
            client=RadiusClientSettings(name=HOME_AAA, address=_LOOPBACK, secret_file=secret_file),
            tls=self.certificate(SERVER),
            work=self.work,
            eap_fragment_size=self.settings.eap_fragment_size,
        )
        return [program("daemons.freeradius", configuration)]

    def home(
        self,
        *,
        ikev1: Ikev1Settings | None = None,
        ikev2: Ikev2Settings | None = None,
        **changes: Any,
    ) -> list[Program]:
        """Return the home network's programs where IKE's keys come from the home AAA server.

        A home agent beside it is a part of it; those apart ask for the keys.
        """
        if self.cast.is_home_aaa_apart:
            if changes.pop("launch", "resident") != "resident":
                raise ValueError("no script starts IKE at a home agent apart from the AAA server")
            return [*self.home_network(**changes), *self.home_agents(ikev1=ikev1, ikev2=ikev2)]
        here = self.home_agent_settings()
        return self.home_network(home_agent=here, ikev1=ikev1, ikev2=ikev2, **changes)

    def home_agents(
        self, *, ikev1: Ikev1Settings | None = None, ikev2: Ikev2Settings | None = None
    ) -> list[Program]:
        """Return the home agents as programs of their own, beside the home AAA server or apart."""
        if self.settings.roles.ike.responder != "agent":
            raise ValueError(
                "roles.ike.responder: strongSwan must be given each key ahead of need; a home agent"
                " that asks the home AAA server, for keys or by EAP, has the agents' IKE. Use"
                " pana-ikev1 or static in the topology paper, or ike.authentication = 'psk' there"
            )
        return [
            program(
                "nodes.home_agent.main",
                HomeAgentConfiguration(
                    host=agent.host,
                    home_agent=self._settings_of(agent),
                    **self._as_client(agent.name, HOME_REALM, ikev1, ikev2),
                ),
            )
            for agent in self.cast.home_agents
        ]

    def visited_home_agent(self, ikev2: Ikev2Settings) -> Program:
        """Return a home agent with IKEv2 and EAP in the visited network, on a host of its own."""
        home_agent = self._home_agent_on("visited", HostRole.VISITED_HOME_AGENT)
        configuration = HomeAgentConfiguration(
            host=self.host(HostRole.VISITED_HOME_AGENT),
            home_agent=home_agent,
            proposed_home_address=_home_address(home_agent),
            **self._as_client(VISITED_HOME_AGENT, VISITED_REALM, None, ikev2),
        )
        return program("nodes.home_agent.main", configuration)

    def _as_client(
        self, name: str, realm: str, ikev1: Ikev1Settings | None, ikev2: Ikev2Settings | None
    ) -> dict[str, Any]:
        by_eap = ikev2 is not None and ikev2.authentication == "eap"
        home, *others = self._home_peers()
        return {
            "ikev1": ikev1,
            "ikev2": ikev2,
            "certificate": self.certificate(name) if by_eap else None,
            "diameter_watchdog": self.settings.diameter_watchdog,
            "identity": name,
            "diameter_identity": name,
            "diameter_realm": realm,
            "diameter_tls": self._diameter_tls(name),
            "home": home,
            "peers": others,
            "crowd": self.settings.crowd,
            "aaa_timeout": self.settings.crowd.aaa_timeout,
            "accounting": self.settings.accounting,
        }

    def strangers(
        self, *, ikev1: Ikev1Settings | None = None, ikev2: Ikev2Settings | None = None
    ) -> list[Program]:
        """Return who attacks, if anybody does: strangers of the topology `attacked`.

        PANA is flooded from the access link, all else from the core link. Where IKE is, it is to
        negotiate as the home agent does.
        """
        found = []
        if self.settings.attack:
            found.append(self._attacker(self.settings.attack, ikev1, ikev2))
        if self.settings.flood:
            found.append(self._flooder(self.settings.flood, ikev1, ikev2))
        return found

    def _attacker(
        self, attack: AttackName, ikev1: Ikev1Settings | None, ikev2: Ikev2Settings | None
    ) -> Program:
        """Return the attacker's program; it has another subscriber's credentials."""
        role, name = _ATTACKERS[ELSEWHERE.get(attack, "access")]
        host, link = self.host(role), self.topology.link(name)
        own = [end.host for end in link.ends].index(host)
        near, far, here = (self._end(link, number) for number in (0, 1, own))
        credentials = self.certificate(ANOTHER_CERTIFICATE)
        subscriber = None
        if name == "access":
            subscriber = self._mobile_node(
                Node(ANOTHER, host, name),
                access=self.pana(),
                ikev1=ikev1,
                ikev2=ikev2,
                keys=None,
                eap=EapSettings(identity=ANOTHER, server_name=HOME_AAA, tls=credentials),
            )
        known = Known(
            own=here,
            near=near,
            far=far,
            identity=self.settings.identity,
            home_address=str(HOME_ADDRESS),
            home_agent=self.home_agent_settings().address,
            core_address=self.address(HostRole.HOME_NETWORK, "core"),
            server_name=HOME_AAA,
            router_name=ACCESS_ROUTER,
            router_realm=VISITED_REALM,
            correspondent=self._correspondent_addresses[0],
            own_identity=ANOTHER,
            tls=credentials,
        )
        configuration = AttackerConfiguration(
            host=host,
            attack=attack,
            interface=self.topology.interface_name(host, name),
            known=known,
            subscriber=subscriber,
        )
        return program("nodes.attacker.main", configuration)

    def _end(self, link: Link, number: int) -> End:
        """Return a host on a link by its addresses; autoconfigured ones are by their MAC's."""
        end = link.ends[number]
        mac = mac_address(self.topology, link, number)
        if end.addresses:
            return End(str(end.address), mac)
        prefix = next(one.advertise for one in link.ends if one.advertise)
        local = link_local_address(self.topology, link, end.host)
        return End(str(autoconfigured(prefix, local)), mac)

    def _flooder(
        self, flood: FloodSettings, ikev1: Ikev1Settings | None, ikev2: Ikev2Settings | None
    ) -> Program:
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
            false_prefix=str(self._access_prefix(self.cast.access_routers[0])),
            diameter_identity=ACCESS_ROUTER,
            diameter_realm=VISITED_REALM,
            dialect=self.settings.dialect,
            ikev1=ikev1 or Ikev1Settings(),
            ikev2=ikev2 or Ikev2Settings(),
        )
        return program("nodes.flooder.main", configuration)

    def server(
        self,
        role: str,
        wanted: str | OwnDaemon,
        configuration: DhcpServerConfiguration | DnsServerConfiguration,
        *,
        port: int,
        values: dict[str, str],
    ) -> Program:
        """Return a server's program: the usual daemon's, another's, or a command of one's own."""
        if wanted == daemons.USUAL[role]:
            return program(f"daemons.{wanted}", configuration)
        if isinstance(wanted, str):
            return program(daemons.load(role, wanted).__name__, configuration)
        address = str(configuration.address)
        own = CommandConfiguration(
            host=configuration.host,
            work=self.work,
            command=tuple(wanted.command),
            files=wanted.files,
            values={"address": address, **values},
            address=address,
            port=port,
        )
        return program("daemons.command", own)

    def access(self, *, mobility: bool = True) -> AccessSettings:
        """Return the mobile node's network access."""
        return Dot1xSettings() if self.by_dot1x else self.pana(mobility=mobility)

    @property
    def _correspondent_addresses(self) -> list[str]:
        hosts = self.topology.hosts_with(HostRole.CORRESPONDENT_NODE)
        return [str(self.topology.at(host)[0][1].address) for host in hosts]

    def correspondents(self) -> list[Program]:
        """Return the correspondent nodes' programs, if they take part in route optimisation."""
        if not self.settings.route_optimisation:
            return []
        hosts = self.topology.hosts_with(HostRole.CORRESPONDENT_NODE)
        return [
            program(
                "nodes.correspondent.main",
                CorrespondentConfiguration(host=host, address=address),
            )
            for host, address in zip(hosts, self._correspondent_addresses, strict=True)
        ]

    def pana(self, *, mobility: bool = True) -> PanaSettings:
        """Return the mobile node's network access by PANA; a relay is the PAA to it."""
        paa = str(self.cast.address(self.cast.access_routers[0]).ip)
        if self.topology.has(HostRole.PANA_RELAY):
            paa = self.address(HostRole.PANA_RELAY, "access")
        return PanaSettings(
            paa=paa,
            dialect=self.settings.dialect,
            encryption=self.settings.pana_encryption,
            mobility=mobility and self.settings.mobility_wanted,
            wish=self.settings.wish,
            liveness=self.settings.pana_liveness,
            reauth_at=self.settings.reauth_at,
        )

    def mobile_node(self, **changes: Any) -> Program:
        """Return the program of the mobile node, or of all of a fleet."""
        if self._way_home.has_agent and "access" not in changes:
            raise ValueError(
                "roles.aaa.relay: with this approach no access router asks the home AAA server; "
                "leave it out, or use an approach with PANA"
            )
        if self.by_dot1x and "access" not in changes:
            raise ValueError(
                "roles.access.protocol = '802.1x': with this approach access is free; leave it"
                " out, or use dot1x-dhcpv6-ikev2"
            )
        nodes = self.cast.mobile_nodes(self.settings.identity)
        if not self.topology.is_fleet:
            return program("nodes.mobile_node.main", self._mobile_node(nodes[0], **changes))
        if self.settings.roles.ike.initiator != "agent":
            raise ValueError(
                "roles.ike.initiator: many mobile nodes are one program, with the agents' IKE"
            )
        routers = {router.link: router for router in self.cast.access_routers}
        access: AccessSettings | None = changes.get("access")
        fleet = []
        for node in nodes:
            if isinstance(access, PanaSettings):
                paa = str(self.cast.address(routers[node.link]).ip)
                changes["access"] = msgspec.structs.replace(access, paa=paa)
            fleet.append(self._mobile_node(node, **changes))
        configuration = FleetConfiguration(host=nodes[0].host, nodes=tuple(fleet))
        return program("nodes.fleet.main", configuration)

    def _mobile_node(self, node: Node, **changes: Any) -> MobileNodeConfiguration:
        settings = self.settings
        if self.by_dot1x and not changes.get("discovery"):
            changes["discovery"] = self._preconfigured(changes.get("ikev2"))
        usual: dict[str, Any] = {
            "host": node.host,
            "interface": self.topology.interface_name(node.host, node.link),
            "eap": EapSettings(
                identity=node.name,
                server_name=HOME_AAA,
                tls=self.certificate(file_name(node, self.cast)),
                fragment_size=settings.eap_fragment_size,
            ),
            "work": self.work,
            "keys": self.keys,
            "psk_source": settings.psk_source,
            "protection": settings.protection,
            "binding_lifetime": settings.binding_lifetime,
            "route_optimisation": settings.route_optimisation,
            "movement": bool(self.topology.roaming),
            "crowd": settings.crowd,
            "ike_daemon": settings.roles.ike.initiator,
        }
        return MobileNodeConfiguration(**(usual | changes))

    def _preconfigured(self, ikev2: Ikev2Settings | None) -> StaticSettings:
        """Return the home agent of who gets none with access; IKEv2 with EAP brings the address."""
        by_eap = ikev2 is not None and ikev2.authentication == "eap"
        return StaticSettings(
            home_agent=self.home_agent_settings().address,
            home_address=None if by_eap else str(HOME_ADDRESS),
        )


def _home_address(home_agent: HomeAgentSettings) -> str:
    """Return the home address that a home agent in the visited network proposes."""
    return str(IPv6Network(home_agent.prefix).network_address + 0x1234)


def program(module: str, configuration: Configuration) -> Program:
    """Return the program that a module is, with its configuration; ours without `agents.`.

    DocumentError for a configuration that the program would refuse.
    """
    plain = msgspec.to_builtins(configuration)
    fit(plain, type(configuration))
    own = module.startswith(("daemons.", "nodes."))
    path = f"agents.{module}" if own else module
    return Program(configuration.host, path, plain, configuration.commands)
