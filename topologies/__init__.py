"""Networks as plain data: a module with a TOPOLOGY each; mn.py has them all for `mn --custom`."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from topologies.model import Topology

_OTHERS = ("mn", "model")


def names() -> list[str]:
    """Return the names of all topologies."""
    modules = {found.name for found in pkgutil.iter_modules(__path__)}
    return sorted(name.replace("_", "-") for name in modules.difference(_OTHERS))


def module(name: str) -> ModuleType:
    """Return the module of one of the topologies."""
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
