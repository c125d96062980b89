"""The topologies that ship, without any program in them."""

from itertools import permutations

import pytest

import topologies
from agents.simulation.laboratory import Laboratory
from agents.simulation.world import World


def addresses(lab):
    """Return by host the address of its first interface."""
    return {
        name: next(
            a for a in next(iter(stack.interfaces.values())).addresses if not a.is_link_local
        )
        for name, stack in lab.stacks.items()
    }


@pytest.mark.parametrize("name", topologies.names())
def test_every_host_reaches_every_other_as_pingall_has_it(name):
    lab = Laboratory(topologies.load(name), [], World())
    first = addresses(lab)
    apart = [(a, b) for a, b in permutations(first, 2) if not lab.exchanges(a, b, first[b])]
    assert apart == []
