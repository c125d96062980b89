"""The home AAA server takes back what home agent and NAS have been granted, or asks again."""

from __future__ import annotations

import pytest

from tests.simulation.scenes import bootstrapped, laboratory
from tests.simulation.test_bootstrap import FIRST_ATTEMPT, is_reachable

WHO = "mn@home.test"


def registered(name):
    """Return a laboratory in which the mobile node is registered, by EAP in IKEv2."""
    lab = laboratory(name)
    lab.start()
    assert lab.run(FIRST_ATTEMPT, lambda: bootstrapped(lab))
    lab.run(lab.world.clock.now + 1.0)
    return lab


def command(lab, name):
    program = lab.program("home_network")
    return program.host.enter(program.node.commands()[name], WHO)


@pytest.mark.parametrize("name", ["pana-ikev2", "dns-ikev2", "dhcpv6-ikev2"])
def test_all_that_hangs_on_the_session_ends_and_the_mobile_node_asks_again(name):
    lab = registered(name)
    told = lab.events.named
    assert told("BindingRemoved") == []
    assert command(lab, "withdraw")
    lab.run(lab.world.clock.now + 0.1)
    assert len(told("BindingRemoved")) == 1
    assert [one["reason"] for one in told("SessionEnded")] == ["withdrawn"]
    assert not is_reachable(lab)
    deleted = {one["host"] for one in told("IkeDeleted")}
    assert deleted == {"A", "C"}
    before, end = len(told("BindingAccepted")), lab.world.clock.now + FIRST_ATTEMPT
    assert lab.run(end, lambda: len(told("BindingAccepted")) > before)
    assert is_reachable(lab)


@pytest.mark.parametrize("name", ["pana-ikev2", "dns-ikev2"])
def test_the_server_hears_that_it_is_done_and_can_end_the_next_one_too(name):
    lab = registered(name)
    for number in range(1, 4):
        assert command(lab, "withdraw")
        lab.run(lab.world.clock.now + 60.0)
        assert len(lab.events.named("BindingRemoved")) == number
        assert is_reachable(lab)


WITH_ACCESS = ["pana-ikev1", "pana-ikev2", "pana-fast", "dhcpv6-ikev2"]


@pytest.mark.parametrize("name", WITH_ACCESS)
def test_the_access_router_ends_what_was_withdrawn_and_says_so(name):
    lab = registered(name)
    told = lab.events.named
    assert command(lab, "withdraw")
    lab.run(lab.world.clock.now + 0.1)
    assert {(one["host"], one["cause"]) for one in told("Terminated")} >= {("B", "ADMINISTRATIVE")}
    assert not lab.program("access_router").node._enforcement.authorised
    lab.run(lab.world.clock.now + FIRST_ATTEMPT)
    assert is_reachable(lab)
    assert told("OrderFailed") == []


@pytest.mark.parametrize("name", WITH_ACCESS)
def test_the_mobile_node_is_authenticated_anew_as_the_server_wants(name):
    lab = registered(name)
    before = len(lab.events.named("Authenticated"))
    assert command(lab, "reauthenticate")
    lab.run(lab.world.clock.now + 1.0)
    assert len(lab.events.named("Authenticated")) == before + 1
    assert lab.events.named("Terminated") == lab.events.named("OrderFailed") == []
    assert is_reachable(lab)


@pytest.mark.parametrize("name", ["static", "dns-ikev2"])
def test_who_has_come_by_no_access_router_is_not(name):
    assert not command(registered(name), "reauthenticate")
