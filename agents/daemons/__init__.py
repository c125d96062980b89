"""Real daemons in a role: Kea, NSD, FreeRADIUS, freeDiameter.

Packages of others bring servers of DHCPv6 and DNS by the entry points mip6lab.daemons, with the
role in front, as in `dns.mine`. Such a module has a `main()` that takes the configuration of the
role's usual daemon, `NEEDS`, the programs that it starts, and perhaps `simulated(configuration,
host, log)`, which returns a node for the simulator.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint
from types import ModuleType

from topologies import plugins

USUAL = {"dhcpv6": "kea", "dns": "nsd"}
"""The daemons that take the roles in which others may be, by role."""


def _others(role: str) -> dict[str, EntryPoint]:
    return plugins.found("daemons", [USUAL[role]], role, USUAL)


def names(role: str) -> list[str]:
    """Return the names of the daemons that can take a role."""
    return [USUAL[role], *sorted(_others(role))]


def load(role: str, name: str) -> ModuleType:
    """Return the module of another's daemon in a role; PluginError if it does not do."""
    return plugins.load(_others(role)[name], ["NEEDS", "main"])
