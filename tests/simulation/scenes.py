"""Approaches, prepared once, for laboratories on the virtual clock."""

import functools
import tempfile
from dataclasses import replace
from pathlib import Path

import topologies
from agents import approaches
from agents.simulation.laboratory import PreparedApproach
from agents.simulation.world import World

_DELAY = 0.005


@functools.cache
def _prepared(name, where):
    folder = Path(tempfile.mkdtemp(prefix="simulated-"))
    return PreparedApproach(name, folder, {}, _topology(where))


SCENES = {name: (name, "paper") for name in approaches.names()} | {
    "dhcpv6-ikev2": ("dhcpv6-ikev2", "dhcpv6"),
    "pana-ikev1 through a relay": ("pana-ikev1", "relayed"),
    "pana-ikev2 through a relay": ("pana-ikev2", "relayed"),
    "pana-fast through a relay": ("pana-fast", "relayed"),
    "pana-ikev2 through a router": ("pana-ikev2", "routed"),
}
"""Approach and topology by the name of a scene."""


def _topology(name):
    plain = topologies.load(name)
    shapes = {link.name: replace(link.shape, delay=_DELAY) for link in plain.links}
    return plain.with_links(shapes)


def laboratory(name, *, loses=None, seed=1):
    """Return a laboratory with the roles of a scene."""
    approach, where = SCENES[name]
    return _prepared(approach, where).laboratory(World(seed, loses))


def bootstrapped(lab):
    """Return whether the mobile node says that it is done."""
    return lab.is_bootstrapped()
