"""An authorisation that ends is renewed before: in a calm network nobody goes unserved."""

from __future__ import annotations

from pathlib import Path

import pytest

import topologies
from agents.approaches.cast import HOME_ADDRESS
from agents.nodes.home_agent.service import HomeAgentService
from agents.simulation.laboratory import PreparedApproach
from agents.simulation.public_keys import without_diffie_hellman
from agents.simulation.world import World
from tests.simulation.scenes import SIMULATED

SESSION, FOR = 40.0, 200.0


@pytest.mark.parametrize("binding", [420.0, 8.0])
@pytest.mark.parametrize("name", SIMULATED)
def test_a_mobile_node_is_served_through_the_ends_of_authorisations(name, binding, tmp_path):
    settings = {"session_lifetime": SESSION, "binding_lifetime": binding}
    topology = topologies.load("dhcpv6" if name.startswith("dhcpv6") else "paper")
    with without_diffie_hellman():
        prepared = PreparedApproach(name, Path(tmp_path), settings, topology)
        lab = prepared.laboratory(World(1, record=False))
        lab.start()
        assert lab.run(60.0, lab.is_bootstrapped)
        silent = []
        while lab.world.clock.now < FOR:
            lab.run(lab.world.clock.now + 0.5)
            if not lab.exchanges("CN", "A", HOME_ADDRESS):
                silent.append(lab.world.clock.now)
    assert silent == []
    failed = ("AttemptFailed", "BindingRefused", "AaaRefused", "BindingExpired")
    assert [event for name in failed for event in lab.events.named(name)] == []


def prepared(name, folder, lifetime):
    settings = {"session_lifetime": lifetime}
    return PreparedApproach(name, folder, settings, topologies.load("paper"))


def watched(lab, until, address=HOME_ADDRESS):
    """Let time pass; return when the correspondent node got no answer."""
    silent = []
    while lab.world.clock.now < until:
        lab.run(lab.world.clock.now + 0.5)
        if not lab.exchanges("CN", "A", address):
            silent.append(lab.world.clock.now)
    return silent


@pytest.mark.parametrize("name", ["dns-ikev2", "dhaad-ikev2"])
def test_a_home_agent_that_serves_is_not_left_because_the_aaa_server_is_away(name, tmp_path):
    with without_diffie_hellman():
        lab = prepared(name, tmp_path, 200.0).laboratory(World(1, record=False))
        lab.start()
        assert lab.run(60.0, lab.is_bootstrapped)
        lab.run(145.0)
        lab.program("home_network").kill()
        silent = watched(lab, 180.0)
        assert lab.events.named("ReauthenticationDue")
        assert lab.events.named("AttemptFailed")
        lab.program("home_network").restart()
        silent += watched(lab, 260.0)
    assert silent == []
    assert lab.events.named("AssignmentChanged") == []


def test_who_is_assigned_another_home_address_takes_it(tmp_path, monkeypatch):
    hold, others = HomeAgentService.hold, []

    def another(self, identity, home_address, *rest, **more):
        return hold(self, identity, others[0] if others else home_address, *rest, **more)

    monkeypatch.setattr(HomeAgentService, "hold", another)
    with without_diffie_hellman():
        lab = prepared("dhaad-ikev2", tmp_path, 60.0).laboratory(World(1, record=False))
        lab.start()
        assert lab.run(60.0, lab.is_bootstrapped)
        others.append(HOME_ADDRESS + 1)
        lab.run(70.0)
        assert watched(lab, 75.0, HOME_ADDRESS + 1) == []
