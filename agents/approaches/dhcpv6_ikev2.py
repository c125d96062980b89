"""The IETF's integrated scenario (RFC 6611): the AAAH gives the HA to the NAS, DHCPv6 to the MN."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from agents.approaches import Program
from agents.approaches.cast import HOME_REALM, VISITED_HOME_AGENT_ADDRESS
from agents.approaches.pana_ikev2 import Settings as IkeV2Settings
from agents.approaches.pana_ikev2 import home
from agents.approaches.preparation import prepare
from agents.approaches.scene import KERNEL_NEEDS, Scene
from agents.daemons.kea import DhcpServerConfiguration, LocalHomeAgent
from agents.dhcpv6.wire import SERVER_PORT
from agents.nodes.access_settings import RelaySettings
from agents.nodes.mobile_node.settings import Dhcpv6Settings
from topologies.model import HostRole, Topology

NEEDS = (*KERNEL_NEEDS, "kea-dhcp6")
__all__ = ["NEEDS", "Settings", "compose", "prepare"]


class Settings(IkeV2Settings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whether the mobile node asks for a home agent at home or in the visited network.

    There is one in the visited network if `local_offered`, in the topology dhcpv6-visited. With
    `initial_delay` the client waits up to 1 s first, at random (RFC 8415 section 18.2.6).
    """

    home: Literal["home", "local"] = "home"
    initial_delay: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.local_offered and self.ike.authentication != "eap":
            raise ValueError("a home agent in the visited network knows no pre-shared keys")


def compose(settings: Settings, topology: Topology, shared: Path, run: Path) -> list[Program]:
    """Return the programs of home network, DHCPv6 server, access router and mobile node."""
    scene, offered = Scene(settings, topology, shared, run), settings.local_offered
    server = scene.address(HostRole.DHCPV6_SERVER, "service")
    dhcp = DhcpServerConfiguration(
        host=scene.host(HostRole.DHCPV6_SERVER),
        interface=scene.interface(HostRole.DHCPV6_SERVER, "service"),
        address=server,
        work=scene.work,
        local=LocalHomeAgent(address=str(VISITED_HOME_AGENT_ADDRESS)) if offered else None,
    )
    relay = RelaySettings(
        server=server,
        interface=scene.interface(HostRole.ACCESS_ROUTER, "service"),
        address=scene.address(HostRole.ACCESS_ROUTER, "service"),
        network=HOME_REALM,
    )
    discovery = Dhcpv6Settings(
        network=HOME_REALM, home=settings.home, initial_delay=settings.initial_delay
    )
    return [
        *scene.strangers(ikev2=settings.ike),
        *scene.correspondents(),
        *home(scene, settings.ike),
        scene.server(
            "dhcpv6",
            settings.roles.dhcpv6.server,
            dhcp,
            port=SERVER_PORT,
            values={"interface": dhcp.interface},
        ),
        *([scene.visited_home_agent(settings.ike)] if offered else []),
        *scene.access_network(relay=relay, local=None),
        scene.mobile_node(
            access=scene.access(mobility=False), discovery=discovery, ikev2=settings.ike
        ),
    ]
