"""What a mobile node does with another authentication: keys, another home agent, daemons."""

from __future__ import annotations

import errno
from ipaddress import IPv6Address

import pytest

from agents.bootstrap.assignment import Assignment, Wish
from agents.bootstrap.sealed import SealContext, seal
from agents.core.record import replace
from agents.nodes.retry import FIRST_PAUSE
from tests.ike import COA
from tests.nodes.mobile_node.surroundings import (
    HOME,
    IKEV1,
    IKEV2,
    NAME,
    AccessNetwork,
    HomeAgent,
    Mobile,
)
from tests.nodes.simulated import DELAY, Network

OTHER = Assignment(IPv6Address("2001:db8:300::1"), 64, IPv6Address("2001:db8:300::1234"))
SETTINGS = {1: {"ikev1": IKEV1}, 2: {"ikev2": IKEV2}}
ESTABLISHED = {1: "Phase1Established", 2: "IkeEstablished"}


class Renewal(Network):
    """A mobile node that PANA gives a home agent to, which shares a key with it each time."""

    def __init__(self, authority, version=1, **settings):
        super().__init__()
        self.version = version
        self.access = AccessNetwork(self, authority)
        self.access.assignment = HOME
        self.agent = HomeAgent(self, version=version)
        self.access.share = self.agent.share
        self.mn = Mobile(self, authority, **(SETTINGS[version] | settings))

    def bootstrap(self):
        self.mn.logged("Bootstrapped")
        assert self.established() == 1
        return self

    def authenticate(self):
        """Have the mobile node authenticated once more."""
        before = self.mn.names("pana").count("Authenticated")
        assert self.mn.command("reauthenticate")
        self.mn.logged("Authenticated", before + 1)

    def established(self):
        """Return how many IKE SAs the mobile node has made so far."""
        return self.mn.names().count(ESTABLISHED[self.version])


@pytest.fixture
def make(authority):
    return lambda *given, **settings: Renewal(authority, *given, **settings)


def test_ikev1_negotiates_again_with_the_new_key(make):
    network = make().bootstrap()
    network.authenticate()
    network.mn.logged("ChildEstablished", 2)  # The home agent knows the new key alone.
    network.until(lambda: len(network.agent.updates) == 2)
    assert network.established() == 2
    assert network.mn.names().count("Bootstrapped") == 1
    assert ("close_tunnel",) not in network.mn.kernel.calls


@pytest.mark.parametrize("up", [True, False])
def test_ikev2_keeps_its_sas_and_makes_others_only_where_there_are_none(make, up):
    network = make(2).bootstrap()
    if not up:
        network.agent.end()
        network.mn.logged("IkeDeleted")
    network.authenticate()
    network.until(lambda: len(network.agent.updates) == 2)
    network.run(10.0)
    assert network.established() == (1 if up else 2)  # The key is another.
    assert network.mn.names().count("Bootstrapped") == 1


def test_who_is_let_in_without_a_home_agent_asks_again_when_access_is_busy(make):
    network = make()
    network.access.assignment = None
    network.mn.logged("AttemptFailed")
    network.run(0.9 * FIRST_PAUSE - DELAY)
    assert network.mn.command("ping")
    network.run(1.0)
    network.access.assignment = HOME
    network.bootstrap()


@pytest.mark.parametrize("version", [1, 2])
def test_another_home_agent_takes_the_place_of_the_first(make, version):
    network = make(version).bootstrap()
    other = HomeAgent(network, OTHER, version=version)
    network.access.assignment, network.access.share = OTHER, other.share
    network.authenticate()
    network.mn.logged("Bootstrapped", 2)
    assert network.mn.told("Bootstrapped")[-1]["home_address"] == str(OTHER.home_address)
    assert "AssignmentChanged" in network.mn.names()
    network.run(1000.0)  # The binding is refreshed after 315 s.
    assert len(network.agent.updates) == 1
    assert len(other.updates) > 1


@pytest.mark.parametrize("version", [1, 2])
def test_the_first_home_agent_may_take_its_place_again(make, version):
    network = make(version).bootstrap()
    other = HomeAgent(network, OTHER, version=version)
    there = (OTHER, other.share), (HOME, network.agent.share), (OTHER, other.share)
    for bootstrapped, (assignment, share) in enumerate(there, 2):
        network.access.assignment, network.access.share = assignment, share
        network.authenticate()
        network.mn.logged("Bootstrapped", bootstrapped)


@pytest.mark.parametrize("version", [1, 2])
def test_the_same_home_agent_may_assign_another_home_address(make, version):
    network = make(version).bootstrap()
    network.access.assignment = replace(HOME, home_address=HOME.home_address + 1)
    network.agent.assign(network.access.assignment)
    network.authenticate()
    network.mn.logged("Bootstrapped", 2)
    assert not network.mn.kernel.sas_between(HOME.home_address, HOME.home_agent)


def test_only_what_is_sealed_counts_the_next_time_too(make):
    told = []

    def sealed(keys):
        told.append(seal(HOME, keys.emsk, SealContext(NAME, keys.session_id, Wish.EITHER)))
        return told[-1]

    network = make(protection="sealed")
    network.access.assignment, network.access.seal = OTHER, sealed
    network.bootstrap()
    for forged in (None, told[0]):
        network.access.seal = lambda _keys, forged=forged: forged
        network.authenticate()
        network.run(1.0)
    assert len(network.mn.told("AttemptFailed")) >= 2
    assert network.established() == len(network.agent.updates) == 1
    network.access.seal = sealed
    network.until(lambda: len(network.agent.updates) == 2)  # Another session is begun for it.
    assert network.established() == 2


@pytest.mark.parametrize("version", [1, 2])
def test_a_session_that_brings_no_home_agent_is_left_for_another(make, version):
    network = make(version).bootstrap()
    network.access.assignment = None
    network.authenticate()
    network.mn.logged("AttemptFailed")
    assert ("close_tunnel",) not in network.mn.kernel.calls
    network.access.assignment = HOME
    network.until(lambda: len(network.agent.updates) == 2)
    assert network.mn.names().count("Bootstrapped") == 1


class Launched:
    """Daemons that a script is thought to have started."""

    def __init__(self, psk, *addresses):
        self.psk = psk
        self.addresses = addresses
        self.closed = False

    def close(self):
        self.closed = True


def test_daemons_that_a_script_has_started_get_the_new_key(make):
    made = []

    def launch(*given):
        made.append(Launched(*given))
        return made[-1]

    network = make(launch="script", launcher=launch)
    network.until(lambda: made)
    network.authenticate()
    network.until(lambda: len(made) == 2)
    first, second = made
    assert first.addresses == second.addresses == (HOME.home_agent, HOME.home_address, COA)
    assert first.psk != second.psk
    assert (first.closed, second.closed) == (True, False)


def test_before_the_script_goes_on_with_another_home_agent_the_kernel_is_cleared(make):
    made = []

    def launch(*given):
        made.append(Launched(*given))
        network.mn.kernel.prepare(HOME.home_address, HOME.home_agent, COA)
        return made[-1]

    network = make(launch="script", launcher=launch)
    network.until(lambda: made)
    network.access.assignment = OTHER
    network.authenticate()
    network.until(lambda: len(made) == 2)
    assert [name for name, *_ in network.mn.kernel.calls] == ["clear", "prepare"] * 2


def test_daemons_that_cannot_be_started_are_tried_again(make):
    made, refused = [], [OSError(errno.ENOSPC, "No space left on device"), None]

    def launch(*given):
        if error := refused.pop():
            raise error
        made.append(Launched(*given))
        return made[-1]

    def failed():
        return [(e["stage"], e["reason"]) for e in network.mn.told("AttemptFailed")]

    expected = ("ike", "the daemons cannot be started: [Errno 28] No space left on device")
    refused.reverse()
    network = make(launch="script", launcher=launch)
    network.until(lambda: made)
    assert failed() == [expected]
    refused.extend([None, OSError(errno.ENOSPC, "No space left on device")])
    network.authenticate()
    network.until(lambda: len(made) == 2)
    assert failed() == [expected, expected]
    assert made[0].closed
    assert made[0].psk != made[1].psk
