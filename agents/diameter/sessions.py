"""The messages of a mobility session beside EAP's: its key for IKE, and its end.

The home agent asks for the key by the identity that IKE has been told (RFC 6738 section 4). Main
mode of IKEv1 tells none before the key is needed, but the care-of address is one to it (RFC 2409
section 5.4). Either side may end a session (RFC 5778 section 4.3).
"""

from __future__ import annotations

from ipaddress import IPv6Address

from agents.bootstrap.assignment import Assignment
from agents.core.record import Record, Secret
from agents.diameter import dictionary as d
from agents.diameter.errors import DiameterError, ResultCode, is_protocol_error
from agents.diameter.mobility import assignment_avps, read_assignment, read_ipv6
from agents.diameter.wire import Avp, Message
from agents.ike.constants import IdType
from agents.ike.identities import Identity

_APPLICATION = d.AUTH_APPLICATION_ID.avp(d.APPLICATION_IKE_SK)


class KeyRequest(Record, frozen=True, kw_only=True):
    """An IKEv2-SK-Request (RFC 6738 section 5.1).

    `load` is the number of home addresses that are in use at the home agent. With `renews` there
    is a key already, and the question is whether its holder is authorised for longer. Of several
    servers `destination_host` is the one that is asked.
    """

    session_id: str
    origin_host: str
    origin_realm: str
    destination_realm: str
    identity: Identity
    care_of_address: IPv6Address | None = None
    load: int | None = None
    renews: bool = False
    destination_host: str | None = None

    def to_message(self) -> Message:
        """Return the message; the node that sends it adds the identifiers."""
        avps = [
            d.SESSION_ID.avp(self.session_id),
            _APPLICATION,
            d.ORIGIN_HOST.avp(self.origin_host),
            d.ORIGIN_REALM.avp(self.origin_realm),
            d.DESTINATION_REALM.avp(self.destination_realm),
            _request_type(renews=self.renews),
            d.IKEV2_IDENTITY.avp((d.INITIATOR_IDENTITY.avp(_identity_avps(self.identity)),)),
        ]
        if self.destination_host is not None:
            avps.append(d.DESTINATION_HOST.avp(self.destination_host))
        if self.care_of_address is not None:
            avps.append(d.MIP_CAREOF_ADDRESS.avp(self.care_of_address))
        if self.load is not None:
            avps.append(d.HOME_AGENT_LOAD.avp(self.load))
        return Message(d.Command.IKEV2_SK, d.APPLICATION_IKE_SK, tuple(avps))

    @classmethod
    def from_message(cls, message: Message) -> KeyRequest:
        """Read a request that follows the command's grammar; raises DiameterError."""
        avps = message.avps
        return cls(
            session_id=d.SESSION_ID.need(avps),
            origin_host=d.ORIGIN_HOST.need(avps),
            origin_realm=d.ORIGIN_REALM.need(avps),
            destination_realm=d.DESTINATION_REALM.need(avps),
            identity=_identity(d.INITIATOR_IDENTITY.need(d.IKEV2_IDENTITY.need(avps))),
            care_of_address=read_ipv6(d.MIP_CAREOF_ADDRESS, avps),
            load=d.HOME_AGENT_LOAD.find(avps),
            renews=_renews(avps),
            destination_host=d.DESTINATION_HOST.find(avps),
        )


class KeyAnswer(Record, frozen=True, kw_only=True):
    """An IKEv2-SK-Answer (RFC 6738 section 5.2); lifetimes are in seconds.

    `identity` is the subscriber's, whatever the peer has called itself. The key is good for IKE
    SAs of the assigned home address alone, and both last for `lifetime`. Records of the session
    are wanted every `interim_interval` seconds.
    """

    session_id: str
    result_code: int
    origin_host: str
    origin_realm: str
    identity: str | None = None
    key: Secret[bytes | None] = None
    assignment: Assignment | None = None
    lifetime: float | None = None
    renews: bool = False
    error_message: str | None = None
    interim_interval: int | None = None

    def to_message(self) -> Message:
        """Return the message; the node adds identifiers and the request's Proxy-Info."""
        avps = [
            d.SESSION_ID.avp(self.session_id),
            _APPLICATION,
            _request_type(renews=self.renews),
            d.RESULT_CODE.avp(self.result_code),
            d.ORIGIN_HOST.avp(self.origin_host),
            d.ORIGIN_REALM.avp(self.origin_realm),
            d.AUTH_SESSION_STATE.avp(d.AuthSessionState.STATE_MAINTAINED),
        ]
        if self.identity is not None:
            avps.append(d.USER_NAME.avp(self.identity))
        if self.error_message is not None:
            avps.append(d.ERROR_MESSAGE.avp(self.error_message))
        if self.lifetime is not None:
            avps.append(d.AUTHORIZATION_LIFETIME.avp(self.lifetime))
        if self.key is not None:
            avps.append(_key_avp(self.key, self.lifetime))
        if self.assignment is not None:
            avps += assignment_avps(self.assignment)
        if self.interim_interval is not None:
            avps.append(d.ACCT_INTERIM_INTERVAL.avp(self.interim_interval))
        error = is_protocol_error(self.result_code)
        command, application = d.Command.IKEV2_SK, d.APPLICATION_IKE_SK
        return Message(command, application, tuple(avps), request=False, error=error)

    @classmethod
    def from_message(cls, message: Message) -> KeyAnswer:
        """Read an answer that follows the command's grammar; raises DiameterError.

        Of a key's lifetime and the session's the shorter one counts.
        """
        avps = message.avps
        key = d.KEY.find(avps)
        times = [
            d.SESSION_TIMEOUT.find(avps) or None,  # 0 is for ever (RFC 6733 section 8.13).
            d.AUTHORIZATION_LIFETIME.find(avps),
            d.KEY_LIFETIME.find(key) if key else None,
        ]
        return cls(
            session_id=d.SESSION_ID.need(avps),
            result_code=d.RESULT_CODE.need(avps),
            origin_host=d.ORIGIN_HOST.need(avps),
            origin_realm=d.ORIGIN_REALM.need(avps),
            identity=d.USER_NAME.find(avps),
            key=_keying_material(key) if key else None,
            assignment=read_assignment(avps)[0],
            lifetime=min((time for time in times if time is not None), default=None),
            renews=_renews(avps),
            error_message=d.ERROR_MESSAGE.find(avps),
            interim_interval=d.ACCT_INTERIM_INTERVAL.find(avps),
        )


def _request_type(*, renews: bool) -> Avp:
    """Return what is asked for: who has a key already asks to be authorised alone."""
    kind = d.AuthRequestType
    return d.AUTH_REQUEST_TYPE.avp(kind.AUTHORIZE_ONLY if renews else kind.AUTHORIZE_AUTHENTICATE)


def _renews(avps: tuple[Avp, ...]) -> bool:
    return d.AUTH_REQUEST_TYPE.need(avps) == d.AuthRequestType.AUTHORIZE_ONLY


def _identity_avps(identity: Identity) -> tuple[Avp, ...]:
    return d.ID_TYPE.avp(identity.type), d.IDENTIFICATION_DATA.avp(identity.text)


def _identity(avps: tuple[Avp, ...]) -> Identity:
    """Return the identity in an Initiator-Identity; raises DiameterError INVALID_AVP_VALUE."""
    kind, text = d.ID_TYPE.need(avps), d.IDENTIFICATION_DATA.need(avps)
    try:
        if kind == IdType.IPV6_ADDR:
            return Identity.of_address(IPv6Address(text))
        identity = Identity(kind, text.encode())
        return Identity.decode(identity.encode())  # A name is no longer than it may be.
    except ValueError as error:
        failed = d.IDENTIFICATION_DATA.avp(text)
        reason = f"Identification-Data: {error}"
        raise DiameterError(reason, ResultCode.INVALID_AVP_VALUE, failed=failed) from None


def _key_avp(key: bytes, lifetime: float | None) -> Avp:
    members = [d.KEY_TYPE.avp(d.KEY_TYPE_IKEV2_SK), d.KEYING_MATERIAL.avp(key)]
    if lifetime is not None:
        members.append(d.KEY_LIFETIME.avp(lifetime))
    return d.KEY.avp(tuple(members))


def _keying_material(avps: tuple[Avp, ...]) -> bytes:
    """Return a key for IKE; raises DiameterError INVALID_AVP_VALUE for one of another type."""
    kind, material = d.KEY_TYPE.need(avps), d.KEYING_MATERIAL.need(avps)
    if kind != d.KEY_TYPE_IKEV2_SK or not material:
        reason = f"Key-Type {kind} with {len(material)} octets is no key for IKE"
        failed = d.KEY_TYPE.avp(kind)
        raise DiameterError(reason, ResultCode.INVALID_AVP_VALUE, failed=failed)
    return material


class SessionRequest(Record, frozen=True, kw_only=True):
    """A Session-Termination-, Abort-Session- or Re-Auth-Request about a session.

    The client tells the server by the first that a session is over (RFC 6733 section 8.4.1); the
    server tells the client by the second that it has to be (8.5.1), and by the third that it is
    to ask once more what is authorised (8.3.1). The server names the client in `destination_host`,
    and the subscriber, whose session the client may know by another Session-Id. With `re_auth` the
    third may want the user authenticated too.
    """

    command: int
    session_id: str
    application: int
    origin_host: str
    origin_realm: str
    destination_realm: str
    destination_host: str | None = None
    user_name: str | None = None
    load: int | None = None
    re_auth: d.ReAuthRequestType = d.ReAuthRequestType.AUTHORIZE_ONLY

    def to_message(self) -> Message:
        """Return the message; the node that sends it adds the identifiers."""
        avps = [
            d.SESSION_ID.avp(self.session_id),
            d.ORIGIN_HOST.avp(self.origin_host),
            d.ORIGIN_REALM.avp(self.origin_realm),
            d.DESTINATION_REALM.avp(self.destination_realm),
            d.AUTH_APPLICATION_ID.avp(self.application),
        ]
        if self.destination_host is not None:
            avps.append(d.DESTINATION_HOST.avp(self.destination_host))
        if self.user_name is not None:
            avps.append(d.USER_NAME.avp(self.user_name))
        if self.command == d.Command.SESSION_TERMINATION:
            avps.append(d.TERMINATION_CAUSE.avp(d.TerminationCause.LOGOUT))
        elif self.command == d.Command.RE_AUTH:
            avps.append(d.RE_AUTH_REQUEST_TYPE.avp(self.re_auth))
        if self.load is not None:
            avps.append(d.HOME_AGENT_LOAD.avp(self.load))
        return Message(self.command, self.application, tuple(avps))

    @classmethod
    def from_message(cls, message: Message) -> SessionRequest:
        """Read a request that follows its command's grammar; raises DiameterError."""
        avps = message.avps
        return cls(
            command=message.command,
            session_id=d.SESSION_ID.need(avps),
            application=message.application,
            origin_host=d.ORIGIN_HOST.need(avps),
            origin_realm=d.ORIGIN_REALM.need(avps),
            destination_realm=d.DESTINATION_REALM.need(avps),
            destination_host=d.DESTINATION_HOST.find(avps),
            user_name=d.USER_NAME.find(avps),
            load=d.HOME_AGENT_LOAD.find(avps),
        )


def session_answer(
    request: Message, result_code: int, origin_host: str, origin_realm: str
) -> Message:
    """Return the answer to a SessionRequest (RFC 6733 sections 8.3.2, 8.4.2 and 8.5.2)."""
    avps = (
        d.SESSION_ID.avp(d.SESSION_ID.need(request.avps)),
        d.RESULT_CODE.avp(result_code),
        d.ORIGIN_HOST.avp(origin_host),
        d.ORIGIN_REALM.avp(origin_realm),
    )
    return Message(request.command, request.application, avps, request=False)
