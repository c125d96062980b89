"""What a mobile node does about its IKEv2 after the bootstrap, and about its binding."""

from __future__ import annotations

import errno

import pytest

from agents.nodes.mobile_node.settings import StaticSettings
from agents.nodes.retry import FIRST_PAUSE
from tests.ike import COA, HA
from tests.nodes.mobile_node.surroundings import (
    IKEV2_EAP,
    NEXT_COA,
    AccessNetwork,
    HomeAgent,
    Mobile,
)
from tests.nodes.simulated import Network

IKE = 500


class Home(Network):
    """A mobile node that IKEv2 with EAP assigns a home address to."""

    def __init__(self, authority):
        super().__init__()
        AccessNetwork(self, authority)
        self.agent = HomeAgent(self, authority=authority)
        self.mn = Mobile(
            self, authority, discovery=StaticSettings(home_agent=str(HA)), ikev2=IKEV2_EAP
        )

    def negotiations(self):
        """Return how often the mobile node has begun to make an IKE SA."""
        return self.mn.names().count("IkeStarted")

    def bindings(self):
        """Return the care-of address in each Binding Update so far, None where it ends one."""
        return [update.care_of if update.lifetime else None for update in self.agent.updates]

    def end(self):
        """Have the home agent delete the SAs."""
        before = self.mn.names().count("IkeDeleted")
        self.agent.end()
        self.mn.logged("IkeDeleted", before + 1)


@pytest.fixture
def newcomer(authority):
    """Return a network whose mobile node has just begun."""
    return Home(authority)


@pytest.fixture
def home(newcomer):
    """Return a network whose mobile node is registered."""
    newcomer.mn.logged("Bootstrapped")
    assert newcomer.bindings() == [COA]
    return newcomer


def test_it_negotiates_and_registers_again_when_the_ike_sa_is_lost(home):
    home.end()
    lost = home.now
    home.mn.logged("IkeStarted", 2)
    assert home.now == pytest.approx(lost + FIRST_PAUSE, abs=0.1 * FIRST_PAUSE)
    home.until(lambda: home.bindings() == [COA] * 2)
    assert [name for name, *_ in home.mn.kernel.calls].count("prepare") == 1


def test_it_tries_again_until_there_are_sas(home):
    home.lose(IKE)
    home.until(lambda: home.mn.names().count("AttemptFailed") >= 3, 3600.0)
    assert home.negotiations() == 4
    home.lose()
    home.mn.logged("IkeEstablished", 2)
    tried, registered = home.negotiations(), len(home.bindings())
    home.until(lambda: len(home.bindings()) == registered + 1)
    home.run(300.0)
    assert home.negotiations() == tried


@pytest.mark.parametrize("operation", ["prepare", "open_tunnel"])
def test_what_the_kernel_does_not_do_is_tried_again(newcomer, operation):
    newcomer.mn.kernel.failures[operation] = errno.ENOBUFS
    newcomer.mn.logged("AttemptFailed", 3)
    assert newcomer.mn.names().count("Bootstrapped") == 0
    newcomer.mn.kernel.failures.clear()
    newcomer.mn.logged("Bootstrapped")
    assert newcomer.negotiations() == 1


def test_a_failure_before_the_first_binding_is_one_of_an_attempt_the_bootstrap_goes_on(newcomer):
    newcomer.lose(IKE)
    newcomer.until(lambda: newcomer.mn.names().count("AttemptFailed") == 2, 3600.0)
    assert newcomer.negotiations() == 2
    newcomer.lose()
    newcomer.mn.logged("Bootstrapped")
    told = newcomer.mn.told("AttemptFailed")
    assert [(one["attempt"], one["stage"]) for one in told] == [(1, "ike"), (2, "ike")]
    assert "the peer does not answer" in told[0]["reason"]


def test_closed_it_tries_no_more(home):
    home.end()
    home.mn.close()
    home.run(60.0)
    assert home.negotiations() == 1


def test_deregistered_it_stays_so_until_it_is_asked(home):
    assert home.mn.command("deregister")
    home.until(lambda: home.bindings() == [COA, None])
    home.end()
    home.run(60.0)
    assert home.negotiations() == 1
    assert home.mn.command("refresh")
    home.until(lambda: home.bindings() == [COA, None, COA])
    home.end()
    home.until(lambda: home.bindings() == [COA, None, COA, COA])
    assert home.negotiations() == 3


def test_deregistered_it_does_not_register_where_it_moves_to(home):
    assert home.mn.command("deregister")
    assert home.mn.command("move", str(NEXT_COA))
    home.run(60.0)
    assert home.bindings() == [COA, None]
    assert home.mn.command("refresh")
    home.until(lambda: home.bindings() == [COA, None, NEXT_COA])


def test_it_negotiates_anew_from_another_care_of_address(home):
    """RFC 4877 section 7.4: without MOBIKE or the K flag there must be another IKE SA."""
    assert home.mn.command("move", str(NEXT_COA))
    home.mn.logged("IkeEstablished", 2)
    home.until(lambda: home.bindings() == [COA, NEXT_COA])
    assert home.agent.told("IkeEstablished")[-1]["peer"] == str(NEXT_COA)


def test_it_does_not_negotiate_where_there_are_sas(home):
    assert home.mn.command("refresh")
    home.until(lambda: home.bindings() == [COA, COA])
    assert home.negotiations() == 1
