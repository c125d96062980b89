"""Approaches, prepared once, for laboratories on the virtual clock."""

import functools
import tempfile
from dataclasses import replace as replace_fields
from pathlib import Path

import topologies
from agents import approaches
from agents.core.record import replace
from agents.kernel.packet import ICMPV6
from agents.simulation.laboratory import PreparedApproach
from agents.simulation.world import World

_DELAY = 0.005


@functools.cache
def _prepared(scene):
    approach, where = SCENES[scene]
    folder = Path(tempfile.mkdtemp(prefix="simulated-"))
    return PreparedApproach(approach, folder, SETTINGS.get(scene, {}), _topology(where))


SIMULATED = approaches.simulated()
SCENES = {name: (name, "paper") for name in SIMULATED} | {
    "dhcpv6-ikev2": ("dhcpv6-ikev2", "dhcpv6"),
    "pana-ikev1 through a relay": ("pana-ikev1", "relayed"),
    "pana-ikev2 through a relay": ("pana-ikev2", "relayed"),
    "pana-fast through a relay": ("pana-fast", "relayed"),
    "pana-ikev2 through a router": ("pana-ikev2", "routed"),
    "pana-ikev1 by RADIUS": ("pana-ikev1", "paper"),
    "pana-fast by RADIUS": ("pana-fast", "paper"),
}
"""Approach and topology by the name of a scene."""

WITHOUT_IPSEC = {"static-auth"}
WITH_IPSEC = [name for name in SCENES if name not in WITHOUT_IPSEC]

_BY_RADIUS = {"roles": {"aaa": {"protocol": "radius"}}}
SETTINGS = {name: _BY_RADIUS for name in SCENES if name.endswith("by RADIUS")}
"""Settings by the name of a scene, of those that have any."""

LONGER = {name for name, (_, topology) in SCENES.items() if topology in ("relayed", "routed")}
"""Scenes with a router before the access router: PANA and neighbours see it, all else passes."""

_PANA = 716


def _topology(name):
    plain = topologies.load(name)
    shapes = {link.name: replace_fields(link.shape, delay=_DELAY) for link in plain.links}
    return plain.with_links(shapes)


def laboratory(name, *, loses=None, seed=1):
    """Return a laboratory with the roles of a scene."""
    return _prepared(name).laboratory(World(seed, loses))


def messages(sent):
    """Return the numbers of all messages, each as it is on one of the links that it crosses.

    That is its first link, or its second, and so on in turn: who forwards it keeps nothing of it,
    so that its ends cannot tell on which link it was lost. TCP's acknowledgements are no messages.
    """
    crossings = []
    under_way = {}
    for one in sent:
        if not one.packet.payload:
            continue
        packet = replace(one.packet, hop_limit=0)
        links = under_way.get(packet, {})
        if not links or one.link in links:
            links = under_way[packet] = {}
            crossings.append(links)
        links[one.link] = one.number
    numbers = [[*links.values()] for links in crossings]
    return [each[turn % len(each)] for turn, each in enumerate(numbers)]


def messages_of(name, sent):
    """Return the numbers of a scene's own messages; others go as without its router."""
    if name in LONGER:
        sent = [one for one in sent if one.packet.protocol == ICMPV6 or _PANA in ports(one.packet)]
    return messages(sent)


def ports(packet):
    return packet.source_port, packet.destination_port


def bootstrapped(lab):
    """Return whether the mobile node says that it is done."""
    return lab.is_bootstrapped()
