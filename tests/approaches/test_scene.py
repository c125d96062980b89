"""What the settings of an experiment tell the roles about PANA."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from agents.approaches import dhcpv6_ikev2, pana_ikev1
from topologies.dhcpv6 import TOPOLOGY as WITH_DHCPV6
from topologies.paper import TOPOLOGY
from topologies.relayed import TOPOLOGY as RELAYED
from topologies.routed import TOPOLOGY as ROUTED


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


def test_the_relay_is_the_paa_to_the_mobile_node():
    direct, routed, relayed = (roles(topology=t) for t in (TOPOLOGY, ROUTED, RELAYED))
    assert direct["A"]["access"]["paa"] == direct["B"]["address"]
    assert routed["A"]["access"]["paa"] == routed["B"]["address"]
    assert relayed["A"]["access"]["paa"] == relayed["R"]["access_address"]
    assert relayed["R"]["paa"] == relayed["B"]["address"] == routed["B"]["address"]
    assert list(relayed["B"]["pana_relays"]) == [relayed["R"]["address"]]
    assert "R" not in routed
    assert not direct["B"]["pana_relays"]
    assert not routed["B"]["pana_relays"]


def test_the_access_router_guards_all_between_it_and_mobile_nodes():
    assert roles()["B"]["access_prefix"] == "2001:db8:a::/64"
    made = roles(topology=RELAYED)
    assert made["B"]["access_prefix"] == "2001:db8:a::/63"
    assert made["B"]["access_interface"] == "B-backhaul"


def test_the_draft_knows_no_relay():
    assert roles(topology=ROUTED, dialect="draft12")
    with pytest.raises(ValueError, match="RFC 6345"):
        roles(topology=RELAYED, dialect="draft12")


def test_nobody_accounts_unless_it_is_said():
    made = roles()
    assert not made["B"]["accounting"]
    assert not made["C"]["accounting"]
    made = roles(accounting=True, interim_interval=60)
    assert made["B"]["accounting"]
    assert (made["C"]["accounting"], made["C"]["interim_interval"]) == (True, 60)
    with pytest.raises(ValueError, match="interim_interval = 60 needs accounting = true"):
        roles(interim_interval=60)
    for wrong in (-1, 86401, 1.5):
        with pytest.raises(msgspec.ValidationError):
            roles(accounting=True, interim_interval=wrong)
