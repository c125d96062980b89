import pytest

from agents.core.record import replace
from agents.diameter import dictionary as d
from agents.diameter.capabilities import (
    base_answer,
    capabilities_answer,
    capabilities_request,
    disconnect_request,
    error_answer,
    watchdog_request,
)
from agents.diameter.errors import DiameterError, ResultCode
from agents.diameter.grammar import GRAMMARS, check
from agents.diameter.wire import Avp, Message
from tests.diameter.network import LOCAL
from tests.diameter.samples import ANSWER, REQUEST, server_config

CONFIG = server_config()
CER = capabilities_request(CONFIG, LOCAL)
VALID = [
    CER,
    capabilities_answer(CONFIG, LOCAL, CER),
    watchdog_request(CONFIG),
    base_answer(CONFIG, watchdog_request(CONFIG)),
    disconnect_request(CONFIG, 0),
    base_answer(CONFIG, disconnect_request(CONFIG, 0)),
    REQUEST.to_message(),
    ANSWER.to_message(),
]
IDS = ["CER", "CEA", "DWR", "DWA", "DPR", "DPA", "DER", "DEA"]


def refusal(message):
    with pytest.raises(DiameterError) as caught:
        check(message)
    return caught.value


@pytest.mark.parametrize("message", VALID, ids=IDS)
def test_every_required_avp_is_missed(message):
    check(message)
    for rule in GRAMMARS[message.command, message.request].rules:
        if rule.minimum:
            avps = tuple(avp for avp in message.avps if avp.code != rule.definition.code)
            error = refusal(replace(message, avps=avps))
            assert error.result_code == ResultCode.MISSING_AVP
            assert error.failed == rule.definition.blank()


@pytest.mark.parametrize("message", VALID, ids=IDS)
def test_every_single_avp_is_refused_twice(message):
    for rule in GRAMMARS[message.command, message.request].rules:
        found = [avp for avp in message.avps if avp.code == rule.definition.code]
        if rule.maximum == 1 and found:
            error = refusal(replace(message, avps=(*message.avps, found[0])))
            assert error.result_code == ResultCode.AVP_OCCURS_TOO_MANY_TIMES
            assert error.failed == found[0]


@pytest.mark.parametrize(
    ("avp", "code"),
    [
        (Avp(4242, b"?"), ResultCode.AVP_UNSUPPORTED),
        (Avp(263, b"?", vendor=10415), ResultCode.AVP_UNSUPPORTED),
        (d.PROXY_INFO.avp((Avp(4242, b"?"),)), ResultCode.AVP_UNSUPPORTED),
        (Avp(27, b"abc"), ResultCode.INVALID_AVP_LENGTH),
        (Avp(486, b"abc"), ResultCode.INVALID_AVP_LENGTH),
        (Avp(282, b""), ResultCode.INVALID_AVP_LENGTH),
        (Avp(487, b"\0\3abcd"), ResultCode.INVALID_AVP_VALUE),
        (Avp(257, b"\0\2abcd"), ResultCode.INVALID_AVP_VALUE),
        (Avp(19, b"\xff\xff"), ResultCode.INVALID_AVP_VALUE),
        (Avp(282, b"a b"), ResultCode.INVALID_AVP_VALUE),
        (d.PROXY_INFO.avp((d.PROXY_HOST.avp("a"),)), ResultCode.MISSING_AVP),
        (d.EAP_MASTER_SESSION_KEY.avp(b"k"), ResultCode.AVP_NOT_ALLOWED),
    ],
)
def test_bad_avps_in_a_request(avp, code):
    message = REQUEST.to_message()
    avps = tuple(a for a in message.avps if a.code != avp.code or a.vendor != avp.vendor)
    error = refusal(replace(message, avps=(*avps, avp)))
    assert error.result_code == code
    assert error.failed is not None


def test_optional_unknown_avps_pass():
    message = REQUEST.to_message()
    check(replace(message, avps=(*message.avps, Avp(4242, b"?", mandatory=False))))


def test_unknown_command():
    assert refusal(Message(4711, 5)).result_code == ResultCode.COMMAND_UNSUPPORTED


def test_header_flags_that_exclude_one_another():
    for message in (
        replace(REQUEST.to_message(), error=True),
        replace(ANSWER.to_message(), retransmitted=True),
    ):
        assert refusal(message).result_code == ResultCode.INVALID_HDR_BITS


def test_error_answers_follow_their_own_grammar():
    error = DiameterError("no", ResultCode.MISSING_AVP, failed=d.EAP_PAYLOAD.blank())
    request = REQUEST.to_message()
    proxy = d.PROXY_INFO.avp((d.PROXY_HOST.avp("p.test"), d.PROXY_STATE.avp(b"s")))
    answer = error_answer(CONFIG, replace(request, avps=(*request.avps, proxy)), error)
    check(answer)
    assert (answer.error, answer.request, answer.proxiable) == (True, False, True)
    assert d.FAILED_AVP.find(answer.avps) == (d.EAP_PAYLOAD.blank(),)
    assert proxy in answer.avps
    avps = tuple(avp for avp in answer.avps if avp.code != d.RESULT_CODE.code)
    assert refusal(replace(answer, avps=avps)).result_code == ResultCode.MISSING_AVP
