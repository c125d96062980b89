"""The messages of the Diameter EAP application with Mobile IPv6 bootstrapping.

RFC 4072 section 3, RFC 5447 section 4; `agents.diameter.mobility` has what the AVPs about the home
agent mean. An access router tells the server the mobile node's care-of address in
MIP-Careof-Address (RFC 5778 section 6.7). Home agents have the same commands in an application of
their own (RFC 5778 section 5.1), where that AVP must not be.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv6Address
from typing import Any

from agents.bootstrap.assignment import Assignment, Wish
from agents.core.record import Record, Secret
from agents.diameter import dictionary as d
from agents.diameter.errors import is_protocol_error
from agents.diameter.mobility import (
    MobilityRequest,
    assignment_avps,
    must_know,
    read_assignment,
    read_ipv6,
    read_wish,
)
from agents.diameter.values import MAXIMUM_SECONDS, Definition
from agents.diameter.wire import Avp, Message

_FOR_EVER = float(MAXIMUM_SECONDS)
"""An Authorization-Lifetime without end (RFC 6733 section 8.9)."""

_STATELESS = d.AuthSessionState.NO_STATE_MAINTAINED
"""There is no Session-Termination-Request here, neither to send nor to serve."""


class DiameterEapRequest(Record, frozen=True):
    """A Diameter-EAP-Request (RFC 4072 section 3.1).

    `eap_payload` is empty to ask the server for its first EAP packet. `feature_vector` is None
    unless mobility was asked for; it, `wish` and `hint`, a home agent that the access network
    proposes, come from `mobility_request`. `state` are the State AVPs of the answer before.
    `authorization_lifetime`, in seconds, is the longest that the NAS takes, and
    `auth_session_state` whether it will tell of a session's end; `framed_mtu` are the octets of the
    longest EAP packet for it (RFC 4072 section 2.6). `calling_station` is the MAC address of a user
    that has been asked on its link (IEEE 802.1X), as 02-00-00-00-01-01. `unknown` are the AVPs
    without a field here.
    """

    session_id: str
    origin_host: str
    origin_realm: str
    destination_realm: str
    eap_payload: Secret[bytes]
    user_name: str | None = None
    feature_vector: int | None = None
    care_of_address: IPv6Address | None = None
    state: tuple[bytes, ...] = ()
    destination_host: str | None = None
    hint: Assignment | None = None
    auth_request_type: int = d.AuthRequestType.AUTHORIZE_AUTHENTICATE
    origin_state_id: int | None = None
    unknown: tuple[Avp, ...] = ()
    wish: Wish | None = None
    authorization_lifetime: float | None = None
    auth_session_state: int | None = _STATELESS
    framed_mtu: int | None = None
    application: int = d.APPLICATION_EAP
    calling_station: str | None = None

    @property
    def mobility(self) -> MobilityRequest:
        """What is asked about a home agent."""
        return MobilityRequest(self.feature_vector, self.hint, self.wish)

    def to_message(self) -> Message:
        """Return the message; the node that sends it adds the identifiers."""
        avps = _avps(self, _REQUEST, self.hint)
        return Message(d.Command.DIAMETER_EAP, self.application, (*avps, *self.unknown))

    @classmethod
    def from_message(cls, message: Message) -> DiameterEapRequest:
        """Read a request that follows the command's grammar; raises DiameterError."""
        values, others = _values(message.avps, _REQUEST)
        hint, unknown = _assignment(others)
        values["wish"] = read_wish(message.avps)
        values["care_of_address"] = read_ipv6(d.MIP_CAREOF_ADDRESS, message.avps)
        values.setdefault("auth_session_state", None)
        return cls(hint=hint, unknown=unknown, application=message.application, **values)


class DiameterEapAnswer(Record, frozen=True):
    """A Diameter-EAP-Answer (RFC 4072 section 3.2).

    `session_timeout`, `authorization_lifetime` and `multi_round_timeout` are in seconds, whole
    ones on the wire; `auth_session_state` is whether the server wants to hear of a session's end.
    `reissued_payload` is the last EAP request again, after an EAP response that was refused.
    `sealed_assignment` is for the mobile node alone (`agents.bootstrap.sealed`);
    `local_home_agent_key` is the pre-shared key that a local home agent has with the mobile node.
    """

    session_id: str
    result_code: int
    origin_host: str
    origin_realm: str
    eap_payload: Secret[bytes | None] = None
    msk: Secret[bytes | None] = None
    assignment: Assignment | None = None
    session_timeout: float | None = None
    user_name: str | None = None
    error_message: str | None = None
    feature_vector: int | None = None
    state: tuple[bytes, ...] = ()
    reissued_payload: Secret[bytes | None] = None
    multi_round_timeout: float | None = None
    auth_request_type: int = d.AuthRequestType.AUTHORIZE_AUTHENTICATE
    origin_state_id: int | None = None
    unknown: tuple[Avp, ...] = ()
    sealed_assignment: Secret[bytes | None] = None
    local_home_agent_key: Secret[bytes | None] = None
    authorization_lifetime: float | None = None
    auth_session_state: int = _STATELESS
    re_auth_request_type: int | None = None
    application: int = d.APPLICATION_EAP

    @property
    def interim_interval(self) -> int:
        """Seconds between interim records of accounting, 0 for none (RFC 6733 section 9.8.2)."""
        return d.ACCT_INTERIM_INTERVAL.find(self.unknown) or 0

    @property
    def lifetime(self) -> float | None:
        """Seconds of service until its end or an authentication anew, None for ever.

        RFC 6733 sections 8.9 and 8.13.
        """
        service, authorised = self.session_timeout or None, self.authorization_lifetime
        times = (service, None if authorised == _FOR_EVER else authorised)
        return min((time for time in times if time is not None), default=None)

    def to_message(self) -> Message:
        """Return the message; the node adds identifiers and the request's Proxy-Info."""
        avps = _avps(self, _ANSWER, self.assignment)
        return Message(
            d.Command.DIAMETER_EAP,
            self.application,
            (*avps, *self.unknown),
            request=False,
            error=is_protocol_error(self.result_code),
        )

    @classmethod
    def from_message(cls, message: Message) -> DiameterEapAnswer:
        """Read an answer that follows the command's grammar; raises DiameterError."""
        values, others = _values(message.avps, _ANSWER)
        assignment, unknown = _assignment(others)
        values.setdefault("auth_session_state", d.AuthSessionState.STATE_MAINTAINED)
        application = message.application
        return cls(assignment=assignment, unknown=unknown, application=application, **values)


class _Fields:
    """The AVPs that are fields, as they are sent: those of a home agent go before `last`.

    STATE may be there several times. Those in `needed` must be there.
    """

    def __init__(
        self,
        first: Mapping[str, Definition[Any]],
        last: Mapping[str, Definition[Any]],
        needed: Iterable[str],
    ) -> None:
        self.first, self.last = tuple(first.items()), tuple(last.items())
        fields = {**first, **last}
        self.needed = {name: fields[name] for name in needed}
        self.by_code = {(one.code, one.vendor): (name, one) for name, one in fields.items()}


_REQUEST = _Fields(
    {
        "session_id": d.SESSION_ID,
        "origin_host": d.ORIGIN_HOST,
        "origin_realm": d.ORIGIN_REALM,
        "destination_realm": d.DESTINATION_REALM,
        "auth_request_type": d.AUTH_REQUEST_TYPE,
        "destination_host": d.DESTINATION_HOST,
        "origin_state_id": d.ORIGIN_STATE_ID,
        "user_name": d.USER_NAME,
        "eap_payload": d.EAP_PAYLOAD,
        "state": d.STATE,
        "authorization_lifetime": d.AUTHORIZATION_LIFETIME,
        "auth_session_state": d.AUTH_SESSION_STATE,
        "framed_mtu": d.FRAMED_MTU,
        "calling_station": d.CALLING_STATION_ID,
        "feature_vector": d.MIP6_FEATURE_VECTOR,
    },
    {"wish": d.HOME_AGENT_WISH, "care_of_address": d.MIP_CAREOF_ADDRESS},
    (
        "session_id",
        "origin_host",
        "origin_realm",
        "destination_realm",
        "eap_payload",
        "auth_request_type",
    ),
)
_ANSWER = _Fields(
    {
        "session_id": d.SESSION_ID,
        "auth_request_type": d.AUTH_REQUEST_TYPE,
        "result_code": d.RESULT_CODE,
        "origin_host": d.ORIGIN_HOST,
        "origin_realm": d.ORIGIN_REALM,
        "user_name": d.USER_NAME,
        "eap_payload": d.EAP_PAYLOAD,
        "reissued_payload": d.EAP_REISSUED_PAYLOAD,
        "msk": d.EAP_MASTER_SESSION_KEY,
        "multi_round_timeout": d.MULTI_ROUND_TIME_OUT,
        "error_message": d.ERROR_MESSAGE,
        "authorization_lifetime": d.AUTHORIZATION_LIFETIME,
        "auth_session_state": d.AUTH_SESSION_STATE,
        "re_auth_request_type": d.RE_AUTH_REQUEST_TYPE,
        "session_timeout": d.SESSION_TIMEOUT,
        "state": d.STATE,
        "origin_state_id": d.ORIGIN_STATE_ID,
        "feature_vector": d.MIP6_FEATURE_VECTOR,
    },
    {"sealed_assignment": d.SEALED_ASSIGNMENT, "local_home_agent_key": d.LOCAL_HOME_AGENT_KEY},
    ("session_id", "result_code", "origin_host", "origin_realm"),
)


def _avps(
    message: DiameterEapRequest | DiameterEapAnswer, fields: _Fields, home_agent: Assignment | None
) -> list[Avp]:
    """Return the AVPs of the fields that have a value; the application follows the session."""
    avps = _written(message, fields.first)
    avps.insert(1, d.AUTH_APPLICATION_ID.avp(message.application))
    if home_agent is not None:
        avps += assignment_avps(home_agent)
    avps += _written(message, fields.last)
    return must_know(avps) if message.application == d.APPLICATION_MIP6_IKE else avps


def _written(message: Record, fields: Iterable[tuple[str, Definition[Any]]]) -> list[Avp]:
    avps = []
    for name, definition in fields:
        value = getattr(message, name)
        if definition is d.STATE:
            avps += [definition.avp(one) for one in value]
        elif value is not None:
            avps.append(definition.avp(value))
    return avps


def _values(avps: Iterable[Avp], fields: _Fields) -> tuple[dict[str, Any], list[Avp]]:
    """Return the fields that have AVPs, each the value of the first, and the AVPs without one."""
    values: dict[str, Any] = {}
    others = []
    for avp in avps:
        known = fields.by_code.get((avp.code, avp.vendor or None))
        if known is None:
            if not d.AUTH_APPLICATION_ID.is_code_of(avp):
                others.append(avp)
            continue
        name, definition = known
        if definition is d.STATE:
            values[name] = (*values.get(name, ()), definition.read(avp))
        elif name not in values:
            values[name] = definition.read(avp)
    for name, definition in fields.needed.items():
        if name not in values:
            raise definition.missing()
    return values, others


def _assignment(avps: list[Avp]) -> tuple[Assignment | None, tuple[Avp, ...]]:
    """Return the home agent, and the AVPs that say nothing of it.

    A home address has a field only beside a home agent.
    """
    assignment, info = read_assignment(avps)
    if info is not None:
        address = d.MIP_MOBILE_NODE_ADDRESS
        avps = [avp for avp in avps if avp is not info and not address.is_code_of(avp)]
    return assignment, tuple(avps)
