"""The codec against python-diameter, in both directions, and against tshark."""

import random
from ipaddress import IPv6Address

import pytest
from diameter.message import Avp as OtherAvp
from diameter.message import Message as OtherMessage
from diameter.message import constants as c
from diameter.message.commands.diameter_eap import (
    DiameterEapAnswer as OtherAnswer,
)
from diameter.message.commands.diameter_eap import (
    DiameterEapRequest as OtherRequest,
)

from agents.core.record import replace
from agents.diameter import dictionary as d
from agents.diameter.capabilities import error_answer
from agents.diameter.config import Redirect
from agents.diameter.dictionary import RedirectHostUsage
from agents.diameter.eap import DiameterEapAnswer, DiameterEapRequest
from agents.diameter.errors import DiameterError, ResultCode
from agents.diameter.grammar import check
from agents.diameter.node import Node
from agents.diameter.redirects import redirect_avps
from agents.diameter.wire import Message
from tests.diameter.network import Network
from tests.diameter.samples import (
    ANSWER,
    ASSIGNMENT,
    EAP_RESPONSE,
    EAP_SUCCESS,
    REQUEST,
    SECOND,
    SERVER,
    client_config,
    serve,
    server_config,
)
from tests.wireshark import ERRORS, rows, write_stream

STATE_ID = 1_000_000_000
PREFIX = b"\x40" + IPv6Address("2001:db8:1::").packed


def find(message, code):
    return [avp.value for avp in message.avps if avp.code == code]


def avps_of(other):
    # It loses the M bit of some AVPs that it encodes again.
    return [(avp.code, avp.value) for avp in Message.decode(other.as_bytes()).avps]


def test_python_diameter_reads_a_request():
    other = OtherMessage.from_bytes(REQUEST.to_message().encode())
    assert isinstance(other, OtherRequest)
    assert other.header.is_request
    assert (other.header.command_code, other.header.application_id) == (268, 5)
    assert other.session_id == REQUEST.session_id
    assert other.auth_application_id == 5
    assert other.origin_host == REQUEST.origin_host.encode()
    assert other.destination_realm == REQUEST.destination_realm.encode()
    assert other.destination_host == REQUEST.destination_host.encode()
    assert other.auth_request_type == c.E_AUTH_REQUEST_TYPE_AUTHORIZE_AUTHENTICATE
    assert other.user_name == REQUEST.user_name
    assert other.eap_payload == EAP_RESPONSE
    assert find(other, c.AVP_MIP6_FEATURE_VECTOR) == [1]
    assert find(other, c.AVP_MIP_CAREOF_ADDRESS) == [(2, str(REQUEST.care_of_address))]
    assert avps_of(other) == [(a.code, a.value) for a in REQUEST.to_message().avps]


def test_python_diameter_reads_an_answer():
    other = OtherMessage.from_bytes(ANSWER.to_message().encode())
    assert isinstance(other, OtherAnswer)
    assert not other.header.is_request
    assert other.result_code == c.E_RESULT_CODE_DIAMETER_SUCCESS
    assert other.eap_payload == EAP_SUCCESS
    assert other.eap_master_session_key == ANSWER.msk
    assert other.session_timeout == 3600
    assert other.auth_session_state == c.E_AUTH_SESSION_STATE_NO_STATE_MAINTAINED
    (info,) = find(other, c.AVP_MIP6_AGENT_INFO)
    assert [(avp.code, avp.value) for avp in info] == [
        (c.AVP_MIP_HOME_AGENT_ADDRESS, (2, str(ASSIGNMENT.home_agent))),
        (c.AVP_MIP6_HOME_LINK_PREFIX, PREFIX),
    ]
    assert find(other, c.AVP_MIP_MOBILE_NODE_ADDRESS) == [(2, str(ASSIGNMENT.home_address))]
    assert avps_of(other) == [(a.code, a.value) for a in ANSWER.to_message().avps]


def test_request_of_python_diameter():
    other = OtherRequest()
    other.session_id = REQUEST.session_id
    other.auth_application_id = 5
    other.origin_host = REQUEST.origin_host.encode()
    other.origin_realm = REQUEST.origin_realm.encode()
    other.destination_realm = REQUEST.destination_realm.encode()
    other.destination_host = REQUEST.destination_host.encode()
    other.auth_request_type = c.E_AUTH_REQUEST_TYPE_AUTHORIZE_AUTHENTICATE
    other.user_name = REQUEST.user_name
    other.eap_payload = EAP_RESPONSE
    other.state = b"round 1"
    other.auth_session_state = c.E_AUTH_SESSION_STATE_NO_STATE_MAINTAINED
    other.origin_state_id = 7
    other.header.application_id = 5
    other.append_avp(OtherAvp.new(c.AVP_MIP6_FEATURE_VECTOR, value=1))
    other.append_avp(OtherAvp.new(c.AVP_MIP_CAREOF_ADDRESS, value=str(REQUEST.care_of_address)))
    message = Message.decode(other.as_bytes())
    check(message)
    assert DiameterEapRequest.from_message(message) == REQUEST


def test_answer_of_python_diameter():
    other = OtherAnswer()
    other.session_id = ANSWER.session_id
    other.auth_application_id = 5
    other.auth_request_type = c.E_AUTH_REQUEST_TYPE_AUTHORIZE_AUTHENTICATE
    other.result_code = c.E_RESULT_CODE_DIAMETER_SUCCESS
    other.origin_host = ANSWER.origin_host.encode()
    other.origin_realm = ANSWER.origin_realm.encode()
    other.user_name = ANSWER.user_name
    other.eap_payload = EAP_SUCCESS
    other.eap_reissued_payload = ANSWER.reissued_payload
    other.eap_master_session_key = ANSWER.msk
    other.multi_round_time_out = 30
    other.error_message = ANSWER.error_message
    other.session_timeout = 3600
    other.auth_session_state = c.E_AUTH_SESSION_STATE_NO_STATE_MAINTAINED
    other.state = b"round 2"
    other.origin_state_id = 8
    other.header.application_id = 5
    other.append_avp(OtherAvp.new(c.AVP_MIP6_FEATURE_VECTOR, value=1))
    agent, prefix = (
        OtherAvp.new(c.AVP_MIP_HOME_AGENT_ADDRESS, value=str(ASSIGNMENT.home_agent)),
        OtherAvp.new(c.AVP_MIP6_HOME_LINK_PREFIX, value=PREFIX),
    )
    other.append_avp(OtherAvp.new(c.AVP_MIP6_AGENT_INFO, value=[agent, prefix]))
    home = str(ASSIGNMENT.home_address)
    other.append_avp(OtherAvp.new(c.AVP_MIP_MOBILE_NODE_ADDRESS, value=home))
    message = Message.decode(other.as_bytes())
    check(message)
    assert DiameterEapAnswer.from_message(message) == ANSWER


def every_message():
    """Return (from the client, octets) of a whole life of a connection, and two refusals."""
    network = Network()
    config = replace(client_config((SERVER, (SERVER, 3868))), origin_state_id=STATE_ID)
    client = Node(config, rng=random.Random(1))
    network.add(client)
    config = replace(server_config(), origin_state_id=STATE_ID)
    network.add(Node(config, rng=random.Random(2)), serve)
    network.start()
    client.request(REQUEST.to_message(), network.now, 5.0)
    network.run(10.0)
    client.stop(network.now)
    network.run(1.0)
    refusal = DiameterError("no payload", ResultCode.MISSING_AVP, failed=d.EAP_PAYLOAD.blank())
    refused = error_answer(server_config(), REQUEST.to_message(), refusal)
    sent = [(name != SERVER, data) for _, name, data in network.sent]
    return [*sent, (False, refused.encode()), (False, redirecting().encode())]


def redirecting():
    """Return a redirect agent's answer."""
    indication = DiameterError("elsewhere", ResultCode.REDIRECT_INDICATION)
    redirect = Redirect("home.test", (SERVER, SECOND), RedirectHostUsage.ALL_REALM, 60)
    said = redirect_avps(redirect, tls=False)
    return error_answer(server_config(), REQUEST.to_message(), indication, said)


def test_python_diameter_reads_a_redirection():
    other = OtherMessage.from_bytes(redirecting().encode())
    assert other.header.is_error
    assert find(other, c.AVP_RESULT_CODE) == [c.E_RESULT_CODE_DIAMETER_REDIRECT_INDICATION]
    assert find(other, c.AVP_REDIRECT_HOST) == [f"aaa://{SERVER}", f"aaa://{SECOND}"]
    assert find(other, c.AVP_REDIRECT_HOST_USAGE) == [c.E_REDIRECT_HOST_USAGE_ALL_REALM]
    assert find(other, c.AVP_REDIRECT_MAX_CACHE_TIME) == [60]


@pytest.fixture(scope="module")
def capture(tmp_path_factory):
    path = tmp_path_factory.mktemp("capture") / "diameter.pcap"
    write_stream(path, every_message(), 3868)
    return path


def tshark(path, where, *fields):
    return [row.split("\t") for row in rows(path, *fields, where=where)]


def test_tshark_finds_nothing_malformed(capture):
    assert tshark(capture, ERRORS, "frame.number") == []
    seen = tshark(capture, "diameter", "diameter.cmd.code", "diameter.flags.request")
    codes = {(int(code), flag in {"1", "True"}) for code, flag in seen}
    assert codes == {(code, way) for code in (257, 268, 280, 282) for way in (True, False)}


def test_tshark_reads_the_mobility_avps(capture):
    (request,) = tshark(
        capture,
        "diameter.cmd.code == 268 && diameter.flags.request == 1",
        "diameter.applicationId",
        "diameter.User-Name",
        "diameter.MIP6-Feature-Vector",
        "diameter.MIP-Careof-Address.IPv6",
        "diameter.EAP-Payload",
    )
    assert request == ["5", "mn@home.test", "1", "2001:db8:a::1234", EAP_RESPONSE.hex()]
    answer, refusal, _ = tshark(
        capture,
        "diameter.cmd.code == 268 && diameter.flags.request == 0",
        "diameter.Result-Code",
        "diameter.MIP-Home-Agent-Address.IPv6",
        "diameter.MIP6-Home-Link-Prefix",
        "diameter.MIP-Mobile-Node-Address.IPv6",
        "diameter.EAP-Master-Session-Key",
        "diameter.Session-Timeout",
        "diameter.Auth-Session-State",
    )
    assert answer == [
        "2001",
        str(ASSIGNMENT.home_agent),
        PREFIX.hex(),
        str(ASSIGNMENT.home_address),
        ANSWER.msk.hex(),
        "3600",
        "1",
    ]
    assert refusal[0] == "5005"


def test_tshark_reads_a_redirection_and_who_has_been_started_when(capture):
    (redirection,) = tshark(
        capture,
        "diameter.Result-Code == 3006",
        "diameter.flags.error",
        "diameter.Redirect-Host",
        "diameter.Redirect-Host-Usage",
        "diameter.Redirect-Max-Cache-Time",
    )
    assert redirection[0] in {"1", "True"}
    assert redirection[1:] == [f"aaa://{SERVER},aaa://{SECOND}", "2", "60"]
    said = tshark(capture, f"diameter.Origin-State-Id == {STATE_ID}", "diameter.cmd.code")
    assert {code for (code,) in said} == {"257", "280"}
