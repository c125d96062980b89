"""Records of accounting on the wire: our own reading, python-diameter's and tshark's."""

from ipaddress import IPv6Address

import pytest
from diameter.message import Message as OtherMessage
from diameter.message import constants as c
from diameter.message.commands.accounting import AccountingRequest as OtherRequest
from hypothesis import given
from hypothesis import strategies as st

from agents.bootstrap.assignment import Assignment
from agents.core.record import replace
from agents.core.usage import Usage
from agents.diameter import dictionary as d
from agents.diameter.accounting import AccountingRequest, accounting_answer
from agents.diameter.eap import DiameterEapAnswer, DiameterEapRequest
from agents.diameter.errors import DiameterError, ResultCode
from agents.diameter.grammar import check
from agents.diameter.wire import Message
from tests.diameter.samples import ANSWER, REQUEST
from tests.wireshark import FAULTS, rows, write_stream

Kind = d.AccountingRecordType
START = AccountingRequest(
    session_id="router.visited.test;1;2",
    origin_host="router.visited.test",
    origin_realm="visited.test",
    destination_realm="home.test",
    destination_host="aaa.home.test",
    record_type=Kind.START,
    record_number=0,
    user_name="mn@home.test",
    multi_session_id="router.visited.test;1;1",
    interim_interval=60,
    event_time=1_700_000_000.0,
    classes=(b"gold", b"2"),
    care_of_address=IPv6Address("2001:db8:a::1234"),
)
STOP = replace(
    START,
    record_type=Kind.STOP,
    record_number=7,
    session_time=3600.0,
    delay=11.0,
    cause=d.TerminationCause.LOGOUT,
    usage=Usage(5_000_000_000, 4_000_000, 1 << 40, 1 << 33),
    again=True,
)
AT_HOME = replace(
    STOP,
    session_id="ha1.home.test;1;9",
    origin_host="ha1.home.test",
    origin_realm="home.test",
    assignment=Assignment(IPv6Address("2001:db8:100::1"), 64, IPv6Address("2001:db8:100::5")),
)
DER = replace(
    REQUEST,
    application=d.APPLICATION_MIP6_IKE,
    care_of_address=None,
    hint=Assignment(IPv6Address("2001:db8:100::1"), 64, IPv6Address("::")),
)
DEA = replace(ANSWER, application=d.APPLICATION_MIP6_IKE)


def round_trip(message):
    decoded = Message.decode(message.to_message().encode())
    check(decoded)
    return type(message).from_message(decoded)


times = st.integers(0, 0xFFFFFFFF).map(float)
counts = st.integers(0, 2**64 - 1)
records = st.builds(
    AccountingRequest,
    session_id=st.text(max_size=20),
    origin_host=st.just("a.test"),
    origin_realm=st.just("test"),
    destination_realm=st.just("home.test"),
    record_type=st.sampled_from([Kind.INTERIM, Kind.STOP]),
    record_number=st.integers(0, 2**32 - 1),
    user_name=st.none() | st.text(max_size=20),
    destination_host=st.none() | st.just("aaa.test"),
    multi_session_id=st.none() | st.text(max_size=20),
    interim_interval=st.none() | st.integers(0, 2**32 - 1),
    session_time=st.none() | times,
    delay=st.none() | times,
    cause=st.none() | st.integers(1, 30),
    event_time=st.none() | st.integers(0, 4_233_462_143).map(float),  # To 2104.
    classes=st.lists(st.binary(max_size=9), max_size=3).map(tuple),
    usage=st.none() | st.builds(Usage, counts, counts, counts, counts),
    care_of_address=st.none() | st.ip_addresses(v=6),
    again=st.booleans(),
)


@given(records)
def test_records_survive(record):
    assert round_trip(record) == record


@pytest.mark.parametrize("record", [START, STOP, AT_HOME])
def test_what_the_nodes_send_survives(record):
    assert round_trip(record) == record
    message = record.to_message()
    assert (message.command, message.application) == (271, 3)
    assert message.proxiable
    assert message.retransmitted is record.again
    assert d.ACCT_APPLICATION_ID.need(message.avps) == 3


@pytest.mark.parametrize(
    "definition",
    [
        d.ACCOUNTING_INPUT_OCTETS,
        d.ACCOUNTING_OUTPUT_OCTETS,
        d.ACCOUNTING_INPUT_PACKETS,
        d.ACCOUNTING_OUTPUT_PACKETS,
        d.ACCT_SESSION_TIME,
    ],
)
def test_the_first_record_has_no_sums(definition):
    message = START.to_message()
    failed = definition.avp(1)
    check(message := replace(message, avps=(*message.avps, failed)))
    with pytest.raises(DiameterError, match=definition.name) as caught:
        AccountingRequest.from_message(message)
    assert caught.value.result_code == ResultCode.AVP_NOT_ALLOWED
    assert caught.value.failed == failed


@pytest.mark.parametrize("kind", [0, 1, 5])
def test_nothing_but_sessions_is_accounted(kind):
    message = START.to_message()
    wrong = d.ACCOUNTING_RECORD_TYPE.avp(kind)
    avps = tuple(wrong if wrong.code == avp.code else avp for avp in message.avps)
    with pytest.raises(DiameterError, match="sessions are accounted") as caught:
        AccountingRequest.from_message(replace(message, avps=avps))
    assert caught.value.failed == wrong


@pytest.mark.parametrize(
    "message",
    [STOP.to_message(), accounting_answer(STOP.to_message(), 2001, "aaa.home.test", "home.test")],
    ids=["ACR", "ACA"],
)
@pytest.mark.parametrize("definition", [d.ACCOUNTING_RECORD_TYPE, d.ACCOUNTING_RECORD_NUMBER])
def test_a_record_has_one_type_and_one_number(message, definition):
    check(message)
    without = tuple(avp for avp in message.avps if avp.code != definition.code)
    (its,) = definition.among(message.avps)
    for avps, code in (
        (without, ResultCode.MISSING_AVP),
        ((*message.avps, its), ResultCode.AVP_OCCURS_TOO_MANY_TIMES),
    ):
        with pytest.raises(DiameterError) as caught:
            check(replace(message, avps=avps))
        assert caught.value.result_code == code


def test_an_answer_says_why_a_record_does_not_count():
    request = STOP.to_message()
    answer = accounting_answer(request, 5002, "aaa.home.test", "home.test", "nobody's")
    check(answer)
    assert not answer.request
    assert not answer.error  # 5002 is no protocol error (RFC 6733 section 7.1.3).
    assert d.RESULT_CODE.need(answer.avps) == 5002
    assert d.ERROR_MESSAGE.need(answer.avps) == "nobody's"
    assert d.ACCOUNTING_RECORD_NUMBER.need(answer.avps) == 7


# The application of home agents (RFC 5778 section 5.1)


def test_a_home_agent_asks_in_its_own_application():
    message = DER.to_message()
    assert message.application == 7
    assert d.AUTH_APPLICATION_ID.need(message.avps) == 7
    check(message)
    assert DiameterEapRequest.from_message(message) == DER
    assert DiameterEapAnswer.from_message(DEA.to_message()) == DEA
    for avps in (message.avps, DEA.to_message().avps):
        for definition in (d.MIP6_AGENT_INFO, d.MIP_MOBILE_NODE_ADDRESS, d.MIP6_FEATURE_VECTOR):
            assert [avp.mandatory for avp in definition.among(avps)] == [True]
    assert not any(a.mandatory for a in d.MIP6_FEATURE_VECTOR.among(REQUEST.to_message().avps))


@pytest.mark.parametrize(
    ("message", "avp", "code"),
    [
        (DER, d.MIP_CAREOF_ADDRESS.avp(IPv6Address("::1")), ResultCode.AVP_NOT_ALLOWED),
        (DEA, d.MIP_CAREOF_ADDRESS.avp(IPv6Address("::1")), ResultCode.AVP_NOT_ALLOWED),
        (DEA, d.QOS_CAPABILITY.avp(()), ResultCode.AVP_NOT_ALLOWED),
        (DER, d.MIP6_AGENT_INFO.avp(()), ResultCode.AVP_OCCURS_TOO_MANY_TIMES),
        (DER, d.SERVICE_SELECTION.avp("internet"), None),
        (DER, d.QOS_CAPABILITY.avp(()), None),
        (DEA, d.QOS_RESOURCES.avp(()), None),
        (DEA, d.CHARGEABLE_USER_IDENTITY.avp(b"1"), None),
        (DER, d.MIP_MOBILE_NODE_ADDRESS.avp(IPv6Address("::1")), None),
    ],
)
def test_what_may_be_in_the_messages_of_a_home_agent(message, avp, code):
    made = message.to_message()
    made = replace(made, avps=(*made.avps, avp))
    if code is None:
        check(made)
        return
    with pytest.raises(DiameterError) as caught:
        check(made)
    assert caught.value.result_code == code


# Others' opinions

EVERY = [
    START.to_message(),
    STOP.to_message(),
    AT_HOME.to_message(),
    accounting_answer(STOP.to_message(), 2001, "aaa.home.test", "home.test"),
    accounting_answer(STOP.to_message(), 5002, "aaa.home.test", "home.test", "nobody's"),
    DER.to_message(),
    DEA.to_message(),
]


def test_python_diameter_reads_a_record():
    other = OtherMessage.from_bytes(STOP.to_message().encode())
    assert isinstance(other, OtherRequest)
    assert (other.header.command_code, other.header.application_id) == (271, 3)
    assert other.header.is_retransmit
    assert other.session_id == STOP.session_id
    assert other.accounting_record_type == c.E_ACCOUNTING_RECORD_TYPE_STOP_RECORD
    assert other.accounting_record_number == 7
    assert other.acct_application_id == 3
    assert other.user_name == STOP.user_name
    assert other.acct_multi_session_id == STOP.multi_session_id
    assert other.acct_interim_interval == 60
    assert other.event_timestamp.timestamp() == STOP.event_time

    def value(code):
        return [avp.value for avp in other.avps if avp.code == code]

    assert value(c.AVP_ACCOUNTING_INPUT_OCTETS) == [5_000_000_000]
    assert value(c.AVP_ACCOUNTING_OUTPUT_OCTETS) == [1 << 40]
    assert value(c.AVP_ACCOUNTING_INPUT_PACKETS) == [4_000_000]
    assert value(c.AVP_ACCOUNTING_OUTPUT_PACKETS) == [1 << 33]
    assert value(c.AVP_ACCT_SESSION_TIME) == [3600]
    assert value(c.AVP_ACCT_DELAY_TIME) == [11]
    assert value(c.AVP_TERMINATION_CAUSE) == [1]


def test_python_diameter_gives_back_what_it_has_read():
    for message in EVERY:
        other = OtherMessage.from_bytes(message.encode())
        again = Message.decode(other.as_bytes())
        assert sorted((a.code, a.value) for a in again.avps) == sorted(
            (a.code, a.value) for a in message.avps
        )


def test_tshark_finds_no_fault(tmp_path):
    path = tmp_path / "accounting.pcap"
    write_stream(path, [(m.request, m.encode()) for m in EVERY], 3868)
    assert rows(path, "frame.number", where=f"{FAULTS} or diameter.avp.unknown") == []
    fields = ("cmd.code", "applicationId", "Accounting-Record-Type", "Accounting-Input-Octets")
    seen = rows(path, *(f"diameter.{field}" for field in fields), where="diameter")
    assert seen == [
        "271\t3\t2\t",
        "271\t3\t4\t5000000000",
        "271\t3\t4\t5000000000",
        "271\t3\t4\t",
        "271\t3\t4\t",
        "268\t7\t\t",
        "268\t7\t\t",
    ]
