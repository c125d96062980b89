from __future__ import annotations

from ipaddress import IPv6Address

import pytest
from diameter.message import Message as OtherMessage
from diameter.message import constants as c

from agents.bootstrap.assignment import Assignment, Wish
from agents.core.record import replace
from agents.diameter import dictionary as d
from agents.diameter.eap import DiameterEapAnswer, DiameterEapRequest
from agents.diameter.errors import DiameterError
from agents.diameter.grammar import check
from agents.diameter.mobility import (
    MobilityRequest,
    granted_features,
    mobility_request,
    offered_home_agent,
    requested_wish,
)
from agents.diameter.wire import Avp, Message
from tests.diameter.samples import ANSWER, ASSIGNMENT, REQUEST

CANDIDATE = Assignment(
    IPv6Address("2001:db8:9::1"), 56, IPv6Address("2001:db8:9::77"), "ha.visited.test"
)


def decoded(message: Message) -> Message:
    again = Message.decode(message.encode())
    check(again)
    return again


def carried(request: MobilityRequest) -> MobilityRequest:
    """What the server reads out of a request."""
    whole = replace(
        REQUEST, feature_vector=request.feature_vector, hint=request.hint, wish=request.wish
    )
    again = DiameterEapRequest.from_message(decoded(whole.to_message()))
    assert again == whole
    return again.mobility


@pytest.mark.parametrize(
    ("wish", "candidate", "vector", "hint"),
    [
        (None, None, None, None),
        (None, CANDIDATE, None, None),
        (Wish.HOME, None, 1, None),
        (Wish.HOME, CANDIDATE, 1, None),
        (Wish.LOCAL, None, 1, None),
        (Wish.LOCAL, CANDIDATE, 3, CANDIDATE),
        (Wish.EITHER, None, 1, None),
        (Wish.EITHER, CANDIDATE, 3, CANDIDATE),
    ],
)
def test_wish_and_offer_reach_the_server(wish, candidate, vector, hint):
    request = mobility_request(wish, candidate)
    assert (request.feature_vector, request.hint) == (vector, hint)
    assert carried(request) == request
    assert requested_wish(carried(request)) is wish
    assert offered_home_agent(carried(request)) == hint


# A NAS that follows RFC 5447 alone.
@pytest.mark.parametrize(
    ("vector", "hint", "wish", "offer"),
    [
        (None, None, None, None),
        (0, None, None, None),
        (2, CANDIDATE, None, CANDIDATE),
        (1, None, Wish.HOME, None),
        (1, CANDIDATE, Wish.HOME, None),  # "HA-Info must be ignored"
        (3, None, Wish.EITHER, None),
        (3, CANDIDATE, Wish.EITHER, CANDIDATE),
    ],
)
def test_a_feature_vector_without_a_wish(vector, hint, wish, offer):
    request = carried(MobilityRequest(vector, hint))
    assert requested_wish(request) is wish
    assert offered_home_agent(request) == offer


def test_what_an_answer_grants():
    assert granted_features(home_agent=False, local=False) == 0
    assert granted_features(home_agent=True, local=False) == 1
    assert granted_features(home_agent=True, local=True) == 3


def test_a_wish_that_is_not_known_counts_as_absent():
    odd = replace(REQUEST, unknown=(d.HOME_AGENT_WISH.avp(3),))
    assert DiameterEapRequest.from_message(decoded(odd.to_message())).wish is None


def test_the_name_travels_with_its_realm():
    answer = replace(ANSWER, assignment=replace(ASSIGNMENT, home_agent_name="ha1.home.test"))
    message = decoded(answer.to_message())
    (info,) = d.MIP6_AGENT_INFO.find_all(message.avps)
    host = d.MIP_HOME_AGENT_HOST.need(info)
    assert d.DESTINATION_REALM.need(host) == "home.test"
    assert d.DESTINATION_HOST.need(host) == "ha1.home.test"
    assert DiameterEapAnswer.from_message(message) == answer
    # The same octets as python-diameter reads them.
    other = OtherMessage.from_bytes(answer.to_message().encode())
    (members,) = [avp.value for avp in other.avps if avp.code == c.AVP_MIP6_AGENT_INFO]
    ((realm, name),) = [avp.value for avp in members if avp.code == c.AVP_MIP_HOME_AGENT_HOST]
    assert (realm.value, name.value) == (b"home.test", b"ha1.home.test")


def test_the_projects_own_avps_survive_and_are_not_mandatory():
    answer = replace(ANSWER, sealed_assignment=b"\x01sealed", local_home_agent_key=bytes(32))
    message = decoded(answer.to_message())
    assert DiameterEapAnswer.from_message(message) == answer
    own = [avp for avp in message.avps if avp.vendor == 32473]
    assert [(avp.code, avp.mandatory) for avp in own] == [(2, False), (3, False)]
    assert "local_home_agent_key" not in repr(answer)


def test_the_ietf_avps_of_the_same_codes_are_others():
    extra = tuple(Avp(code, b"\0\0\0\1", mandatory=False) for code in (2, 3))
    again = DiameterEapAnswer.from_message(replace(ANSWER, unknown=extra).to_message())
    assert (again.sealed_assignment, again.local_home_agent_key) == (None, None)
    assert again.unknown == extra


def test_a_home_address_without_a_home_agent_survives_unread():
    lonely = d.MIP_MOBILE_NODE_ADDRESS.avp(IPv6Address("2001:db8::5"))
    for message in (
        replace(REQUEST, unknown=(lonely,)),
        replace(ANSWER, assignment=None, unknown=(lonely,)),
    ):
        assert type(message).from_message(decoded(message.to_message())) == message


def test_a_home_agent_host_without_a_host_is_refused():
    info = d.MIP6_AGENT_INFO.avp(
        (d.MIP_HOME_AGENT_ADDRESS.avp(ASSIGNMENT.home_agent), d.MIP_HOME_AGENT_HOST.avp(()))
    )
    message = replace(ANSWER, assignment=None).to_message()
    with pytest.raises(DiameterError, match="Destination-Host is missing"):
        DiameterEapAnswer.from_message(replace(message, avps=(*message.avps, info)))
