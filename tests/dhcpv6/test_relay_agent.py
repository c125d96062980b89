"""The relay agent: what it adds, whom it tells, what it refuses."""

from ipaddress import IPv6Address, IPv6Network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.bootstrap.assignment import Assignment
from agents.core.machine import Discarded
from agents.core.record import replace
from agents.dhcpv6.events import Failed, Forwarded, HomeAgentLearned, Returned
from agents.dhcpv6.home import Home, HomeInformation
from agents.dhcpv6.relay import Relay
from agents.dhcpv6.wire import Message, MessageType, Option, OptionCode, RelayMessage
from tests.dhcpv6.world import CARE_OF, HOME, LINK_ADDRESS, NETWORK, SERVER, World

PEER = ("fe80::200:ff:fe00:1%B-access", 546)
OTHER_RELAY = ("2001:db8:1::77", 547)
REQUEST = World([Home.IDENTIFIED, Home.UNRESTRICTED]).run().sent[0][2]


def relay(**options):
    machine = Relay(interface="B-access", link_address=LINK_ADDRESS, servers=[SERVER], **options)
    machine.set_information(1, CARE_OF, HOME, NETWORK)
    return machine


def forwarded(machine, data=REQUEST, source=PEER):
    machine.from_client(data, source, 0.0)
    ((data, destination),) = machine.outbox
    machine.outbox.clear()
    assert destination == SERVER
    return RelayMessage.decode(data)


def returned(data, **changes):
    """Return a Relay-reply around a message."""
    options = (
        Option(OptionCode.INTERFACE_ID, b"B-access"),
        Option(OptionCode.RELAY_MSG, data),
    )
    peer = IPv6Address("fe80::200:ff:fe00:1")
    message = RelayMessage(MessageType.RELAY_REPLY, 0, LINK_ADDRESS, peer, options)
    return replace(message, **changes).encode()


def refused(machine):
    assert not machine.outbox
    (event,) = machine.events
    assert type(event) is Discarded
    return event.reason


@pytest.mark.parametrize("client", [CARE_OF, IPv6Address("fe80::200:ff:fe00:1")])
def test_the_home_agent_of_the_aaa_server_reaches_the_client(client):
    world = World()
    world.relay.set_information(1, client, HOME, NETWORK)
    world.run()
    (learned,) = world.only(HomeAgentLearned)
    assert learned.addresses == (HOME.home_agent,)
    assert learned.prefix == IPv6Network("2001:db8:100::/64")
    assert not learned.local
    assert learned.at == pytest.approx(0.020)
    host = "fe80::200:ff:fe00:1"
    assert list(world.relay.events) == [
        Forwarded(pytest.approx(0.005), host, "Information-request", True),
        Returned(pytest.approx(0.015), host, "Reply"),
    ]


def test_a_home_agent_in_the_visited_network_is_the_servers_own_although_one_is_supplied():
    world = World([Home.LOCAL])
    world.relay.set_information(1, CARE_OF, HOME, NETWORK)
    (learned,) = world.run().only(HomeAgentLearned)
    assert learned.addresses == (IPv6Address("2001:db8:99::1"),)
    assert learned.local


def test_an_unnamed_home_network():
    world = World([Home.UNRESTRICTED])
    world.relay.set_information(1, CARE_OF, HOME, NETWORK)
    (learned,) = world.run().only(HomeAgentLearned)
    assert learned.addresses == (HOME.home_agent,)


@pytest.mark.parametrize("lost", range(4))
def test_any_lost_message_costs_one_retransmission(lost):
    world = World(drop={lost})
    world.relay.set_information(1, CARE_OF, HOME, NETWORK)
    (learned,) = world.run().only(HomeAgentLearned)
    assert 0.9 < learned.at < 1.2


def test_a_relay_forward_as_the_rfcs_have_it():
    message = forwarded(relay())
    assert (message.kind, message.hop_count) == (MessageType.RELAY_FORWARD, 0)
    assert message.link_address == LINK_ADDRESS
    assert message.peer_address == IPv6Address("fe80::200:ff:fe00:1")
    assert message.value(OptionCode.INTERFACE_ID) == b"B-access"
    assert message.value(OptionCode.RELAY_MSG) == REQUEST
    (supplied, unnamed) = message.first(OptionCode.RSOO).as_options()
    assert HomeInformation.from_option(supplied) == HomeInformation.of(HOME, NETWORK)
    assert HomeInformation.from_option(unnamed) == HomeInformation.of(HOME, None)


def test_the_name_goes_back_as_the_client_spelt_it():
    request = World([Home.IDENTIFIED], network="HOME.test").run().sent[0][2]
    (supplied,) = forwarded(relay(), request).first(OptionCode.RSOO).as_options()
    assert HomeInformation.from_option(supplied).network == "HOME.test"


@pytest.mark.parametrize("homes", [[Home.IDENTIFIED], [Home.LOCAL], [Home.UNRESTRICTED]])
def test_nothing_is_supplied_for_a_client_that_is_not_known(homes):
    request = World(homes).run().sent[0][2]
    assert forwarded(relay(), request, ("fe80::2%B-access", 546)).first(OptionCode.RSOO) is None


def test_nothing_is_supplied_that_was_not_asked_for():
    for homes, network in (([Home.LOCAL], NETWORK), ([Home.IDENTIFIED], "other.test")):
        request = World(homes, network=network).run().sent[0][2]
        assert forwarded(relay(), request).first(OptionCode.RSOO) is None


def test_forgotten_information_is_not_supplied():
    machine = relay()
    machine.forget(1)
    machine.forget(1)
    assert forwarded(machine).first(OptionCode.RSOO) is None
    world = World()
    assert len(world.run().only(Failed)) == 1


def test_a_name_many_times_is_supplied_once():
    request = Message.decode(REQUEST)
    named = request.first(OptionCode.MIP6_HNIDF)
    many = replace(request, options=(*request.options, *(named,) * 3000)).encode()
    assert len(forwarded(relay(), many).first(OptionCode.RSOO).as_options()) == 2


def test_a_message_of_an_unknown_type_is_relayed_as_it_is():
    message = forwarded(relay(), b"\xc8\1\2\3 and so on")
    assert message.value(OptionCode.RELAY_MSG) == b"\xc8\1\2\3 and so on"
    assert message.first(OptionCode.RSOO) is None


@pytest.mark.parametrize(
    ("source", "link"),
    [(OTHER_RELAY, IPv6Address(0)), (("fe80::77%B-access", 547), LINK_ADDRESS)],
)
def test_another_relay_agents_message_goes_one_hop_further(source, link):
    first = RelayMessage(
        MessageType.RELAY_FORWARD,
        7,
        IPv6Address("2001:db8:7::1"),
        IPv6Address("fe80::1"),
        (Option(OptionCode.RELAY_MSG, REQUEST),),
    )
    known = {"relays": [IPv6Address(source[0].partition("%")[0])]}
    second = forwarded(relay(**known), first.encode(), source)
    assert second.hop_count == 8
    assert second.link_address == link
    assert second.value(OptionCode.RELAY_MSG) == first.encode()
    assert second.first(OptionCode.RSOO) is None
    # On its way back a Relay-reply goes to a relay agent's port.
    machine = relay()
    inner = replace(first, kind=MessageType.RELAY_REPLY).encode()
    machine.from_server(returned(inner, peer_address=IPv6Address("fe80::77")), SERVER, 0.0)
    assert list(machine.outbox) == [(inner, ("fe80::77%B-access", 547))]
    # Behind the eighth hop it ends.
    machine = relay(**known)
    machine.from_client(replace(first, hop_count=8).encode(), source, 0.0)
    assert refused(machine) == "Relay-forward after 8 hops"


@pytest.mark.parametrize("kind", [2, 7, 10, 13])
def test_what_servers_send_is_refused_from_the_access_link(kind):
    machine = relay()
    data = returned(REQUEST) if kind == 13 else Message(kind, 1).encode()
    machine.from_client(data, PEER, 0.0)
    assert "from the access link" in refused(machine)


@pytest.mark.parametrize("source", ["2001:db8:2::d:2", "fe80::d%B-core"])
def test_a_server_answers_from_any_of_its_addresses(source):
    machine = relay()
    machine.from_server(returned(b"\7abc"), (source, 547), 0.0)
    assert list(machine.outbox) == [(b"\7abc", PEER)]


@pytest.mark.parametrize("source", [SERVER, PEER, ("2001:db8:1::2%B-access", 547)])
def test_on_the_access_link_nobody_is_a_server_whatever_its_address(source):
    machine = relay()
    machine.handle_message(returned(b"\7abc"), source, 0.0)
    assert refused(machine) == "Relay-reply from the access link"


def test_without_an_address_all_servers_are_asked():
    machine = Relay(interface="B-access", link_address=LINK_ADDRESS)
    machine.from_client(REQUEST, PEER, 0.0)
    ((_, destination),) = machine.outbox
    assert destination == ("ff05::1:3", 547)


DUID_AND_TIME = (Option(OptionCode.CLIENT_ID, b"\0\3\0\1abcdef"), Option(8, b"\0\0"))
FOR_THE_UNNAMED = Option(OptionCode.ORO, Home.UNRESTRICTED.to_bytes(2))


@pytest.mark.parametrize(
    ("options", "supplied"),
    [
        ((), False),  # Nothing but a head.
        (DUID_AND_TIME, False),  # No Option Request option.
        ((FOR_THE_UNNAMED,), True),  # No time elapsed, no identifier.
        ((FOR_THE_UNNAMED, Option(OptionCode.SERVER_ID, b"abc")), True),
        ((FOR_THE_UNNAMED, Option(OptionCode.INTERFACE_ID, b"x")), True),
        ((FOR_THE_UNNAMED, Option(3, bytes(12))), True),  # An IA: for the server to refuse.
        ((FOR_THE_UNNAMED, Option(OptionCode.MIP6_HNIDF, b"\xc0\0")), False),
        ((Option(OptionCode.ORO, b"\0"),), False),
    ],
)
@pytest.mark.parametrize("kind", [MessageType.INFORMATION_REQUEST, MessageType.SOLICIT])
def test_what_clients_say_is_for_the_server_to_judge(kind, options, supplied):
    data = Message(kind, 7, options).encode()
    message = forwarded(relay(), data)
    assert message.value(OptionCode.RELAY_MSG) == data
    assert (message.first(OptionCode.RSOO) is not None) is supplied
    # So is what cannot be read at all.
    assert forwarded(relay(), data + b"\0").value(OptionCode.RELAY_MSG) == data + b"\0"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"kind": MessageType.RELAY_FORWARD}, "Relay-forward from a server"),
        ({"options": ()}, "without RELAY_MSG"),
        ({"options": (Option(9, b""),)}, "empty message"),
        ({"options": (Option(9, b"x"), Option(18, b"eth9"))}, "unknown interface"),
        (
            {"options": (Option(9, b"x"),), "link_address": IPv6Address("2001:db8:9::1")},
            "unknown link 2001:db8:9::1",
        ),
        ({"peer_address": IPv6Address("ff02::1")}, "Relay-reply for ff02::1"),
        ({"peer_address": IPv6Address("::")}, "Relay-reply for ::"),
        ({"peer_address": IPv6Address("::1")}, "Relay-reply for ::1"),
    ],
)
def test_relay_replies_that_lead_nowhere(changes, reason):
    machine = relay()
    machine.from_server(returned(b"\7abc", **changes), SERVER, 0.0)
    assert reason in refused(machine)


def test_without_an_interface_id_the_link_address_tells_the_link():
    machine = relay()
    only_message = (Option(OptionCode.RELAY_MSG, b"\7abc"),)
    machine.from_server(returned(b"", options=only_message), SERVER, 0.0)
    assert list(machine.outbox) == [(b"\7abc", PEER)]


def test_every_truncation_of_a_request_is_refused_or_relayed_whole():
    for length in range(len(REQUEST)):
        machine = relay()
        machine.from_client(REQUEST[:length], PEER, 0.0)
        for data, _ in machine.outbox:
            assert RelayMessage.decode(data).value(OptionCode.RELAY_MSG) == REQUEST[:length]
        assert len(machine.events) == 1


def test_every_truncation_of_a_relay_reply_is_refused():
    data = returned(b"\7abc")
    for length in range(len(data)):
        machine = relay()
        machine.from_server(data[:length], SERVER, 0.0)
        refused(machine)


@settings(max_examples=200)
@given(data=st.data())
def test_random_bytes_do_no_harm_to_a_relay_agent(data):
    junk = data.draw(st.binary(max_size=100))
    if data.draw(st.booleans()):
        changed = bytearray(data.draw(st.sampled_from([REQUEST, returned(REQUEST)])))
        changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
        junk = bytes(changed)
    machine = relay()
    machine.from_client(junk, PEER, 0.0)
    machine.from_server(junk, SERVER, 0.0)
    assert len(machine.events) == 2


# Whose information it is.

OTHER = Assignment(IPv6Address("2001:db8:200::1"), 64, IPv6Address("2001:db8:200::1234"))
CHOSEN = IPv6Address("2001:db8:1::2")  # Not made from a MAC address.


def told(machine, address):
    """Return the home agents that are supplied to a client that asks from an address."""
    client = (f"{address}%B-access", 546)
    supplied = forwarded(machine, source=client).first(OptionCode.RSOO)
    if supplied is None:
        return set()
    containers = (HomeInformation.from_option(option) for option in supplied.as_options())
    return {home_agent for container in containers for home_agent in container.addresses}


@pytest.mark.parametrize(
    ("authenticated", "neighbour"),
    [
        (CHOSEN, "fe80::2"),
        (CHOSEN, "2001:db8:2::2"),
        (CARE_OF, "2001:db8:2::200:ff:fe00:1"),
        (IPv6Address("fe80::2"), "2001:db8:1::2"),
    ],
)
def test_a_neighbour_with_a_like_address_is_told_nothing(authenticated, neighbour):
    machine = relay()
    machine.forget(1)
    machine.set_information(1, authenticated, HOME, NETWORK)
    assert told(machine, neighbour) == set()
    assert told(machine, authenticated) == {HOME.home_agent}


def test_another_session_does_not_replace_what_a_link_local_address_is_told():
    machine = relay()
    machine.set_information(2, IPv6Address("2001:db8:2::200:ff:fe00:1"), OTHER, NETWORK)
    assert told(machine, "fe80::200:ff:fe00:1") == {HOME.home_agent}
    machine.forget(2)
    assert told(machine, "fe80::200:ff:fe00:1") == {HOME.home_agent}
    machine.forget(1)
    assert told(machine, "fe80::200:ff:fe00:1") == set()


def test_information_ends_with_its_session_and_not_with_an_earlier_one_of_its_address():
    machine = relay()
    machine.set_information(2, CARE_OF, OTHER, NETWORK)
    machine.forget(1)
    assert told(machine, CARE_OF) == {OTHER.home_agent}
    machine.forget(2)
    assert told(machine, CARE_OF) == set()


def test_information_moves_with_its_session():
    machine = relay()
    machine.move(1, CHOSEN)
    machine.move(7, IPv6Address("2001:db8:1::7"))
    assert told(machine, CHOSEN) == {HOME.home_agent}
    assert told(machine, CARE_OF) == told(machine, "fe80::200:ff:fe00:1") == set()
    machine.forget(1)
    assert told(machine, CHOSEN) == set()


def test_an_authentication_without_a_home_agent_ends_yesterdays_information():
    machine = relay()
    machine.set_information(1, CARE_OF, None, NETWORK)
    assert told(machine, CARE_OF) == set()


# Strangers.


def test_a_stranger_cannot_speak_as_a_relay_agent():
    options = (Option(OptionCode.RELAY_MSG, REQUEST),)
    peer = IPv6Address("fe80::1")
    message = RelayMessage(MessageType.RELAY_FORWARD, 0, LINK_ADDRESS, peer, options)
    machine = relay()
    machine.from_client(message.encode(), ("fe80::77%B-access", 547), 0.0)
    assert refused(machine) == "Relay-forward from a host that is no relay agent of ours"


@pytest.mark.parametrize("source", ["ff02::1", "::", "::1"])
def test_what_no_host_on_the_link_can_have_sent_is_not_answered(source):
    machine = relay()
    machine.from_client(REQUEST, (f"{source}%B-access", 546), 0.0)
    assert refused(machine) == f"a message from {source}"


def test_a_flood_of_strangers_costs_the_server_little_and_the_mobile_node_nothing():
    machine = relay(strangers=10.0)
    for number in range(1000):
        source = (f"fe80::{number + 1:x}%B-access", 546)
        machine.from_client(REQUEST, source, number / 1000)
    # Ten at once, and ten more within the second.
    assert len(machine.outbox) <= 20
    assert len(machine.events) <= 40
    machine.outbox.clear()
    for _ in range(20):
        assert told(machine, CARE_OF) == {HOME.home_agent}
    # A stranger is served again when the flood is over.
    machine.from_client(REQUEST, ("fe80::9:1%B-access", 546), 2.0)
    assert len(machine.outbox) == 1


def test_an_interface_with_addresses_in_two_networks_is_forgotten_in_any_order():
    addresses = [IPv6Address(f"2001:db8:1:{n}:200:ff:fe00:1") for n in (1, 2)]
    for order in ((1, 2), (2, 1)):
        machine = relay()
        for number, address in enumerate(addresses, 1):
            machine.set_information(number, address, HOME, NETWORK)
        for number in order:
            machine.forget(number)
        forwarded_options = forwarded(machine).options
        assert OptionCode.INTERFACE_ID in {option.code for option in forwarded_options}
