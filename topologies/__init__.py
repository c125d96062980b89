"""Networks as plain data: a module with a TOPOLOGY each; mn.py has them all for `mn --custom`."""

from __future__ import annotations

import importlib
import pkgutil

from topologies.model import Topology

_OTHERS = ("mn", "model")


def names() -> list[str]:
    """Return the names of all topologies."""
    modules = {module.name for module in pkgutil.iter_modules(__path__)}
    return sorted(module.replace("_", "-") for module in modules.difference(_OTHERS))


def load(name: str) -> Topology:
    """Return the topology called `name`; LookupError, with those that there are, without one."""
    if name not in names():
        raise LookupError(f'no topology is called "{name}"; there are: {", ".join(names())}')
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    topology: Topology = module.TOPOLOGY
    return topology
