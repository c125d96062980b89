"""Records of accounting in RADIUS (RFC 2866, RFC 2869 sections 2.1 and 5.1, RFC 3162).

As with EAP (agents/nodes/radius_eap.py), what is told is what Diameter would tell: an
AccountingRequest becomes attributes here, and attributes become one. RADIUS has no numbers of
records: the server tells by kind and session time which it has (agents/aaa/accounts.py).
"""

from __future__ import annotations

from ipaddress import IPv6Address

from agents.core.reader import WireError
from agents.core.usage import Usage
from agents.diameter import dictionary as diameter
from agents.diameter.accounting import AccountingRequest
from agents.radius import dictionary as d
from agents.radius.wire import Attribute, Packet

_Kind, _Status = diameter.AccountingRecordType, d.AcctStatusType
_STATUS = {
    _Kind.START: _Status.START,
    _Kind.INTERIM: _Status.INTERIM_UPDATE,
    _Kind.STOP: _Status.STOP,
}
_KINDS = {int(status): kind for kind, status in _STATUS.items()}

_Why, _Cause = diameter.TerminationCause, d.AcctTerminateCause
_CAUSES: dict[int, d.AcctTerminateCause] = {
    _Why.LOGOUT: _Cause.USER_REQUEST,
    _Why.SERVICE_NOT_PROVIDED: _Cause.SERVICE_UNAVAILABLE,
    _Why.BAD_ANSWER: _Cause.USER_ERROR,
    _Why.ADMINISTRATIVE: _Cause.ADMIN_RESET,
    _Why.LINK_BROKEN: _Cause.LOST_CARRIER,
    _Why.AUTH_EXPIRED: _Cause.NAS_REQUEST,
    _Why.USER_MOVED: _Cause.LOST_CARRIER,
    _Why.SESSION_TIMEOUT: _Cause.SESSION_TIMEOUT,
}
"""What RADIUS says for a Termination-Cause of RFC 6733 section 8.15."""

_FROM_RADIUS = 10
"""By so much a Termination-Cause is more than the Acct-Terminate-Cause that it is (RFC 4005
section 9.3.5)."""

_WORD = 32
"""Bits of the octets that are not in Gigawords (RFC 2869 section 5.1)."""

_LOW = (1 << _WORD) - 1


def accounting_request(record: AccountingRequest, nas: IPv6Address) -> tuple[Attribute, ...]:
    """Return the attributes of an Accounting-Request; `nas` is the address that sends it."""
    found = [
        d.ACCT_STATUS_TYPE.attribute(_STATUS[record.record_type]),
        d.NAS_IDENTIFIER.attribute(record.origin_host),
        d.NAS_IPV6_ADDRESS.attribute(nas),
        d.ACCT_SESSION_ID.attribute(record.session_id),
    ]
    if record.multi_session_id is not None:
        found.append(d.ACCT_MULTI_SESSION_ID.attribute(record.multi_session_id))
    if record.user_name is not None:
        found.append(d.USER_NAME.attribute(record.user_name))
    if record.care_of_address is not None:
        found.append(d.FRAMED_IPV6_ADDRESS.attribute(record.care_of_address))
    found += [d.CLASS.attribute(value) for value in record.classes]
    for definition, value in (
        (d.EVENT_TIMESTAMP, record.event_time),
        (d.ACCT_DELAY_TIME, record.delay),
        (d.ACCT_SESSION_TIME, record.session_time),
    ):
        if value is not None:
            found.append(definition.attribute(value))
    if record.usage is not None:
        found += _usage_attributes(record.usage)
    if record.cause is not None:
        found.append(d.ACCT_TERMINATE_CAUSE.attribute(_CAUSES[record.cause]))
    return tuple(found)


def _usage_attributes(usage: Usage) -> list[Attribute]:
    found = []
    for low, high, octets in (
        (d.ACCT_INPUT_OCTETS, d.ACCT_INPUT_GIGAWORDS, usage.input_octets),
        (d.ACCT_OUTPUT_OCTETS, d.ACCT_OUTPUT_GIGAWORDS, usage.output_octets),
    ):
        found.append(low.attribute(octets & _LOW))
        if octets >> _WORD:
            found.append(high.attribute(octets >> _WORD))
    # There are no more bits for packets.
    found.append(d.ACCT_INPUT_PACKETS.attribute(usage.input_packets))
    found.append(d.ACCT_OUTPUT_PACKETS.attribute(usage.output_packets))
    return found


def read_accounting(packet: Packet, client: str, realm: str) -> AccountingRequest | None:
    """Return the record that a client tells a server of a realm; raises WireError.

    None for what is about the NAS alone (Accounting-On, Accounting-Off).
    """
    attributes = packet.attributes
    status = d.ACCT_STATUS_TYPE.find(attributes)
    session = d.ACCT_SESSION_ID.find(attributes)
    if status is None or session is None:
        raise WireError("an Accounting-Request needs Acct-Status-Type and Acct-Session-Id")
    kind = _KINDS.get(int(status))
    if kind is None:
        return None
    is_first = kind is _Kind.START
    cause, event = d.ACCT_TERMINATE_CAUSE.find(attributes), d.EVENT_TIMESTAMP.find(attributes)
    return AccountingRequest(
        session_id=session,
        origin_host=client,
        origin_realm=client.partition(".")[2] or client,
        destination_realm=realm,
        record_type=kind,
        record_number=None,
        user_name=d.USER_NAME.find(attributes),
        multi_session_id=d.ACCT_MULTI_SESSION_ID.find(attributes),
        session_time=None if is_first else d.ACCT_SESSION_TIME.find(attributes),
        delay=d.ACCT_DELAY_TIME.find(attributes),
        cause=None if cause is None else int(cause) + _FROM_RADIUS,
        event_time=event,
        classes=tuple(d.CLASS.values(attributes)),
        usage=None if is_first else _usage(attributes),
        care_of_address=d.FRAMED_IPV6_ADDRESS.find(attributes),
    )


def _usage(attributes: tuple[Attribute, ...]) -> Usage | None:
    """Return what has passed, None if nothing is said of it."""
    low = d.ACCT_INPUT_OCTETS.find(attributes), d.ACCT_OUTPUT_OCTETS.find(attributes)
    high = d.ACCT_INPUT_GIGAWORDS.find(attributes), d.ACCT_OUTPUT_GIGAWORDS.find(attributes)
    packets = d.ACCT_INPUT_PACKETS.find(attributes), d.ACCT_OUTPUT_PACKETS.find(attributes)
    if all(value is None for value in (*low, *packets)):
        return None
    came, went = (int(a or 0) + (int(b or 0) << _WORD) for a, b in zip(low, high, strict=True))
    return Usage(came, int(packets[0] or 0), went, int(packets[1] or 0))
