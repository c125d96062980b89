"""EAP rounds and what they grant, in RADIUS (RFC 3579).

What an access router asks and what the home AAA server answers are the same with RADIUS as with
Diameter: the records of `agents.diameter.eap`. Here these become packets, and packets these.

| answer                     | packet           | with                                            |
|----------------------------|------------------|-------------------------------------------------|
| another EAP request        | Access-Challenge | State, which has the session's name             |
| the last EAP request again | Access-Challenge | the same, and Error-Cause 202                   |
| a grant                    | Access-Accept    | the MSK in MS-MPPE keys (RFC 2548, RFC 5216)     |
| a refusal, whatever for    | Access-Reject    | nothing but EAP-Message                         |

A session is called by its Acct-Session-Id: who sends one tells of the session's end by accounting
(RFC 2866). Who sends none is told of no end, and its session is called by the State alone.
"""

from __future__ import annotations

from contextlib import suppress
from ipaddress import IPv6Address

from agents.bootstrap.assignment import Wish
from agents.core.reader import WireError
from agents.diameter import dictionary as diameter
from agents.diameter.eap import DiameterEapAnswer, DiameterEapRequest
from agents.diameter.errors import ResultCode
from agents.eap.wire import Code as EapCode
from agents.radius import dictionary as d
from agents.radius.mobility import assignment_attributes, read_assignment
from agents.radius.wire import Attribute, Code, Packet

_HALF = 32
"""Octets of the MSK in each of its two attributes (RFC 5216 section 2.3)."""

_WISHES = {int(wish): wish for wish in Wish}


def access_request(request: DiameterEapRequest, nas: IPv6Address) -> tuple[Attribute, ...]:
    """Return the attributes of an Access-Request; `nas` is the address that asks."""
    found = [
        d.NAS_IDENTIFIER.attribute(request.origin_host),
        d.NAS_IPV6_ADDRESS.attribute(nas),
        d.NAS_PORT_TYPE.attribute(_port_type(request)),
        d.SERVICE_TYPE.attribute(d.ServiceType.FRAMED),
    ]
    if request.user_name is not None:
        found.append(d.USER_NAME.attribute(request.user_name))
    if request.auth_session_state == diameter.AuthSessionState.STATE_MAINTAINED:
        found.append(d.ACCT_SESSION_ID.attribute(request.session_id))
    found += _place(request)
    if request.framed_mtu is not None:
        found.append(d.FRAMED_MTU.attribute(request.framed_mtu))
    found += [d.STATE.attribute(state) for state in request.state]
    if request.feature_vector is not None:
        found.append(d.MIP6_FEATURE_VECTOR.attribute(request.feature_vector))
    if request.wish is not None:
        found.append(d.HOME_AGENT_WISH.attribute(request.wish))
    if request.hint is not None:
        found += assignment_attributes(request.hint)
    return (*found, *d.EAP_MESSAGE.parts(request.eap_payload))


def _port_type(request: DiameterEapRequest) -> d.NasPortType:
    return d.NasPortType.ETHERNET if request.calling_station else d.NasPortType.VIRTUAL


def _place(request: DiameterEapRequest) -> list[Attribute]:
    """Return where the user is: what calls is a station by IEEE 802.1X, and an address by PANA."""
    station, care_of = request.calling_station, request.care_of_address
    if station is None:
        return [] if care_of is None else [d.CALLING_STATION_ID.attribute(str(care_of))]
    found = [d.CALLING_STATION_ID.attribute(station)]
    return found if care_of is None else [*found, d.FRAMED_IPV6_ADDRESS.attribute(care_of)]


def read_request(packet: Packet, client: str, server: tuple[str, str]) -> DiameterEapRequest:
    """Return what a client asks the `server`, its name and realm; raises WireError.

    Without a name of the client's, or a State, the session is called nothing yet.
    """
    attributes = packet.attributes
    eap = d.EAP_MESSAGE.join(attributes)
    if eap is None:
        raise WireError("an Access-Request without EAP-Message: nothing but EAP is served here")
    named, state = d.ACCT_SESSION_ID.find(attributes), d.STATE.find(attributes)
    keeps = diameter.AuthSessionState
    calling = d.CALLING_STATION_ID.find(attributes)
    care_of = _address(calling)
    mtu, vector = d.FRAMED_MTU.find(attributes), d.MIP6_FEATURE_VECTOR.find(attributes)
    return DiameterEapRequest(
        session_id=named or (state or b"").hex(),
        origin_host=client,
        origin_realm=client.partition(".")[2] or client,
        destination_realm=server[1],
        destination_host=server[0],
        eap_payload=eap,
        user_name=d.USER_NAME.find(attributes),
        feature_vector=vector,
        care_of_address=care_of or d.FRAMED_IPV6_ADDRESS.find(attributes),
        state=() if state is None else (state,),
        hint=read_assignment(attributes),
        wish=_wish(attributes),
        auth_session_state=keeps.STATE_MAINTAINED if named else keeps.NO_STATE_MAINTAINED,
        framed_mtu=None if mtu is None else int(mtu),
        calling_station=None if care_of else calling,
    )


def _address(text: str | None) -> IPv6Address | None:
    """Return the care-of address; what calls may have an address of another kind."""
    with suppress(ValueError):
        return IPv6Address(text or "")
    return None


def _wish(attributes: tuple[Attribute, ...]) -> Wish | None:
    """Return the wish; one that is not known counts as absent."""
    value = d.HOME_AGENT_WISH.find(attributes)
    return None if value is None else _WISHES.get(int(value))


def access_answer(
    answer: DiameterEapAnswer, state: bytes | None
) -> tuple[Code, tuple[Attribute, ...]]:
    """Return the packet that an answer is; a challenge is to be taken up with `state`."""
    eap = answer.eap_payload or answer.reissued_payload
    message = [] if eap is None else d.EAP_MESSAGE.parts(eap)
    if answer.result_code == ResultCode.MULTI_ROUND_AUTH and state is not None:
        found = [d.STATE.attribute(state), *_granted(answer)]
        if answer.reissued_payload is not None:
            found.append(d.ERROR_CAUSE.attribute(d.INVALID_EAP_PACKET))
        return Code.ACCESS_CHALLENGE, (*found, *message)
    if answer.result_code != ResultCode.SUCCESS:
        return Code.ACCESS_REJECT, tuple(message)
    found = _granted(answer)
    if answer.user_name is not None:
        found.append(d.USER_NAME.attribute(answer.user_name))
    if answer.lifetime is not None:
        found.append(d.SESSION_TIMEOUT.attribute(answer.lifetime))
        action = d.TerminationAction.RADIUS_REQUEST
        found.append(d.TERMINATION_ACTION.attribute(action))
    if answer.msk is not None:
        found.append(d.MS_MPPE_RECV_KEY.attribute(answer.msk[:_HALF]))
        found.append(d.MS_MPPE_SEND_KEY.attribute(answer.msk[_HALF:]))
    if answer.local_home_agent_key is not None:
        found.append(d.LOCAL_HOME_AGENT_KEY.attribute(answer.local_home_agent_key))
    if answer.interim_interval:
        found.append(d.ACCT_INTERIM_INTERVAL.attribute(answer.interim_interval))
    return Code.ACCESS_ACCEPT, (*found, *message)


def _granted(answer: DiameterEapAnswer) -> list[Attribute]:
    """Return the attributes about the home agent."""
    found = []
    if answer.feature_vector is not None:
        found.append(d.MIP6_FEATURE_VECTOR.attribute(answer.feature_vector))
    if answer.assignment is not None:
        found += assignment_attributes(answer.assignment)
    if answer.sealed_assignment is not None:
        found += d.SEALED_ASSIGNMENT.parts(answer.sealed_assignment)
    return found


_RESULTS: dict[int, ResultCode] = {
    Code.ACCESS_ACCEPT: ResultCode.SUCCESS,
    Code.ACCESS_CHALLENGE: ResultCode.MULTI_ROUND_AUTH,
}


def read_answer(packet: Packet, session_id: str, server: tuple[str, str]) -> DiameterEapAnswer:
    """Return what the `server`, its name and realm, answers in a session; raises WireError.

    A grant with another EAP packet than Success is none (RFC 3579 section 2.6.3).
    """
    attributes = packet.attributes
    eap = d.EAP_MESSAGE.join(attributes)
    result = _RESULTS.get(packet.code, ResultCode.AUTHENTICATION_REJECTED)
    if result is ResultCode.SUCCESS and (eap or b"")[:1] != bytes((EapCode.SUCCESS,)):
        result = ResultCode.AUTHENTICATION_REJECTED
    received, sent = d.MS_MPPE_RECV_KEY.find(attributes), d.MS_MPPE_SEND_KEY.find(attributes)
    service, timeout = d.SERVICE_TYPE.find(attributes), d.SESSION_TIMEOUT.find(attributes)
    vector, state = d.MIP6_FEATURE_VECTOR.find(attributes), d.STATE.find(attributes)
    interim = d.ACCT_INTERIM_INTERVAL.find(attributes)
    others = [diameter.CLASS.avp(value) for value in d.CLASS.values(attributes)]
    if interim is not None:
        others.append(diameter.ACCT_INTERIM_INTERVAL.avp(int(interim)))
    if service is not None:
        others.append(diameter.SERVICE_TYPE.avp(int(service)))
    return DiameterEapAnswer(
        session_id=session_id,
        result_code=result,
        origin_host=server[0],
        origin_realm=server[1],
        eap_payload=eap,
        msk=None if received is None or sent is None else received + sent,
        assignment=read_assignment(attributes),
        session_timeout=timeout if result is ResultCode.SUCCESS else None,
        user_name=d.USER_NAME.find(attributes),
        feature_vector=vector,
        state=() if state is None else (state,),
        sealed_assignment=d.SEALED_ASSIGNMENT.join(attributes),
        local_home_agent_key=d.LOCAL_HOME_AGENT_KEY.find(attributes),
        unknown=tuple(others),
    )
