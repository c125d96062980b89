"""What the settings of an experiment tell the roles about PANA."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from agents.approaches import dhcpv6_ikev2, pana_ikev1
from topologies.dhcpv6 import TOPOLOGY as WITH_DHCPV6
from topologies.paper import TOPOLOGY


def roles(approach=pana_ikev1, topology=TOPOLOGY, **values):
    """Return the configurations by host."""
    settings = msgspec.convert(values, approach.Settings)
    composed = approach.compose(settings, topology, Path("shared"), Path("run"))
    return {role.host: role.configuration for role in composed}


@pytest.mark.parametrize(
    ("approach", "topology"), [(pana_ikev1, TOPOLOGY), (dhcpv6_ikev2, WITH_DHCPV6)]
)
def test_the_access_router_may_offer_no_home_agent(approach, topology):
    assert roles(approach, topology)["B"]["mobility"] is True
    assert roles(approach, topology, mobility_offered=False)["B"]["mobility"] is False


def test_the_mobile_node_re_authenticates_first():
    made = roles()
    assert 0.5 < made["A"]["access"]["reauth_at"] < made["B"]["reauth_at"] < 1
    made = roles(reauth_at=0.5)
    assert (made["A"]["access"]["reauth_at"], made["B"]["reauth_at"]) == (0.5, 0.75)


def test_or_nobody_does():
    made = roles(reauth_at=0)
    assert made["A"]["access"]["reauth_at"] == made["B"]["reauth_at"] == 0


@pytest.mark.parametrize("part", [-0.1, 1, 2])
def test_after_the_lifetime_it_is_too_late(part):
    with pytest.raises(msgspec.ValidationError):
        roles(reauth_at=part)
