"""The split scenario (RFC 5026): open access, the HA from the DNS, IKEv2 with EAP for the HoA."""

from __future__ import annotations

from pathlib import Path

from agents.approaches import Program
from agents.approaches.cast import HOME_REALM
from agents.approaches.pana_ikev2 import Settings, home
from agents.approaches.preparation import prepare
from agents.approaches.scene import KERNEL_NEEDS, Scene, program
from agents.daemons.nsd import DnsServerConfiguration, HomeAgentRecord, Zone
from agents.nodes.mobile_node.settings import DnsSettings
from topologies.model import Topology

NEEDS = (*KERNEL_NEEDS, "nsd")
__all__ = ["NEEDS", "Settings", "compose", "prepare"]


def compose(settings: Settings, topology: Topology, shared: Path, run: Path) -> list[Program]:
    """Return the programs of home network and mobile node; the access router only forwards."""
    scene = Scene(settings, topology, shared, run)
    aaa, cast = scene.cast.home_aaa, scene.cast
    server = str(cast.address(aaa).ip)
    records = [
        HomeAgentRecord(name=agent.name, addresses=[str(cast.address(agent).ip)])
        for agent in cast.home_agents
    ]
    dns = DnsServerConfiguration(
        host=aaa.host,
        address=server,
        work=scene.work,
        zones=[Zone(domain=HOME_REALM, home_agents=records)],
    )
    lookup = DnsSettings(server=server, domain=HOME_REALM)
    return [
        *scene.strangers(ikev2=settings.ike),
        *home(scene, settings.ike),
        program("daemons.nsd", dns),
        scene.mobile_node(discovery=lookup, ikev2=settings.ike),
    ]
