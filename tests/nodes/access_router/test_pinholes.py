"""What an access router opens before an authentication is over, and when it closes."""

from __future__ import annotations

import errno
from ipaddress import IPv6Address

import pytest

from agents.nodes.access_router.pinholes import IKE_PORT, LIFETIME, MAXIMUM, Pinholes
from tests.nodes.net import COA, HA, LINK, OTHER_COA, Net

NODE, OTHER = COA, OTHER_COA
AGENT, SECOND = HA, HA + 1
HOLE = (NODE, AGENT, IKE_PORT)


class Router:
    def __init__(self) -> None:
        self.net = Net()
        self.filter = self.net.enforcement()
        self.filter.close_access()
        self.ways = Pinholes(self.net.program("B"), self.filter, LINK, self.net.log("B"))


@pytest.fixture
def router():
    return Router()


def test_a_pinhole_is_for_ike_to_one_home_agent(router):
    assert router.ways.open(1, NODE, AGENT)
    assert router.filter.pinholes == {(NODE, AGENT, 500)}
    assert NODE not in router.filter.authorised
    router.ways.close(1)
    router.ways.close(1)
    assert not router.filter.pinholes


def test_it_closes_by_itself(router):
    router.ways.open(1, NODE, AGENT)
    router.net.run(LIFETIME - 0.1)
    assert router.filter.pinholes
    router.net.run(0.2)
    assert not router.filter.pinholes
    assert [e["event"] for e in router.net.events.told] == ["PinholeOpened", "PinholeClosed"]


def test_a_session_has_one_at_most(router):
    router.ways.open(1, NODE, AGENT)
    router.ways.open(1, NODE, SECOND)
    assert router.filter.pinholes == {(NODE, SECOND, IKE_PORT)}


def test_one_that_is_opened_again_has_its_time_anew(router):
    router.ways.open(1, NODE, AGENT)
    router.net.run(LIFETIME - 1)
    router.ways.open(1, NODE, AGENT)
    router.net.run(LIFETIME - 1)
    assert router.filter.pinholes == {HOLE}


def test_one_session_does_not_close_what_another_needs(router):
    router.ways.open(1, NODE, AGENT)
    router.ways.open(2, NODE, AGENT)
    router.ways.close(1)
    assert router.filter.pinholes == {HOLE}
    router.ways.close(2)
    assert not router.filter.pinholes


@pytest.mark.parametrize("address", ["ff02::1", "fe80::1", "::1", "::", str(OTHER)])
def test_not_every_address_can_be_a_home_agents(router, address):
    assert not router.ways.open(1, NODE, IPv6Address(address))
    assert not router.filter.pinholes


def test_there_is_an_end_to_their_number(router):
    opened = [router.ways.open(n, NODE, AGENT) for n in range(MAXIMUM + 1)]
    assert opened == [True] * MAXIMUM + [False]
    router.ways.close(0)
    assert router.ways.open(MAXIMUM, OTHER, AGENT)


def test_a_kernel_that_refuses_opens_nothing(router):
    router.filter.failures["admit"] = errno.ENOMEM
    assert not router.ways.open(1, NODE, AGENT)
    router.ways.close(1)
    assert [call[0] for call in router.filter.calls] == ["close_access", "admit"]
