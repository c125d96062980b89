"""How much nodes remember of who has not authenticated, in octets of Python's objects."""

import gc
import sys
import types
from pathlib import Path

from agents.simulation.host import SimulatedHost
from agents.simulation.laboratory import Events, Laboratory, Program
from agents.simulation.link import Link
from agents.simulation.stack import Stack
from agents.simulation.tcp import Tcp
from agents.simulation.world import World

FOR_ONE_PEER = 560_000
"""Octets more that all nodes together may hold a second after a peer has begun a hundred times.

That is what 8 half-open negotiations of one address take (32 kB each with IKEv1), and what 3 mobile
nodes may do meanwhile that bootstrap: 505 kB in all were seen at most, in a hundred thousand
schedules. A hundred negotiations of IKEv1 would take 612 kB by themselves.
"""

_CODE = (
    type,
    types.ModuleType,
    types.FunctionType,
    types.BuiltinFunctionType,
    types.CodeType,
    Path,
)
_WORLD = (World, Laboratory, Program, Stack, Tcp, Link, Events, SimulatedHost)
"""The simulator's, with all that hangs on them."""


def held(nodes, watch):
    """Return the octets that hang on nodes, without the simulator's and `watch`'s own."""
    seen, waiting, total = {id(watch)}, list(nodes), 0
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, _CODE + _WORLD):
            continue
        seen.add(id(one))
        total += sys.getsizeof(one)
        waiting += gc.get_referents(one)
    return total
