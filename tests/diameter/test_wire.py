import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.core.reader import WireError
from agents.core.record import replace
from agents.diameter.eap import DiameterEapRequest
from agents.diameter.errors import DiameterError, ResultCode
from agents.diameter.grammar import check
from agents.diameter.wire import (
    Avp,
    BadMessageError,
    Message,
    decode_avps,
    encode_avps,
    message_length,
)
from tests.diameter.samples import ANSWER, REQUEST

avps = st.builds(
    Avp,
    code=st.integers(0, 0xFFFFFFFF),
    value=st.binary(max_size=40),
    mandatory=st.booleans(),
    vendor=st.none() | st.integers(0, 0xFFFFFFFF),
    protected=st.booleans(),
)
messages = st.builds(
    Message,
    command=st.integers(0, 0xFFFFFF),
    application=st.integers(0, 0xFFFFFFFF),
    avps=st.lists(avps, max_size=6).map(tuple),
    request=st.booleans(),
    proxiable=st.booleans(),
    error=st.booleans(),
    retransmitted=st.booleans(),
    hop_by_hop=st.integers(0, 0xFFFFFFFF),
    end_to_end=st.integers(0, 0xFFFFFFFF),
)


def test_grouped_avp_of_rfc_6733_section_4_4_1():
    # Example-AVP 999999: Origin-Host "example.com", Session-Id "grump.example.com:33041;...".
    session = b"grump.example.com:33041;23432;893;0AF3B81"
    octets = bytes.fromhex(
        "000f423f4000005000000108400000136578616d706c652e636f6d000000010740000031"
    )
    inner = encode_avps([Avp(264, b"example.com"), Avp(263, session)])
    assert Avp(999999, inner).encode() == octets + session + bytes(3)
    assert decode_avps(inner) == (Avp(264, b"example.com"), Avp(263, session))


def test_header_layout():
    message = Message(
        268,
        5,
        (Avp(1, b"mn", vendor=10415, mandatory=False),),
        error=True,
        retransmitted=True,
        hop_by_hop=0x01020304,
        end_to_end=0x05060708,
    )
    assert message.encode().hex() == (
        "01000024f000010c000000050102030405060708000000018000000e000028af6d6e0000"
    )


@given(messages)
def test_messages_survive(message):
    assert Message.decode(message.encode()) == message
    assert message.length == len(message.encode())


@given(messages, st.integers(1, 200))
def test_truncations_are_refused(message, cut):
    data = message.encode()
    with pytest.raises(WireError):
        Message.decode(data[: max(0, len(data) - cut)])


@pytest.mark.parametrize("sample", [REQUEST, ANSWER], ids=["request", "answer"])
def test_every_truncation_with_a_corrected_length(sample):
    message = sample.to_message()
    data = message.encode()
    between = {20 + len(encode_avps(message.avps[:n])) for n in range(len(message.avps))}
    for end in range(len(data)):
        short = data[:1] + end.to_bytes(3) + data[4:end]
        try:
            cut = Message.decode(short)
            check(cut)
            type(sample).from_message(cut)
        except (WireError, DiameterError):
            continue
        assert end in between  # Only whole optional AVPs may be missing.


@given(st.binary(max_size=60), st.sampled_from([257, 260, 284, 333, 348, 486, 487, 279, 125, 1]))
def test_random_octets_in_known_avps(value, code):
    message = REQUEST.to_message()
    bad = replace(message, avps=(*message.avps, Avp(code, value)))
    refusals = []
    try:
        check(bad)
        DiameterEapRequest.from_message(bad)
    except DiameterError as error:
        refusals.append(error)
    for refusal in refusals:
        assert refusal.failed is not None
        refusal.failed.encode()


def test_avp_longer_than_the_message_is_named():
    message = Message(268, 5, (Avp(264, b"a"), Avp(1, b"abcd")))
    data = bytearray(message.encode())
    data[-6] = 99  # The low octet of the last AVP's length, 12.
    data[-5] = 99
    with pytest.raises(BadMessageError) as caught:
        Message.decode(bytes(data))
    assert caught.value.code == ResultCode.INVALID_AVP_LENGTH
    assert caught.value.failed == Avp(1, b"")
    assert caught.value.message.avps == message.avps[:1]


def test_avp_shorter_than_its_header_is_named():
    data = bytearray(Message(268, 5, (Avp(1, b"", vendor=9),)).encode())
    data[27] = 8
    with pytest.raises(BadMessageError) as caught:
        Message.decode(bytes(data))
    assert caught.value.failed == Avp(1, b"", vendor=9)


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ("02000010", "version 2"),
        ("47455420", "version 71"),
        ("01000010", "16 is not the length"),
        ("01000016", "22 is not the length"),
        ("01ffff00", "longer than 65536"),
    ],
)
def test_no_message_begins_so(header, text):
    with pytest.raises(WireError, match=text):
        message_length(bytes.fromhex(header))


def test_reserved_flags_are_ignored():
    data = bytearray(Message(280, 0, (Avp(1, b"abcd"),)).encode())
    data[4] |= 0x0F
    data[24] |= 0x1F
    assert Message.decode(bytes(data)) == Message(280, 0, (Avp(1, b"abcd"),))


def test_values_are_not_shown():
    assert "6b6b" not in repr(Avp(464, b"kkkk"))
    assert "kkkk" not in repr(Message(268, 5, (Avp(464, b"kkkk"),)))


def test_too_long_to_encode():
    with pytest.raises(ValueError, match="too long"):
        Avp(1, bytes(1 << 24)).encode()
    with pytest.raises(ValueError, match="too long"):
        Message(1, 1, (Avp(1, bytes(1 << 23)), Avp(1, bytes(1 << 23)))).encode()


def test_deep_groups_are_refused():
    value = b""
    for _ in range(5000):
        value = Avp(486, value, mandatory=False).encode()
        if len(value) > 60_000:
            break
    message = REQUEST.to_message()
    with pytest.raises(DiameterError, match="deep"):
        check(replace(message, avps=(*message.avps, *decode_avps(value))))


def test_the_next_avp_is_behind_the_padding():
    avps = Avp(1, b"a"), Avp(2, b"next")
    assert decode_avps(avps[0].encode() + avps[1].encode()) == avps
