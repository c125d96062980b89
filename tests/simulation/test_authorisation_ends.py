"""An authorisation that ends is renewed before: in a calm network nobody goes unserved."""

from __future__ import annotations

from pathlib import Path

import pytest

import topologies
from agents.approaches.cast import HOME_ADDRESS
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
