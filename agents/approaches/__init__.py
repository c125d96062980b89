"""How a mobile node learns its home agent: one module per approach.

The harness loads `agents.approaches.<name>` by the name in an experiment's file, with "-" for
each "_". The module offers

- `Settings`: a msgspec struct, what the experiment may set;
- `NEEDS`: the kernel features that a run needs, by the names that `mip6lab doctor` shows;
- `prepare(folder, settings, topology)`: makes what the runs of one variant share, such
  as certificates;
- `compose(settings, topology, shared, run)`: returns the programs of one run;
- `REHEARSED`, of one that needs daemons for what the simulator has agents for: the approach without
  them, by which its programs are warmed up.

Packages of others bring theirs by the entry points mip6lab.approaches.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from types import ModuleType

from agents.core.record import Record
from topologies import plugins

_KIND = "approaches"
_OTHERS = ("cast", "preparation", "roles", "scene", "settings", "way_home")


class Program(Record, frozen=True):
    """One program in one host: a Python module and its configuration.

    The programs start in the order of the list; each but the mobile node's prints the event
    "Ready" when it serves. The mobile node prints "AttemptFailed" (attempt, stage, reason) for each
    attempt that fails, and tries again until it prints "Bootstrapped" (home_address, home_agent).
    `commands` are those that it takes on its standard input, each with what reads its arguments.
    """

    host: str
    module: str
    configuration: dict[str, object]
    commands: Mapping[str, tuple[Callable[[str], object], ...]] = {}

    @property
    def name(self) -> str:
        """Its name in results and logs, as B-access_router; no two of a run have the same."""
        return f"{self.host}-{self.module.removesuffix('.main').rpartition('.')[2]}"


def _own() -> list[str]:
    modules = {module.name for module in pkgutil.iter_modules(__path__)}
    return [module.replace("_", "-") for module in modules.difference(_OTHERS)]


def names() -> list[str]:
    """Return the names of all approaches."""
    own = _own()
    return sorted([*own, *plugins.found(_KIND, own)])


def simulated() -> list[str]:
    """Return the names of those that need no daemon but what the simulator has a model of."""
    return [name for name in names() if not hasattr(load(name), "REHEARSED")]


def load(name: str) -> ModuleType:
    """Return the module of an approach; PluginError for one of others that lacks a part."""
    if other := plugins.found(_KIND, _own()).get(name):
        found = plugins.load(other, ["NEEDS", "Settings", "prepare", "compose"])
        if "roles" not in getattr(found.Settings, "__struct_fields__", ()):
            raise plugins.PluginError(
                f"approach {name}: Settings of {found.__name__} have to be a subclass of"
                " agents.approaches.settings.CommonSettings"
            )
        return found
    return importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
