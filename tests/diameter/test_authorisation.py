"""What a NAS makes of the conditions of an answer."""

from __future__ import annotations

import pytest

from agents.core.record import replace
from agents.diameter import dictionary as d
from agents.diameter.authorisation import check_authorisation
from agents.diameter.eap import DiameterEapAnswer
from agents.diameter.errors import DiameterError, ResultCode
from agents.diameter.grammar import check
from tests.diameter.samples import ANSWER, SERVER


def received(*avps, **changes):
    """Return an answer with more AVPs, as a NAS gets it."""
    message = replace(ANSWER, unknown=avps, **changes).to_message()
    check(message)
    return DiameterEapAnswer.from_message(message)


@pytest.mark.parametrize(
    "avp",
    [
        d.FILTER_ID.avp("no-net"),
        d.NAS_FILTER_RULE.avp(b"deny in ip from any to any"),
        d.IDLE_TIMEOUT.avp(60),
        d.ACCT_INTERIM_INTERVAL.avp(60),
        d.PORT_LIMIT.avp(1),
        d.FRAMED_IPV6_PREFIX.avp(b"\0\x40" + bytes(8)),
        d.FRAMED_INTERFACE_ID.avp(1),
        d.FRAMED_MTU.avp(1400),
        d.TUNNELING.avp(()),
        d.CONFIGURATION_TOKEN.avp(b"x"),
    ],
)
def test_what_cannot_be_kept_is_no_authorisation(avp):
    with pytest.raises(DiameterError) as caught:
        check_authorisation(received(avp))
    assert caught.value.code == ResultCode.AVP_UNSUPPORTED
    assert caught.value.failed == avp
    name = d.BY_CODE[avp.code, None].name
    assert str(caught.value) == f"{SERVER} wants {name} kept, and it has no effect here"
    check_authorisation(received(replace(avp, mandatory=False)))


def test_another_service_than_network_access_is_no_authorisation():
    check_authorisation(received(d.SERVICE_TYPE.avp(2)))
    with pytest.raises(DiameterError, match="Service-Type 6") as caught:
        check_authorisation(received(d.SERVICE_TYPE.avp(6)))
    assert caught.value.code == ResultCode.INVALID_AVP_VALUE
    assert caught.value.failed == d.SERVICE_TYPE.avp(6)


def test_authentication_at_once_again_is_no_authorisation():
    with pytest.raises(DiameterError, match="again at once") as caught:
        check_authorisation(received(authorization_lifetime=0.0))
    assert caught.value.code == ResultCode.INVALID_AVP_VALUE


def test_what_is_kept_is():
    check_authorisation(
        received(
            d.AUTH_GRACE_PERIOD.avp(0),
            d.CLASS.avp(b"gold"),
            d.REPLY_MESSAGE.avp("welcome"),
            d.ROUTE_RECORD.avp("relay.test"),
            authorization_lifetime=30.0,
            re_auth_request_type=d.ReAuthRequestType.AUTHORIZE_AUTHENTICATE,
        )
    )


def test_who_accounts_keeps_intervals_and_loses_records():
    interval = d.ACCT_INTERIM_INTERVAL.avp(60)
    lose = d.ACCOUNTING_REALTIME_REQUIRED.avp(d.AccountingRealtimeRequired.GRANT_AND_LOSE)
    check_authorisation(received(interval), accounts=True)
    check_authorisation(received(lose), accounts=True)
    with pytest.raises(DiameterError) as caught:
        check_authorisation(received(lose))
    assert caught.value.code == ResultCode.AVP_UNSUPPORTED
    for value in (1, 2):
        wanted = d.ACCOUNTING_REALTIME_REQUIRED.avp(value)
        with pytest.raises(DiameterError, match="records may be lost") as caught:
            check_authorisation(received(wanted), accounts=True)
        assert caught.value.code == ResultCode.INVALID_AVP_VALUE
        assert caught.value.failed == wanted
