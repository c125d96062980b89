"""The IKEv2 service of both sides on a virtual clock."""

from __future__ import annotations

import errno

import pytest

from agents.nodes.ike_daemon.ikev2 import Ikev2Daemon
from agents.nodes.ike_daemon.ikev2_settings import Ikev2Settings
from agents.nodes.keylog import KeyLog
from tests.ike import COA, HA, HOA, PSK
from tests.nodes.simulated import Network, Node

SETTINGS = Ikev2Settings(authentication="psk")


class Side(Node):
    """A host with a service and its kernel, and the failures and losses that its owner hears of."""

    def __init__(self, network, *addresses):
        super().__init__(network, "X", *addresses)
        at_agent = HA in addresses
        self.kernel = self.home_agent_kernel(HA) if at_agent else self.mobile_node_kernel()
        self.failures, self.lost = [], []
        self.service = Ikev2Daemon(
            self.host,
            addresses[0],
            SETTINGS,
            identity=None,
            kernel=self.kernel,
            keys=KeyLog(),
            log=self.log,
            on_failure=self.failures.append,
            on_lost=lambda: self.lost.append(self.names().count("IkeDeleted")),
        )
        self.service.open()

    def handled(self):
        """Return what was done with SAs: the operation, and the SPI of the pair."""
        operations = ("install", "uninstall")
        return [(n, p.inbound.spi) for n, p in self.kernel.calls if n in operations]


@pytest.fixture
def sides():
    """Return a mobile node with two addresses and a home agent that share a key."""
    network = Network()
    mn, ha = Side(network, COA, COA + 1), Side(network, HA)
    ha.service.add_psk(PSK, peer=COA, identity=None, home_address=HOA)
    return mn, ha


@pytest.fixture
def both(sides):
    """Return both with the SAs that they have made."""
    mn, ha = sides
    mn.service.initiate(HA, HOA, psk=PSK)
    mn.logged("ChildEstablished")
    return mn, ha


def test_the_kernel_gets_every_pair_once(both):
    mn, ha = both
    mn.service.rekey_children(HA)
    for side in (mn, ha):
        side.logged("ChildDeleted")
        assert [name for name, _ in side.handled()] == ["install", "install", "uninstall"]


def test_sas_that_the_kernel_refuses_are_deleted_at_the_peer_too(sides):
    mn, ha = sides
    ha.kernel.failures = dict.fromkeys(("install", "uninstall"), errno.ENOMEM)
    mn.service.initiate(HA, HOA, psk=PSK)
    for side in (mn, ha):
        side.logged("ChildDeleted")
        assert "IkeDeleted" not in side.names()
    assert ha.failures == [
        f"IKE with {COA}: the kernel does not take the SAs: [Errno {errno.ENOMEM}] "
        "install: refused as asked",
        f"IKE with {COA}: no ESP SAs are left: deleted",
    ]
    assert mn.failures == [f"IKE with {HA}: no ESP SAs are left: deleted by the peer"]
    assert ha.names().count("KernelFailed") == 2
    assert not mn.kernel.sas_between(HOA, HA)


def test_an_ike_sa_that_is_left_without_esp_sas_is_a_failure(both):
    mn, ha = both
    mn.service.rekey_children(HA)
    mn.logged("ChildDeleted")
    assert not mn.failures  # Another pair has taken over.
    assert mn.service.secured(HA)
    ha.kernel.failures["install"] = errno.ENOMEM
    mn.service.rekey_children(HA)
    mn.logged("ChildDeleted", 3)
    assert mn.failures == [f"IKE with {HA}: no ESP SAs are left: replaced"]
    assert not mn.service.secured(HA)
    ha.kernel.failures.clear()
    mn.service.initiate(HA, HOA)
    assert mn.service.secured(HA)
    mn.logged("ChildEstablished", 4)
    assert mn.names().count("IkeEstablished") == 1


def test_the_sas_of_before_a_movement_do_not_secure_what_comes_after_it(both):
    """Not at the same address either: the home agent may have others by now, which it uses."""
    mn, _ = both
    mn.service.move(COA + 1)
    assert not mn.service.secured(HA)
    mn.service.move(COA)
    assert not mn.service.secured(HA)


def test_the_loss_of_the_last_ike_sa_is_told(both):
    mn, ha = both
    mn.service.rekey_ike(HA)
    mn.logged("IkeDeleted")
    assert not mn.lost  # Another one has taken over.
    ha.service.delete_identity(str(COA))
    mn.logged("IkeDeleted", 2)
    assert mn.lost == [2]


def test_the_home_agent_hears_when_a_peers_last_ike_sa_is_gone(both):
    mn, ha = both
    gone = []
    ha.service.on_gone = gone.append
    mn.service.rekey_ike(HA)
    ha.logged("IkeDeleted")
    assert not gone  # Another one has taken over.
    ha.service.delete_identity(str(COA))
    ha.logged("IkeDeleted", 2)
    assert gone == [str(COA)]


def test_a_peer_that_is_silent_is_asked_whether_it_lives():
    assert SETTINGS.config(None, responder=False).liveness_interval == 60.0


def test_a_home_agent_with_eap_takes_no_certificate_instead():
    config = Ikev2Settings(authentication="eap").config(None, responder=True)
    assert (config.accept_eap, config.accept_certificates) == (True, False)


def test_a_move_makes_new_sas_and_then_deletes_the_old_ones(both):
    mn, ha = both
    ha.service.add_psk(PSK, peer=COA + 1, identity=None, home_address=HOA)
    ((_, old),) = mn.handled()
    mn.service.move(COA + 1)
    assert mn.kernel.sas_between(HOA, HA)
    mn.service.initiate(HA, HOA)
    for side in (mn, ha):
        side.logged("IkeDeleted")
        assert [name for name, _ in side.handled()] == ["install", "install", "uninstall"]
        assert len(side.kernel.sas_between(HOA, HA)) == 1
    assert mn.handled()[-1] == ("uninstall", old)


def test_the_end_of_an_authorisation_takes_its_sas_out_of_the_kernel_at_once(both):
    mn, ha = both
    ha.logged("ChildEstablished")
    assert ha.kernel.sas_between(HOA, HA)
    mn.service.close()  # It says nothing any more.
    ha.service.delete_identity(str(COA))
    assert not ha.kernel.sas_between(HOA, HA)
    assert "ChildDeleted" in ha.names()


def test_sas_that_are_left_are_not_lost(both):
    mn, _ = both
    mn.service.leave(HA)
    mn.logged("IkeDeleted")
    assert not mn.lost
    assert not mn.failures
