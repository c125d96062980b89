"""Dynamic Home Agent Address Discovery: messages, and both ends."""

from __future__ import annotations

import random
from ipaddress import IPv6Address, IPv6Network

import pytest
from scapy.layers.inet6 import ICMPv6HAADReply, ICMPv6HAADRequest, IPv6
from scapy.layers.l2 import Ether
from scapy.utils import wrpcap

from agents.core.machine import Discarded
from agents.core.reader import WireError
from agents.mip6.codec import internet_checksum
from agents.mip6.home_agent_discovery import (
    AddressReply,
    AddressRequest,
    DiscoveryResponder,
    Failed,
    HomeAgentDiscovery,
    HomeAgentsFound,
    HomeAgentsTold,
    RequestRepeated,
    anycast_address,
    decode,
)
from tests.mip6.nodes import AGENT, CARE_OF, PREFIX
from tests.wireshark import FAULTS, rows, tshark

SECOND = IPv6Address("2001:db8:100::2")
ANYCAST = IPv6Address("2001:db8:100:0:fdff:ffff:ffff:fffe")
REQUEST, REPLY = AddressRequest(0x1234), AddressReply(0x1234, (AGENT, SECOND))
FROM_AGENT = (str(AGENT), 0)


def told(machine):
    return [machine.events.popleft() for _ in range(len(machine.events))]


def asked(machine):
    data, destination = machine.outbox.popleft()
    return decode(data), destination[0]


def discovery(now=0.0):
    machine = HomeAgentDiscovery(PREFIX, rng=random.Random(1))
    machine.start(now)
    return machine


# The messages (RFC 6275 sections 6.5 and 6.6)


def test_the_messages_are_those_of_the_rfc():
    assert REQUEST.encode() == bytes.fromhex("90000000 1234 0000")
    assert REPLY.encode() == bytes.fromhex("91000000 1234 0000") + AGENT.packed + SECOND.packed
    for message in (REQUEST, REPLY, AddressReply(7, ())):
        assert decode(message.encode()) == message


def test_reserved_bits_and_what_follows_a_request_are_passed_over():
    assert decode(bytes.fromhex("90000000 1234 ffff") + b"more") == REQUEST
    assert decode(bytes.fromhex("91000000 1234 ffff") + REPLY.encode()[8:]) == REPLY


@pytest.mark.parametrize(
    "data",
    [
        *(REQUEST.encode()[:end] for end in range(8)),
        *(REPLY.encode()[: 8 + end] for end in (1, 15, 17, 31)),
        bytes((144, 1)) + REQUEST.encode()[2:],
        bytes((146, 0)) + REQUEST.encode()[2:],
    ],
)
def test_what_is_malformed_is_refused(data):
    with pytest.raises(WireError):
        decode(data)


@pytest.mark.parametrize(
    ("prefix", "address"),
    [
        ("2001:db8:100::/64", "2001:db8:100:0:fdff:ffff:ffff:fffe"),
        ("2001:db8:100::/112", "2001:db8:100::fffe"),
        ("2001:db8::/48", "2001:db8:0:ffff:ffff:ffff:ffff:fffe"),
    ],
)
def test_the_anycast_address_is_that_of_rfc_2526(prefix, address):
    assert anycast_address(IPv6Network(prefix)) == IPv6Address(address)


def test_scapy_and_wireshark_read_them(tmp_path):
    ends = (CARE_OF, ANYCAST, REQUEST), (AGENT, CARE_OF, REPLY)
    packets = []
    for source, destination, message in ends:
        data = message.encode()
        number = internet_checksum(source, destination, 58, data)
        body = data[:2] + number.to_bytes(2) + data[4:]
        whole = IPv6(src=str(source), dst=str(destination), nh=58, plen=len(body))
        packets.append(IPv6(bytes(whole) + body))
    request, reply = (one.payload for one in packets)
    assert isinstance(request, ICMPv6HAADRequest)
    assert request.id == 0x1234
    assert isinstance(reply, ICMPv6HAADReply)
    assert reply.addresses == [str(AGENT), str(SECOND)]
    path = tmp_path / "discovery.pcap"
    link = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    wrpcap(str(path), [link / one for one in packets])
    read = rows(path, "icmpv6.type", "icmpv6.checksum.status", "icmpv6.mip6.home_agent_address")
    assert read == ["144\t1\t", f"145\t1\t{AGENT},{SECOND}"]
    assert not tshark(path, "-Y", FAULTS)


# The mobile node (section 11.4.1)


def test_a_request_goes_to_the_anycast_address_and_the_answer_is_told_in_its_order():
    machine = discovery()
    request, destination = asked(machine)
    assert destination == str(ANYCAST)
    reply = AddressReply(request.identifier, (SECOND, AGENT))
    machine.handle_message(reply.encode(), FROM_AGENT, 0.02)
    assert told(machine)[-1] == HomeAgentsFound(0.02, (SECOND, AGENT))
    assert machine.next_timeout() is None


def test_the_same_request_is_sent_four_times_more_each_after_twice_as_long():
    machine = discovery()
    first, _ = asked(machine)
    times = []
    while not any(isinstance(event, Failed) for event in machine.events):
        now = machine.next_timeout()
        machine.handle_timeout(now)
        times.append(now)
    assert times == [3.0, 9.0, 21.0, 45.0, 93.0]
    assert [decode(data) for data, _ in machine.outbox] == [first] * 4
    assert [e.attempt for e in told(machine) if isinstance(e, RequestRepeated)] == [1, 2, 3, 4]
    assert machine.next_timeout() is None


def test_nothing_is_sent_before_its_time_nor_twice():
    machine = discovery()
    machine.start(0.0)
    machine.handle_timeout(2.9)
    assert len(machine.outbox) == 1


def test_after_it_was_given_up_it_can_be_asked_again():
    machine = discovery()
    while machine.next_timeout() is not None:
        machine.handle_timeout(machine.next_timeout())
    machine.outbox.clear()
    machine.start(100.0)
    assert len(machine.outbox) == 1
    assert machine.next_timeout() == 103.0


@pytest.mark.parametrize(
    "reply",
    [
        lambda number: AddressReply(number ^ 1, (AGENT,)),
        lambda number: AddressReply(number, ()),
        lambda number: AddressReply(number, (ANYCAST, IPv6Address("::1"), IPv6Address("ff02::1"))),
        AddressRequest,
    ],
)
def test_what_is_no_answer_leaves_it_asking(reply):
    machine = discovery()
    request, _ = asked(machine)
    machine.handle_message(reply(request.identifier).encode(), FROM_AGENT, 1.0)
    assert isinstance(told(machine)[-1], Discarded)
    assert machine.next_timeout() == 3.0


def test_an_answer_that_comes_twice_or_unasked_is_discarded():
    machine = discovery()
    request, _ = asked(machine)
    data = AddressReply(request.identifier, (AGENT,)).encode()
    for now in (1.0, 1.1):
        machine.handle_message(data, FROM_AGENT, now)
    assert [type(event) for event in told(machine)[1:]] == [HomeAgentsFound, Discarded]


def test_addresses_that_no_home_agent_can_have_are_left_out():
    machine = discovery()
    request, _ = asked(machine)
    reply = AddressReply(request.identifier, (ANYCAST, AGENT))
    machine.handle_message(reply.encode(), FROM_AGENT, 1.0)
    assert told(machine)[-1].home_agents == (AGENT,)


# The home agent (section 10.5)


def test_a_home_agent_tells_its_address_to_the_care_of_address():
    responder = DiscoveryResponder(AGENT)
    responder.handle_message(REQUEST.encode(), (str(CARE_OF), 0), 1.0)
    assert told(responder) == [HomeAgentsTold(1.0, CARE_OF)]
    assert asked(responder) == (AddressReply(0x1234, (AGENT,)), str(CARE_OF))


@pytest.mark.parametrize(
    ("data", "source"),
    [
        (REPLY.encode(), str(CARE_OF)),
        (REQUEST.encode()[:5], str(CARE_OF)),
        (REQUEST.encode(), "fe80::1%C-eth0"),
        (REQUEST.encode(), "ff02::1"),
        (REQUEST.encode(), "::"),
        (REQUEST.encode(), str(ANYCAST)),
    ],
)
def test_a_home_agent_answers_nothing_else(data, source):
    responder = DiscoveryResponder(AGENT)
    responder.handle_message(data, (source, 0), 1.0)
    assert not responder.outbox
    assert isinstance(told(responder)[-1], Discarded)
