"""The grammar of every command as data, and the check of a message against it (RFC 6733 3.2)."""

from __future__ import annotations

from typing import Any

from agents.core.record import Record
from agents.diameter import dictionary as d
from agents.diameter.errors import DiameterError, ResultCode
from agents.diameter.values import GROUPED, Definition
from agents.diameter.wire import Avp, Message

_MANY = None
_MAXIMUM_DEPTH = 8


class Occurrence(Record, frozen=True):
    """How often an AVP may be in a message; `maximum` None means without limit."""

    definition: Definition[Any]
    minimum: int
    maximum: int | None


Rules = tuple[Occurrence, ...]


class Grammar:
    """What a message, or a group, may and must have; anything else may be there as well."""

    def __init__(self, *rules: Occurrence) -> None:
        self.rules = rules
        self._required = frozenset(r.definition.code for r in rules if r.minimum)
        self._forbidden = frozenset(r.definition.code for r in rules if r.maximum == 0)

    def obviously_holds(self, codes: list[int]) -> bool:
        """Return whether no AVP is missing, forbidden, or there twice: most messages are so."""
        found = frozenset(codes)
        return (
            len(found) == len(codes)
            and found >= self._required
            and found.isdisjoint(self._forbidden)
        )


def _one(*definitions: Definition[Any]) -> Rules:
    return tuple(Occurrence(definition, 1, 1) for definition in definitions)


def _optional(*definitions: Definition[Any]) -> Rules:
    return tuple(Occurrence(definition, 0, 1) for definition in definitions)


def _any(*definitions: Definition[Any]) -> Rules:
    return tuple(Occurrence(definition, 0, _MANY) for definition in definitions)


def _none(*definitions: Definition[Any]) -> Rules:
    return tuple(Occurrence(definition, 0, 0) for definition in definitions)


_CAPABILITIES: Rules = (
    *_one(d.ORIGIN_HOST, d.ORIGIN_REALM),
    Occurrence(d.HOST_IP_ADDRESS, 1, _MANY),
    *_one(d.VENDOR_ID, d.PRODUCT_NAME),
    *_optional(d.ORIGIN_STATE_ID, d.FIRMWARE_REVISION),
    *_any(
        d.SUPPORTED_VENDOR_ID,
        d.AUTH_APPLICATION_ID,
        d.INBAND_SECURITY_ID,
        d.ACCT_APPLICATION_ID,
        d.VENDOR_SPECIFIC_APPLICATION_ID,
    ),
)
_BASE_ANSWER: Rules = (
    *_one(d.RESULT_CODE, d.ORIGIN_HOST, d.ORIGIN_REALM),
    *_optional(d.ERROR_MESSAGE, d.FAILED_AVP),
)
_FRAMED: Rules = (
    *_any(d.FRAMED_COMPRESSION, d.FRAMED_IPV6_PREFIX, d.TUNNELING),
    *_optional(
        d.FRAMED_INTERFACE_ID,
        d.FRAMED_IP_ADDRESS,
        d.FRAMED_IP_NETMASK,
        d.FRAMED_MTU,
        d.FRAMED_PROTOCOL,
    ),
)
_EAP_REQUEST: Rules = (
    *_one(
        d.SESSION_ID,
        d.AUTH_APPLICATION_ID,
        d.ORIGIN_HOST,
        d.ORIGIN_REALM,
        d.DESTINATION_REALM,
        d.AUTH_REQUEST_TYPE,
        d.EAP_PAYLOAD,
    ),
    *_optional(
        d.DESTINATION_HOST,
        d.NAS_IDENTIFIER,
        d.NAS_IP_ADDRESS,
        d.NAS_IPV6_ADDRESS,
        d.NAS_PORT,
        d.NAS_PORT_ID,
        d.NAS_PORT_TYPE,
        d.ORIGIN_STATE_ID,
        d.PORT_LIMIT,
        d.USER_NAME,
        d.EAP_KEY_NAME,
        d.SERVICE_TYPE,
        d.AUTHORIZATION_LIFETIME,
        d.AUTH_GRACE_PERIOD,
        d.AUTH_SESSION_STATE,
        d.CALLBACK_NUMBER,
        d.CALLED_STATION_ID,
        d.CALLING_STATION_ID,
        d.ORIGINATING_LINE_INFO,
        d.CONNECT_INFO,
        d.MIP6_FEATURE_VECTOR,
        d.MIP_CAREOF_ADDRESS,
    ),
    *_FRAMED,
    # The grammar allows one State; the text (section 3.1) speaks of any that the answer had.
    *_any(d.STATE, d.PROXY_INFO, d.ROUTE_RECORD, d.MIP6_AGENT_INFO),
    *_none(
        d.RESULT_CODE,
        d.EAP_REISSUED_PAYLOAD,
        d.EAP_MASTER_SESSION_KEY,
        d.ACCOUNTING_EAP_AUTH_METHOD,
    ),
)
_EAP_ANSWER: Rules = (
    *_one(
        d.SESSION_ID,
        d.AUTH_APPLICATION_ID,
        d.AUTH_REQUEST_TYPE,
        d.RESULT_CODE,
        d.ORIGIN_HOST,
        d.ORIGIN_REALM,
    ),
    *_optional(
        d.USER_NAME,
        d.EAP_PAYLOAD,
        d.EAP_REISSUED_PAYLOAD,
        d.EAP_MASTER_SESSION_KEY,
        d.EAP_KEY_NAME,
        d.MULTI_ROUND_TIME_OUT,
        d.SERVICE_TYPE,
        d.ACCT_INTERIM_INTERVAL,
        d.ERROR_MESSAGE,
        d.ERROR_REPORTING_HOST,
        d.IDLE_TIMEOUT,
        d.AUTHORIZATION_LIFETIME,
        d.AUTH_GRACE_PERIOD,
        d.AUTH_SESSION_STATE,
        d.RE_AUTH_REQUEST_TYPE,
        d.SESSION_TIMEOUT,
        d.ORIGIN_STATE_ID,
        d.PORT_LIMIT,
        d.CALLBACK_ID,
        d.CALLBACK_NUMBER,
        d.FRAMED_APPLETALK_LINK,
        d.FRAMED_APPLETALK_ZONE,
        d.FRAMED_IPV6_POOL,
        d.FRAMED_POOL,
        d.FRAMED_IPX_NETWORK,
        d.FRAMED_ROUTING,
        d.REDIRECT_HOST_USAGE,
        d.REDIRECT_MAX_CACHE_TIME,
        d.MIP6_FEATURE_VECTOR,
    ),
    *_FRAMED,
    *_any(
        d.ACCOUNTING_EAP_AUTH_METHOD,  # Section 5.2 says 0+, the grammar 0-1.
        d.CLASS,
        d.CONFIGURATION_TOKEN,
        d.FAILED_AVP,
        d.STATE,
        d.REPLY_MESSAGE,
        d.FILTER_ID,
        d.FRAMED_APPLETALK_NETWORK,
        d.FRAMED_IPV6_ROUTE,
        d.FRAMED_ROUTE,
        d.NAS_FILTER_RULE,
        d.QOS_FILTER_RULE,
        d.REDIRECT_HOST,
        d.PROXY_INFO,
        d.ROUTE_RECORD,  # Not in the grammar, but freeDiameter's relay appends it.
        d.MIP6_AGENT_INFO,
        d.MIP_MOBILE_NODE_ADDRESS,
    ),
)

_SESSION_REQUEST: Rules = _one(
    d.SESSION_ID, d.ORIGIN_HOST, d.ORIGIN_REALM, d.DESTINATION_REALM, d.AUTH_APPLICATION_ID
)
_SESSION_ANSWER: Rules = (
    *_one(d.SESSION_ID, d.RESULT_CODE, d.ORIGIN_HOST, d.ORIGIN_REALM),
    *_optional(d.USER_NAME, d.ORIGIN_STATE_ID, d.ERROR_MESSAGE, d.ERROR_REPORTING_HOST),
    *_any(d.FAILED_AVP, d.CLASS, d.PROXY_INFO, d.ROUTE_RECORD),
)
_ON_THE_WAY: Rules = (
    *_optional(d.USER_NAME, d.ORIGIN_STATE_ID),
    *_any(d.PROXY_INFO, d.ROUTE_RECORD),
)

_ACCOUNTED: Rules = (
    *_one(d.SESSION_ID, d.ORIGIN_HOST, d.ORIGIN_REALM),
    *_one(d.ACCOUNTING_RECORD_TYPE, d.ACCOUNTING_RECORD_NUMBER),
    *_optional(d.ACCT_APPLICATION_ID, d.VENDOR_SPECIFIC_APPLICATION_ID, d.USER_NAME),
    *_optional(d.ACCOUNTING_SUB_SESSION_ID, d.ACCT_SESSION_ID, d.ACCT_MULTI_SESSION_ID),
    *_optional(d.ACCT_INTERIM_INTERVAL, d.ACCOUNTING_REALTIME_REQUIRED),
    *_optional(d.ORIGIN_STATE_ID, d.EVENT_TIMESTAMP),
    *_any(d.PROXY_INFO, d.ROUTE_RECORD, d.CLASS),
)
_USAGE: Rules = _optional(
    d.ACCOUNTING_INPUT_OCTETS,
    d.ACCOUNTING_INPUT_PACKETS,
    d.ACCOUNTING_OUTPUT_OCTETS,
    d.ACCOUNTING_OUTPUT_PACKETS,
    d.ACCT_SESSION_TIME,
    d.ACCT_DELAY_TIME,
    d.TERMINATION_CAUSE,
    d.SERVICE_TYPE,
    d.MIP6_FEATURE_VECTOR,
    d.MIP6_AGENT_INFO,
    d.MIP_CAREOF_ADDRESS,
)
_HOME_AGENT: Rules = (
    *_optional(d.MIP6_AGENT_INFO, d.SERVICE_SELECTION, d.CHARGEABLE_USER_IDENTITY),
    Occurrence(d.MIP_MOBILE_NODE_ADDRESS, 0, 2),
)
"""What RFC 5778 section 8.1 bounds in messages of home agents."""

GRAMMARS: dict[tuple[int, bool], Grammar] = {
    (d.Command.CAPABILITIES_EXCHANGE, True): Grammar(*_CAPABILITIES),
    (d.Command.CAPABILITIES_EXCHANGE, False): Grammar(
        *_CAPABILITIES,
        *_one(d.RESULT_CODE),
        *_optional(d.ERROR_MESSAGE, d.FAILED_AVP),
    ),
    (d.Command.DEVICE_WATCHDOG, True): Grammar(
        *_one(d.ORIGIN_HOST, d.ORIGIN_REALM),
        *_optional(d.ORIGIN_STATE_ID),
    ),
    (d.Command.DEVICE_WATCHDOG, False): Grammar(*_BASE_ANSWER, *_optional(d.ORIGIN_STATE_ID)),
    (d.Command.DISCONNECT_PEER, True): Grammar(
        *_one(d.ORIGIN_HOST, d.ORIGIN_REALM, d.DISCONNECT_CAUSE)
    ),
    (d.Command.DISCONNECT_PEER, False): Grammar(*_BASE_ANSWER),
    (d.Command.DIAMETER_EAP, True): Grammar(*_EAP_REQUEST),
    (d.Command.DIAMETER_EAP, False): Grammar(*_EAP_ANSWER),
    (d.Command.ACCOUNTING, True): Grammar(
        *_ACCOUNTED, *_one(d.DESTINATION_REALM), *_optional(d.DESTINATION_HOST), *_USAGE
    ),
    (d.Command.ACCOUNTING, False): Grammar(
        *_ACCOUNTED,
        *_one(d.RESULT_CODE),
        *_optional(d.ERROR_MESSAGE, d.ERROR_REPORTING_HOST),
        *_any(d.FAILED_AVP),
    ),
    (d.Command.IKEV2_SK, True): Grammar(
        *_SESSION_REQUEST,
        *_one(d.AUTH_REQUEST_TYPE, d.IKEV2_IDENTITY),
        *_optional(d.DESTINATION_HOST, d.AUTH_SESSION_STATE, d.MIP_CAREOF_ADDRESS),
        *_ON_THE_WAY,
        *_none(d.RESULT_CODE, d.KEY),
    ),
    (d.Command.IKEV2_SK, False): Grammar(
        *_SESSION_ANSWER,
        *_one(d.AUTH_APPLICATION_ID, d.AUTH_REQUEST_TYPE),
        *_optional(
            d.KEY,
            d.AUTHORIZATION_LIFETIME,
            d.AUTH_GRACE_PERIOD,
            d.AUTH_SESSION_STATE,
            d.RE_AUTH_REQUEST_TYPE,
            d.SESSION_TIMEOUT,
            d.MIP6_AGENT_INFO,
            d.MIP_MOBILE_NODE_ADDRESS,
        ),
    ),
    (d.Command.SESSION_TERMINATION, True): Grammar(
        *_SESSION_REQUEST,
        *_one(d.TERMINATION_CAUSE),
        *_optional(d.DESTINATION_HOST),
        *_ON_THE_WAY,
    ),
    (d.Command.SESSION_TERMINATION, False): Grammar(*_SESSION_ANSWER),
    (d.Command.ABORT_SESSION, True): Grammar(
        *_SESSION_REQUEST, *_one(d.DESTINATION_HOST), *_ON_THE_WAY
    ),
    (d.Command.ABORT_SESSION, False): Grammar(*_SESSION_ANSWER),
    (d.Command.RE_AUTH, True): Grammar(
        *_SESSION_REQUEST, *_one(d.DESTINATION_HOST, d.RE_AUTH_REQUEST_TYPE), *_ON_THE_WAY
    ),
    (d.Command.RE_AUTH, False): Grammar(*_SESSION_ANSWER),
}
"""The grammars by command code and R bit; every one ends with `* [ AVP ]`."""

OF_APPLICATION: dict[tuple[int, int, bool], Grammar] = {
    (d.APPLICATION_MIP6_IKE, d.Command.DIAMETER_EAP, True): Grammar(
        *_EAP_REQUEST, *_HOME_AGENT, *_optional(d.QOS_CAPABILITY), *_none(d.MIP_CAREOF_ADDRESS)
    ),
    (d.APPLICATION_MIP6_IKE, d.Command.DIAMETER_EAP, False): Grammar(
        *_EAP_ANSWER, *_HOME_AGENT, *_none(d.QOS_CAPABILITY, d.MIP_CAREOF_ADDRESS)
    ),
}
"""Those that an application has of its own, by its identifier too."""

ERROR_ANSWER = Grammar(
    *_one(d.ORIGIN_HOST, d.ORIGIN_REALM, d.RESULT_CODE),
    *_optional(
        d.SESSION_ID,
        d.ORIGIN_STATE_ID,
        d.ERROR_MESSAGE,
        d.ERROR_REPORTING_HOST,
        d.FAILED_AVP,
        d.EXPERIMENTAL_RESULT,
        d.REDIRECT_HOST_USAGE,
        d.REDIRECT_MAX_CACHE_TIME,
    ),
    *_any(d.PROXY_INFO, d.ROUTE_RECORD, d.REDIRECT_HOST),
)
"""The grammar of an answer with the E bit, whatever its command (RFC 6733 section 7.2)."""

_MEMBERS: dict[int, Grammar] = {
    d.VENDOR_SPECIFIC_APPLICATION_ID.code: Grammar(*_one(d.VENDOR_ID)),
    d.PROXY_INFO.code: Grammar(*_one(d.PROXY_HOST, d.PROXY_STATE)),
    d.MIP6_AGENT_INFO.code: Grammar(
        Occurrence(d.MIP_HOME_AGENT_ADDRESS, 0, 2),
        *_optional(d.MIP_HOME_AGENT_HOST, d.MIP6_HOME_LINK_PREFIX),
    ),
    d.MIP_HOME_AGENT_HOST.code: Grammar(*_one(d.DESTINATION_REALM, d.DESTINATION_HOST)),
    d.IKEV2_IDENTITY.code: Grammar(*_one(d.INITIATOR_IDENTITY)),
    d.INITIATOR_IDENTITY.code: Grammar(*_one(d.ID_TYPE, d.IDENTIFICATION_DATA)),
    d.KEY.code: Grammar(*_one(d.KEY_TYPE, d.KEYING_MATERIAL), *_optional(d.KEY_LIFETIME)),
}
_ANYTHING = Grammar()


def check(message: Message) -> None:
    """Raise DiameterError if `message` breaks the grammar of its command.

    COMMAND_UNSUPPORTED if there is no grammar for it; else INVALID_HDR_BITS, AVP_UNSUPPORTED,
    INVALID_AVP_LENGTH, INVALID_AVP_VALUE, MISSING_AVP, AVP_OCCURS_TOO_MANY_TIMES or
    AVP_NOT_ALLOWED, the last six with the AVP for Failed-AVP.
    """
    if (message.request and message.error) or (message.retransmitted and not message.request):
        raise DiameterError("header flags that exclude one another", ResultCode.INVALID_HDR_BITS)
    if message.error:
        _check_avps(message.avps, ERROR_ANSWER)
        return
    command = message.command, message.request
    grammar = OF_APPLICATION.get((message.application, *command)) or GRAMMARS.get(command)
    if grammar is None:
        reason = f"command {message.command} is not known"
        raise DiameterError(reason, ResultCode.COMMAND_UNSUPPORTED)
    _check_avps(message.avps, grammar)


def _check_avps(avps: tuple[Avp, ...], grammar: Grammar, depth: int = 0) -> None:
    for avp in avps:
        _check_value(avp, depth)
    codes = [avp.code for avp in avps if not avp.vendor]
    if grammar.obviously_holds(codes):
        return
    for rule in grammar.rules:
        count = codes.count(rule.definition.code)
        if count < rule.minimum:
            raise DiameterError(
                f"{rule.definition.name} is missing",
                ResultCode.MISSING_AVP,
                failed=rule.definition.blank(),
            )
        if rule.maximum is not None and count > rule.maximum:
            found = rule.definition.among(avps)
            code = (
                ResultCode.AVP_OCCURS_TOO_MANY_TIMES if rule.maximum else ResultCode.AVP_NOT_ALLOWED
            )
            reason = f"{rule.definition.name} occurs {count} times"
            raise DiameterError(reason, code, failed=found[rule.maximum])


def _check_value(avp: Avp, depth: int) -> None:
    definition = d.BY_CODE.get((avp.code, avp.vendor or None))
    if definition is None:
        if avp.mandatory:
            vendor = f" of vendor {avp.vendor}" if avp.vendor else ""
            reason = f"AVP {avp.code}{vendor} is mandatory and not known"
            raise DiameterError(reason, ResultCode.AVP_UNSUPPORTED, failed=avp)
        return
    if definition is d.FAILED_AVP:
        return  # What is in there is wrong by its purpose.
    value = definition.read(avp)
    if definition.format is GROUPED:
        if depth == _MAXIMUM_DEPTH:
            reason = f"{definition.name}: groups lie {depth} deep"
            raise DiameterError(reason, ResultCode.INVALID_AVP_VALUE, failed=definition.blank())
        _check_avps(value, _MEMBERS.get(definition.code, _ANYTHING), depth + 1)
