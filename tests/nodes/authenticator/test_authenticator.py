"""For which stations the authenticator opens ports, and for how long."""

from __future__ import annotations

import errno
from ipaddress import IPv6Network

import pytest

from agents.diameter.dictionary import APPLICATION_EAP, AuthSessionState, Command, ReAuthRequestType
from agents.diameter.sessions import SessionRequest
from agents.kernel.port import KernelError
from agents.nodes.access_settings import RelaySettings
from agents.nodes.authenticator.machine import MOST_BEGUN, Authenticator
from agents.nodes.authenticator.settings import AuthenticatorConfiguration
from agents.nodes.authenticator.stations import address_of_station, read_station, write_station
from agents.nodes.radius_settings import RadiusClientSettings, RadiusListenerSettings
from agents.radius import dictionary as d
from agents.radius.client import RadiusClient
from agents.radius.events import AnswerReceived
from agents.radius.wire import ACCOUNTING_PORT, PORT, Code
from tests.nodes.aaa import SERVER, Admitting
from tests.nodes.access_router.world import ASSIGNMENT
from tests.nodes.net import ACCESS, COA, NAS, ROUTER, Net
from tests.pana.fakes import MSK, eap

SECRET = b"0123456789abcdef"
ALICE, BOB = bytes.fromhex("020000000a01"), bytes.fromhex("020000000a02")


class Ports:
    """The filter: who may pass, in a set."""

    def __init__(self):
        self.open: set[bytes] = set()
        self.fails = False

    def close_access(self):
        self.open.clear()

    def _may_fail(self):
        if self.fails:
            raise KernelError(errno.EIO, "no")

    def authorise(self, station):
        self.open.add(station)  # One of its classifiers, before the next one fails.
        self._may_fail()

    def revoke(self, station):
        self._may_fail()
        self.open.discard(station)

    def release(self):
        self.open.clear()


class World:
    """The authenticator on B, the home AAA server on C, and in hostapd's place a client on A."""

    def __init__(self, **settings):
        self.net = Net()
        self.aaa = Admitting(self.net, assignment=ASSIGNMENT)
        self.aaa.granted |= {
            "auth_session_state": AuthSessionState.STATE_MAINTAINED,
            "user_name": "mn@home.test",
        }
        self.ports = Ports()
        usual = {
            "relay": RelaySettings(interface="core", address=NAS, network="home.test"),
            "session_lifetime": 1000.0,
        }
        configuration = AuthenticatorConfiguration(
            host="B",
            diameter_identity="b.test",
            diameter_realm="test",
            home=SERVER,
            access_interface="access",
            access_prefix=ACCESS,
            address=ROUTER,
            work="/run1",
            **(usual | settings),
        )
        client = RadiusClientSettings(name="b.test", address=str(COA), secret_file="hostapd")
        self.node = Authenticator(
            configuration,
            self.net.program("B"),
            self.ports,
            self.net.log("B"),
            epoch=1,
            served=RadiusListenerSettings(address=ROUTER, clients=(client,)),
            secrets={"hostapd": SECRET},
        )
        self.node.hostapd = self
        self.asked_anew: list[bytes] = []
        up = []
        self.node.start(lambda: up.append(True))
        assert self.net.run(5.0, lambda: up)

    def reauthenticate(self, station):
        self.asked_anew.append(station)
        return True

    def ask(self, code, *attributes, port=PORT):
        host, told = self.net.program("A"), []
        client = RadiusClient((ROUTER, port), SECRET, rng=host.rng)
        endpoint = host.datagrams(client, (str(COA), 0), told.append)
        endpoint.call(client.request, code, attributes, host.now())
        self.net.run(1.0, lambda: told)
        endpoint.close()
        return told[0].packet if told and isinstance(told[0], AnswerReceived) else None

    def eap(self, packet, station=ALICE, *, user="mn@home.test", calls=None, state=None):
        found = [
            d.USER_NAME.attribute(user),
            d.CALLING_STATION_ID.attribute(calls or write_station(station)),
            d.ACCT_SESSION_ID.attribute(f"of {station.hex()}"),
            *d.EAP_MESSAGE.parts(packet),
        ]
        return self.ask(Code.ACCESS_REQUEST, *found, *([d.STATE.attribute(state)] if state else []))

    def begin(self, station=ALICE, user="mn@home.test", **options):
        identity = eap(2, 1, b"\x01" + user.encode())
        return self.eap(identity, station, user=user, **options)

    def authenticate(self, station=ALICE, user="mn@home.test"):
        challenge = self.begin(station, user)
        state = d.STATE.find(challenge.attributes)
        identifier = d.EAP_MESSAGE.join(challenge.attributes)[1]
        return self.eap(eap(2, identifier, b"\xffok"), station, user=user, state=state)

    def leave(self, station=ALICE):
        return self.ask(
            Code.ACCOUNTING_REQUEST,
            d.ACCT_STATUS_TYPE.attribute(d.AcctStatusType.STOP),
            d.ACCT_SESSION_ID.attribute(f"of {station.hex()}"),
            port=ACCOUNTING_PORT,
        )

    def order(self, command, session):
        self.aaa.order(
            SessionRequest(
                command=command,
                session_id=session,
                application=APPLICATION_EAP,
                origin_host=SERVER.host,
                origin_realm=SERVER.realm,
                destination_realm="test",
                destination_host="b.test",
                re_auth=ReAuthRequestType.AUTHORIZE_AUTHENTICATE,
            )
        )
        self.net.run(1.0)


@pytest.fixture
def world():
    return World()


def test_a_station_is_let_in_with_the_key_and_nothing_of_its_home_agent(world):
    accept = world.authenticate()
    assert accept.code == Code.ACCESS_ACCEPT
    keys = d.MS_MPPE_RECV_KEY.find(accept.attributes), d.MS_MPPE_SEND_KEY.find(accept.attributes)
    assert b"".join(keys) == MSK
    assert d.SESSION_TIMEOUT.find(accept.attributes) == 800
    assert d.TERMINATION_ACTION.find(accept.attributes) == d.TerminationAction.RADIUS_REQUEST
    assert d.MIP6_HA.find(accept.attributes) is None
    assert world.ports.open == {ALICE}


def test_the_home_aaa_server_hears_who_calls_and_from_where(world):
    world.authenticate()
    (session,) = {request.session_id for request in world.aaa.asked}
    last = world.aaa.asked[-1]
    assert session.startswith("b.test;")
    assert last.calling_station == "02-00-00-00-0A-01"
    assert last.care_of_address == address_of_station(IPv6Network(ACCESS), ALICE)
    assert last.mobility.feature_vector == 1


def test_the_relay_agent_knows_the_home_agent_of_the_stations_address(world):
    world.authenticate()
    clients = world.node._relay.machine._clients
    address = address_of_station(IPv6Network(ACCESS), ALICE)
    assert clients.find(address).assignment == ASSIGNMENT
    assert clients.find(address_of_station(IPv6Network("fe80::/64"), ALICE))
    world.leave()
    assert clients.find(address) is None


@pytest.mark.parametrize("calls", ["2001:db8::1", "02-00-00-00-0A", "03-00-00-00-0A-01", "x"])
def test_who_is_no_station_is_refused_without_asking_anybody(world, calls):
    assert world.begin(calls=calls).code == Code.ACCESS_REJECT
    assert world.aaa.asked == []


def test_a_station_that_leaves_is_shut_out_and_the_home_aaa_server_hears_of_it(world):
    world.authenticate()
    assert world.leave().code == Code.ACCOUNTING_RESPONSE
    world.net.run(1.0)
    assert world.ports.open == set()
    assert world.aaa.ended() == [world.aaa.asked[0].session_id]


def test_of_one_that_is_not_known_there_is_no_end(world):
    world.authenticate()
    assert world.leave(BOB).code == Code.ACCOUNTING_RESPONSE
    world.net.run(1.0)
    assert world.ports.open == {ALICE}
    assert world.aaa.ended() == []


def test_a_session_ends_with_its_lifetime():
    world = World(session_lifetime=100.0, reauth_at=0.0)
    accept = world.authenticate()
    assert d.SESSION_TIMEOUT.find(accept.attributes) is None
    world.net.run(99.0)
    assert world.ports.open == {ALICE}
    world.net.run(2.0)
    assert world.ports.open == set()
    assert len(world.aaa.ended()) == 1


def test_another_authentication_renews_it():
    world = World(session_lifetime=100.0)
    world.authenticate()
    world.net.run(80.0)
    assert world.authenticate().code == Code.ACCESS_ACCEPT
    world.net.run(80.0)
    assert world.ports.open == {ALICE}
    assert len({request.session_id for request in world.aaa.asked}) == 2


def refused(_):
    from agents.diameter.errors import DiameterError, ResultCode

    raise DiameterError("no", ResultCode.AUTHORIZATION_REJECTED)


def test_one_that_is_refused_anew_is_shut_out(world):
    world.authenticate()
    world.aaa.answer = refused
    assert world.begin().code == Code.ACCESS_REJECT
    assert world.ports.open == set()


def test_a_home_aaa_server_that_does_not_answer_lets_nobody_in():
    world = World(aaa_timeout=0.5)
    world.aaa.answer = lambda _: None
    assert world.begin().code == Code.ACCESS_REJECT
    assert world.ports.open == set()


def test_another_user_takes_nobodys_station(world):
    world.authenticate()
    before = len(world.aaa.asked)
    assert world.begin(user="mallory@home.test").code == Code.ACCESS_REJECT
    assert len(world.aaa.asked) == before
    assert world.ports.open == {ALICE}
    assert world.begin(user="mn@HOME.test").code == Code.ACCESS_CHALLENGE


def test_nor_does_one_who_claims_to_be_that_user(world):
    world.authenticate()
    world.aaa.granted["user_name"] = "mallory@home.test"
    assert world.authenticate().code == Code.ACCESS_REJECT
    assert world.ports.open == set()


def test_the_home_aaa_server_has_a_station_asked_anew(world):
    world.authenticate()
    world.order(Command.RE_AUTH, world.aaa.asked[0].session_id)
    assert world.asked_anew == [ALICE]
    assert world.ports.open == {ALICE}


def test_the_home_aaa_server_ends_a_session(world):
    world.authenticate()
    world.order(Command.ABORT_SESSION, world.aaa.asked[0].session_id)
    assert world.ports.open == set()
    assert world.aaa.ended() == [world.aaa.asked[0].session_id]
    assert world.asked_anew == [ALICE]


def hold_the_grant(world):
    """Authenticate with a grant that stays under way."""
    world.aaa.holds = lambda request: request.eap_payload.endswith(b"ok")
    assert world.authenticate() is None


def test_a_grant_that_is_late_opens_no_port(world):
    hold_the_grant(world)
    session = world.aaa.asked[-1].session_id
    world.order(Command.ABORT_SESSION, session)
    world.aaa.release()
    world.net.run(2.0)
    assert world.ports.open == set()
    assert world.aaa.ended() == [session]


def test_a_station_that_leaves_while_it_is_asked_anew_stays_out(world):
    world.authenticate()
    hold_the_grant(world)
    world.leave()
    world.aaa.release()
    world.net.run(2.0)
    assert world.ports.open == set()
    assert sorted(world.aaa.ended()) == sorted({one.session_id for one in world.aaa.asked})


def test_a_late_answer_closes_nothing_that_came_after_it(world):
    hold_the_grant(world)
    world.aaa.holds = lambda _: False
    assert world.authenticate().code == Code.ACCESS_ACCEPT
    world.aaa.release()
    world.net.run(2.0)
    assert world.ports.open == {ALICE}
    assert world.aaa.ended() == [world.aaa.asked[0].session_id]


def test_who_gives_no_name_may_be_asked_anew(world):
    for _ in range(2):
        assert world.authenticate(user="@home.test").code == Code.ACCESS_ACCEPT
    assert world.ports.open == {ALICE}


def test_both_may_be_ordered_here(world):
    world.authenticate(ALICE)
    world.authenticate(BOB)
    assert world.ports.open == {ALICE, BOB}
    assert world.node.commands()["reauthenticate"]()
    assert world.asked_anew == [ALICE, BOB]
    assert world.node.commands()["terminate"]()
    assert world.ports.open == set()


def test_a_kernel_that_opens_no_port_lets_nobody_in(world):
    world.ports.fails = True
    assert world.authenticate().code == Code.ACCESS_REJECT
    world.ports.fails = False
    world.net.run(2.0)
    assert len(world.aaa.ended()) == 1
    assert world.ports.open == set()  # What the kernel had done of it is undone.


def test_a_kernel_that_closes_no_port_is_asked_again(world):
    world.authenticate()
    world.ports.fails = True
    world.leave()
    assert world.ports.open == {ALICE}
    world.ports.fails = False
    world.net.run(2.0)
    assert world.ports.open == set()


def test_of_many_who_begin_the_first_give_way(world):
    stations = [bytes.fromhex("0600") + n.to_bytes(4) for n in range(MOST_BEGUN + 5)]
    for station in stations:
        world.node._begin(station)
    assert list(world.node._begun) == stations[5:]


def test_at_the_end_all_are_shut_out(world):
    world.authenticate()
    ended = []
    world.node.stop(lambda: ended.append(True))
    world.net.run(5.0, lambda: ended)
    assert ended
    assert world.ports.open == set()
    assert len(world.aaa.ended()) == 1


@pytest.mark.parametrize("station", [ALICE, BOB, bytes.fromhex("aabbccddeeff")])
def test_a_station_is_read_as_it_is_written(station):
    assert read_station(write_station(station)) == (None if station[0] & 1 else station)
    assert read_station(write_station(station).lower()) == read_station(write_station(station))
