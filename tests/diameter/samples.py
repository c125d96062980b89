"""Messages and configurations that several tests use."""

from collections.abc import Callable
from ipaddress import IPv6Address

from agents.bootstrap.assignment import Assignment
from agents.core.record import replace
from agents.diameter import dictionary as d
from agents.diameter.config import DiameterTimers, NodeConfig, PeerConfig
from agents.diameter.dictionary import Mip6Feature
from agents.diameter.eap import DiameterEapAnswer, DiameterEapRequest
from agents.diameter.errors import ResultCode
from agents.diameter.wire import Message

CLIENT, CLIENT_REALM = "router.visited.test", "visited.test"
SERVER, SERVER_REALM = "aaa.home.test", "home.test"
SECOND = "aaa2.home.test"
RELAY, RELAY_REALM = "relay.transit.test", "transit.test"

EAP_RESPONSE = bytes.fromhex("02010011016d6e40686f6d652e74657374")
EAP_SUCCESS = bytes.fromhex("03050004")

REQUEST = DiameterEapRequest(
    session_id="router.visited.test;1;2",
    origin_host=CLIENT,
    origin_realm=CLIENT_REALM,
    destination_realm=SERVER_REALM,
    eap_payload=EAP_RESPONSE,
    user_name="mn@home.test",
    feature_vector=Mip6Feature.MIP6_INTEGRATED,
    care_of_address=IPv6Address("2001:db8:a::1234"),
    state=(b"round 1",),
    destination_host=SERVER,
    origin_state_id=7,
)
ASSIGNMENT = Assignment(IPv6Address("2001:db8:1::1"), 64, IPv6Address("2001:db8:1::abcd"))
ANSWER = DiameterEapAnswer(
    session_id=REQUEST.session_id,
    result_code=ResultCode.SUCCESS,
    origin_host=SERVER,
    origin_realm=SERVER_REALM,
    eap_payload=EAP_SUCCESS,
    msk=bytes(range(64)),
    assignment=ASSIGNMENT,
    session_timeout=3600.0,
    user_name="mn@home.test",
    error_message="all well",
    feature_vector=Mip6Feature.MIP6_INTEGRATED,
    state=(b"round 2",),
    reissued_payload=b"\x01\x02\x00\x05\x01",
    multi_round_timeout=30.0,
    origin_state_id=8,
)
LOCAL = IPv6Address("2001:db8::1")
TIMERS = DiameterTimers(reconnect=2.0, watchdog=6.0)


def unaddressed(request: DiameterEapRequest = REQUEST) -> Message:
    """Return a request for the realm alone."""
    return replace(request, destination_host=None).to_message()


def serve(message: Message) -> Message:
    """Answer like a home server that says yes at once."""
    request = DiameterEapRequest.from_message(message)
    return replace(ANSWER, session_id=request.session_id).to_message()


def serve_as(name: str) -> Callable[[Message], Message]:
    """Return what answers like `serve` in another server's name."""
    avp = d.ORIGIN_HOST.avp(name)

    def answer(message: Message) -> Message:
        answer = serve(message)
        avps = (avp if a.code == avp.code else a for a in answer.avps)
        return replace(answer, avps=tuple(avps))

    return answer


def client_config(*addresses: tuple[str, tuple[str, int]]) -> NodeConfig:
    """Return a client of the servers at these (name, address)."""
    peers = tuple(PeerConfig(name, SERVER_REALM, address) for name, address in addresses)
    return NodeConfig(CLIENT, CLIENT_REALM, peers, timers=TIMERS)


def server_config(name: str = SERVER) -> NodeConfig:
    """Return a server that the client may connect to."""
    peers = (PeerConfig(CLIENT, CLIENT_REALM, sources=(LOCAL,)),)
    return NodeConfig(name, SERVER_REALM, peers, timers=TIMERS)
