"""What the model of the kernel lets through, and what it drops: IPsec, Mobile IPv6, tunnels."""

from __future__ import annotations

from ipaddress import IPv6Address

import pytest

from agents.core.record import replace
from agents.ike.esp import Encryption, EspPair, EspSa, Integrity
from agents.kernel.model import TUNNEL, ModelKernel
from agents.kernel.model_port import ModelHomeAgent, ModelMobileNode, ModelSecurityAssociations
from agents.kernel.packet import ICMPV6, IPV6, MOBILITY_HEADER, UDP, Packet

HOME, ANOTHER = IPv6Address("2001:db8:100::1234"), IPv6Address("2001:db8:100::5678")
AGENT, CORRESPONDENT = IPv6Address("2001:db8:100::1"), IPv6Address("2001:db8:100::c")
CARE_OF, NEXT_CARE_OF = IPv6Address("2001:db8:a::2"), IPv6Address("2001:db8:b::2")
STRANGER = IPv6Address("2001:db8:e::1")

UPDATE, ACKNOWLEDGEMENT, ERROR = 5, 6, 7


def sa(source, destination, spi, **changes) -> EspSa:
    keys = (Encryption.AES_CBC, bytes([spi % 256]) * 16, Integrity.HMAC_SHA2_256_128, bytes(32))
    return replace(EspSa(source, destination, spi, MOBILITY_HEADER, *keys, 3600.0), **changes)


def pair(home=HOME, spi=0x1000, **changes) -> EspPair:
    """Return the home agent's SAs with a home address."""
    there, back = sa(home, AGENT, spi, **changes), sa(AGENT, home, spi + 1, **changes)
    return EspPair(there, back)


def turned(both: EspPair) -> EspPair:
    """Return the same SAs as the other end has them."""
    return EspPair(both.outbound, both.inbound)


def message(kind, source=HOME, destination=AGENT) -> Packet:
    """Return a Mobility Header of a type as its sender makes it."""
    return Packet(source, destination, MOBILITY_HEADER, payload=bytes([59, 0, kind, 0]))


def data(source, destination) -> Packet:
    return Packet(source, destination, UDP, 4242, 4242, b"data")


class Ends:
    """A mobile node and its home agent, each a kernel with the port on it."""

    def __init__(self, *, secured: bool = True, bound: bool = False) -> None:
        self.now = 0.0
        self.mn = ModelKernel(owns={CARE_OF, HOME}.__contains__, now=lambda: self.now)
        self.ha = ModelKernel(owns={AGENT}.__contains__, now=lambda: self.now)
        self.node, self.agent = ModelMobileNode(self.mn), ModelHomeAgent(self.ha, AGENT)
        self.agent.prepare()
        self.node.prepare(HOME, AGENT, CARE_OF)
        if secured:
            self.agent.install(pair())
            self.node.install(turned(pair()))
        if bound:
            self.agent.bind(HOME, CARE_OF, None)
            self.agent.reach(HOME, CARE_OF)
            self.node.open_tunnel()

    def up(self, packet: Packet) -> Packet | None:
        """Carry what the mobile node makes to the home agent."""
        sent = self.mn.output(packet)
        return self.ha.input(sent) if sent else None

    def down(self, packet: Packet) -> Packet | None:
        """Carry what the home agent makes to the mobile node."""
        sent = self.ha.output(packet)
        return self.mn.input(sent) if sent else None


# Binding Updates


def test_a_binding_update_carries_the_home_address_under_esp():
    ends = Ends()
    sent = ends.mn.output(message(UPDATE))
    assert sent
    assert (sent.source, sent.destination, sent.home_address) == (CARE_OF, AGENT, HOME)
    assert sent.esp == pair().inbound
    assert ends.ha.input(sent) == message(UPDATE)


def test_without_an_sa_it_is_dropped_and_the_kernel_asks_once():
    ends, wanted = Ends(secured=False), []
    assert ends.mn.output(message(UPDATE)) is None  # Nobody watches: the kernel forgets.
    watch = ends.mn.watch_acquires(lambda *between: wanted.append(between))
    for _ in range(3):
        assert ends.mn.output(message(UPDATE)) is None
    assert wanted == [(HOME, AGENT)]
    ends.now = 30.0
    assert ends.mn.output(message(UPDATE)) is None
    assert len(wanted) == 2
    ends.node.install(turned(pair()))
    assert ends.mn.output(message(UPDATE))
    ends.node.uninstall(turned(pair()))
    assert ends.mn.output(message(UPDATE)) is None
    assert len(wanted) == 3
    watch.close()
    ends.now = 60.0
    assert ends.mn.output(message(UPDATE)) is None
    assert len(wanted) == 3


def test_an_sa_ends_with_its_lifetime():
    ends = Ends()
    ends.now = 3599.0
    assert ends.up(message(UPDATE)) == message(UPDATE)
    late = ends.mn.output(message(UPDATE))
    ends.now = 3600.0
    assert late
    assert ends.ha.input(late) is None
    assert ends.mn.output(message(UPDATE)) is None
    assert ends.node.sas_between(HOME, AGENT) == []
    assert ends.agent.sas == {}


def test_the_newest_sa_protects_and_an_older_one_still_opens():
    ends = Ends()
    old = ends.mn.output(message(UPDATE))
    ends.node.install(turned(pair(spi=0x2000)))
    ends.agent.install(pair(spi=0x2000))
    new = ends.mn.output(message(UPDATE))
    assert old
    assert new
    assert (old.esp, new.esp) == (pair().inbound, pair(spi=0x2000).inbound)
    assert ends.ha.input(old) == ends.ha.input(new) == message(UPDATE)


def test_an_sa_for_one_message_protects_no_other():
    ends = Ends(secured=False)
    ends.agent.install(pair(message=UPDATE))
    ends.node.install(turned(pair(message=UPDATE)))
    assert ends.up(message(UPDATE)) == message(UPDATE)
    assert ends.mn.output(message(ERROR)) is None
    forged = replace(message(ERROR), esp=pair().inbound)
    assert ends.ha.input(forged) is None


def test_another_message_goes_without_the_option():
    ends = Ends()
    sent = ends.mn.output(message(ERROR))
    assert sent == replace(message(ERROR), esp=pair().inbound, esp_number=1)
    assert ends.ha.input(sent) == message(ERROR)
    ends.agent.bind(HOME, CARE_OF, None)
    ends.node.open_tunnel()
    sent = ends.mn.output(message(ERROR))
    assert sent
    assert (sent.source, sent.protocol) == (CARE_OF, IPV6)
    assert ends.ha.input(sent) == message(ERROR)


@pytest.mark.parametrize(
    "changes",
    [
        {"encryption_key": b"k" * 16},
        {"integrity_key": b"k" * 32},
        {"encryption": Encryption.AES_GCM_16},
        {"integrity": Integrity.HMAC_SHA1_96},
        {"spi": 0x3000},
    ],
)
def test_who_has_other_keys_is_not_understood(changes):
    ends = Ends(secured=False)
    ends.node.install(turned(pair()))
    ends.agent.install(EspPair(replace(pair().inbound, **changes), pair().outbound))
    assert ends.mn.output(message(UPDATE))
    assert ends.up(message(UPDATE)) is None


@pytest.mark.parametrize("home_address", [HOME, ANOTHER, CORRESPONDENT, None])
@pytest.mark.parametrize("kind", [UPDATE, ACKNOWLEDGEMENT, ERROR])
def test_mobility_headers_in_clear_do_not_reach_a_home_agent(home_address, kind):
    ends = Ends(bound=True)
    clear = replace(message(kind, CARE_OF), home_address=home_address)
    assert ends.ha.input(clear) is None
    assert ends.ha.input(message(kind, HOME)) is None
    ends.agent.release()
    assert ends.ha.input(message(kind, CARE_OF)) == message(kind, CARE_OF)


def test_an_update_under_one_subscribers_sa_for_anothers_home_address_is_dropped():
    ends = Ends()
    ends.agent.install(pair(ANOTHER, spi=0x2000))
    sent = ends.mn.output(message(UPDATE))
    assert sent
    assert ends.ha.input(replace(sent, home_address=ANOTHER)) is None
    assert ends.ha.input(replace(sent, home_address=None)) is None
    stolen = replace(sent, esp=pair(ANOTHER, spi=0x2000).inbound)
    assert ends.ha.input(stolen) is None
    assert ends.ha.input(replace(stolen, home_address=ANOTHER)) == message(UPDATE, ANOTHER)


def test_an_sa_is_for_its_protocol_alone():
    ends = Ends()
    payload = replace(data(HOME, AGENT), esp=pair().inbound)
    assert ends.ha.input(payload) is None
    assert ends.ha.input(replace(payload, protocol=MOBILITY_HEADER))


@pytest.mark.parametrize(
    "packet",
    [
        data(CARE_OF, AGENT),
        replace(message(ERROR, CARE_OF), esp=pair().inbound),
        replace(message(ACKNOWLEDGEMENT, CARE_OF), esp=pair().inbound),
    ],
)
def test_a_home_address_option_in_other_than_updates_is_for_who_is_bound(packet):
    ends = Ends(bound=True)
    carried = replace(packet, home_address=HOME)
    assert ends.ha.input(carried) == replace(packet, source=HOME, esp=None)
    assert ends.ha.input(replace(carried, home_address=ANOTHER, esp=None)) is None
    assert ends.ha.input(replace(carried, source=STRANGER)) is None
    ends.agent.bind(HOME, NEXT_CARE_OF, None)
    assert ends.ha.input(carried) is None
    assert ends.ha.input(replace(carried, source=NEXT_CARE_OF))
    ends.agent.unbind(HOME)
    assert ends.ha.input(replace(carried, source=NEXT_CARE_OF)) is None


def test_a_home_address_option_is_for_home_agents_alone():
    correspondent = ModelKernel(owns={CORRESPONDENT}.__contains__)
    update = message(UPDATE, CARE_OF, CORRESPONDENT)
    assert correspondent.input(update) == update
    assert correspondent.input(replace(update, home_address=HOME)) is None
    correspondent = Ends().ha  # Another address of a home agent's host.
    assert correspondent.input(replace(update, home_address=HOME)) is None


def test_after_a_move_the_care_of_address_is_the_new_one():
    ends = Ends(bound=True)
    ends.node.move(NEXT_CARE_OF)
    sent = ends.mn.output(message(UPDATE))
    assert sent
    assert (sent.source, sent.home_address) == (NEXT_CARE_OF, HOME)
    assert ends.ha.input(sent) == message(UPDATE)
    tunnelled = ends.mn.output(data(HOME, CORRESPONDENT))
    assert tunnelled
    assert tunnelled.source == NEXT_CARE_OF
    assert ends.ha.input(tunnelled) is None  # The binding is still the old one.
    ends.agent.bind(HOME, NEXT_CARE_OF, None)
    assert ends.ha.input(tunnelled) == data(HOME, CORRESPONDENT)
    old = data(HOME, CORRESPONDENT).encapsulated(CARE_OF, AGENT)
    assert ends.ha.input(old) is None


# Binding Acknowledgements


def acknowledgement() -> Packet:
    return message(ACKNOWLEDGEMENT, AGENT, HOME)


def test_an_acknowledgement_goes_to_the_care_of_address_under_esp():
    ends = Ends(bound=True)
    sent = ends.ha.output(acknowledgement())
    assert sent
    assert (sent.source, sent.destination, sent.routing) == (AGENT, CARE_OF, HOME)
    assert sent.esp == pair().outbound
    assert ends.mn.input(sent) == acknowledgement()


def test_without_an_sa_no_acknowledgement_leaves():
    ends, wanted = Ends(secured=False, bound=True), []
    ends.ha.watch_acquires(lambda *between: wanted.append(between))
    assert ends.ha.output(acknowledgement()) is None
    assert wanted == [(AGENT, HOME)]


def test_without_a_way_it_goes_home_as_it_is():
    """One who has returned home gets it there (RFC 6275 section 10.3.2)."""
    ends = Ends()
    sent = ends.ha.output(acknowledgement())
    assert sent == replace(acknowledgement(), esp=pair().outbound, esp_number=1)
    assert ends.mn.input(sent) is None  # This one is away, and asks for the routing header.
    ends.agent.reach(HOME, CARE_OF)
    assert ends.down(acknowledgement()) == acknowledgement()
    ends.agent.unreach(HOME)
    assert ends.down(acknowledgement()) is None


def test_another_message_of_the_home_agent_goes_through_the_tunnel():
    ends = Ends(bound=True)
    sent = ends.ha.output(message(ERROR, AGENT, HOME))
    assert sent
    assert (sent.protocol, sent.destination, sent.routing) == (IPV6, CARE_OF, None)
    assert ends.mn.input(sent) == message(ERROR, AGENT, HOME)


@pytest.mark.parametrize(
    "changes",
    [
        {"routing": ANOTHER},
        {"source": STRANGER},
        {"destination": NEXT_CARE_OF},
        {"esp": None},
        {"esp": pair(spi=0x2000).outbound},
        {"destination": HOME, "routing": None},
    ],
)
def test_a_mobile_node_takes_acknowledgements_of_its_home_agent_alone(changes):
    ends = Ends(bound=True)
    sent = ends.ha.output(acknowledgement())
    assert sent
    assert ends.mn.input(sent) == acknowledgement()
    assert ends.mn.input(replace(sent, **changes)) is None


def test_a_routing_header_carries_payload_of_the_home_agent_while_there_is_a_binding():
    ends = Ends(bound=True)
    carried = replace(data(AGENT, CARE_OF), routing=HOME)
    assert ends.mn.input(carried) == data(AGENT, HOME)
    for changes in ({"source": STRANGER}, {"routing": ANOTHER}, {"destination": NEXT_CARE_OF}):
        assert ends.mn.input(replace(carried, **changes)) is None
    ends.node.move(NEXT_CARE_OF)
    assert ends.mn.input(carried) is None
    assert ends.mn.input(replace(carried, destination=NEXT_CARE_OF)) == data(AGENT, HOME)
    ends.node.close_tunnel()
    assert ends.mn.input(replace(carried, destination=NEXT_CARE_OF)) is None
    assert ends.mn.input(data(AGENT, CARE_OF)) == data(AGENT, CARE_OF)
    assert ends.ha.input(replace(data(STRANGER, AGENT), routing=HOME)) is None


def test_at_home_updates_and_acknowledgements_go_as_they_are_under_esp():
    ends = Ends(bound=True)
    ends.node.go_home()
    ends.agent.unbind(HOME)
    ends.agent.unreach(HOME)
    sent = ends.mn.output(message(UPDATE))
    assert (sent.source, sent.home_address, bool(sent.esp)) == (HOME, None, True)
    assert ends.up(message(UPDATE)) == message(UPDATE)
    assert ends.down(acknowledgement()) == acknowledgement()
    assert ends.mn.output(data(HOME, CORRESPONDENT)) == data(HOME, CORRESPONDENT)
    ends.node.prepare(HOME, AGENT, CARE_OF)
    assert ends.mn.output(message(UPDATE)).home_address == HOME


# The tunnel


def test_payload_of_the_home_address_goes_through_the_tunnel_while_it_is_open():
    ends = Ends()
    packet = data(HOME, CORRESPONDENT)
    assert ends.mn.output(packet) == packet  # As it is: it was not to be sent yet.
    ends.node.open_tunnel()
    assert ends.mn.output(packet) == packet.encapsulated(CARE_OF, AGENT)
    assert ends.mn.output(data(CARE_OF, STRANGER)) == data(CARE_OF, STRANGER)
    assert ends.mn.output(data(HOME, CARE_OF)) == data(HOME, CARE_OF)  # This host itself.
    ends.node.close_tunnel()
    assert ends.mn.output(packet) == packet


def test_a_home_agent_takes_from_a_tunnel_what_is_of_the_home_addresses_behind_it():
    ends = Ends(bound=True)
    ends.agent.bind(ANOTHER, NEXT_CARE_OF, None)
    for destination in (CORRESPONDENT, AGENT, ANOTHER):
        packet = data(HOME, destination)
        assert ends.ha.input(packet.encapsulated(CARE_OF, AGENT)) == packet
        assert ends.ha.input(packet.encapsulated(NEXT_CARE_OF, AGENT)) is None
        assert ends.ha.input(packet.encapsulated(STRANGER, AGENT)) is None
        assert ends.ha.input(packet.encapsulated(CARE_OF, STRANGER)) is None
        for forged in (ANOTHER, CORRESPONDENT, AGENT, STRANGER, CARE_OF):
            assert ends.ha.input(data(forged, destination).encapsulated(CARE_OF, AGENT)) is None
    ends.agent.unbind(HOME)
    assert ends.ha.input(data(HOME, CORRESPONDENT).encapsulated(CARE_OF, AGENT)) is None


def test_home_addresses_may_share_a_care_of_address():
    ends = Ends(bound=True)
    ends.agent.bind(ANOTHER, CARE_OF, None)
    for home in (HOME, ANOTHER):
        packet = data(home, CORRESPONDENT)
        assert ends.ha.input(packet.encapsulated(CARE_OF, AGENT)) == packet


def test_the_tunnel_is_no_way_around_the_policies():
    ends = Ends(bound=True)
    assert ends.ha.input(message(UPDATE).encapsulated(CARE_OF, AGENT)) is None
    assert ends.mn.input(acknowledgement().encapsulated(AGENT, CARE_OF)) is None
    nested = data(HOME, CORRESPONDENT).encapsulated(HOME, AGENT).encapsulated(CARE_OF, AGENT)
    assert ends.ha.input(nested) is None


def test_a_mobile_node_takes_from_the_tunnel_what_is_for_its_home_address():
    ends = Ends()
    packet = data(CORRESPONDENT, HOME)
    assert ends.mn.input(packet.encapsulated(AGENT, CARE_OF)) == packet
    assert ends.mn.input(packet.encapsulated(STRANGER, CARE_OF)) is None
    assert ends.mn.input(packet.encapsulated(AGENT, NEXT_CARE_OF)) is None
    for inside in (CARE_OF, NEXT_CARE_OF, IPv6Address("ff02::1")):
        inner = data(CORRESPONDENT, inside)
        assert ends.mn.input(inner.encapsulated(AGENT, CARE_OF)) is None
    ends.node.clear()
    assert ends.mn.input(packet.encapsulated(AGENT, CARE_OF)) is None


def test_a_home_agent_tunnels_what_is_for_a_bound_home_address():
    ends = Ends(bound=True)
    packet = data(CORRESPONDENT, HOME)
    assert ends.ha.intercepts(HOME)
    assert ends.ha.forward(packet, "home") == packet.encapsulated(AGENT, CARE_OF)
    assert ends.ha.output(data(AGENT, HOME)) == data(AGENT, HOME).encapsulated(AGENT, CARE_OF)
    inner = ends.ha.input(data(HOME, ANOTHER).encapsulated(CARE_OF, AGENT))
    assert inner
    assert ends.ha.forward(inner, TUNNEL) == inner
    ends.agent.bind(ANOTHER, NEXT_CARE_OF, None)
    assert ends.ha.forward(inner, TUNNEL) == inner.encapsulated(AGENT, NEXT_CARE_OF)
    ends.agent.unbind(HOME)
    assert not ends.ha.intercepts(HOME)
    assert ends.ha.forward(packet, "home") == packet


@pytest.mark.parametrize(
    ("source", "destination"),
    [
        ("fe80::1", "2001:db8:100::c"),
        ("2001:db8:a::2", "fe80::1"),
        ("2001:db8:a::2", "ff0e::1"),
        ("::", "2001:db8:100::c"),
    ],
)
def test_what_is_of_one_link_is_not_forwarded(source, destination):
    packet = Packet(IPv6Address(source), IPv6Address(destination), ICMPV6)
    assert ModelKernel().forward(packet, "home") is None


# What lasts


def test_what_was_set_up_outlives_the_program():
    ends = Ends(bound=True)
    ends.agent.close()
    ends.node.close()
    assert ends.up(message(UPDATE)) == message(UPDATE)
    assert ends.down(acknowledgement()) == acknowledgement()
    assert ends.up(data(HOME, CORRESPONDENT)) == data(HOME, CORRESPONDENT)


def test_a_home_agent_begins_with_nothing_of_the_one_before_it():
    ends = Ends(bound=True)
    other = ModelHomeAgent(ends.ha, STRANGER)
    other.prepare()
    other.bind(ANOTHER, CARE_OF, None)
    successor = ModelHomeAgent(ends.ha, AGENT)
    successor.prepare()
    assert (successor.sas, successor.bound, successor.reached) == ({}, {}, {})
    assert ends.up(message(UPDATE)) is None
    assert ends.ha.output(acknowledgement()) is None
    assert ends.ha.input(data(HOME, CORRESPONDENT).encapsulated(CARE_OF, AGENT)) is None
    assert other.bound == {ANOTHER: CARE_OF}


def test_a_mobile_node_takes_over_its_home_address_or_gives_it_up():
    ends = Ends(bound=True)
    successor = ModelMobileNode(ends.mn)
    successor.prepare(HOME, AGENT, NEXT_CARE_OF)
    assert (successor.care_of, successor.tunnel_open) == (NEXT_CARE_OF, True)
    assert len(successor.sas_between(HOME, AGENT)) == 1
    successor.prepare(ANOTHER, AGENT, NEXT_CARE_OF)
    assert (successor.home_address, successor.tunnel_open, successor.sas) == (ANOTHER, False, {})


def test_a_mobile_node_begins_with_nothing_of_the_one_before_it():
    ends, wanted = Ends(bound=True), []
    ends.node.install(turned(pair(ANOTHER, spi=0x2000)))
    beside = ModelHomeAgent(ends.mn, STRANGER)
    beside.prepare()
    beside.install(EspPair(sa(HOME, STRANGER, 0x77), sa(STRANGER, HOME, 0x77)))
    beside.bind(ANOTHER, CARE_OF, None)
    successor = ModelMobileNode(ends.mn)
    successor.clear()
    assert (successor.home_address, successor.tunnel_open) == (None, False)
    assert {spi for _, spi in successor.sas} == {0x77}
    assert beside.bound == {ANOTHER: CARE_OF}
    successor.prepare(HOME, AGENT, CARE_OF)
    ends.mn.watch_acquires(lambda *between: wanted.append(between))
    for _ in range(2):
        assert ends.mn.output(message(UPDATE)) is None
        successor.clear()
        successor.prepare(HOME, AGENT, CARE_OF)
    assert wanted == [(HOME, AGENT)] * 2


def test_of_all_sas_those_of_a_home_address_are_forgotten():
    ends = Ends()
    ends.agent.install(pair(ANOTHER, spi=0x2000))
    ends.agent.forget(HOME)
    assert {spi for _, spi in ends.agent.sas} == {0x2000, 0x2001}
    assert ends.agent.sas_between(HOME, AGENT) == []


def test_another_programs_sas_serve_as_well():
    ends = Ends(secured=False)
    for kernel, both in ((ends.mn, turned(pair())), (ends.ha, pair())):
        ModelSecurityAssociations(kernel).install(both)
    assert ends.up(message(UPDATE)) == message(UPDATE)
