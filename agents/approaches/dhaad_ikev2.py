"""The classic way (RFC 6275): open access, the HA by asking the home link, IKEv2 with EAP."""

from __future__ import annotations

from pathlib import Path

from agents.approaches import Program
from agents.approaches.pana_ikev2 import Settings, home
from agents.approaches.preparation import prepare
from agents.approaches.scene import KERNEL_NEEDS, Scene
from agents.nodes.mobile_node.settings import DhaadSettings
from topologies.model import Topology

NEEDS = KERNEL_NEEDS
__all__ = ["NEEDS", "Settings", "compose", "prepare"]


def compose(settings: Settings, topology: Topology, shared: Path, run: Path) -> list[Program]:
    """Return the programs of home network and mobile node; the access router only forwards."""
    scene = Scene(settings, topology, shared, run, dhaad=True)
    first, *others = scene.cast.home_agents
    if others:
        raise ValueError(
            f"topology {topology.name} has several home agents, each on a home link of its own: a"
            " mobile node asks on the one whose prefix it knows; use a topology with one"
        )
    prefix = scene.cast.address(first).network
    return [
        *scene.strangers(ikev2=settings.ike),
        *scene.correspondents(),
        *home(scene, settings.ike),
        scene.mobile_node(discovery=DhaadSettings(prefix=str(prefix)), ikev2=settings.ike),
    ]
