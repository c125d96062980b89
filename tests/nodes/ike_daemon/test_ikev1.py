"""The IKEv1 service of both sides on a virtual clock."""

from __future__ import annotations

import errno

import pytest

from agents.nodes.habits import Habits
from agents.nodes.ike_daemon.ikev1 import Ikev1Daemon
from agents.nodes.ike_daemon.settings import Ikev1Settings
from agents.nodes.keylog import KeyLog
from tests.ike import COA, HA, HOA, PSK
from tests.nodes.simulated import Network, Node

NAME, OTHER = "mn@home.test", "other@home.test"
SETTINGS = Ikev1Settings(group="ecp256")


class Side(Node):
    """A host with a service, and its kernel."""

    def __init__(self, network, address, **more):
        super().__init__(network, "X", address)
        self.kernel = self.home_agent_kernel(HA) if address == HA else self.mobile_node_kernel()
        self.service = Ikev1Daemon(
            self.host,
            address,
            SETTINGS,
            identity=None,
            kernel=self.kernel,
            keys=KeyLog(),
            log=self.log,
            **more,
        )
        self.service.open()


def node(network, ha, number, name, key, **more):
    """Return a node that shares a key with the home agent, and begins."""
    mn = Side(network, COA + number, **more)
    home = HOA + number
    ha.service.add_psk(key, peer=COA + number, identity=name, home_address=home)
    mn.service.add_psk(key, peer=HA, identity=None, home_address=home)
    mn.service.initiate(HA, home)
    return mn


@pytest.fixture
def network():
    return Network()


@pytest.fixture
def everybody(network):
    """Return a node, another one, and the home agent with SAs for both."""
    ha = Side(network, HA)
    mn, other = node(network, ha, 0, NAME, PSK), node(network, ha, 1, OTHER, b"other")
    ha.logged("ChildEstablished", 2)
    return mn, other, ha


def holders(kernel):
    """Return the home addresses that the home agent's kernel has SAs for."""
    return {home for home in (HOA, HOA + 1) if kernel.sas_between(home, HA)}


def test_the_end_of_an_authorisation_takes_its_sas_out_of_the_kernel_at_once(everybody):
    mn, _, ha = everybody
    assert holders(ha.kernel) == {HOA, HOA + 1}
    ha.service.remove_psk(NAME)
    ha.service.delete_identity(NAME)
    assert holders(ha.kernel) == {HOA + 1}
    mn.logged("Phase1Deleted")
    assert not mn.kernel.sas_between(HOA, HA)
    mn.service.initiate(HA, HOA)
    ha.logged("Failed")
    assert holders(ha.kernel) == {HOA + 1}


def test_a_kernel_that_refuses_does_not_keep_the_others_sas(everybody):
    _, _, ha = everybody
    ha.kernel.failures["uninstall"] = errno.ENOMEM
    ha.service.delete_identity(NAME)
    assert "KernelFailed" in ha.names()
    assert "Phase1Deleted" in ha.names()


def test_sas_that_the_kernel_refuses_are_a_failure(network):
    failures = []
    ha = Side(network, HA)
    mn = node(network, ha, 0, NAME, PSK, on_failure=failures.append)
    mn.kernel.failures["install"] = errno.ENOMEM
    mn.logged("KernelFailed")
    assert len(failures) == 1
    assert "the kernel does not take the SAs" in failures[0]


def test_phase_2_waits_for_the_next_look_at_phase_1(network):
    ha = Side(network, HA)
    mn = node(network, ha, 0, NAME, PSK, habits=Habits(phase1_poll=1.0))
    mn.logged("Phase1Established")
    assert network.now < 0.5
    mn.logged("ChildEstablished")
    assert 1.0 < network.now < 1.1
