"""What the home AAA server assigns by EAP, and who may have that."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv6Address
from typing import Any

import pytest

from agents.bootstrap.assignment import Assignment
from agents.diameter.dictionary import APPLICATION_MIP6_IKE, Command
from agents.diameter.eap import DiameterEapAnswer
from agents.diameter.errors import ResultCode
from agents.diameter.sessions import SessionRequest
from agents.eap.peer import EapPeer
from agents.eap.server import EapServer
from agents.ike.esp import EspPair
from agents.ikev2 import Credentials, Ikev2
from agents.nodes.diameter_settings import DiameterPeer
from agents.nodes.home_agent.authenticator import EapAuthenticator
from agents.nodes.home_agent.settings import HomeAgentConfiguration
from agents.nodes.ike_daemon.credentials import read_credentials
from agents.nodes.ike_daemon.ikev2_settings import Ikev2Settings
from agents.nodes.tls import TlsSettings
from tests.eap.conversation import Authority
from tests.nodes.home_agent.two_subscribers import ALICE, BOB, CARE_OF, HA, HOME, SETTINGS, World

NAME, SERVER = "ha.home.test", "aaa.home.test"


@dataclass
class Aaa:
    """The AAA client as the authenticator sees it, with the home AAA server behind it."""

    authority: Authority
    homes: dict[str, IPv6Address] = field(default_factory=HOME.copy)
    lifetime: float | None = None
    servers: dict[bytes, EapServer] = field(default_factory=dict)
    ended: list[bytes | None] = field(default_factory=list)
    server: str = SERVER
    silent: bool = False
    holds: bool = False
    granted: list[bytes] = field(default_factory=list)
    held: list[Callable[[], None]] = field(default_factory=list)
    """Answers of success that have not come yet."""

    def ask(self, key: bytes, packet: bytes, answered: Any, **_: object) -> None:
        if self.silent:
            self.servers.setdefault(key, EapServer(self.authority.server_config()))
            return
        server = self.servers.setdefault(key, EapServer(self.authority.server_config()))
        payload = server.handle_response(packet)
        code = ResultCode.MULTI_ROUND_AUTH if server.outcome is None else ResultCode.SUCCESS
        answer = DiameterEapAnswer("session", code, "aaa.home.test", "home.test", payload)
        if server.outcome == "success":
            who = server.peer_name
            answer = DiameterEapAnswer(
                "session",
                code,
                self.server,
                "home.test",
                payload,
                msk=server.keys.msk,
                assignment=Assignment(HA, 56, self.homes[who]),
                session_timeout=self.lifetime,
                user_name=who,
            )
        if server.outcome == "success":
            self.granted.append(key)
        if self.holds and server.outcome == "success":
            self.held.append(partial(answered, answer))
        else:
            answered(answer)

    def forget(self, key: bytes) -> None:
        self.servers.pop(key, None)

    def abandon(self, session_id: str, _server: str) -> bytes | None:
        """Every conversation has the same Session-Id here: the last one is meant."""
        if session_id != "session" or not self.servers:
            return None
        return self.servers.popitem()[0]

    def end(self, key: bytes | None) -> None:
        self.ended.append(key)

    def session_number(self, session_id: str) -> int | None:
        """There are what all answers are about, and one that begins later."""
        return {"session": 1, "one that never came": 2}.get(session_id)


class EapWorld(World):
    """The subscribers run EAP with the home AAA server, by way of IKEv2."""

    def __init__(self, authority: Authority, proposed: IPv6Address | None = None) -> None:
        super().__init__()
        self._authority = authority
        files = authority.ca.issue_server(NAME, addresses=[HA]).write(authority.directory, "ha")
        configuration = HomeAgentConfiguration(
            host="C",
            diameter_identity=NAME,
            diameter_realm="home.test",
            home=DiameterPeer(host="aaa.home.test", realm="home.test", address="::1"),
            home_agent=SETTINGS,
            ikev2=Ikev2Settings(),
            certificate=TlsSettings(
                ca=str(authority.ca_path), certificate=str(files.certificate), key=str(files.key)
            ),
            identity=NAME,
            proposed_home_address=str(proposed) if proposed else None,
        )
        self.aaa = Aaa(authority)
        self.authenticator = EapAuthenticator(
            self.host,
            configuration,
            self.aaa,
            self.home_agent,
            self.log,
            credentials=read_credentials(configuration.certificate, own=True),
        )
        self.authenticator.open()

    def abort(self, session_id: str, who: str | None = None, server: str = SERVER) -> ResultCode:
        """Have the server end a session."""
        request = SessionRequest(
            command=Command.ABORT_SESSION,
            session_id=session_id,
            application=APPLICATION_MIP6_IKE,
            origin_host=server,
            origin_realm="home.test",
            destination_realm="home.test",
            destination_host=NAME,
            user_name=who,
        )
        return self.host.enter(self.authenticator.obey, request)

    def connect(self, who: str, home: IPv6Address | None = None) -> EspPair | None:
        """Let a subscriber ask for SAs for its home address; return what it has got."""
        ca = self._authority.ca
        files = ca.issue_client(who).write(self._authority.directory, who)
        trusted = Credentials((ca.identity.certificate,))

        def initiate(rng: random.Random) -> Ikev2:
            config = Ikev2Settings().config(who, responder=False)
            node = Ikev2(rng=rng, local=CARE_OF[who], config=config, credentials=trusted)
            eap = EapPeer(who, self._authority.client_config(files=files))
            node.initiate(HA, (home or HOME[who], HA), self.host.clock, eap=eap)
            return node

        return self.ask(who, initiate)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("eap"))


@pytest.fixture
def world(authority: Authority) -> EapWorld:
    return EapWorld(authority)


def test_an_update_under_ones_own_sa_for_anothers_home_address_is_refused(world):
    assert world.bind(HOME[ALICE], CARE_OF[ALICE], world.connect(ALICE))
    pair = world.connect(BOB)
    assert not world.bind(HOME[ALICE], CARE_OF[BOB], pair)
    assert world.bind(HOME[BOB], CARE_OF[BOB], pair)
    assert world.kernel.bound == {HOME[who]: CARE_OF[who] for who in (ALICE, BOB)}


def test_nobody_has_sas_for_a_home_address_that_it_was_not_assigned(world):
    world.aaa.homes[BOB] = HOME[BOB] + 1
    assert world.connect(BOB) is None
    assert world.homes_with_sas() == set()


def test_a_home_address_is_whose_the_server_says_last(world):
    assert world.bind(HOME[ALICE], CARE_OF[ALICE], world.connect(ALICE))
    world.aaa.homes[BOB] = HOME[ALICE]
    world.aaa.holds = True
    assert world.connect(BOB, HOME[ALICE]) is None
    assert world.home_agent.homes.holder(HOME[ALICE]) == ALICE
    world.aaa.held.pop()()
    assert world.ends() == ["unbind", "uninstall", "forget"]
    assert world.home_agent.homes.holder(HOME[ALICE]) == BOB
    assert not world.kernel.bound


def test_a_home_address_that_is_held_is_refused_whatever_another_server_assigns(world):
    world.connect(ALICE)
    world.aaa.homes[BOB], world.aaa.server = HOME[ALICE], "other.home.test"
    assert world.connect(BOB, HOME[ALICE]) is None
    assert world.homes_with_sas() == {HOME[ALICE]}
    assert world.home_agent.homes.holder(HOME[ALICE]) == ALICE


def test_a_home_address_that_is_proposed_is_its_holders_until_that_has_left(authority):
    world = EapWorld(authority, proposed=HOME[ALICE])
    world.connect(ALICE)
    world.aaa.homes[BOB] = HOME[ALICE]
    assert world.connect(BOB, HOME[ALICE]) is None
    assert world.home_agent.homes.holder(HOME[ALICE]) == ALICE


def test_a_hold_ends_when_the_server_says(world):
    world.aaa.lifetime = 60.0
    assert world.bind(HOME[ALICE], CARE_OF[ALICE], world.connect(ALICE))
    world.host.advance(60.0)
    assert world.ends() == ["unbind", "uninstall", "forget"]
    assert (world.kernel.bound, world.kernel.sas) == ({}, {})
    assert world.home_agent.homes.holder(HOME[ALICE]) is None


@pytest.mark.parametrize(("session_id", "who"), [("session", None), ("one that never came", ALICE)])
def test_a_session_that_the_server_aborts_ends_with_all_that_hangs_on_it(world, session_id, who):
    assert world.bind(HOME[ALICE], CARE_OF[ALICE], world.connect(ALICE))
    assert world.abort(session_id, who) == ResultCode.SUCCESS
    assert world.ends() == ["unbind", "uninstall", "forget"]
    assert (world.kernel.bound, world.kernel.sas) == ({}, {})
    assert len(world.aaa.ended) == 1
    assert world.abort(session_id, who) == ResultCode.UNKNOWN_SESSION_ID
    assert world.connect(ALICE)


def test_another_server_than_the_one_that_has_granted_it_ends_nothing(world):
    world.connect(ALICE)
    assert world.abort("session", server="other.home.test") == ResultCode.UNKNOWN_SESSION_ID
    assert world.homes_with_sas() == {HOME[ALICE]}


def test_a_session_that_nobody_has_is_not_known(world):
    world.connect(ALICE)
    assert world.abort("another", BOB) == ResultCode.UNKNOWN_SESSION_ID
    assert world.homes_with_sas() == {HOME[ALICE]}


def test_a_session_that_is_aborted_while_its_answer_is_waited_for_gives_nothing(world):
    world.aaa.silent = True
    assert world.connect(ALICE) is None
    assert world.aaa.servers
    assert world.abort("session") == ResultCode.SUCCESS
    assert not world.aaa.servers
    assert world.homes_with_sas() == set()


def test_what_was_granted_before_and_comes_later_does_not_take_the_place_of_what_counts(world):
    world.aaa.holds = True
    assert world.connect(ALICE) is None
    world.aaa.holds = False
    pair = world.connect(ALICE)
    assert world.bind(HOME[ALICE], CARE_OF[ALICE], pair)
    (late,) = world.aaa.held
    world.host.enter(late)
    assert world.aaa.ended == world.aaa.granted[:1]
    assert world.bind(HOME[ALICE], CARE_OF[ALICE], pair)
    world.abort("one that never came", ALICE)
    assert world.aaa.ended == world.aaa.granted


def test_what_was_taken_back_is_not_granted_by_what_was_asked_before(world):
    world.aaa.holds = True
    assert world.connect(ALICE) is None
    world.aaa.holds = False
    assert world.bind(HOME[ALICE], CARE_OF[ALICE], world.connect(ALICE))
    world.host.enter(world.home_agent.release, ALICE)
    (late,) = world.aaa.held
    world.host.enter(late)
    assert (world.kernel.bound, world.kernel.sas) == ({}, {})
    assert sorted(world.aaa.ended) == sorted(world.aaa.granted)
    assert world.connect(ALICE)


def test_what_was_taken_back_unanswered_is_granted_by_nothing_asked_before_either(world):
    world.aaa.holds = True
    assert world.connect(ALICE) is None
    assert world.connect(ALICE) is None
    assert world.abort("session", ALICE) == ResultCode.SUCCESS  # It is the second one.
    for late in world.aaa.held:
        world.host.enter(late)
    assert world.homes_with_sas() == set()
    assert sorted(world.aaa.ended) == sorted(world.aaa.granted)


def test_the_name_of_a_subscriber_ends_no_session_that_this_home_agent_did_not_begin(world):
    pair = world.connect(ALICE)
    assert world.abort("another", ALICE) == ResultCode.UNKNOWN_SESSION_ID
    assert world.bind(HOME[ALICE], CARE_OF[ALICE], pair)
