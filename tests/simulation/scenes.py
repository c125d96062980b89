"""Approaches, prepared once, for laboratories on the virtual clock."""

import functools
import importlib
import itertools
import tempfile
from dataclasses import replace
from pathlib import Path

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


def topology(name):
    words = "dhcpv6" if name == "dhcpv6-ikev2" else "paper"
    plain = importlib.import_module(f"topologies.{words}").TOPOLOGY
    shapes = {link.name: replace(link.shape, delay=_DELAY) for link in plain.links}
    return plain.with_links(shapes)


def laboratory(name, *, loses=None, seed=1, **settings):
    """Return a laboratory with the roles of an approach; `settings` are the experiment's."""
    module, chosen, shared = _prepared(name, tuple(sorted(settings.items())))
    run = shared / f"run{next(_numbers)}"
    for folder in ("configuration", "keys"):
        (run / folder).mkdir(parents=True)
    place = topology(name)
    return Laboratory(place, module.compose(chosen, place, shared, run), World(seed, loses))


def bootstrapped(lab):
    """Return whether the mobile node says that it is done."""
    return bool(lab.events.named("Bootstrapped"))
