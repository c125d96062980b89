from __future__ import annotations

from ipaddress import IPv6Address

import pytest

from agents.mip6.neighbour import Claim, advertisement, read_claim, solicitation, solicited_node

TARGET, AGENT = IPv6Address("2001:db8:100::1234"), IPv6Address("2001:db8:100::1")
NONCE, LINK = b"nonce!", bytes.fromhex("020000000001")


def test_the_solicitation_as_scapy_reads_it():
    from scapy.layers.inet6 import ICMPv6ND_NS, IPv6

    packet = IPv6(solicitation(TARGET, NONCE))
    assert (packet.src, packet.dst, packet.hlim) == ("::", "ff02::1:ff00:1234", 255)
    assert packet[ICMPv6ND_NS].tgt == str(TARGET)
    ours = packet.cksum if hasattr(packet, "cksum") else packet[ICMPv6ND_NS].cksum
    del packet[ICMPv6ND_NS].cksum
    assert IPv6(bytes(packet))[ICMPv6ND_NS].cksum == ours


def test_the_advertisement_as_scapy_reads_it():
    from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6NDOptDstLLAddr, IPv6

    packet = IPv6(advertisement(AGENT, TARGET, LINK))
    body = packet[ICMPv6ND_NA]
    assert (packet.src, packet.dst, packet.hlim) == (str(AGENT), "ff02::1", 255)
    assert (body.R, body.S, body.O, body.tgt) == (0, 0, 1, str(TARGET))
    assert packet[ICMPv6NDOptDstLLAddr].lladdr == "02:00:00:00:00:01"
    ours = body.cksum
    del body.cksum
    assert IPv6(bytes(packet))[ICMPv6ND_NA].cksum == ours


def test_claims():
    assert read_claim(solicitation(TARGET, NONCE)) == Claim(TARGET, NONCE)
    assert read_claim(advertisement(AGENT, TARGET, LINK)) == Claim(TARGET)


def test_an_ordinary_solicitation_is_no_claim():
    packet = bytearray(solicitation(TARGET, NONCE))
    packet[8:24] = AGENT.packed
    assert read_claim(bytes(packet)) is None


@pytest.mark.parametrize(("offset", "value"), [(6, 17), (7, 64), (40, 128), (41, 1), (65, 0)])
def test_other_packets_are_no_claims(offset, value):
    packet = bytearray(solicitation(TARGET, NONCE))
    packet[offset] = value
    assert read_claim(bytes(packet)) is None


def test_truncations_are_no_claims():
    for packet in (solicitation(TARGET, NONCE), advertisement(AGENT, TARGET, LINK)):
        assert [read_claim(packet[:n]) for n in range(len(packet))] == [None] * len(packet)


def test_solicited_node():
    assert solicited_node(IPv6Address("2001:db8::ab:cdef")) == IPv6Address("ff02::1:ffab:cdef")
