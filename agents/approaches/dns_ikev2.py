"""The split scenario (RFC 5026): open access, the HA from the DNS, IKEv2 with EAP for the HoA."""

from __future__ import annotations

from pathlib import Path

from agents.approaches import Program
from agents.approaches.pana_ikev2 import Settings, home
from agents.approaches.scene import HOME_AGENT, HOME_REALM, KERNEL_NEEDS, Scene, prepare, program
from agents.daemons.nsd import DnsServerConfiguration, HomeAgentRecord, Zone
from agents.nodes.mobile_node.settings import DnsSettings
from topologies.model import HostRole, Topology

NEEDS = (*KERNEL_NEEDS, "nsd")
__all__ = ["NEEDS", "Settings", "compose", "prepare"]


def compose(settings: Settings, topology: Topology, shared: Path, run: Path) -> list[Program]:
    """Return the programs of home network and mobile node; the access router only forwards."""
    scene = Scene(settings, topology, shared, run)
    server = scene.address(HostRole.HOME_NETWORK, "core")
    records = [HomeAgentRecord(name=HOME_AGENT, addresses=[scene.home_agent_settings().address])]
    dns = DnsServerConfiguration(
        host=scene.host(HostRole.HOME_NETWORK),
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
