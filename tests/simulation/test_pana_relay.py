"""The PANA relay on the virtual clock: what goes over which link, and who may speak through it.

That the bootstrap gets through it, with losses and restarts, is in test_bootstrap.py.
"""

import pytest

from agents.kernel.packet import UDP
from agents.pana.rfc5191 import RFC5191
from agents.pana.wire import Kind
from tests.nodes.net import Forger
from tests.simulation.scenes import bootstrapped, laboratory

PCI = bytes.fromhex("00000010 00000001 00000000 00000000")
RELAY, BACKHAUL, PAA = "2001:db8:a::1", "2001:db8:a:1::2", "2001:db8:a:1::1"
HOME_NETWORK = "2001:db8:b::2"


@pytest.fixture
def lab():
    lab = laboratory("pana-ikev1 through a relay")
    lab.start()
    return lab


def bootstrap(lab):
    assert lab.run(60.0, lambda: bootstrapped(lab))
    lab.run(lab.world.clock.now + 3.0)


def pana(lab, link):
    """Return the PANA messages that have been on a link."""
    packets = [s.packet for s in lab.world.sent if s.link == link and s.packet.protocol == UDP]
    return [
        RFC5191.decode(p.payload) for p in packets if 716 in (p.source_port, p.destination_port)
    ]


def test_a_message_is_itself_before_the_relay_and_in_a_pry_behind_it(lab):
    bootstrap(lab)
    near, far = pana(lab, "access"), pana(lab, "backhaul")
    assert len(near) == len(far) > 10
    assert Kind.RELAY not in {message.kind for message in near}
    assert {message.kind for message in far} == {Kind.RELAY}


def test_nothing_else_passes_the_access_router_before_that(lab):
    assert lab.run(1.0, lambda: lab.events.named("Ready") or pana(lab, "backhaul"))
    assert not lab.exchanges("A", "C", HOME_NETWORK)
    bootstrap(lab)
    assert lab.exchanges("A", "C", HOME_NETWORK)


@pytest.mark.parametrize("restarted", [False, True])
def test_the_access_router_speaks_first_and_the_relay_may_have_been_restarted(lab, restarted):
    bootstrap(lab)
    if restarted:
        lab.program("pana_relay").restart()
    router = lab.program("access_router")
    for command, event in (("ping", "PingAnswered"), ("reauthenticate", "Authorised")):
        before = len(lab.events.named(event, "B"))
        assert router.host.enter(router.node.commands()[command])
        lab.run(lab.world.clock.now + 1.0)
        assert len(lab.events.named(event, "B")) == before + 1


@pytest.mark.parametrize("target", [RELAY, BACKHAUL])
def test_nobody_on_the_access_link_is_the_paa(lab, target):
    bootstrap(lab)
    forger = Forger(lab.stacks["A"].interfaces["A-access"], (PAA, 716))
    known = len(lab.world.sent)
    forger.send(RFC5191.relay((HOME_NETWORK, 9), PCI), (target, 716))
    lab.run(lab.world.clock.now + 1.0)
    assert [sent.link for sent in lab.world.sent[known:]] == ["access"]
