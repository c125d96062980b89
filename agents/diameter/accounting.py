"""Accounting of sessions apart from their applications (RFC 6733 section 9, the split model).

What a NAS tells is RFC 7155's (section 4.6), what a home agent tells RFC 5778's (section 6.21).
That has Accounting-Output-Octets "sent by the mobile node", as it has the input: taken here to be
sent to it, as in RFC 7155, for the pair would say one thing twice. A record is known by its
session and its number, whatever message has brought it.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv6Address
from typing import Any

from agents.bootstrap.assignment import Assignment
from agents.core.record import Record, replace
from agents.core.usage import Usage
from agents.diameter import dictionary as d
from agents.diameter.errors import DiameterError, ResultCode
from agents.diameter.mobility import assignment_avps, must_know, read_assignment, read_ipv6
from agents.diameter.values import Definition
from agents.diameter.wire import Avp, Message

_APPLICATION = d.ACCT_APPLICATION_ID.avp(d.APPLICATION_ACCOUNTING)
_NTP = 2_208_988_800
"""Seconds from 1900, where Time begins (RFC 6733 section 4.3.1), to 1970."""

_LATER_ALONE = (
    d.ACCOUNTING_INPUT_OCTETS,
    d.ACCOUNTING_INPUT_PACKETS,
    d.ACCOUNTING_OUTPUT_OCTETS,
    d.ACCOUNTING_OUTPUT_PACKETS,
    d.ACCT_SESSION_TIME,
)
"""What records have that come after the first (RFC 7155 sections 4.6.1 to 4.6.5)."""

_USAGE: Mapping[str, Definition[int]] = {
    "input_octets": d.ACCOUNTING_INPUT_OCTETS,
    "output_octets": d.ACCOUNTING_OUTPUT_OCTETS,
    "input_packets": d.ACCOUNTING_INPUT_PACKETS,
    "output_packets": d.ACCOUNTING_OUTPUT_PACKETS,
}
_FIELDS: Mapping[str, Definition[Any]] = {
    "user_name": d.USER_NAME,
    "destination_host": d.DESTINATION_HOST,
    "multi_session_id": d.ACCT_MULTI_SESSION_ID,
    "interim_interval": d.ACCT_INTERIM_INTERVAL,
    "session_time": d.ACCT_SESSION_TIME,
    "delay": d.ACCT_DELAY_TIME,
    "cause": d.TERMINATION_CAUSE,
}


class AccountingRequest(Record, frozen=True, kw_only=True):
    """An Accounting-Request (RFC 6733 section 9.7.1), by whatever protocol it has come.

    `record_type` is START, INTERIM or STOP; `record_number` is None by RADIUS. Times are in
    seconds: `event_time` of day since 1970, `delay` since the record was first to be sent,
    `session_time` the session's length. `usage` is all of the session so far; None if it is not
    known. A home agent names itself and the home address in `assignment`. `again`: it may have come
    before (the T flag).
    """

    session_id: str
    origin_host: str
    origin_realm: str
    destination_realm: str
    record_type: d.AccountingRecordType
    record_number: int | None
    user_name: str | None = None
    destination_host: str | None = None
    multi_session_id: str | None = None
    interim_interval: int | None = None
    session_time: float | None = None
    delay: float | None = None
    cause: int | None = None
    event_time: float | None = None
    classes: tuple[bytes, ...] = ()
    usage: Usage | None = None
    care_of_address: IPv6Address | None = None
    assignment: Assignment | None = None
    again: bool = False

    def to_message(self) -> Message:
        """Return the message; the node that sends it adds the identifiers."""
        avps = [
            d.SESSION_ID.avp(self.session_id),
            d.ORIGIN_HOST.avp(self.origin_host),
            d.ORIGIN_REALM.avp(self.origin_realm),
            d.DESTINATION_REALM.avp(self.destination_realm),
            d.ACCOUNTING_RECORD_TYPE.avp(self.record_type),
            d.ACCOUNTING_RECORD_NUMBER.avp(self.record_number or 0),
            _APPLICATION,
        ]
        for name, definition in _FIELDS.items():
            if (value := getattr(self, name)) is not None:
                avps.append(definition.avp(value))
        if self.event_time is not None:
            avps.append(d.EVENT_TIMESTAMP.avp(_time(self.event_time)))
        avps += [d.CLASS.avp(value) for value in self.classes]
        if self.usage is not None:
            avps += [one.avp(getattr(self.usage, name)) for name, one in _USAGE.items()]
        avps += self._place()
        return replace(
            Message(d.Command.ACCOUNTING, d.APPLICATION_ACCOUNTING, tuple(avps)),
            retransmitted=self.again,
        )

    def _place(self) -> list[Avp]:
        """Return where the mobile node is: its care-of address, and from a home agent its home."""
        avps = []
        if self.assignment is None:
            avps.append(d.ACCOUNTING_AUTH_METHOD.avp(d.ACCOUNTING_AUTH_METHOD_EAP))
        else:
            avps += assignment_avps(self.assignment)
        if self.care_of_address is not None:
            avps.append(d.MIP_CAREOF_ADDRESS.avp(self.care_of_address))
        return avps if self.assignment is None else must_know(avps)

    @classmethod
    def from_message(cls, message: Message) -> AccountingRequest:
        """Read a request that follows the command's grammar; raises DiameterError."""
        avps = message.avps
        record_type = _record_type(avps)
        if record_type is d.AccountingRecordType.START:
            for definition in _LATER_ALONE:
                for avp in definition.among(avps):
                    reason = f"{definition.name} in the first record of a session"
                    raise DiameterError(reason, ResultCode.AVP_NOT_ALLOWED, failed=avp)
        usage = {name: one.find(avps) for name, one in _USAGE.items()}
        counted = {name: value for name, value in usage.items() if value is not None}
        stamp = d.EVENT_TIMESTAMP.find(avps)
        fields: dict[str, Any] = {name: one.find(avps) for name, one in _FIELDS.items()}
        return cls(
            session_id=d.SESSION_ID.need(avps),
            origin_host=d.ORIGIN_HOST.need(avps),
            origin_realm=d.ORIGIN_REALM.need(avps),
            destination_realm=d.DESTINATION_REALM.need(avps),
            record_type=record_type,
            record_number=d.ACCOUNTING_RECORD_NUMBER.need(avps),
            event_time=None if stamp is None else _of_time(stamp),
            classes=d.CLASS.find_all(avps),
            usage=Usage(**counted) if counted else None,
            care_of_address=read_ipv6(d.MIP_CAREOF_ADDRESS, avps),
            assignment=read_assignment(avps)[0],
            again=message.retransmitted,
            **fields,
        )


def _record_type(avps: tuple[Avp, ...]) -> d.AccountingRecordType:
    """Return the kind of a record; raises DiameterError for an event, of which there are none."""
    value = d.ACCOUNTING_RECORD_TYPE.need(avps)
    known = d.AccountingRecordType
    if value in (known.START, known.INTERIM, known.STOP):
        return known(value)
    reason = f"Accounting-Record-Type {value}: sessions are accounted here, and nothing else"
    failed = d.ACCOUNTING_RECORD_TYPE.avp(value)
    raise DiameterError(reason, ResultCode.INVALID_AVP_VALUE, failed=failed)


def _time(seconds: float) -> bytes:
    return ((int(seconds) + _NTP) & 0xFFFFFFFF).to_bytes(4)


def _of_time(stamp: bytes) -> float:
    """Return seconds since 1970; what lies before 1968 is of the era from 2036 on (RFC 4330 3)."""
    seconds = int.from_bytes(stamp)
    return float(seconds - _NTP if seconds >> 31 else seconds + (1 << 32) - _NTP)


def accounting_answer(
    request: Message,
    result_code: int,
    origin_host: str,
    origin_realm: str,
    reason: str | None = None,
) -> Message:
    """Return the answer to an Accounting-Request (RFC 6733 section 9.7.2)."""
    avps = [
        d.SESSION_ID.avp(d.SESSION_ID.need(request.avps)),
        d.RESULT_CODE.avp(result_code),
        d.ORIGIN_HOST.avp(origin_host),
        d.ORIGIN_REALM.avp(origin_realm),
        d.ACCOUNTING_RECORD_TYPE.avp(d.ACCOUNTING_RECORD_TYPE.need(request.avps)),
        d.ACCOUNTING_RECORD_NUMBER.avp(d.ACCOUNTING_RECORD_NUMBER.need(request.avps)),
        _APPLICATION,
    ]
    if reason is not None:
        avps.append(d.ERROR_MESSAGE.avp(reason))
    return Message(request.command, request.application, tuple(avps), request=False)
