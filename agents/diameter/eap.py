"""The messages of the Diameter EAP application with Mobile IPv6 bootstrapping.

RFC 4072 section 3, RFC 5447 section 4; `agents.diameter.mobility` has what the AVPs about the home
agent mean. The care-of address of the mobile node goes to the server in MIP-Careof-Address
(RFC 5778 section 6.7).
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv6Address
from typing import Any

from agents.bootstrap.assignment import Assignment, Wish
from agents.core.record import Record, Secret
from agents.diameter import dictionary as d
from agents.diameter.errors import is_protocol_error
from agents.diameter.mobility import (
    MobilityRequest,
    assignment_avps,
    read_assignment,
    read_ipv6,
    read_wish,
)
from agents.diameter.values import Definition
from agents.diameter.wire import Avp, Message

_MAXIMUM_SECONDS = 0xFFFFFFFF
"""The longest time; as an Authorization-Lifetime it means for ever (RFC 6733 section 8.9)."""

_STATELESS = d.AuthSessionState.NO_STATE_MAINTAINED
"""There is no Session-Termination-Request here, neither to send nor to serve."""


class DiameterEapRequest(Record, frozen=True):
    """A Diameter-EAP-Request (RFC 4072 section 3.1).

    `eap_payload` is empty to ask the server for its first EAP packet. `feature_vector` is None
    unless mobility was asked for; it, `wish` and `hint`, a home agent that the access network
    proposes, come from `mobility_request`. `state` are the State AVPs of the answer before.
    `authorization_lifetime`, in seconds, is the longest that the NAS takes, and
    `auth_session_state` whether it will tell of a session's end; `framed_mtu` are the octets of the
    longest EAP packet for it (RFC 4072 section 2.6). `unknown` are the AVPs without a field here.
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

    @property
    def mobility(self) -> MobilityRequest:
        """What is asked about a home agent."""
        return MobilityRequest(self.feature_vector, self.hint, self.wish)

    def to_message(self) -> Message:
        """Return the message; the node that sends it adds the identifiers."""
        avps = [
            d.SESSION_ID.avp(self.session_id),
            d.AUTH_APPLICATION_ID.avp(d.APPLICATION_EAP),
            d.ORIGIN_HOST.avp(self.origin_host),
            d.ORIGIN_REALM.avp(self.origin_realm),
            d.DESTINATION_REALM.avp(self.destination_realm),
            d.AUTH_REQUEST_TYPE.avp(self.auth_request_type),
        ]
        if self.destination_host is not None:
            avps.append(d.DESTINATION_HOST.avp(self.destination_host))
        if self.origin_state_id is not None:
            avps.append(d.ORIGIN_STATE_ID.avp(self.origin_state_id))
        if self.user_name is not None:
            avps.append(d.USER_NAME.avp(self.user_name))
        avps.append(d.EAP_PAYLOAD.avp(self.eap_payload))
        avps += [d.STATE.avp(state) for state in self.state]
        if self.authorization_lifetime is not None:
            avps.append(d.AUTHORIZATION_LIFETIME.avp(_seconds(self.authorization_lifetime)))
        if self.auth_session_state is not None:
            avps.append(d.AUTH_SESSION_STATE.avp(self.auth_session_state))
        if self.framed_mtu is not None:
            avps.append(d.FRAMED_MTU.avp(self.framed_mtu))
        avps += _mobility_avps(self.feature_vector, self.hint)
        if self.wish is not None:
            avps.append(d.HOME_AGENT_WISH.avp(self.wish))
        if self.care_of_address is not None:
            avps.append(d.MIP_CAREOF_ADDRESS.avp(self.care_of_address))
        return Message(d.Command.DIAMETER_EAP, d.APPLICATION_EAP, (*avps, *self.unknown))

    @classmethod
    def from_message(cls, message: Message) -> DiameterEapRequest:
        """Read a request that follows the command's grammar; raises DiameterError."""
        avps = message.avps
        hint, used = read_assignment(avps)
        return cls(
            session_id=d.SESSION_ID.need(avps),
            origin_host=d.ORIGIN_HOST.need(avps),
            origin_realm=d.ORIGIN_REALM.need(avps),
            destination_realm=d.DESTINATION_REALM.need(avps),
            eap_payload=d.EAP_PAYLOAD.need(avps),
            user_name=d.USER_NAME.find(avps),
            feature_vector=d.MIP6_FEATURE_VECTOR.find(avps),
            care_of_address=read_ipv6(d.MIP_CAREOF_ADDRESS, avps),
            state=d.STATE.find_all(avps),
            destination_host=d.DESTINATION_HOST.find(avps),
            hint=hint,
            auth_request_type=d.AUTH_REQUEST_TYPE.need(avps),
            origin_state_id=d.ORIGIN_STATE_ID.find(avps),
            unknown=_others(avps, _REQUEST_FIELDS, used),
            wish=read_wish(avps),
            authorization_lifetime=_time(d.AUTHORIZATION_LIFETIME, avps),
            auth_session_state=d.AUTH_SESSION_STATE.find(avps),
            framed_mtu=d.FRAMED_MTU.find(avps),
        )


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

    @property
    def lifetime(self) -> float | None:
        """Seconds of service until its end or an authentication anew, None for ever.

        RFC 6733 sections 8.9 and 8.13.
        """
        service, authorised = self.session_timeout or None, self.authorization_lifetime
        times = (service, None if authorised == _MAXIMUM_SECONDS else authorised)
        return min((time for time in times if time is not None), default=None)

    def to_message(self) -> Message:
        """Return the message; the node adds identifiers and the request's Proxy-Info."""
        avps = [
            d.SESSION_ID.avp(self.session_id),
            d.AUTH_APPLICATION_ID.avp(d.APPLICATION_EAP),
            d.AUTH_REQUEST_TYPE.avp(self.auth_request_type),
            d.RESULT_CODE.avp(self.result_code),
            d.ORIGIN_HOST.avp(self.origin_host),
            d.ORIGIN_REALM.avp(self.origin_realm),
        ]
        if self.user_name is not None:
            avps.append(d.USER_NAME.avp(self.user_name))
        if self.eap_payload is not None:
            avps.append(d.EAP_PAYLOAD.avp(self.eap_payload))
        if self.reissued_payload is not None:
            avps.append(d.EAP_REISSUED_PAYLOAD.avp(self.reissued_payload))
        if self.msk is not None:
            avps.append(d.EAP_MASTER_SESSION_KEY.avp(self.msk))
        if self.multi_round_timeout is not None:
            avps.append(d.MULTI_ROUND_TIME_OUT.avp(_seconds(self.multi_round_timeout)))
        if self.error_message is not None:
            avps.append(d.ERROR_MESSAGE.avp(self.error_message))
        if self.authorization_lifetime is not None:
            avps.append(d.AUTHORIZATION_LIFETIME.avp(_seconds(self.authorization_lifetime)))
        avps.append(d.AUTH_SESSION_STATE.avp(self.auth_session_state))
        if self.re_auth_request_type is not None:
            avps.append(d.RE_AUTH_REQUEST_TYPE.avp(self.re_auth_request_type))
        if self.session_timeout is not None:
            avps.append(d.SESSION_TIMEOUT.avp(_seconds(self.session_timeout)))
        avps += [d.STATE.avp(state) for state in self.state]
        if self.origin_state_id is not None:
            avps.append(d.ORIGIN_STATE_ID.avp(self.origin_state_id))
        avps += _mobility_avps(self.feature_vector, self.assignment)
        if self.sealed_assignment is not None:
            avps.append(d.SEALED_ASSIGNMENT.avp(self.sealed_assignment))
        if self.local_home_agent_key is not None:
            avps.append(d.LOCAL_HOME_AGENT_KEY.avp(self.local_home_agent_key))
        return Message(
            d.Command.DIAMETER_EAP,
            d.APPLICATION_EAP,
            (*avps, *self.unknown),
            request=False,
            error=is_protocol_error(self.result_code),
        )

    @classmethod
    def from_message(cls, message: Message) -> DiameterEapAnswer:
        """Read an answer that follows the command's grammar; raises DiameterError."""
        avps = message.avps
        assignment, used = read_assignment(avps)
        return cls(
            session_id=d.SESSION_ID.need(avps),
            result_code=d.RESULT_CODE.need(avps),
            origin_host=d.ORIGIN_HOST.need(avps),
            origin_realm=d.ORIGIN_REALM.need(avps),
            eap_payload=d.EAP_PAYLOAD.find(avps),
            msk=d.EAP_MASTER_SESSION_KEY.find(avps),
            assignment=assignment,
            session_timeout=_time(d.SESSION_TIMEOUT, avps),
            user_name=d.USER_NAME.find(avps),
            error_message=d.ERROR_MESSAGE.find(avps),
            feature_vector=d.MIP6_FEATURE_VECTOR.find(avps),
            state=d.STATE.find_all(avps),
            reissued_payload=d.EAP_REISSUED_PAYLOAD.find(avps),
            multi_round_timeout=_time(d.MULTI_ROUND_TIME_OUT, avps),
            auth_request_type=_given(
                d.AUTH_REQUEST_TYPE, avps, d.AuthRequestType.AUTHORIZE_AUTHENTICATE
            ),
            origin_state_id=d.ORIGIN_STATE_ID.find(avps),
            unknown=_others(avps, _ANSWER_FIELDS, used),
            sealed_assignment=d.SEALED_ASSIGNMENT.find(avps),
            local_home_agent_key=d.LOCAL_HOME_AGENT_KEY.find(avps),
            authorization_lifetime=_time(d.AUTHORIZATION_LIFETIME, avps),
            auth_session_state=_given(
                d.AUTH_SESSION_STATE, avps, d.AuthSessionState.STATE_MAINTAINED
            ),
            re_auth_request_type=d.RE_AUTH_REQUEST_TYPE.find(avps),
        )


_COMMON_FIELDS: tuple[Definition[Any], ...] = (
    d.SESSION_ID,
    d.AUTH_APPLICATION_ID,
    d.AUTH_REQUEST_TYPE,
    d.ORIGIN_HOST,
    d.ORIGIN_REALM,
    d.USER_NAME,
    d.EAP_PAYLOAD,
    d.STATE,
    d.ORIGIN_STATE_ID,
    d.MIP6_FEATURE_VECTOR,
    d.AUTHORIZATION_LIFETIME,
    d.AUTH_SESSION_STATE,
)
_REQUEST_FIELDS = frozenset(
    (definition.code, definition.vendor)
    for definition in (
        *_COMMON_FIELDS,
        d.DESTINATION_REALM,
        d.DESTINATION_HOST,
        d.FRAMED_MTU,
        d.MIP_CAREOF_ADDRESS,
        d.HOME_AGENT_WISH,
    )
)
_ANSWER_FIELDS = frozenset(
    (definition.code, definition.vendor)
    for definition in (
        *_COMMON_FIELDS,
        d.RESULT_CODE,
        d.ERROR_MESSAGE,
        d.EAP_REISSUED_PAYLOAD,
        d.EAP_MASTER_SESSION_KEY,
        d.SESSION_TIMEOUT,
        d.MULTI_ROUND_TIME_OUT,
        d.RE_AUTH_REQUEST_TYPE,
        d.SEALED_ASSIGNMENT,
        d.LOCAL_HOME_AGENT_KEY,
    )
)


def _others(
    avps: Iterable[Avp], fields: frozenset[tuple[int, int | None]], agent_info: Avp | None
) -> tuple[Avp, ...]:
    """Return the AVPs without a field; a home address has one only beside a home agent."""
    if agent_info is not None:
        fields |= {(d.MIP_MOBILE_NODE_ADDRESS.code, None)}
    return tuple(
        avp
        for avp in avps
        if avp is not agent_info and (avp.code, avp.vendor or None) not in fields
    )


def _given(definition: Definition[int], avps: Iterable[Avp], default: int) -> int:
    value = definition.find(avps)
    return default if value is None else value


def _time(definition: Definition[int], avps: Iterable[Avp]) -> float | None:
    seconds = definition.find(avps)
    return None if seconds is None else float(seconds)


def _seconds(value: float) -> int:
    return max(0, min(int(value), _MAXIMUM_SECONDS))


def _mobility_avps(feature_vector: int | None, assignment: Assignment | None) -> list[Avp]:
    avps = []
    if feature_vector is not None:
        avps.append(d.MIP6_FEATURE_VECTOR.avp(feature_vector))
    if assignment is not None:
        avps += assignment_avps(assignment)
    return avps
