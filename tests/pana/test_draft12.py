"""The dialect of draft-ietf-pana-pana-12: layout, grammar, error codes, key derivation."""

import contextlib
import hashlib
import hmac
from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.core.machine import PeerError
from agents.core.reader import WireError
from agents.core.record import replace
from agents.pana.dialects import DIALECTS
from agents.pana.draft12 import DRAFT12, Draft12
from agents.pana.draft12_wire import CODES, KINDS, decode_avps
from agents.pana.errors import ErrorCode, RefusedError
from agents.pana.keys import Algorithms, KeyMaterial, Suite
from agents.pana.terms import Device, HostTerms, NetworkTerms, PacketProtection, Ppac, Provider
from agents.pana.terms import notification as read_notification
from agents.pana.wire import Avp, AvpName, Kind, Message, Result, UnknownAvp
from tests.pana.fakes import World

EXCHANGE = [data for _, _, data in World(dialect=DRAFT12).bootstrap(5).link.sent]
IDS = [f"{data[7]}-{len(data)}" for data in EXCHANGE]

EAP = Avp(AvpName.EAP_PAYLOAD, b"1234")
NONCE = Avp(AvpName.NONCE, bytes(20))
AUTH = Avp(AvpName.AUTH, bytes(20))
CAUSE = Avp.u32(AvpName.TERMINATION_CAUSE, 1)
CODE = Avp.u32(AvpName.RESULT_CODE, 2001)


def test_header_and_avps_are_laid_out_as_drawn():
    message = Message(
        Kind.RESULT,
        True,
        b"b;1;2",
        0x0A0B0C0D,
        (
            CODE,
            Avp(AvpName.HOME_AGENT_ADDRESS, b"\x00\x40" + bytes(15) + b"\x01"),
            Avp(UnknownAvp(7, 0x0001, 9), b"x"),
        ),
    )
    assert DRAFT12.encode(message) == bytes.fromhex(
        "01 00 0054 8000 0005 0a0b0c0d"
        "0011 4000 000d 0000 623b313b32 000000"  # Session-Id comes first.
        "0010 4000 000c 0000 000007d1"
        "0066 0000 001a 0000 0040 00000000000000000000000000000001 0000"  # No M bit.
        "0007 8001 000d 0000 00000009 78 000000"
    )


def test_pci_is_a_bare_header():
    data = bytes.fromhex("01 00 000c 0000 0001 00000000")
    assert DRAFT12.decode(data) == Message(Kind.INITIATION, False, b"", 0)
    assert DRAFT12.encode(DRAFT12.decode(data)) == data


def test_the_l_flag_survives():
    data = bytes.fromhex("01 00 0018 c000 0002 00000001 0003 4000 000c 0000 01020304")
    message = DRAFT12.decode(data)
    assert DRAFT12.is_stateless(message)
    DRAFT12.check(message)
    assert DRAFT12.encode(message) == data


@pytest.mark.parametrize("data", EXCHANGE, ids=IDS)
def test_encode_undoes_decode(data):
    DRAFT12.check(DRAFT12.decode(data))
    assert DRAFT12.encode(DRAFT12.decode(data)) == data


@pytest.mark.parametrize("data", EXCHANGE, ids=IDS)
def test_every_truncation_is_a_wire_error(data):
    for length in range(len(data)):
        with pytest.raises(WireError):
            DRAFT12.decode(data[:length])
        cut = data[:2] + length.to_bytes(2) + data[4:length]
        with contextlib.suppress(WireError, PeerError):
            DRAFT12.check(DRAFT12.decode(cut))


@given(kind=st.sampled_from(sorted(KINDS)), request_bit=st.booleans(), body=st.binary(max_size=99))
def test_random_bodies_survive_decoding_and_encoding(kind, request_bit, body):
    flags = 0x8000 if request_bit else 0
    head = b"\x01\x00" + (12 + len(body)).to_bytes(2) + flags.to_bytes(2) + kind.to_bytes(2)
    try:
        message = DRAFT12.decode(head + bytes(4) + body)
    except (WireError, PeerError):
        return
    assert DRAFT12.decode(DRAFT12.encode(message)) == message


@given(st.binary(max_size=60))
def test_random_values_of_terms_parse_or_are_refused(value):
    message = Message(Kind.RESULT, True, b"s", 0, (Avp(AvpName.NOTIFICATION, b"\0\0" + value),))
    with contextlib.suppress(PeerError):
        read_notification(replace(message, avps=(Avp(AvpName.NOTIFICATION, value),)))
    with contextlib.suppress(RefusedError):
        assert Device.from_value(value).to_avp().value == value
        str(Device.from_value(value))
    with contextlib.suppress(RefusedError):
        Provider.from_avp(Avp(AvpName.ISP_INFORMATION, value))


def test_an_avp_shorter_than_its_header_is_a_wire_error():
    for length, flags in ((7, 0x4000), (11, 0xC000)):
        avp = b"\x00\x0a" + flags.to_bytes(2) + length.to_bytes(2) + bytes(6)
        with pytest.raises(WireError, match="header included"):
            DRAFT12.decode(bytes.fromhex("01 00 0018 8000 0002 00000001") + avp)


def refusal(message):
    with pytest.raises(RefusedError) as caught:
        DRAFT12.check(message)
    return caught.value


@pytest.mark.parametrize(
    ("head", "code"),
    [
        ("00 00 000c 0000 0001 00000000", ErrorCode.UNSUPPORTED_VERSION),
        ("02 00 000c 8000 0002 00000000", ErrorCode.UNSUPPORTED_VERSION),
        ("01 00 000c 8000 000a 00000000", ErrorCode.MESSAGE_UNSUPPORTED),
        ("01 00 000c 8000 0001 00000000", ErrorCode.INVALID_HDR_BITS),
        ("01 00 000c 4000 0002 00000000", ErrorCode.INVALID_HDR_BITS),
        ("01 00 000c c000 0003 00000000", ErrorCode.INVALID_HDR_BITS),
    ],
)
def test_headers_that_are_refused(head, code):
    with pytest.raises(RefusedError) as caught:
        DRAFT12.decode(bytes.fromhex(head))
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("kind", "request_bit", "avps", "code"),
    [
        (Kind.AUTH, True, (), ErrorCode.MISSING_AVP),
        (Kind.AUTH, True, (EAP, EAP), ErrorCode.AVP_OCCURS_TOO_MANY_TIMES),
        (Kind.AUTH, True, (EAP, CAUSE), ErrorCode.AVP_NOT_ALLOWED),
        (Kind.AUTH, True, (Avp(AvpName.EAP_PAYLOAD, b"1"),), ErrorCode.INVALID_AVP_LENGTH),
        (Kind.AUTH, True, (EAP, Avp(UnknownAvp(99, 0x4000), b"")), ErrorCode.AVP_UNSUPPORTED),
        (Kind.AUTH, True, (EAP, Avp(UnknownAvp(5, 0x4000, 9), b"")), ErrorCode.AVP_UNSUPPORTED),
        (Kind.START, True, (Avp(UnknownAvp(101, 0x4000), b""),), ErrorCode.INVALID_AVP_FLAGS),
        (Kind.START, False, (AUTH,), ErrorCode.AVP_NOT_ALLOWED),
        (Kind.RESULT, True, (EAP,), ErrorCode.MISSING_AVP),
        (Kind.TERMINATION, True, (), ErrorCode.MISSING_AVP),
        (Kind.ERROR, True, (), ErrorCode.MISSING_AVP),
        (Kind.PING, True, (EAP,), ErrorCode.AVP_NOT_ALLOWED),
        (Kind.UPDATE, False, (EAP,), ErrorCode.AVP_NOT_ALLOWED),
    ],
)
def test_messages_that_break_their_grammar_are_refused_with_a_code(kind, request_bit, avps, code):
    assert refusal(Message(kind, request_bit, b"s", 1, avps)).code == code


@pytest.mark.parametrize(
    ("kind", "avps", "reason"),
    [
        (Kind.AUTH, (AUTH, EAP), "AUTH is not the last"),
        (Kind.AUTH, (NONCE, EAP), "EAP-Payload is not the first"),
        (Kind.ERROR, (Avp(AvpName.FAILED_AVP, bytes(8)), CODE), "Result-Code is not the first"),
        (Kind.TERMINATION, (Avp(UnknownAvp(99), b""), CAUSE), "Termination-Cause is not the first"),
    ],
)
def test_avps_have_their_places(kind, avps, reason):
    with pytest.raises(PeerError, match=reason):
        DRAFT12.check(Message(kind, True, b"s", 1, avps))


def test_session_id_comes_first_and_not_in_the_handshake():
    assert refusal(Message(Kind.PING, True, b"", 1)).code == ErrorCode.MISSING_AVP
    late = Message(Kind.AUTH, True, b"", 1, (EAP, Avp(AvpName.SESSION_ID, b"s")))
    assert refusal(DRAFT12.decode(DRAFT12.encode(late))).code == ErrorCode.MISSING_AVP
    twice = Message(Kind.AUTH, True, b"s", 1, (EAP, Avp(AvpName.SESSION_ID, b"s")))
    assert refusal(twice).code == ErrorCode.AVP_NOT_ALLOWED
    with pytest.raises(PeerError, match="with a Session-Id"):
        DRAFT12.decode(DRAFT12.encode(Message(Kind.PING, True, b"s", 1)).replace(
            b"\x80\x00\x00\x06", b"\x80\x00\x00\x02"))  # fmt: skip


def test_a_stateless_start_needs_a_cookie():
    assert refusal(Message(Kind.START, True, b"", 1, (), 0x4000)).code == ErrorCode.MISSING_AVP


def test_unknown_avps_without_the_m_bit_survive():
    unknown = (Avp(UnknownAvp(99), b"abc"), Avp(UnknownAvp(1, 0, 9), b""))
    message = Message(Kind.AUTH, True, b"s", 7, (EAP, *unknown))
    again = DRAFT12.decode(DRAFT12.encode(message))
    DRAFT12.check(again)
    assert again.avps[1:] == unknown


def test_notification_may_be_in_every_message():
    text = Avp(AvpName.NOTIFICATION, b"\0\2enHello")
    for (kind, way), grammar in DRAFT12.grammar.items():
        needed = tuple(
            Avp(rule.name, bytes(max(4, CODES[rule.name].minimum)))
            for rule in grammar.rules
            if rule.minimum
        )
        session = b"" if kind in (Kind.INITIATION, Kind.START) else b"s"
        message = Message(kind, way, session, 0, (*needed, text))
        DRAFT12.check(message)
        assert read_notification(message) == ("en", "Hello")


def test_failed_avps_hold_the_culprit_and_zeros_for_a_missing_one():
    unknown = Avp(UnknownAvp(99, 0x4000), b"abc")
    missing = Avp(AvpName.PPAC, b"")
    first, second = DRAFT12.failed(unknown, missing)
    assert first.name is AvpName.FAILED_AVP
    assert decode_avps(first.value) == (unknown,)
    assert decode_avps(second.value) == (Avp(AvpName.PPAC, bytes(4)),)


def test_session_identifiers_have_diameters_syntax():
    mine = Draft12("paa.example.org", 7)
    assert mine.session_octets(2**32 - 1) == b"paa.example.org;7;4294967295"
    assert mine.session_number(b"paa.example.org;7;4294967295") == 2**32 - 1
    assert mine.session_number(b"another's") == mine.session_number(b"another's") < 2**32
    assert mine.session_number(b"x;1;99999999999") < 2**32


def test_results_are_diameters():
    for result, number in zip(Result, (2001, 4001, 5003), strict=True):
        assert DRAFT12.result_number(result) == number
        assert DRAFT12.result(number) is result
    with pytest.raises(PeerError, match="Result-Code 0"):
        DRAFT12.result(0)


def test_algorithm_has_the_prf_in_front():
    (avp,) = DRAFT12.offer(Algorithms((2,), (7,)))
    assert avp.value.hex() == "00020007"
    message = Message(Kind.RESULT, True, b"s", 0, (avp,))
    assert DRAFT12.select(message, Algorithms((5, 2), (12, 7))) == Suite(2, 7)
    with pytest.raises(PeerError, match="no common algorithms"):
        DRAFT12.select(message, Algorithms((5,), (7,)))
    assert DRAFT12.select(replace(message, avps=()), Algorithms((5,), (7,))) is None
    assert DRAFT12.selected(message, Algorithms((5, 2), (12, 7))) == Suite(5, 12)


@pytest.mark.parametrize(("suite", "name", "length"), [(Suite(2, 7), "sha1", 20),
                                                       (Suite(5, 12), "sha256", 32)])  # fmt: skip
def test_pana_auth_key_against_the_formula_written_out(suite, name, length):
    msk, pac, paa, session = bytes(range(64)), b"c" * 20, b"a" * 20, b"b;1;2"
    material = KeyMaterial(msk, b"PSR", b"PSA", pac, paa, session, 7, suite)
    seed = pac + paa + session  # No label, no start messages, no Key-Id.
    t1 = hmac.digest(msk, seed + b"\x01", name)
    t2 = hmac.digest(msk, t1 + seed + b"\x02", name)
    assert DRAFT12.derive(material).key == (t1 + t2)[:length]
    assert hashlib.new(name).digest_size == length


def test_device_identifiers_are_diameter_addresses():
    device = Device.of(IPv6Address("2001:db8::1"))
    assert device.to_avp().value == b"\0\2" + IPv6Address("2001:db8::1").packed
    assert str(device) == "2001:db8::1"
    assert str(Device(1, bytes([192, 0, 2, 1]))) == "192.0.2.1"
    assert str(Device(6, bytes(range(6)))) == "00:01:02:03:04:05"
    with pytest.raises(RefusedError, match="family 2"):
        Device.from_value(b"\0\2" + bytes(4))


def test_provider_information_is_grouped():
    provider = Provider("Example ISP", 32473)
    avp = provider.to_avp(AvpName.ISP_INFORMATION)
    assert [inner.name for inner in decode_avps(avp.value)] == [
        AvpName.PROVIDER_IDENTIFIER,
        AvpName.PROVIDER_NAME,
    ]
    assert Provider.from_avp(avp) == provider
    assert Provider.from_avp(Provider("N").to_avp(AvpName.NAP_INFORMATION)) == Provider("N")
    with pytest.raises(RefusedError, match="without a name"):
        Provider.from_avp(Avp(AvpName.NAP_INFORMATION, b""))


def test_terms_that_contradict_themselves_are_refused():
    with pytest.raises(ValueError, match="device identifiers"):
        NetworkTerms(protection=PacketProtection.IPSEC)
    with pytest.raises(ValueError, match="PPAC"):
        NetworkTerms(ppac=Ppac.NONE | Ppac.DHCPV6)
    with pytest.raises(ValueError, match="PPAC"):
        NetworkTerms(ppac=Ppac(0))


@pytest.mark.parametrize(
    ("offered", "able", "chosen"),
    [
        (Ppac.NONE, Ppac.NONE | Ppac.DHCPV6, Ppac.NONE),
        (Ppac.DHCPV6 | Ppac.STATELESS, Ppac.STATELESS | Ppac.NONE, Ppac.STATELESS),
        (Ppac.DHCPV6 | Ppac.STATELESS, Ppac.DHCPV6 | Ppac.STATELESS, Ppac(0x30000000)),
    ],
)
def test_ppac_is_what_both_can_do(offered, able, chosen):
    request = Message(Kind.RESULT, True, b"s", 0, (Avp.u32(AvpName.PPAC, offered),))
    terms = HostTerms(ppac=able)
    terms.check_result(request)
    (answer,) = terms.answer_avps(request, None)
    assert int.from_bytes(answer.value) == chosen
    checked = NetworkTerms(ppac=offered).check_answer(replace(request, avps=(answer,)))
    assert checked is None


def test_dialects_have_names():
    assert {name: dialect.name for name, dialect in DIALECTS.items()} == {
        "rfc5191": "rfc5191",
        "draft12": "draft12",
    }
    with pytest.raises(ValueError, match="no relay"):
        DRAFT12.relay(("::1", 716), b"")
