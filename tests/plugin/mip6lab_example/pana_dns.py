"""PANA for network access, and all the same the home agent from the DNS (RFC 5026)."""

from __future__ import annotations

from pathlib import Path

from agents.approaches import Program, dns_ikev2
from agents.approaches.cast import HOME_REALM
from agents.approaches.dns_ikev2 import NEEDS, Settings, prepare
from agents.approaches.scene import Scene
from agents.nodes.mobile_node.settings import DnsSettings
from topologies.model import Topology

__all__ = ["NEEDS", "Settings", "compose", "prepare"]


def compose(settings: Settings, topology: Topology, shared: Path, run: Path) -> list[Program]:
    """Return the programs of dns-ikev2, with an access router that asks for credentials."""
    scene = Scene(settings, topology, shared, run)
    *others, _open = dns_ikev2.compose(settings, topology, shared, run)
    lookup = DnsSettings(server=str(scene.cast.address(scene.cast.home_aaa).ip), domain=HOME_REALM)
    access = scene.access(mobility=False)
    return [
        *others,
        *scene.access_network(local=None),
        scene.mobile_node(access=access, discovery=lookup, ikev2=settings.ike),
    ]
