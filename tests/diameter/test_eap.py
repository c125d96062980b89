from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.bootstrap.assignment import Assignment
from agents.core.record import replace
from agents.diameter import dictionary as d
from agents.diameter.eap import DiameterEapAnswer, DiameterEapRequest
from agents.diameter.errors import DiameterError, ResultCode
from agents.diameter.grammar import check
from agents.diameter.wire import Avp, Message
from tests.diameter.samples import ANSWER, ASSIGNMENT, REQUEST

text = st.text(max_size=20)
maybe_octets = st.none() | st.binary(max_size=50)
assignments = st.builds(
    Assignment,
    home_agent=st.ip_addresses(v=6),
    prefix_length=st.integers(0, 128),
    home_address=st.none() | st.ip_addresses(v=6),
)
answers = st.builds(
    DiameterEapAnswer,
    session_id=text,
    result_code=st.sampled_from([1001, 2001, 4001, 5003]),
    origin_host=st.just("a.test"),
    origin_realm=st.just("test"),
    eap_payload=maybe_octets,
    msk=maybe_octets,
    assignment=st.none() | assignments,
    session_timeout=st.none() | st.integers(0, 0xFFFFFFFF).map(float),
    authorization_lifetime=st.none() | st.integers(0, 0xFFFFFFFF).map(float),
    auth_session_state=st.sampled_from([0, 1]),
    re_auth_request_type=st.none() | st.sampled_from([0, 1]),
    user_name=st.none() | text,
    error_message=st.none() | text,
    feature_vector=st.none() | st.integers(0, 2**64 - 1),
    state=st.lists(st.binary(max_size=9), max_size=3).map(tuple),
)


def decoded(message):
    again = Message.decode(message.encode())
    check(again)
    return again


def test_request_survives():
    assert DiameterEapRequest.from_message(decoded(REQUEST.to_message())) == REQUEST


@given(answers)
def test_answers_survive(answer):
    assert DiameterEapAnswer.from_message(decoded(answer.to_message())) == answer


def test_full_answer_survives():
    assert DiameterEapAnswer.from_message(decoded(ANSWER.to_message())) == ANSWER


def test_what_a_router_can_do_survives():
    request = replace(
        REQUEST, authorization_lifetime=60.0, auth_session_state=None, framed_mtu=1400
    )
    assert DiameterEapRequest.from_message(decoded(request.to_message())) == request


def test_hint_survives():
    hint = Assignment(IPv6Address("2001:db8:9::1"), 56)
    request = replace(REQUEST, hint=hint)
    assert DiameterEapRequest.from_message(decoded(request.to_message())) == request


def test_mobility_avps_are_not_mandatory():
    avps = [*ANSWER.to_message().avps, *REQUEST.to_message().avps]
    flags = {avp.code: avp.mandatory for avp in avps}
    assert not any(flags[code] for code in (124, 333, 486, 487, 464))
    assert all(flags[code] for code in (263, 264, 268, 296, 462, 27, 1))
    (info,) = d.MIP6_AGENT_INFO.find_all(ANSWER.to_message().avps)
    assert [(avp.code, avp.mandatory) for avp in info] == [(334, False), (125, False)]


def test_home_link_prefix_has_zeroes_behind_it():
    (info,) = d.MIP6_AGENT_INFO.find_all(ANSWER.to_message().avps)
    assert info[1].value.hex() == "40" + "20010db8000100000000000000000000"


def test_session_id_comes_first():
    for message in (REQUEST.to_message(), ANSWER.to_message()):
        assert message.avps[0].code == d.SESSION_ID.code


def test_unknown_avps_survive():
    extra = (Avp(4242, b"?", mandatory=False), Avp(1, b"x", mandatory=False, vendor=99))
    request, answer = replace(REQUEST, unknown=extra), replace(ANSWER, unknown=extra)
    assert DiameterEapRequest.from_message(decoded(request.to_message())) == request
    assert DiameterEapAnswer.from_message(decoded(answer.to_message())) == answer


def test_second_agent_info_and_home_agent_host_survive():
    host = d.MIP_HOME_AGENT_HOST.avp(
        (d.DESTINATION_REALM.avp("home.test"), d.DESTINATION_HOST.avp("ha.home.test"))
    )
    only_host = d.MIP6_AGENT_INFO.avp((host,))
    message = ANSWER.to_message()
    both = replace(message, avps=(only_host, *message.avps))
    answer = DiameterEapAnswer.from_message(decoded(both))
    assert answer.assignment == ASSIGNMENT
    assert answer.unknown == (only_host,)


def test_ipv4_home_agent_is_passed_over():
    info = (
        d.MIP_HOME_AGENT_ADDRESS.avp(IPv4Address("192.0.2.1")),
        d.MIP_HOME_AGENT_ADDRESS.avp(ASSIGNMENT.home_agent),
    )
    message = replace(ANSWER, assignment=None).to_message()
    message = replace(message, avps=(*message.avps, d.MIP6_AGENT_INFO.avp(info)))
    answer = DiameterEapAnswer.from_message(decoded(message))
    assert answer.assignment == Assignment(ASSIGNMENT.home_agent, 64)


@pytest.mark.parametrize(
    ("avp", "code"),
    [
        (d.MIP6_AGENT_INFO.avp(()), ResultCode.MISSING_AVP),
        (
            d.MIP6_AGENT_INFO.avp(
                (
                    d.MIP_HOME_AGENT_ADDRESS.avp(ASSIGNMENT.home_agent),
                    d.MIP6_HOME_LINK_PREFIX.avp(b"\x81" + bytes(16)),
                )
            ),
            ResultCode.INVALID_AVP_VALUE,
        ),
        (
            d.MIP6_AGENT_INFO.avp(
                (
                    d.MIP_HOME_AGENT_ADDRESS.avp(ASSIGNMENT.home_agent),
                    d.MIP6_HOME_LINK_PREFIX.avp(b"\x40" + b"\xff" * 16),
                )
            ),
            ResultCode.INVALID_AVP_VALUE,
        ),
        (
            d.MIP6_AGENT_INFO.avp(
                (
                    d.MIP_HOME_AGENT_ADDRESS.avp(ASSIGNMENT.home_agent),
                    d.MIP6_HOME_LINK_PREFIX.avp(b""),
                )
            ),
            ResultCode.INVALID_AVP_VALUE,
        ),
    ],
)
def test_bad_agent_info(avp, code):
    message = replace(ANSWER, assignment=None).to_message()
    with pytest.raises(DiameterError) as caught:
        DiameterEapAnswer.from_message(replace(message, avps=(*message.avps, avp)))
    assert caught.value.result_code == code


def test_protocol_errors_carry_the_error_bit():
    assert replace(ANSWER, result_code=3002).to_message().error
    assert not replace(ANSWER, result_code=5003).to_message().error


def test_fractions_and_endless_sessions_fit_the_wire():
    answer = replace(ANSWER, session_timeout=1e12, multi_round_timeout=2.9)
    again = DiameterEapAnswer.from_message(decoded(answer.to_message()))
    assert (again.session_timeout, again.multi_round_timeout) == (0xFFFFFFFF, 2.0)


@pytest.mark.parametrize(
    ("session_timeout", "authorization_lifetime", "lifetime"),
    [
        (None, None, None),
        (0.0, None, None),
        (600.0, None, 600.0),
        (None, 30.0, 30.0),
        (0.0, 30.0, 30.0),
        (600.0, 30.0, 30.0),
        (30.0, 600.0, 30.0),
        (600.0, float(0xFFFFFFFF), 600.0),
        (None, float(0xFFFFFFFF), None),
    ],
)
def test_lifetime(session_timeout, authorization_lifetime, lifetime):
    answer = replace(
        ANSWER, session_timeout=session_timeout, authorization_lifetime=authorization_lifetime
    )
    assert DiameterEapAnswer.from_message(decoded(answer.to_message())).lifetime == lifetime


def test_nobody_is_told_that_a_session_termination_is_awaited_or_will_come():
    for message in (REQUEST.to_message(), ANSWER.to_message()):
        assert d.AUTH_SESSION_STATE.find(message.avps) == 1


def test_a_server_that_does_not_say_so_keeps_state():
    message = ANSWER.to_message()
    silent = (avp for avp in message.avps if not d.AUTH_SESSION_STATE.is_code_of(avp))
    answer = DiameterEapAnswer.from_message(replace(message, avps=tuple(silent)))
    assert answer.auth_session_state == 0


def test_secrets_are_not_shown():
    shown = repr(ANSWER) + repr(REQUEST) + repr(ANSWER.to_message())
    assert ANSWER.msk is not None
    assert repr(ANSWER.msk) not in shown
    assert "msk" not in shown
    assert "mn@home.test" in shown
