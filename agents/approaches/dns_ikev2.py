"""The split scenario (RFC 5026): open access, the HA from the DNS, IKEv2 with EAP for the HoA."""

from __future__ import annotations

from pathlib import Path

from agents.approaches import Program
from agents.approaches.cast import HOME_REALM, Cast
from agents.approaches.pana_ikev2 import Settings, home
from agents.approaches.preparation import prepare
from agents.approaches.scene import KERNEL_NEEDS, Scene
from agents.approaches.settings import HomeAgentSettings
from agents.daemons.nsd import DnsServerConfiguration, HomeAgentRecord, Zone, zone_text
from agents.dns.wire import PORT
from agents.nodes.mobile_node.settings import DnsSettings
from topologies.model import Topology

NEEDS = (*KERNEL_NEEDS, "nsd")
__all__ = ["NEEDS", "Settings", "compose", "prepare"]


_MOST = 65_535
"""The greatest weight of an SRV record (RFC 2782)."""


def _records(settings: Settings, cast: Cast) -> list[HomeAgentRecord]:
    """Return the home agents as the DNS has them: it deals mobile nodes out, coarsely.

    The mobile node picks one (RFC 5026 section 5.1.2), which the home AAA server then has to be
    content with: the zone goes by the same states and weights. It knows no load. ValueError for
    what it cannot have.
    """
    known = cast.home_agents_by_name
    chosen = {name: settings.home_agents.get(name, HomeAgentSettings()) for name in known}
    for name, agent in chosen.items():
        if agent.capacity is not None:
            raise ValueError(
                f"settings.home_agents.{name}.capacity: by DNS the mobile node picks its home "
                "agent, full or not; leave it out, or deal out by weight"
            )
    serving = [name for name, agent in chosen.items() if agent.state == "serve"]
    if not serving:
        raise ValueError("settings.home_agents: all are drained: the DNS would have none")
    weights = dict.fromkeys(serving, 1.0)
    if settings.selection == "weighted":
        weights = {name: chosen[name].weight for name in serving}
    several, share = len(known) > 1, min(100.0, _MOST / max(weights.values()))
    return [
        HomeAgentRecord(
            name=known[name].name,
            addresses=[str(cast.address(known[name]).ip)],
            weight=max(1, round(weight * share)) if several else 0,
        )
        for name, weight in weights.items()
    ]


def compose(settings: Settings, topology: Topology, shared: Path, run: Path) -> list[Program]:
    """Return the programs of home network and mobile node; the access router only forwards."""
    scene = Scene(settings, topology, shared, run)
    aaa, cast = scene.cast.home_aaa, scene.cast
    server = str(cast.address(aaa).ip)
    zone = Zone(domain=HOME_REALM, home_agents=_records(settings, cast))
    dns = DnsServerConfiguration(host=aaa.host, address=server, work=scene.work, zones=[zone])
    of_zone = {"domain": HOME_REALM, "zone": zone_text(zone, cast.address(aaa).ip, 300)}
    lookup = DnsSettings(server=server, domain=HOME_REALM)
    return [
        *scene.strangers(ikev2=settings.ike),
        *scene.correspondents(),
        *home(scene, settings.ike),
        scene.server("dns", settings.roles.dns.server, dns, port=PORT, values=of_zone),
        scene.mobile_node(discovery=lookup, ikev2=settings.ike),
    ]
