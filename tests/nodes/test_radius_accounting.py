"""Records of accounting by RADIUS: as packets, and what a server makes of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.core.reader import WireError
from agents.core.record import replace
from agents.core.usage import Usage
from agents.diameter.accounting import AccountingRequest
from agents.diameter.dictionary import AccountingRecordType as Kind
from agents.diameter.dictionary import TerminationCause
from agents.nodes.radius_accounting import accounting_request, read_accounting
from agents.radius import dictionary as d
from agents.radius.protection import check_request, protect_accounting_request
from agents.radius.wire import Code, Packet
from tests.nodes.net import COA, NAS
from tests.wireshark import FAULTS, rows, write_datagrams

SECRET = b"testing123testing"
CLIENT, REALM = "ar.visited.test", "home.test"
START = AccountingRequest(
    session_id="0000000700000001",
    origin_host=CLIENT,
    origin_realm="visited.test",
    destination_realm=REALM,
    record_type=Kind.START,
    record_number=None,
    user_name="mn@home.test",
    multi_session_id="0000000700000001",
    event_time=1_700_000_000,
    classes=(b"gold",),
    care_of_address=COA,
)
STOP = replace(
    START,
    record_type=Kind.STOP,
    session_time=3600,
    delay=10,
    cause=TerminationCause.SESSION_TIMEOUT,
    usage=Usage(5_000_000_000, 4_000_000, 1 << 40, 2**32 - 1),
)


def packet(record: AccountingRequest) -> Packet:
    data = protect_accounting_request(7, accounting_request(record, COA), SECRET)
    return check_request(data, SECRET)


def round_trip(record: AccountingRequest) -> AccountingRequest | None:
    return read_accounting(packet(record), CLIENT, REALM)


def test_a_first_record_survives():
    assert round_trip(START) == START


def test_a_last_record_survives_but_for_the_cause_whose_numbers_are_others():
    assert round_trip(STOP) == replace(STOP, cause=15)  # RFC 4005 section 9.3.5.


@given(
    st.builds(
        Usage,
        st.integers(0, 2**63),
        st.integers(0, 2**32 - 1),
        st.integers(0, 2**63),
        st.integers(0, 2**32 - 1),
    )
)
def test_sums_survive_beyond_32_bits(usage):
    record = round_trip(replace(STOP, usage=usage))
    assert record is not None
    assert record.usage == usage


@pytest.mark.parametrize("cause", list(TerminationCause))
def test_every_cause_can_be_told(cause):
    assert d.ACCT_TERMINATE_CAUSE.find(packet(replace(STOP, cause=cause)).attributes)


def test_what_is_about_a_nas_alone_is_no_record():
    on = (d.ACCT_STATUS_TYPE.attribute(7), d.ACCT_SESSION_ID.attribute("0"))
    assert read_accounting(Packet(Code.ACCOUNTING_REQUEST, 1, bytes(16), on), CLIENT, REALM) is None


@pytest.mark.parametrize(
    "attributes",
    [
        (),
        (d.ACCT_STATUS_TYPE.attribute(1),),
        (d.ACCT_SESSION_ID.attribute("1"),),
        (d.ACCT_STATUS_TYPE.attribute(2), d.ACCT_SESSION_ID.attribute("1"), (42, b"\0")),
    ],
)
def test_what_is_no_accounting_is_refused(attributes):
    made = tuple(
        replace(d.ACCT_INPUT_OCTETS.attribute(0), value=one[1]) if isinstance(one, tuple) else one
        for one in attributes
    )
    with pytest.raises(WireError):
        read_accounting(Packet(Code.ACCOUNTING_REQUEST, 1, bytes(16), made), CLIENT, REALM)


def test_tshark_finds_no_fault(tmp_path):
    file = tmp_path / "accounting.pcap"
    sent = [
        protect_accounting_request(number, accounting_request(record, COA), SECRET)
        for number, record in enumerate((START, STOP))
    ]
    here, there = (NAS, 1645), ("2001:db8:c::2", 1813)
    write_datagrams(file, [(here, there, data) for data in sent])
    assert rows(file, "frame.number", where=FAULTS) == []
    fields = (
        "Acct_Status_Type",
        "Acct_Input_Octets",
        "Acct_Input_Gigawords",
        "Acct_Output_Octets",
        "Acct_Output_Gigawords",
        "Acct_Output_Packets",
        "Acct_Session_Time",
        "Acct_Terminate_Cause",
    )
    first, last = rows(file, *(f"radius.{field}" for field in fields))
    assert first.split("\t") == ["1", *[""] * 7]
    assert last.split("\t") == ["2", "705032704", "1", "0", "256", "4294967295", "3600", "5"]
