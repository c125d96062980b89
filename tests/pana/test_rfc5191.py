"""The dialect rfc5191: layout, grammar, key derivation."""

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.core.machine import PeerError
from agents.core.reader import WireError
from agents.pana.keys import Algorithms, KeyMaterial, SecurityAssociation, Suite
from agents.pana.rfc5191 import RFC5191
from agents.pana.rfc5191_wire import CODES, TYPES
from agents.pana.wire import Avp, AvpName, Kind, Message, UnknownAvp
from tests.pana.fakes import World

EXCHANGE = [data for _, _, data in World().bootstrap(5).link.sent]


def test_header_and_avp_are_laid_out_as_drawn():
    message = Message(
        Kind.RESULT,
        True,
        b"\x01\x02\x03\x04",
        0x0A0B0C0D,
        (
            Avp.u32(AvpName.RESULT_CODE, 2),
            Avp(AvpName.EAP_PAYLOAD, b"\x04\x07\x00\x04"),
            Avp(AvpName.HOME_AGENT_ADDRESS, b"\x00\x40" + bytes(15) + b"\x01"),
        ),
    )
    assert RFC5191.encode(message) == bytes.fromhex(
        "0000 0048 a000 0002 01020304 0a0b0c0d"
        "0007 0000 0004 0000 00000002"
        "0002 0000 0004 0000 04070004"
        "0066 8000 0012 0000 00007ed9 0040 00000000000000000000000000000001 0000"
    )


@pytest.mark.parametrize("data", EXCHANGE, ids=lambda data: f"{data[6:8].hex()}-{len(data)}")
def test_encode_undoes_decode(data):
    assert RFC5191.encode(RFC5191.decode(data)) == data


@pytest.mark.parametrize("data", EXCHANGE, ids=lambda data: f"{data[6:8].hex()}-{len(data)}")
def test_every_truncation_is_a_wire_error(data):
    for length in range(len(data)):
        with pytest.raises(WireError):
            RFC5191.decode(data[:length])
        # With the length field put right, a cut between two AVPs still parses.
        cut = data[:2] + length.to_bytes(2) + data[4:length]
        try:
            RFC5191.check(RFC5191.decode(cut))
        except (WireError, PeerError):
            continue


@given(
    kind=st.sampled_from(sorted(TYPES, key=str)),
    body=st.binary(max_size=120),
    session=st.binary(min_size=4, max_size=4),
)
def test_random_bodies_survive_decoding_and_encoding(kind, body, session):
    number, flags = TYPES[kind]
    head = bytes(2) + (16 + len(body)).to_bytes(2) + flags.to_bytes(2) + number.to_bytes(2)
    data = head + session + bytes(4) + body
    try:
        message = RFC5191.decode(data)
    except (WireError, PeerError):
        return
    assert RFC5191.decode(RFC5191.encode(message)) == message


def test_unknown_avps_survive():
    unknown = (
        Avp(UnknownAvp(99, 0x0001), b"abc"),
        Avp(UnknownAvp(1, 0, 9), b""),
        Avp(UnknownAvp(77, 0, 32473), b"x" * 5),
    )
    message = Message(Kind.AUTH, True, b"abcd", 7, (Avp(AvpName.EAP_PAYLOAD, b"1234"), *unknown))
    again = RFC5191.decode(RFC5191.encode(message))
    RFC5191.check(again)
    assert again.avps[1:] == unknown
    assert str(unknown[1].name) == "AVP 1 of vendor 9"


def test_reserved_fields_and_bits_are_ignored():
    data = bytearray(EXCHANGE[1])
    data[0:2] = b"\xff\xff"
    data[5] = 0xFF
    assert RFC5191.decode(bytes(data)) == RFC5191.decode(EXCHANGE[1])


def test_the_ip_reconfiguration_bit_survives():
    data = bytearray(EXCHANGE[1])
    data[4] |= 0x04
    message = RFC5191.decode(bytes(data))
    assert message.flags == 0x0400
    assert RFC5191.encode(message) == data


@pytest.mark.parametrize(
    ("kind", "flags"),
    [
        (1, 0x8000),
        (2, 0xE000),
        (2, 0x1000),
        (3, 0x4000),
        (4, 0x8000),
        (4, 0x9800),
        (5, 0x8000),
        (6, 0),
    ],
)
def test_types_and_flags_that_do_not_go_together_are_refused(kind, flags):
    data = bytes(2) + b"\x00\x10" + flags.to_bytes(2) + kind.to_bytes(2) + bytes(8)
    with pytest.raises(PeerError, match="message type"):
        RFC5191.decode(data)


@pytest.mark.parametrize("name", [name for name in CODES if CODES[name].minimum > 1])
def test_values_of_a_wrong_length_are_wire_errors(name):
    code = CODES[name]
    for length in {code.minimum - 1, code.maximum + 1} - {0x10000}:
        message = Message(Kind.AUTH, True, b"abcd", 1, (Avp(name, bytes(length)),))
        with pytest.raises(WireError, match=name.value):
            RFC5191.decode(RFC5191.encode(message))


def test_pci_has_neither_session_nor_sequence_number():
    assert RFC5191.decode(bytes.fromhex("0000 0010 0000 0001 00000000 00000000")).session == b""
    for tail in ("00000001 00000000", "00000000 00000001"):
        with pytest.raises(PeerError, match="PCI"):
            RFC5191.decode(bytes.fromhex("0000 0010 0000 0001" + tail))


EAP = Avp(AvpName.EAP_PAYLOAD, b"1234")
NONCE = Avp(AvpName.NONCE, bytes(20))
AUTH = Avp(AvpName.AUTH, bytes(20))
CAUSE = Avp.u32(AvpName.TERMINATION_CAUSE, 1)


@pytest.mark.parametrize(
    ("kind", "request_bit", "avps", "reason"),
    [
        (Kind.AUTH, True, (), "EAP-Payload is missing in PAR"),
        (Kind.AUTH, True, (EAP, EAP), "PAR has 2 EAP-Payload AVPs"),
        (Kind.AUTH, True, (AUTH, EAP), "AUTH is not the last AVP of PAR"),
        (Kind.AUTH, False, (AUTH, AUTH), "PAN has 2 AUTH AVPs"),
        (Kind.START, True, (NONCE,), r"Nonce is not allowed in PAR\[S\]"),
        (Kind.START, False, (AUTH,), r"AUTH is not allowed in PAN\[S\]"),
        (Kind.RESULT, True, (EAP,), r"Result-Code is missing in PAR\[C\]"),
        (Kind.RESULT, False, (EAP,), r"EAP-Payload is not allowed in PAN\[C\]"),
        (Kind.TERMINATION, True, (), "Termination-Cause is missing in PTR"),
        (
            Kind.TERMINATION,
            True,
            (Avp(UnknownAvp(99), b""), CAUSE),
            "Termination-Cause is not the first AVP of PTR",
        ),
        (Kind.PING, True, (EAP,), r"EAP-Payload is not allowed in PNR\[P\]"),
        (Kind.INITIATION, False, (EAP,), "EAP-Payload is not allowed in PCI"),
    ],
)
def test_messages_that_break_their_grammar_are_refused(kind, request_bit, avps, reason):
    with pytest.raises(PeerError, match=reason):
        RFC5191.check(Message(kind, request_bit, b"abcd", 1, avps))


@pytest.mark.parametrize(
    ("suite", "name", "length"),
    [(Suite(2, 7), "sha1", 20), (Suite(5, 12), "sha256", 32), (Suite(5, 7), "sha256", 20)],
)
def test_pana_auth_key_against_the_formula_written_out(suite, name, length):
    msk, i_par, i_pan = bytes(range(64)), EXCHANGE[1], EXCHANGE[2]
    pac, paa = b"c" * 20, b"a" * 20
    sa = RFC5191.derive(KeyMaterial(msk, i_par, i_pan, pac, paa, b"abcd", 7, suite))

    # prf+(K, S) = T1 | T2 ..., Tn = prf(K, Tn-1 | S | n), with HMAC written out as two hashes.
    def prf(key, text):
        size = hashlib.new(name).block_size
        padded = key.ljust(size, b"\0")
        inner = hashlib.new(name, bytes(b ^ 0x36 for b in padded) + text).digest()
        return hashlib.new(name, bytes(b ^ 0x5C for b in padded) + inner).digest()

    seed = b"".join([b"IETF PANA", i_par, i_pan, pac, paa, b"\x00\x00\x00\x07"])
    t1 = prf(msk, seed + b"\x01")
    t2 = prf(msk, t1 + seed + b"\x02")
    assert sa.key == (t1 + t2)[:length]
    assert "key" not in repr(sa).replace("key_id", "")


@pytest.mark.parametrize(("number", "name", "length"), [(7, "sha1", 20), (12, "sha256", 16)])
def test_auth_covers_the_whole_message_with_its_own_value_zero(number, name, length):
    sa = SecurityAssociation(1, number, b"k" * 20)
    data = RFC5191.protect(Message(Kind.PING, True, b"abcd", 9), sa)
    zeroed = data[:-length] + bytes(length)
    assert data[-length:] == hmac.new(b"k" * 20, zeroed, name).digest()[:length]
    assert sa.verify(data, RFC5191.decode(data))
    for position in range(len(data)):
        altered = bytearray(data)
        altered[position] ^= 1
        try:
            message = RFC5191.decode(bytes(altered))
        except (WireError, PeerError):
            continue
        assert not sa.verify(bytes(altered), message)


def test_a_shortened_auth_is_wrong():
    sa = SecurityAssociation(1, 12, b"k" * 32)
    other = SecurityAssociation(1, 7, b"k" * 32)
    data = RFC5191.protect(Message(Kind.PING, True, b"abcd", 9), other)
    assert not sa.verify(data, RFC5191.decode(data))


def test_algorithms_are_chosen_by_preference():
    algorithms = Algorithms((5, 2), (12, 7))
    assert algorithms.choose((2, 5), (7, 12)) == Suite(5, 12)
    assert algorithms.choose((2,), (99, 7)) == Suite(2, 7)
    with pytest.raises(PeerError, match="no common algorithms"):
        algorithms.choose((2,), ())
    with pytest.raises(ValueError, match="no implementation"):
        Algorithms((1,), (7,))


def test_an_offer_begins_with_what_every_implementation_has_and_the_best_is_chosen():
    offer, choice = map(RFC5191.decode, EXCHANGE[1:3])
    names = (AvpName.PRF_ALGORITHM, AvpName.INTEGRITY_ALGORITHM)
    offered = [[int.from_bytes(value) for value in offer.values(name)] for name in names]
    assert offered == [[2, 5], [7, 12]]
    assert [choice.number(name) for name in names] == [5, 12]
