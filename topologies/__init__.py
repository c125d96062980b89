"""Networks as plain data: a module with a TOPOLOGY each; mn.py has them all for `mn --custom`.

Packages of others bring theirs by the entry points mip6lab.topologies.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from topologies import plugins
from topologies.model import Topology
from topologies.plugins import PluginError

_KIND = "topologies"
_OTHERS = ("mn", "model", "plugins")


def _own() -> list[str]:
    modules = {found.name for found in pkgutil.iter_modules(__path__)}
    return [name.replace("_", "-") for name in modules.difference(_OTHERS)]


def names() -> list[str]:
    """Return the names of all topologies."""
    own = _own()
    return sorted([*own, *plugins.found(_KIND, own)])


def module(name: str) -> ModuleType:
    """Return the module of a topology; PluginError for one of others that does not do."""
    if other := plugins.found(_KIND, _own()).get(name):
        found = plugins.load(other, ["TOPOLOGY"])
        if not isinstance(found.TOPOLOGY, Topology):
            raise PluginError(
                f"topology {name}: TOPOLOGY of {found.__name__} is no topologies.model.Topology"
            )
        return found
    return importlib.import_module(f"{__name__}.{name.replace('-', '_')}")


def load(name: str, **parameters: int) -> Topology:
    """Return the topology called `name`; LookupError, with those that there are, without one.

    `parameters` are those of its build(); ValueError if it has none.
    """
    if name not in names():
        raise LookupError(f'no topology is called "{name}"; there are: {", ".join(names())}')
    found = module(name)
    if parameters and not hasattr(found, "build"):
        raise ValueError(f"topology {name} has no parameters, such as {next(iter(parameters))}")
    topology: Topology = found.build(**parameters) if parameters else found.TOPOLOGY
    return topology
