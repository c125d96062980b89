"""How a mobile node keeps its network access, and gets it back."""

from __future__ import annotations

import random
from ipaddress import IPv6Address

import pytest

from agents.nodes.mobile_node.access import PanaAccess
from agents.nodes.mobile_node.settings import PanaSettings
from agents.nodes.retry import LONGEST_PAUSE, Attempts
from agents.pana.config import PaaConfig
from agents.pana.events import Authorised
from agents.pana.paa import Paa
from tests.ike import COA
from tests.nodes.simulated import Network, Node
from tests.pana.fakes import PAA, FakeAaa, FakePeer, PaaWithAaa

NEXT_COA = COA + 0x100


class Access(Network):
    """The access link: a mobile node that looks for access, and a PAA."""

    def __init__(self):
        super().__init__()
        self.server = PaaWithAaa(Paa(PaaConfig(), rng=random.Random(1)), FakeAaa())
        router = Node(self, "B", IPv6Address(PAA[0]))
        self._endpoint = router.host.datagrams(self.server, PAA, lambda _: None)
        self.granted, self.moved, self.peers = [], [], []
        self.mn = Node(self, "A", COA)
        self.access = PanaAccess(
            self.mn.host,
            PanaSettings(paa=PAA[0]),
            self._new_peer,
            COA,
            log=self.mn.log,
            attempts=Attempts(self.mn.log),
            on_granted=self.granted.append,
        )
        self.access.on_confirmed = self._confirmed
        self.access.start()

    def _confirmed(self):
        """Take note of another address than before."""
        if self.access.care_of != (self.moved or [COA])[-1]:
            self.moved.append(self.access.care_of)

    def _new_peer(self):
        self.peers.append(FakePeer())
        return self.peers[-1]

    @property
    def failed(self):
        """The attempts that have failed."""
        return self.mn.told("AttemptFailed")

    def may_pass(self, address=COA):
        """Return whether the PAA lets a mobile node at this address in."""
        return self.server.paa.may_pass(str(address))

    def sockets(self):
        """Return how many sockets, and so PaCs, the mobile node has sent from."""
        sent = [one.packet for one in self.world.sent if one.packet.source != IPv6Address(PAA[0])]
        return len({(packet.source, packet.source_port) for packet in sent})

    def refuse(self):
        """Let nobody in from now on."""
        self.server.aaa = FakeAaa(code=1)

    def accept(self):
        """Let everybody in from now on."""
        self.server.aaa = FakeAaa()

    def revoke(self):
        number = self.server.only(Authorised)[-1].session_id
        self._endpoint.call(self.server.paa.terminate, number, self.now)


@pytest.fixture
def newcomer():
    """Return a network whose mobile node has just begun."""
    return Access()


@pytest.fixture
def network(newcomer):
    """Return a network with an open session."""
    newcomer.until(lambda: newcomer.server.only(Authorised))
    return newcomer


def test_a_session_that_the_paa_ends_is_followed_by_another(network):
    network.revoke()
    network.until(lambda: len(network.granted) == 2)
    assert network.mn.names().count("Terminated") == 1
    assert network.failed == []


def test_who_logs_out_stays_out(network):
    assert network.access.terminate()
    network.mn.logged("Terminated")
    network.run(60.0)
    assert network.sockets() == len(network.granted) == 1


@pytest.mark.parametrize("busy", ["reauthenticate", "ping"])
def test_who_logs_out_meanwhile_is_out_when_that_is_over(network, busy):
    assert getattr(network.access, busy)()
    assert network.access.terminate()
    network.mn.logged("Terminated")
    network.run(60.0)
    assert not network.may_pass()
    assert network.sockets() == len(network.granted) == 1
    assert not network.access.terminate()


def test_who_logs_out_before_being_let_in_is_not_let_in(newcomer):
    assert newcomer.access.terminate()
    newcomer.mn.logged("Terminated")
    newcomer.run(60.0)
    assert not newcomer.may_pass()
    assert newcomer.granted == newcomer.failed == []
    assert newcomer.sockets() == 1


def test_an_address_that_is_not_there_leaves_all_as_it_was(network):
    assert not network.access.move(NEXT_COA)
    assert "AccessFailed" in network.mn.names()
    assert network.access.ping()
    network.mn.logged("PingAnswered")
    assert network.moved == []
    network.mn.add(NEXT_COA)
    assert network.access.move(NEXT_COA)
    network.until(lambda: network.moved)


def test_who_moves_while_it_waits_for_a_sign_of_life_tells_it_afterwards(network):
    network.mn.add(NEXT_COA)
    assert network.access.ping()
    assert network.access.move(NEXT_COA)
    network.until(lambda: network.moved)
    assert network.may_pass(NEXT_COA)
    assert not network.may_pass(COA)


def test_it_tells_of_every_attempt_that_fails_until_it_is_let_in(newcomer):
    newcomer.refuse()
    newcomer.until(lambda: len(newcomer.failed) == 3)
    newcomer.accept()
    newcomer.until(lambda: newcomer.granted)
    assert len(newcomer.failed) == 3


def test_who_is_refused_for_a_certificate_tries_again_with_the_longest_pauses(newcomer):
    newcomer.refuse()
    newcomer.peers[-1].refused = True
    newcomer.mn.logged("AttemptFailed")
    refused = newcomer.now
    newcomer.accept()
    newcomer.until(lambda: newcomer.granted, 2 * LONGEST_PAUSE)
    assert newcomer.now == pytest.approx(refused + LONGEST_PAUSE, rel=0.11)


def test_after_that_it_tries_again(network):
    network.refuse()
    network.revoke()
    network.mn.logged("Rejected", 3)
    network.accept()
    network.until(lambda: len(network.granted) == 2)
    assert [one["attempt"] for one in network.failed] == [1, 2, 3]


def test_a_refused_re_authentication_is_followed_by_another_attempt(network):
    network.refuse()
    assert network.access.reauthenticate()
    network.mn.logged("Rejected")
    network.accept()
    network.until(lambda: len(network.granted) == 2)


def test_it_begins_anew_where_it_has_moved_to(network):
    network.revoke()
    network.mn.logged("Terminated")
    network.mn.add(NEXT_COA)
    assert not network.access.move(NEXT_COA)
    network.mn.remove(NEXT_COA)  # As while the address is not there yet.
    network.mn.logged("AttemptFailed")
    network.mn.add(NEXT_COA)
    network.until(lambda: len(network.granted) == 2)
    assert network.moved == [NEXT_COA]
