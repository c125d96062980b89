"""Prefix discovery in a whole network on the virtual clock, under an SA of its own."""

import pytest

from agents.approaches.cast import HOME_ADDRESS
from agents.kernel.packet import ICMPV6
from tests.simulation.test_bootstrap import bootstrap, is_reachable


@pytest.mark.parametrize(
    ("name", "program"), [("static", "home_network"), ("pana-ikev2", "home_agent")]
)
def test_of_a_deprecated_prefix_the_mobile_node_asks_and_stays_registered(name, program):
    lab = bootstrap(name)
    lab.program(program).obey("prefix 3000 0")
    lab.program("mobile_node").obey("refresh")
    lab.run(lab.world.clock.now + 30.0, lambda: bool(lab.events.named("PrefixesLearnt")))
    [learnt] = lab.events.named("PrefixesLearnt")
    assert learnt["prefixes"][0]["preferred"] == 0
    asked = [one.packet for one in lab.world.sent if one.packet.kind == (ICMPV6, 146)]
    assert asked
    assert all(packet.esp and packet.home_address == HOME_ADDRESS for packet in asked)
    told = [one.packet for one in lab.world.sent if one.packet.kind == (ICMPV6, 147)]
    assert all(packet.esp and packet.routing == HOME_ADDRESS for packet in told)
    lab.run(lab.world.clock.now + 2000.0)
    assert lab.events.named("BindingExpired") == []
    assert is_reachable(lab)


def test_without_an_sa_for_it_the_mobile_node_stays_registered_all_the_same():
    lab = bootstrap("pana-ikev1")
    lab.program("home_network").obey("prefix 3000 0")
    lab.program("mobile_node").obey("refresh")
    lab.run(lab.world.clock.now + 2000.0)
    assert lab.events.named("PrefixSolicited")
    assert lab.events.named("PrefixesLearnt") == lab.events.named("BindingExpired") == []
    assert is_reachable(lab)


def test_when_the_prefix_is_over_nobody_is_served_and_the_mobile_node_says_why():
    lab = bootstrap("static")
    lab.program("home_network").obey("prefix 60 30")
    lab.run(lab.world.clock.now + 59.0)
    assert is_reachable(lab)
    lab.run(lab.world.clock.now + 400.0)
    assert not is_reachable(lab)
    assert any("NOT_HOME_SUBNET" in e["reason"] for e in lab.events.named("AttemptFailed"))
