"""Whether what an answer grants is to be had here (RFC 6733 section 4.1, RFC 7155 section 4.4).

A NAS of this project ends a session in time, and accounts for it if it is set to. It neither
filters by rules of the server's nor notices that nobody sends, or configures the mobile node's
addresses: where an AVP with the M bit wants that, access would be other than granted, and there is
none. Nor does it end or refuse a session for records that do not arrive, or store them.
"""

from __future__ import annotations

from typing import Any

from agents.diameter import dictionary as d
from agents.diameter.eap import DiameterEapAnswer
from agents.diameter.errors import DiameterError, ResultCode
from agents.diameter.values import Definition
from agents.diameter.wire import Avp

_UNDERSTOOD: tuple[Definition[Any], ...] = (
    d.AUTH_GRACE_PERIOD,  # How long the server waits after a lifetime that is never exceeded here.
    d.SERVICE_TYPE,
    d.CLASS,  # For the session's records.
    d.REPLY_MESSAGE,  # For the user, who may be shown it.
    d.MIP6_AGENT_INFO,  # One beside that which is used.
    d.MIP_MOBILE_NODE_ADDRESS,
    d.EVENT_TIMESTAMP,
    d.ORIGIN_AAA_PROTOCOL,
    d.ERROR_REPORTING_HOST,
    d.FAILED_AVP,
    d.PROXY_INFO,
    d.ROUTE_RECORD,
)
"""What may go with an answer without a field of its own there."""

_OF_ACCOUNTING = (d.ACCT_INTERIM_INTERVAL, d.ACCOUNTING_REALTIME_REQUIRED)


class GrantError(DiameterError):
    """An answer grants what cannot be kept; `granted` is that answer."""

    def __init__(self, granted: DiameterEapAnswer, reason: str, code: int, failed: Avp) -> None:
        super().__init__(f"{granted.origin_host} {reason}", code, failed)
        self.granted = granted


def check_authorisation(answer: DiameterEapAnswer, *, accounts: bool = False) -> None:
    """Raise GrantError if an answer that is no refusal grants what cannot be kept.

    AVP_UNSUPPORTED for an AVP that is mandatory and has no effect here, INVALID_AVP_VALUE for one
    whose value has none. `accounts`: records are sent here.
    """
    understood = (*_UNDERSTOOD, *_OF_ACCOUNTING) if accounts else _UNDERSTOOD
    for avp in answer.unknown:
        if avp.mandatory and not any(known.is_code_of(avp) for known in understood):
            definition = d.BY_CODE.get((avp.code, avp.vendor or None))
            name = definition.name if definition else f"AVP {avp.code}"
            reason = f"wants {name} kept, and it has no effect here"
            raise GrantError(answer, reason, ResultCode.AVP_UNSUPPORTED, avp)
    service = d.SERVICE_TYPE.find(answer.unknown)
    if service not in {None, d.SERVICE_TYPE_FRAMED}:
        reason = f"grants Service-Type {service}, not Framed"
        failed = d.SERVICE_TYPE.avp(service)
        raise GrantError(answer, reason, ResultCode.INVALID_AVP_VALUE, failed)
    realtime = d.ACCOUNTING_REALTIME_REQUIRED.find(answer.unknown)
    if accounts and realtime not in (None, d.AccountingRealtimeRequired.GRANT_AND_LOSE):
        reason = f"wants Accounting-Realtime-Required {realtime}, and records may be lost here"
        failed = d.ACCOUNTING_REALTIME_REQUIRED.avp(realtime)
        raise GrantError(answer, reason, ResultCode.INVALID_AVP_VALUE, failed)
    if answer.authorization_lifetime == 0:
        reason = "wants authentication again at once"
        failed = d.AUTHORIZATION_LIFETIME.avp(0)
        raise GrantError(answer, reason, ResultCode.INVALID_AVP_VALUE, failed)
