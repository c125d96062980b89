"""When the mobile node's daemon sends Binding Updates, and from where."""

from __future__ import annotations

from ipaddress import IPv6Address

import pytest

from agents.ike.esp import Encryption, EspPair, EspSa, Integrity
from agents.mip6.binding_cache import link_local_of
from agents.mip6.codec import BindingAck, Status, decode, encode
from agents.nodes.habits import Habits
from agents.nodes.home_registration.machine import RegistrationService
from tests.ike import COA, HA, HOA
from tests.nodes.simulated import Network, Node


def sa(source, destination, spi):
    keys = Encryption.AES_CBC, bytes(16), Integrity.HMAC_SHA2_256_128, bytes(32)
    return EspSa(source, destination, spi, 135, *keys, 3600.0)


PAIR = EspPair(sa(HA, HOA, 0x1000), sa(HOA, HA, 0x2000))


class MobileNode(Node):
    """A mobile node with the daemon, whose home agent is silent."""

    def __init__(self, network, *others, **habits):
        super().__init__(network, "A", COA, COA + 1, COA + 2, *others)
        self.kernel = self.mobile_node_kernel()
        self.silent, self.unanswered, self.failed = [], [], []
        self.service = RegistrationService(
            self.host,
            home_address=HOA,
            home_agent=HA,
            care_of=COA,
            lifetime=420.0,
            kernel=self.kernel,
            log=self.log,
            habits=Habits(**habits),
            on_failure=lambda _, *, refused: self.failed.append((network.now, refused)),
            on_unanswered=lambda _: self.unanswered.append(network.now),
            on_silence=lambda: self.silent.append(network.now),
        )

    def registered(self):
        """Return the care-of addresses in the Binding Updates sent."""
        return [IPv6Address(event["care_of"]) for event in self.told("BindingUpdateSent")]


class HomeAgent(Node):
    """A home agent that answers every Binding Update with a status, and grants so much at most."""

    def __init__(self, network, status, most=420):
        super().__init__(network, "C", HA)
        self.status = status
        self.most = most
        self.heard = lambda _: None
        self._kernel = self.home_agent_kernel(HA)
        self._kernel.prepare()
        self._kernel.install(EspPair(PAIR.outbound, PAIR.inbound))
        self._kernel.reach(HOA, COA)
        self._socket = self.host.open_mobility_headers(HA, self._take)

    def _take(self, data, source):
        update = decode(data)
        self.heard(update)
        ack = BindingAck(self.status, update.sequence, min(update.lifetime, self.most))
        self._socket.send(encode(ack), source)


@pytest.fixture
def network():
    return Network()


def test_it_registers_as_soon_as_there_are_sas(network):
    mn = MobileNode(network)
    network.run(5.0)
    assert mn.registered() == []
    mn.kernel.install(PAIR)
    network.run(1.0)
    assert mn.registered() == [COA]


@pytest.mark.parametrize("way", ["inbound", "outbound"])
def test_it_waits_for_sas_both_ways(network, way):
    mn = MobileNode(network)
    mn.kernel.kernel.sad.add(getattr(PAIR, way))
    network.run(1.0)
    assert mn.registered() == []
    mn.kernel.install(PAIR)
    network.run(1.0)
    assert mn.registered() == [COA]


@pytest.mark.parametrize("has", [True, False])
def test_the_l_bit_is_set_if_the_interface_has_the_same_identifier(network, has):
    sent = []
    mn = MobileNode(network, *([link_local_of(HOA)] if has else []))
    HomeAgent(network, Status.ACCEPTED).heard = sent.append
    mn.kernel.install(PAIR)
    network.run(1.0)
    assert [update.link_local for update in sent] == [has]


def test_deregistered_it_waits_for_sas_no_more(network):
    mn = MobileNode(network)
    mn.service.deregister()
    mn.kernel.install(PAIR)
    network.run(5.0)
    assert mn.registered() == []


def test_a_movement_is_registered_unless_it_is_not_to_be(network):
    mn = MobileNode(network)
    mn.service.move(COA + 1, register=False)
    assert mn.kernel.calls[-1] == ("move", COA + 1)
    assert mn.registered() == []
    mn.kernel.install(PAIR)
    network.run(0.1)
    mn.service.move(COA + 2)
    assert mn.registered() == [COA + 1, COA + 2]


def test_a_movement_detector_that_goes_by_steps_is_waited_for(network):
    network.run(0.5)
    mn = MobileNode(network, movement_detection=2.0)
    mn.kernel.install(PAIR)
    network.run(1.4)
    assert mn.registered() == []
    mn.logged("BindingUpdateSent")
    assert network.now == 2.0


def test_if_the_kernel_is_to_start_ike_the_first_updates_do_not_wait_and_are_lost(network):
    mn = MobileNode(network, ike_trigger="acquire")
    assert mn.names() == ["BindingUpdateDropped"]
    mn.kernel.install(PAIR)
    mn.logged("BindingUpdateSent")
    assert mn.registered() == [COA]


def test_its_owner_hears_of_silence_while_it_goes_on(network):
    mn = MobileNode(network)
    mn.kernel.install(PAIR)
    network.run(119.0)
    assert mn.silent[0] == 10.5  # At the fourth update.
    assert mn.failed == []
    assert mn.unanswered == []
    network.run(2.0)
    assert mn.unanswered == [120.0]
    network.run(3000.0)
    assert mn.failed == []
    assert len(mn.registered()) > 90
    HomeAgent(network, Status.ACCEPTED)
    mn.logged("Bootstrapped")


@pytest.mark.parametrize(
    ("status", "for_good"),
    [(Status.INSUFFICIENT_RESOURCES, False), (Status.ADMINISTRATIVELY_PROHIBITED, True)],
)
def test_a_refusal_is_no_silence(network, status, for_good):
    HomeAgent(network, status)
    mn = MobileNode(network)
    mn.kernel.install(PAIR)
    for refused in range(1, 10):
        mn.logged("BindingRefused", refused)
        mn.service.renew()
    assert [refused for _, refused in mn.failed] == [for_good] * 9
    assert mn.silent == []


def test_a_binding_for_no_time_is_a_refusal_too(network):
    HomeAgent(network, Status.ACCEPTED, most=0)
    mn = MobileNode(network)
    mn.kernel.install(PAIR)
    for refused in range(1, 10):
        mn.logged("Failed", refused)
        mn.service.renew()
    assert [refused for _, refused in mn.failed] == [False] * 9
    assert mn.silent == []
    assert not mn.kernel.tunnel_open
