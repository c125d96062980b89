"""A mobile node that moves: what is registered afterwards, and whom it believes."""

from __future__ import annotations

import errno
from ipaddress import IPv6Address

import pytest

from agents.kernel.packet import ICMPV6, Packet, is_link_local
from agents.mip6.prefixes import PrefixInformation
from agents.mip6.routers import HOP_LIMIT, RouterAdvertisement
from tests.ike import COA, HOA
from tests.nodes.mobile_node.surroundings import (
    HOME,
    IKEV2,
    NEXT_COA,
    AccessNetwork,
    HomeAgent,
    Mobile,
)
from tests.nodes.simulated import Network
from tests.pana.fakes import PAA

AT_HOME = HOA + 0x55


class Surroundings(Network):
    """An access network and a home agent on one link, and a mobile node with a binding."""

    def __init__(self, authority, **settings):
        super().__init__()
        self.access = AccessNetwork(self, authority)
        self.access.assignment = HOME
        self.agent = HomeAgent(self, version=2)
        self.access.share = self.agent.share
        self.mn = Mobile(self, authority, ikev2=IKEV2, **settings)
        self.mn.logged("Bootstrapped")
        self.run(3.0)

    @property
    def registered(self):
        """The care-of address of the last update, None if it ends the binding."""
        last = self.agent.updates[-1]
        return last.care_of if last.lifetime else None

    def advertise(self, node, router):
        """Have a host say that it is the router with this address on the mobile node's link."""
        here = PrefixInformation(COA, 64, 86400, 14400)
        told = PrefixInformation(IPv6Address(router), 64, 86400, 14400, is_router=True)
        data = RouterAdvertisement(1800, (here, told)).encode()
        [own] = filter(is_link_local, node.stack.interfaces["eth0"].addresses)
        [to] = filter(is_link_local, self.mn.stack.interfaces["eth0"].addresses)
        packet = Packet(own, to, ICMPV6, payload=data, hop_limit=HOP_LIMIT)
        node.stack.send(packet, "eth0")


@pytest.fixture
def bound(authority):
    return Surroundings(authority)


def test_who_comes_back_from_home_to_the_address_of_before_registers_it(bound):
    """The PAA has known it all the time."""
    bound.mn.add(AT_HOME)
    bound.mn.command("move", str(AT_HOME))
    bound.run(5.0)
    assert bound.registered is None
    bound.mn.command("move", str(COA))
    bound.run(5.0)
    assert bound.registered == COA
    assert bound.mn.told("BindingAccepted")[-1]["lifetime"]


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("::", "not a global unicast address"),
        ("::1", "not a global unicast address"),
        ("ff02::1", "not a global unicast address"),
        ("fe80::1", "not a global unicast address"),
        ("2001:db8:dead::1", "no address of this host"),
        ("2001:db8:dead::", "not a global unicast address"),
        ("192.0.2.1", "At least 3 parts expected"),
    ],
)
def test_a_movement_to_what_is_no_address_here_is_refused(bound, address, why):
    with pytest.raises(ValueError, match=why):
        bound.mn.command("move", address)
    bound.run(900.0)
    assert bound.registered == COA
    assert not bound.mn.told("AttemptFailed")


def test_a_movement_that_the_kernel_refuses_is_tried_again(bound):
    bound.mn.kernel.failures["move"] = errno.ENOBUFS
    bound.mn.command("move", str(NEXT_COA))
    bound.run(30.0)
    assert bound.registered == COA
    assert bound.mn.told("AttemptFailed")[-1]["stage"] == "binding"
    bound.mn.kernel.failures.clear()
    bound.run(120.0)
    assert bound.registered == NEXT_COA


def test_nobody_takes_a_session_away_by_saying_that_another_is_the_router(authority):
    bound = Surroundings(authority, movement=True)
    sessions = len(bound.mn.told("Authenticated"))
    for watcher in bound.mn.stack.interfaces["eth0"].watchers:
        watcher(True)
    bound.advertise(bound.agent, COA + 0x666)
    bound.run(300.0)
    assert bound.mn.told("LinkKept")[-1]["router"] == str(COA + 0x666)
    assert len(bound.mn.told("Authenticated")) == sessions
    assert not bound.mn.told("AttemptFailed")


def test_a_pana_agent_that_does_not_answer_is_looked_for_again(authority):
    """At the start somebody else said to be it."""
    bound = Surroundings(authority, movement=True)
    bound.mn.command("terminate")
    bound.run(5.0)
    other = Mobile(bound, authority, ikev2=IKEV2, movement=True)
    bound.mn = other
    bound.advertise(bound.agent, COA + 0x666)
    bound.until(lambda: other.told("AttemptFailed"))
    assert not other.told("Authenticated")
    for _ in range(60):
        bound.run(1.0)
        bound.advertise(bound.access, PAA[0])
    assert other.told("Authenticated")


def test_another_address_on_the_same_link_stays_when_the_link_comes_back(authority):
    bound = Surroundings(authority, movement=True)
    bound.mn.command("move", str(NEXT_COA))
    bound.run(5.0)
    for watcher in bound.mn.stack.interfaces["eth0"].watchers:
        watcher(True)
    bound.advertise(bound.access, PAA[0])
    bound.run(5.0)
    assert bound.mn.told("LinkKept")
    assert bound.registered == NEXT_COA
