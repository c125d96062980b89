"""Keys for IKE and the ends of sessions on the wire (RFC 6738, RFC 6734, RFC 6733 section 8)."""

from ipaddress import IPv6Address

import pytest
from diameter.message import Message as OtherMessage
from diameter.message import constants as c
from hypothesis import given
from hypothesis import strategies as st

from agents.bootstrap.assignment import Assignment
from agents.core.record import replace
from agents.diameter import dictionary as d
from agents.diameter.errors import DiameterError, ResultCode
from agents.diameter.grammar import check
from agents.diameter.sessions import KeyAnswer, KeyRequest, SessionRequest, session_answer
from agents.diameter.wire import Avp, BadMessageError, Message
from agents.ike.constants import IdType
from agents.ike.identities import Identity

REQUEST = KeyRequest(
    session_id="ha1.home.test;1;2",
    origin_host="ha1.home.test",
    origin_realm="home.test",
    destination_realm="home.test",
    identity=Identity.of("mn@home.test"),
    care_of_address=IPv6Address("2001:db8:a::2"),
    load=7,
)
ANSWER = KeyAnswer(
    session_id=REQUEST.session_id,
    result_code=ResultCode.SUCCESS,
    origin_host="aaa.home.test",
    origin_realm="home.test",
    identity="mn@home.test",
    key=bytes(range(32)),
    assignment=Assignment(IPv6Address("2001:db8:100::1"), 64, IPv6Address("2001:db8:100::5")),
    lifetime=90.0,
)
END = SessionRequest(
    command=d.Command.SESSION_TERMINATION,
    session_id=REQUEST.session_id,
    application=d.APPLICATION_IKE_SK,
    origin_host="ha1.home.test",
    origin_realm="home.test",
    destination_realm="home.test",
    load=6,
)
ORDER = replace(END, origin_host="aaa.home.test", destination_host="ha1.home.test", load=None)


def round_trip(message):
    decoded = Message.decode(message.to_message().encode())
    check(decoded)
    return type(message).from_message(decoded)


@pytest.mark.parametrize(
    "identity",
    [
        Identity.of("mn@home.test"),
        Identity.of("ha.home.test"),
        Identity.of("2001:db8:a::2"),
        Identity(IdType.KEY_ID, b"a key"),
    ],
)
@pytest.mark.parametrize("renews", [False, True])
def test_a_request_comes_back_as_it_was(identity, renews):
    request = replace(REQUEST, identity=identity, renews=renews)
    got = round_trip(request)
    assert replace(got, identity=identity) == request
    assert got.identity.type == identity.type
    assert got.identity.address == identity.address
    if identity.type != IdType.KEY_ID:
        assert got.identity == identity


@pytest.mark.parametrize(
    "answer",
    [
        ANSWER,
        replace(ANSWER, key=None, renews=True),
        KeyAnswer(
            session_id="ha1.home.test;1;2",
            result_code=5003,
            origin_host="aaa.home.test",
            origin_realm="home.test",
            error_message="no",
        ),
    ],
)
def test_an_answer_comes_back_as_it_was(answer):
    assert round_trip(answer) == answer


@pytest.mark.parametrize(
    "request_",
    [
        END,
        replace(ORDER, command=d.Command.ABORT_SESSION),
        replace(ORDER, command=d.Command.RE_AUTH),
    ],
)
def test_the_end_of_a_session_comes_back_as_it_was(request_):
    assert round_trip(request_) == request_
    answer = session_answer(request_.to_message(), ResultCode.SUCCESS, "aaa.home.test", "home.test")
    check(Message.decode(answer.encode()))


def test_the_rest_of_a_second_is_not_for_ever():
    for renews, key in ((True, None), (False, ANSWER.key)):
        got = round_trip(replace(ANSWER, lifetime=0.4, renews=renews, key=key))
        assert got.lifetime == 0.0


def test_the_shorter_lifetime_counts():
    answer = replace(ANSWER, lifetime=90.0).to_message()
    shorter = replace(answer, avps=(*answer.avps, d.SESSION_TIMEOUT.avp(10.0)))
    assert KeyAnswer.from_message(shorter).lifetime == 10.0


def test_neither_key_is_shown():
    assert ANSWER.key.hex() not in repr(ANSWER)
    assert str(ANSWER.key) not in repr(ANSWER)


def test_python_diameter_reads_them():
    other = OtherMessage.from_bytes(REQUEST.to_message().encode())
    assert (other.header.command_code, other.header.application_id) == (c.CMD_IKEV2_SK, 11)
    assert type(other).__name__.startswith("IKEv2SK")
    other = OtherMessage.from_bytes(END.to_message().encode())
    assert (other.header.command_code, other.header.application_id) == (275, 11)
    assert other.session_id == END.session_id
    assert other.termination_cause == c.E_TERMINATION_CAUSE_DIAMETER_LOGOUT
    order = replace(ORDER, command=d.Command.RE_AUTH)
    other = OtherMessage.from_bytes(order.to_message().encode())
    assert other.re_auth_request_type == c.E_RE_AUTH_REQUEST_TYPE_AUTHORIZE_ONLY
    order = replace(ORDER, command=d.Command.ABORT_SESSION)
    other = OtherMessage.from_bytes(order.to_message().encode())
    assert other.destination_host == b"ha1.home.test"


def without(message, definition):
    return replace(message, avps=tuple(a for a in message.avps if not definition.is_code_of(a)))


@pytest.mark.parametrize("missing", [d.IKEV2_IDENTITY, d.SESSION_ID, d.AUTH_REQUEST_TYPE])
def test_a_request_without_what_it_needs_is_refused(missing):
    with pytest.raises(DiameterError) as caught:
        check(without(REQUEST.to_message(), missing))
    assert caught.value.code == ResultCode.MISSING_AVP


def test_a_key_of_another_kind_is_none():
    answer = without(ANSWER.to_message(), d.KEY)
    members = (d.KEY_TYPE.avp(0), d.KEYING_MATERIAL.avp(bytes(32)))
    with pytest.raises(DiameterError, match="Key-Type 0"):
        KeyAnswer.from_message(replace(answer, avps=(*answer.avps, d.KEY.avp(members))))


def test_an_empty_key_is_none():
    answer = without(ANSWER.to_message(), d.KEY)
    members = (d.KEY_TYPE.avp(3), d.KEYING_MATERIAL.avp(b""))
    with pytest.raises(DiameterError):
        KeyAnswer.from_message(replace(answer, avps=(*answer.avps, d.KEY.avp(members))))


@pytest.mark.parametrize(
    ("kind", "text"), [(IdType.IPV6_ADDR, "nonsense"), (IdType.RFC822_ADDR, "a" * 300)]
)
def test_an_identity_that_is_none_is_refused(kind, text):
    inner = d.INITIATOR_IDENTITY.avp((d.ID_TYPE.avp(kind), d.IDENTIFICATION_DATA.avp(text)))
    message = without(REQUEST.to_message(), d.IKEV2_IDENTITY)
    message = replace(message, avps=(*message.avps, d.IKEV2_IDENTITY.avp((inner,))))
    with pytest.raises(DiameterError) as caught:
        KeyRequest.from_message(message)
    assert caught.value.code == ResultCode.INVALID_AVP_VALUE


@pytest.mark.parametrize("message", [REQUEST, ANSWER, END])
@given(data=st.data())
def test_any_change_is_read_or_refused(message, data):
    octets = bytearray(message.to_message().encode())
    for _ in range(data.draw(st.integers(1, 4))):
        octets[data.draw(st.integers(20, len(octets) - 1))] = data.draw(st.integers(0, 255))
    try:
        decoded = Message.decode(bytes(octets))
        check(decoded)
        type(message).from_message(decoded)
    except (BadMessageError, DiameterError):
        pass


def test_an_unknown_avp_is_passed_over():
    message = REQUEST.to_message()
    message = replace(message, avps=(*message.avps, Avp(9999, b"x", False, None)))
    check(message)
    assert KeyRequest.from_message(message) == REQUEST
