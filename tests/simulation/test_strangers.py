"""What a stranger in the core can do to a mobile node: nothing that this would notice."""

import random

import pytest

from agents.ike.constants import PORT
from agents.kernel.packet import UDP
from tests.nodes.net import Forger
from tests.simulation.scenes import WITH_IPSEC, bootstrapped, laboratory

INIT_COOKIE = slice(8)
"""Where the initiator's cookie, or SPI, is in a message of either version of IKE."""


@pytest.fixture
def lab(request):
    lab = laboratory(request.param)
    lab.start()
    assert lab.run(60.0, lambda: bootstrapped(lab))
    lab.run(lab.world.clock.now + 3.0)
    return lab


def begin(lab, seed, source):
    """Begin IKE with the mobile node as it has with its home agent, and never go on."""
    ours = (s.packet for s in lab.world.sent if s.packet.protocol == UDP)
    first = next(p for p in ours if p.destination_port == PORT)
    data = bytearray(first.payload)
    data[INIT_COOKIE] = random.Random(seed).randbytes(8)
    interface = next(iter(lab.stacks["C"].interfaces.values()))
    sender = Forger(interface, (str(source or first.destination), PORT))
    sender.send(bytes(data), (str(first.source), PORT))


@pytest.mark.parametrize("lab", WITH_IPSEC, indirect=True)
@pytest.mark.parametrize("source", ["2001:db8:ffff::1", None], ids=["stranger", "home agent"])
def test_who_begins_ike_with_a_mobile_node_and_fails_does_not_move_it_to_anything(lab, source):
    before = len(lab.events.told)
    for seed in range(3):
        begin(lab, seed, source)
        lab.run(lab.world.clock.now + 100.0)
    told = {e["event"] for e in lab.events.told[before:] if e["host"] == "A"}
    assert told <= {"Failed", "Discarded", "IkeStarted", "Phase1Started", "PingAnswered"}
    assert "Failed" in told
