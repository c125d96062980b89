"""What whole bootstraps cost: every node has its share, and the floor is of what was done."""

import random

import pytest

from agents.bench.bootstraps import SCENES, measure
from agents.bench.floor import Floor, counted
from agents.crypto import dh

RNG = random.SystemRandom()


@pytest.mark.parametrize("scene", SCENES)
def test_every_node_costs_something_and_all_together_more_than_their_cryptography(scene):
    [cost] = measure([scene], repeats=3)
    assert set(cost.nodes) >= {"mobile_node", "home_network"}
    assert min(cost.nodes.values()) > 0
    assert cost.total == pytest.approx(sum(cost.nodes.values()))
    assert cost.total > cost.cryptography > 0


def test_what_is_counted_is_done_again(tmp_path):
    floor = Floor(tmp_path)
    with counted() as calls:
        for group in (dh.MODP2048, dh.CURVE25519):
            dh.generate(group, RNG).shared(dh.generate(group, RNG).public)
    with counted() as again:
        floor.run(calls)
    for call in (("DHPrivateKey", "exchange"), ("NoneType", "from_private_bytes")):
        assert again[call] == calls[call] > 0
    assert again["X25519PrivateKey", "exchange"] == calls["X25519PrivateKey", "exchange"] > 0
