from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.core.reader import WireError
from agents.eap.wire import (
    MAXIMUM_MESSAGE,
    Code,
    Packet,
    Reassembly,
    TlsData,
    Type,
    fragment,
)


def test_an_identity_response_is_laid_out_as_in_rfc_3748():
    packet = Packet(Code.RESPONSE, 7, Type.IDENTITY, b"mn@home.test")
    assert packet.encode() == bytes.fromhex("02070011 01") + b"mn@home.test"
    assert Packet.decode(packet.encode()) == packet


def test_success_has_a_header_only():
    assert Packet(Code.SUCCESS, 9).encode() == bytes.fromhex("03090004")
    with pytest.raises(WireError):
        Packet.decode(bytes.fromhex("0309000500"))


def test_octets_behind_the_length_are_padding():
    assert Packet.decode(bytes.fromhex("01010005 01 0000")) == Packet(Code.REQUEST, 1, 1)


@pytest.mark.parametrize(
    "data", ["", "01", "010100", "01010003", "01010004", "05010004", "00010005ff", "0101000602"]
)
def test_bad_packets_raise(data):
    with pytest.raises(WireError):
        Packet.decode(bytes.fromhex(data))


@given(st.binary(max_size=64))
def test_random_bytes_decode_or_raise(data):
    try:
        packet = Packet.decode(data)
    except WireError:
        return
    assert data.startswith(packet.encode())


def test_every_truncation_raises():
    data = Packet(Code.REQUEST, 1, Type.TLS, TlsData(b"abc", 300, more=True).encode()).encode()
    for end in range(len(data)):
        with pytest.raises(WireError):
            Packet.decode(data[:end])


def test_flags_and_length_are_laid_out_as_in_rfc_5216():
    assert TlsData(start=True).encode() == b"\x20"
    assert TlsData().encode() == b"\x00"
    assert TlsData(b"x", 500, more=True).encode() == bytes.fromhex("c0 000001f4") + b"x"
    assert TlsData.decode(bytes.fromhex("1f 78")) == TlsData(b"x")  # Reserved flags.
    for bad in (b"", b"\x80\x00\x00\x01"):
        with pytest.raises(WireError):
            TlsData.decode(bad)


@given(st.binary(max_size=300), st.integers(1, 400))
def test_fragments_come_together_again(message, size):
    reassembly = Reassembly()
    *first, last = fragment(message, size)
    assert all(len(part.data) <= size for part in (*first, last))
    for part in first:
        assert reassembly.add(TlsData.decode(part.encode())) is None
    assert reassembly.add(last) == message


@given(st.lists(st.binary(min_size=1, max_size=12), max_size=8))
def test_random_fragments_reassemble_or_raise(packets):
    reassembly = Reassembly()
    for data in packets:
        try:
            message = reassembly.add(TlsData.decode(data))
        except WireError:
            continue
        assert message is None or len(message) <= 100


@pytest.mark.parametrize(
    "parts",
    [
        [TlsData(b"ab", more=True)],
        [TlsData(b"", 5, more=True)],
        [TlsData(b"ab", 3)],
        [TlsData(b"abc", 2)],
        [TlsData(b"ab", 2, more=True)],
        [TlsData(b"ab", 4, more=True), TlsData(b"cd", 5)],
        [TlsData(b"ab", 4, more=True), TlsData(b"c")],
        [TlsData(b"ab", 4, more=True), TlsData(b"cde")],
        [TlsData(b"ab", MAXIMUM_MESSAGE + 1, more=True)],
        [TlsData(b"ab", 0xFFFFFFFF, more=True)],
        [TlsData(bytes(MAXIMUM_MESSAGE + 1))],
    ],
)
def test_fragments_that_do_not_fit_raise(parts):
    reassembly = Reassembly()
    for part in parts[:-1]:
        reassembly.add(part)
    with pytest.raises(WireError):
        reassembly.add(parts[-1])


def test_a_refused_fragment_does_not_disturb_the_others():
    reassembly = Reassembly()
    reassembly.add(TlsData(b"ab", 4, more=True))
    with pytest.raises(WireError):
        reassembly.add(TlsData(b"cde"))
    assert reassembly.add(TlsData(b"cd", 4)) == b"abcd"
