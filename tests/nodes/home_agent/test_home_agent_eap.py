"""What a home agent's IKEv2 makes of the home AAA server's answers."""

from __future__ import annotations

import errno
from ipaddress import IPv6Address

import pytest

from agents.bootstrap.assignment import Assignment
from agents.core.record import replace
from agents.core.usage import Usage
from agents.diameter.accounting import AccountingRequest
from agents.diameter.dictionary import (
    ACCOUNTING_REALTIME_REQUIRED,
    ACCT_INTERIM_INTERVAL,
    APPLICATION_MIP6_IKE,
    AuthRequestType,
    AuthSessionState,
    TerminationCause,
)
from agents.diameter.errors import DiameterError, ResultCode
from agents.diameter.mobility import MobilityRequest
from agents.eap.ca import CertificateAuthority
from agents.mip6.binding_cache import BindingUpdated
from agents.nodes.home_agent.machine import HomeAgentNode
from agents.nodes.home_agent.settings import HomeAgentConfiguration, HomeAgentSettings
from agents.nodes.ike_daemon.credentials import read_credentials
from agents.nodes.ike_daemon.ikev2_settings import Ikev2Settings
from agents.nodes.tls import TlsSettings
from tests.nodes.aaa import SERVER, Admitting, name_of
from tests.nodes.net import COA, HA, HOME, OTHER_COA, Net
from tests.nodes.subscriber import Subscriber
from tests.pana.fakes import FakePeer

HA_NAME = "ha.home.test"
HOA = IPv6Address("2001:db8:100::1234")
ASSIGNMENT = Assignment(HA, 56, HOA)


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    return credentials(tmp_path_factory.mktemp("ha"))


def credentials(folder):
    """Return the home agent's certificate, and whose it is, in files of a folder."""
    authority = CertificateAuthority.generate(key_type="p256")
    own = authority.issue_server(HA_NAME, addresses=[HA]).write(folder, "ha")
    ca = authority.identity.write(folder, "ca").certificate
    return TlsSettings(ca=str(ca), certificate=str(own.certificate), key=str(own.key))


class World:
    """The home agent on C, beside the AAA server."""

    def __init__(self, tls: TlsSettings, **settings) -> None:
        self.net = Net()
        self.kernel = self.net.home_agent()
        self.aaa = Admitting(self.net, assignment=ASSIGNMENT)
        self._tls = tls
        configuration = HomeAgentConfiguration(
            host="C",
            diameter_identity=HA_NAME,
            diameter_realm="home.test",
            home=SERVER,
            home_agent=HomeAgentSettings(
                address=str(HA), interface="home", prefix=HOME, duplicate_address_detection=False
            ),
            ikev2=Ikev2Settings(),
            certificate=tls,
            identity=HA_NAME,
            **settings,
        )
        self.node = HomeAgentNode(
            configuration,
            self.net.program("C"),
            self.kernel,
            self.net.log("C"),
            credentials=read_credentials(tls, own=True),
            epoch=1,
        )
        up = []
        self.node.start(lambda: up.append(True))
        assert self.net.run(5.0, lambda: up)
        assert up == [True]

    def connect(self, care_of=COA, patience=40.0):
        """Have a mobile node, by whatever name it calls itself, make SAs by IKEv2 with EAP."""
        node = Subscriber(self.net, care_of)
        node.patience = patience
        claimed = f"{self.net.host_of(care_of)}@claimed.test"
        node.ikev2(claimed, eap=FakePeer(rounds=1), trusted=self._tls)
        return node

    @property
    def served(self):
        """Whether the home agent has SAs for the home address."""
        return bool(self.kernel.sas_between(HOA, HA))


@pytest.fixture
def world(tls):
    return World(tls)


def test_the_peer_is_whom_the_aaa_server_names(world):
    node = world.connect()
    assert node.secured
    assert node.assigned == HOA
    named = [e["identity"] for e in world.net.events.named("IkeEstablished", "C")]
    assert named == [name_of(world.net.host_of(COA))]
    (told,) = world.net.told("AddressAssigned")
    assert told["prefix"] == HOME
    assert node.register()
    claimed = f"{world.net.host_of(COA)}@claimed.test"
    assert {request.user_name for request in world.aaa.asked} == {claimed}


def test_it_asks_in_the_application_of_home_agents_and_names_itself_once(world):
    assert world.connect().secured
    asked = world.aaa.asked
    assert len(asked) > 1
    assert {request.application for request in asked} == {APPLICATION_MIP6_IKE}
    assert {request.auth_request_type for request in asked} == {
        AuthRequestType.AUTHORIZE_AUTHENTICATE
    }
    # RFC 5778 section 8.1: never a care-of address; 5.1.1: the first request alone has the rest.
    assert {request.care_of_address for request in asked} == {None}
    assert asked[0].hint == Assignment(HA, 56, IPv6Address("::"))
    assert {request.mobility for request in asked[1:]} == {MobilityRequest()}


@pytest.mark.parametrize(
    ("timeout", "authorised", "lifetime"),
    [(None, None, None), (0.0, None, None), (600.0, None, 600.0), (600.0, 30.0, 30.0)],
)
def test_the_authorisation_lasts_as_long_as_the_aaa_server_says(
    world, timeout, authorised, lifetime
):
    world.aaa.granted |= {"session_timeout": timeout, "authorization_lifetime": authorised}
    node = world.connect()
    assert node.register()
    world.net.run((lifetime or 1000.0) - 3)
    assert world.served
    assert node.secured
    world.net.run(5.0)
    assert world.served is node.secured is (lifetime is None)
    assert set(world.kernel.bound) == ({HOA} if lifetime is None else set())


def refuse(_):
    raise DiameterError("down", ResultCode.TOO_BUSY)


@pytest.mark.parametrize(("fails", "reason"), [(refuse, "down"), (lambda _: None, "")])
def test_an_aaa_client_that_fails_is_a_failure(world, fails, reason):
    world.aaa.answer = fails
    node = world.connect()
    assert node.failures
    (told,) = world.net.told("AaaFailed")
    assert reason in told["reason"]
    assert not world.served


@pytest.mark.parametrize("missing", ["user_name", "msk", "eap_payload", "assignment"])
def test_a_success_that_lacks_something_is_a_failure(world, missing):
    world.aaa.granted[missing] = None
    assert world.connect().failures
    assert not world.served


@pytest.mark.parametrize(
    "assignment",
    [
        Assignment(HA, 56, IPv6Address("2001:db8:200::1234")),
        Assignment(HA + 1, 56, HOA),
        Assignment(HA, 56, None),
    ],
)
def test_a_home_address_that_is_none_of_this_home_agents_is_refused(world, assignment):
    world.aaa.granted["assignment"] = assignment
    assert world.connect().failures
    assert not world.served
    world.aaa.granted["assignment"] = ASSIGNMENT
    node = world.connect(OTHER_COA)
    assert node.secured


def test_a_home_address_is_one_subscribers_the_last_one_whom_the_server_gives_it(world):
    first = world.connect()
    assert first.secured
    other = world.connect(OTHER_COA)
    world.net.run(1.0)
    assert other.secured
    assert not first.secured


def test_another_gets_it_when_what_the_server_authorised_ends(world):
    world.aaa.granted["session_timeout"] = 10.0
    assert world.connect().secured
    world.net.run(11.0)
    assert world.connect(OTHER_COA).secured


def test_who_is_gone_holds_no_home_address(world):
    world.aaa.granted["session_timeout"] = 3600.0
    node = world.connect()
    node.vanish()
    assert world.served
    world.net.run(900.0)
    assert not world.served
    assert world.connect(OTHER_COA).secured


@pytest.mark.parametrize("request_held", [1, 2])
def test_who_is_gone_before_the_server_answers_gets_and_keeps_nothing(tls, request_held):
    world = World(tls, aaa_timeout=300.0)
    world.aaa.holds = lambda _: len(world.aaa.asked) == request_held
    node = world.connect()
    world.net.run(130.0)
    assert node.failures
    node.vanish()
    world.net.run(30.0)
    world.aaa.release()
    world.net.run(1.0)
    assert world.net.told("AaaLate")
    assert not world.served
    assert world.connect(OTHER_COA).secured


def test_a_kernel_that_takes_no_sas_leaves_none(world):
    world.kernel.failures["install"] = errno.ENOMEM
    node = world.connect()
    world.net.run(1.0)
    assert node.failures
    assert not node.secured
    assert world.net.told("KernelFailed")


def test_it_tells_of_a_sessions_end_in_the_same_application(world):
    world.aaa.granted["session_timeout"] = 10.0
    world.aaa.granted["auth_session_state"] = AuthSessionState.STATE_MAINTAINED
    assert world.connect().secured
    world.net.run(11.0)
    (end,) = world.aaa.heard
    assert (end.command, end.application) == (275, 7)
    assert world.aaa.ended() == [world.aaa.asked[0].session_id]


def accounted(world, kind=None):
    """Return the records that the server has got, or those of one kind."""
    found = [AccountingRequest.from_message(m) for m in world.aaa.heard if m.command == 271]
    return [one for one in found if kind in (None, one.record_type.name)]


def test_it_accounts_for_a_binding_from_its_registration_to_its_end(tls):
    world = World(tls, accounting=True)
    world.aaa.granted["session_timeout"] = 30.0
    world.aaa.granted["unknown"] = (ACCT_INTERIM_INTERVAL.avp(10),)
    node = world.connect()
    world.net.run(5.0)
    assert accounted(world) == []  # There is no binding yet.
    assert node.register()
    world.net.run(60.0)
    start, *between, stop = accounted(world)
    assert [start.record_type.name, stop.record_type.name] == ["START", "STOP"]
    assert len(between) == 2
    assert {one.session_id for one in accounted(world)} == {world.aaa.asked[0].session_id}
    assert start.assignment == replace(ASSIGNMENT, home_address=HOA)
    assert start.care_of_address == COA
    assert start.user_name == name_of(world.net.host_of(COA))
    assert stop.usage == Usage()
    assert 20.0 < stop.session_time < 26.0
    assert stop.cause == TerminationCause.SESSION_TIMEOUT


def test_it_tells_of_each_binding_update(tls):
    world = World(tls, accounting=True)
    node = world.connect()
    assert node.register()
    world.net.run(5.0)
    assert accounted(world, "INTERIM") == []
    world.node._home_agent.on_binding(
        BindingUpdated(at=world.net.clock.now, home_address=HOA, care_of=OTHER_COA, lifetime=60)
    )
    world.net.run(1.0)
    (record,) = accounted(world, "INTERIM")
    assert record.care_of_address == OTHER_COA


def test_a_server_that_wants_no_records_lost_grants_nothing(tls):
    world = World(tls, accounting=True)
    world.aaa.granted["unknown"] = (ACCOUNTING_REALTIME_REQUIRED.avp(1),)
    assert world.connect().failures
    (told,) = world.net.told("AaaFailed")
    assert "Accounting-Realtime-Required 1" in told["reason"]
