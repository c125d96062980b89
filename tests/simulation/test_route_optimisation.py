"""Route optimisation on the virtual clock: which links packets take, and what ends that."""

import functools
import tempfile
from ipaddress import IPv6Address
from pathlib import Path

import pytest

import topologies
from agents.simulation.laboratory import PreparedApproach
from agents.simulation.world import World

MOVED = IPv6Address("2001:db8:a::abcd")


@functools.cache
def prepared():
    settings = {"route_optimisation": True, "duplicate_address_detection": False}
    folder = Path(tempfile.mkdtemp(prefix="simulated-"))
    return PreparedApproach("pana-ikev2", folder, settings, topologies.load("triangle"))


def optimised(loses=None):
    """Return a laboratory whose mobile node has exchanged packets with the correspondent node."""
    lab = prepared().laboratory(World(1, loses))
    lab.start()
    assert lab.run(60.0, lab.is_bootstrapped)
    assert lab.exchanges("CN", "A", home(lab))
    return lab


def home(lab):
    return IPv6Address(lab.events.named("Bootstrapped")[-1]["home_address"])


def links(lab):
    """Return the links that a datagram from the correspondent node and its answer take."""
    begin = len(lab.world.sent)
    assert lab.exchanges("CN", "A", home(lab))
    return {sent.link for sent in lab.world.sent[begin:] if sent.packet.message is None}


def settle(lab, event, since=0):
    assert lab.run(lab.world.clock.now + 60.0, lambda: len(lab.events.named(event)) > since)
    lab.run(lab.world.clock.now + 0.5)


def test_packets_leave_the_core_link_when_the_route_is_optimised():
    lab = prepared().laboratory(World(1))
    lab.start()
    assert lab.run(60.0, lab.is_bootstrapped)
    assert "core" in links(lab)
    settle(lab, "RouteOptimised")
    assert links(lab) == {"access", "near"}


def test_the_route_follows_the_care_of_address():
    lab = optimised()
    settle(lab, "RouteOptimised")
    lab.stacks["A"].interfaces["A-access"].add(MOVED)
    lab.program("mobile_node").obey(f"move {MOVED}")
    settle(lab, "RouteOptimised", since=1)
    assert links(lab) == {"access", "near"}
    assert lab.events.named("CorrespondentBindingUpdated")[-1]["care_of"] == str(MOVED)


def test_a_correspondent_node_that_has_forgotten_all_says_so():
    lab = optimised()
    settle(lab, "RouteOptimised")
    lab.program("correspondent").restart()
    assert not lab.exchanges("CN", "A", home(lab))  # The answer brings a Binding Error.
    assert lab.events.named("UnknownBinding")
    settle(lab, "RouteOptimised", since=1)
    assert links(lab) == {"access", "near"}


def test_the_route_ends_with_the_home_registration():
    lab = optimised()
    settle(lab, "RouteOptimised")
    lab.program("mobile_node").obey("deregister")
    settle(lab, "CorrespondentBindingRemoved")
    assert lab.events.named("CorrespondentBindingRemoved")[-1]["cause"] == "removed"
    assert not lab.stacks["CN"].kernel.routes.bound
    assert not lab.stacks["A"].kernel.routes.optimised


@pytest.mark.parametrize("number", range(6))
def test_each_message_of_it_may_be_lost(number):
    seen = []

    def loses(_, packet):
        inner = packet.inner or packet
        if (
            inner.message is None
            or packet.esp
            or IPv6Address("2001:db8:c::c")
            not in (
                inner.source,
                inner.destination,
            )
        ):
            return False
        seen.append(inner.message)
        return len(seen) == 2 * number + 1

    lab = optimised(loses)
    settle(lab, "RouteOptimised")
    assert links(lab) == {"access", "near"}
