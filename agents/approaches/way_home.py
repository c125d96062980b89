"""How access routers reach the home AAA servers: directly, by a relay, or as a redirect agent says.

An agent is beside an access router, the first one if there are many: it belongs to the visited
network, which trusts it.
"""

from __future__ import annotations

from typing import Any

from agents.approaches.cast import (
    DIAMETER_REDIRECT,
    DIAMETER_RELAY,
    HOME_REALM,
    VISITED_REALM,
    Node,
)
from agents.approaches.roles import AaaRoles
from agents.core.configuration import Configuration
from agents.core.record import Record
from agents.daemons.freediameter import DiameterRelayConfiguration
from agents.nodes.diameter_agent.settings import DiameterAgentConfiguration, RedirectSettings
from agents.nodes.diameter_settings import DiameterPeer, DiameterRoute
from agents.nodes.tls import TlsSettings

_CACHE_TIME = 3600
"""Seconds for which what the redirect agent says of the realm counts."""


class WayHome(Record, frozen=True, kw_only=True):
    """Who asks whom: `routers` and their addresses, `home` are the home AAA servers as peers."""

    roles: AaaRoles
    routers: tuple[tuple[Node, str], ...]
    home: tuple[DiameterPeer, ...]

    @property
    def has_agent(self) -> bool:
        """Whether there is anybody between them."""
        return self.roles.relay != "none"

    @property
    def redirects(self) -> bool:
        """Whether that says whom to ask, and relays nothing."""
        return self.roles.relay == "redirect"

    @property
    def agent(self) -> str:
        """The DiameterIdentity of who is between."""
        return DIAMETER_REDIRECT if self.redirects else DIAMETER_RELAY

    @property
    def _address(self) -> str:
        return self.routers[0][1]

    def of_router(self) -> dict[str, Any]:
        """Return whom an access router asks, in fields of its configuration."""
        if not self.has_agent:
            return {"home": self.home[0], "peers": self.home[1:]}
        agent = DiameterPeer(
            host=self.agent,
            realm=VISITED_REALM,
            address=self._address,
            port=self.home[0].port,
            **{"redirects" if self.redirects else "relays": (HOME_REALM,)},
        )
        asked: dict[str, Any] = {"home": agent, "home_realm": HOME_REALM}
        if self.redirects:
            route = DiameterRoute(realm=HOME_REALM, peers=(self.agent,))
            asked |= {"peers": self.home, "routes": (route,)}
        return asked

    def askers(self) -> list[DiameterPeer]:
        """Return who connects to a home AAA server: the access routers, or the relay for them."""
        if self.has_agent and not self.redirects:
            relays = (VISITED_REALM,)
            sources = (self._address,)
            return [
                DiameterPeer(host=self.agent, realm=VISITED_REALM, sources=sources, relays=relays)
            ]
        return self._routers()

    def _routers(self) -> list[DiameterPeer]:
        return [
            DiameterPeer(host=router.name, realm=VISITED_REALM, sources=(address,))
            for router, address in self.routers
        ]

    def program(
        self, *, tls: TlsSettings | None, watchdog: float, work: str
    ) -> tuple[str, Configuration] | None:
        """Return the module of who is between, and its configuration, None if nobody is."""
        if not self.has_agent:
            return None
        if self.roles.protocol == "radius":
            raise ValueError(
                "roles.aaa.relay: it relays Diameter, and access routers speak RADIUS; leave it "
                "out, or roles.aaa.protocol"
            )
        common: dict[str, Any] = {
            "host": self.routers[0][0].host,
            "diameter_identity": self.agent,
            "diameter_realm": VISITED_REALM,
            "address": self._address,
            "port": self.home[0].port,
            "tls": tls,
            "diameter_watchdog": watchdog,
        }
        if self.roles.relay == "freediameter":
            clients = tuple(router.name for router, _ in self.routers)
            return "daemons.freediameter", DiameterRelayConfiguration(
                clients=clients, home=self.home, work=work, **common
            )
        peers: tuple[DiameterPeer, ...] = tuple(self._routers())
        redirects: tuple[RedirectSettings, ...] = ()
        if self.redirects:
            hosts = tuple(server.host for server in self.home)
            redirects = (
                RedirectSettings(
                    realm=HOME_REALM, hosts=hosts, usage="all-realm", cache_time=_CACHE_TIME
                ),
            )
        else:
            peers += self.home
        return "nodes.diameter_agent.main", DiameterAgentConfiguration(
            peers=peers, redirects=redirects, **common
        )
