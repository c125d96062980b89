"""The paper's approach as proposed: PANA delivers the HA; IKEv2 the HoA, with EAP once more."""

from __future__ import annotations

from pathlib import Path

from agents.approaches import Program
from agents.approaches.cast import VISITED_HOME_AGENT
from agents.approaches.preparation import prepare
from agents.approaches.scene import KERNEL_NEEDS, Scene
from agents.approaches.settings import CommonSettings
from agents.nodes.ike_daemon.ikev2_settings import Ikev2Settings
from topologies.model import Topology

NEEDS = KERNEL_NEEDS
__all__ = ["NEEDS", "Settings", "compose", "prepare"]


class Settings(CommonSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How IKEv2 negotiates; with `authentication` "psk" its key comes from PANA's EAP."""

    ike: Ikev2Settings = Ikev2Settings()


def compose(settings: Settings, topology: Topology, shared: Path, run: Path) -> list[Program]:
    """Return the programs of home network, access router and mobile node."""
    scene = Scene(settings, topology, shared, run)
    return [
        *scene.strangers(ikev2=settings.ike),
        *scene.correspondents(),
        *home(scene, settings.ike),
        *scene.access_network(ikev2=settings.ike),
        scene.mobile_node(access=scene.access(), ikev2=settings.ike),
    ]


def home(scene: Scene, ike: Ikev2Settings) -> list[Program]:
    """Return the home network's programs: with EAP, the home agent asks the AAA server."""
    if ike.authentication == "eap":
        ask = (*(agent.name for agent in scene.cast.home_agents), VISITED_HOME_AGENT)
        return [*scene.home_network(diameter_home_agents=ask), *scene.home_agents(ikev2=ike)]
    return scene.home(ikev2=ike)
