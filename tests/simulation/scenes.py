"""Approaches, prepared once, for laboratories on the virtual clock."""

import functools
import itertools
import tempfile
from dataclasses import replace
from pathlib import Path

import topologies
from agents import approaches
from agents.simulation.laboratory import Laboratory
from agents.simulation.world import World

_DELAY = 0.005
_numbers = itertools.count()


@functools.cache
def _prepared(name, settings):
    module = approaches.load(name)
    chosen = module.Settings(**dict(settings))
    folder = Path(tempfile.mkdtemp(prefix="simulated-"))
    module.prepare(folder, chosen)
    return module, chosen, folder


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


def laboratory(name, *, loses=None, seed=1, **settings):
    """Return a laboratory with the roles of a scene; `settings` are the experiment's."""
    approach, where = SCENES[name]
    module, chosen, shared = _prepared(approach, tuple(sorted(settings.items())))
    run = shared / f"run{next(_numbers)}"
    for folder in ("configuration", "keys"):
        (run / folder).mkdir(parents=True)
    place = _topology(where)
    return Laboratory(place, module.compose(chosen, place, shared, run), World(seed, loses))


def bootstrapped(lab):
    """Return whether the mobile node says that it is done."""
    return bool(lab.events.named("Bootstrapped"))
