"""What the home AAA server's answers say about home agents, and to whom."""

from __future__ import annotations

from ipaddress import IPv6Address

import pytest

from agents.aaa.events import HomeAgentPassedOver, MobilityRefused, SubscriberAuthenticated
from agents.aaa.leases import Leases
from agents.aaa.policy import Place
from agents.bootstrap.assignment import Assignment, Wish
from agents.bootstrap.keys import ike_psk, ike_root
from agents.bootstrap.sealed import SealContext, SealError, unseal
from agents.core.record import replace
from agents.diameter import dictionary as d
from agents.diameter.dictionary import APPLICATION_EAP, APPLICATION_MIP6_IKE
from agents.diameter.eap import DiameterEapAnswer, DiameterEapRequest
from agents.diameter.mobility import mobility_request
from agents.diameter.wire import Message
from agents.eap.peer import EapPeer
from agents.eap.wire import Code, Packet, Type
from tests.aaa.server import home_aaa
from tests.eap.conversation import IDENTITY, Authority

FILE = """
[[home_agents]]
name = "ha1"
address = "2001:db8:100::1"
prefix = "2001:db8:100::/64"
pool = "2001:db8:100::2000-2001:db8:100::2fff"
host = "ha1.home.test"

[[subscribers]]
identity = "mn@home.test"
home_address = "2001:db8:100::1234"

[[subscribers]]
identity = "free@home.test"
local_home_agent = true

[[subscribers]]
identity = "roamer@home.test"
local_home_agent = true
prefer = "local"

[[subscribers]]
identity = "net@home.test"
mobility = false
"""
HOME = Assignment(
    IPv6Address("2001:db8:100::1"), 64, IPv6Address("2001:db8:100::1234"), "ha1.home.test"
)
CANDIDATE = Assignment(
    IPv6Address("2001:db8:200::1"), 64, IPv6Address("2001:db8:200::5"), "ha.visited.test"
)
ABOUT_HOME_AGENTS = {(124, None), (333, None), (486, None), (2, 32473), (3, 32473)}


def request(payload, wish, candidate, session="b;1", **more) -> DiameterEapRequest:
    """Return an access router's request as the server gets it."""
    asked = mobility_request(wish, candidate)
    sent = DiameterEapRequest(
        session_id=session,
        origin_host="b.visited.test",
        origin_realm="visited.test",
        destination_realm="home.test",
        eap_payload=payload,
        feature_vector=asked.feature_vector,
        hint=asked.hint,
        wish=asked.wish,
        **more,
    )
    return DiameterEapRequest.from_message(Message.decode(sent.to_message().encode()))


class Lab:
    """A home AAA server, and mobile nodes that run EAP with it by way of Diameter messages."""

    def __init__(self, authority: Authority, leases: Leases) -> None:
        self.authority = authority
        self.leases = leases
        self.answers: list[Message] = []

    def run(
        self,
        user="mn",
        wish: Wish | None = Wish.EITHER,
        candidate=None,
        files=None,
        application=APPLICATION_EAP,
        **more,
    ):
        """Authenticate `user`; the AAA server's options are `more`."""
        self.aaa = home_aaa(FILE, self.leases, self.authority.server_config(), **more)
        identity = f"{user}@home.test"
        authority = self.authority
        files = files or authority.ca.issue_client(identity).write(authority.directory, user)
        self.peer = EapPeer(identity, authority.client_config(files=files))
        payload = self.peer.handle_request(Packet(Code.REQUEST, 7, Type.IDENTITY).encode())
        while payload is not None:
            asked = request(payload, wish, candidate, application=application)
            message = self.aaa.handle(asked, 0.0).to_message()
            self.answers.append(Message.decode(message.encode()))
            answer = DiameterEapAnswer.from_message(self.answers[-1])
            payload = self.peer.handle_request(answer.eap_payload)
        return answer

    def codes(self) -> set[tuple[int, int | None]]:
        return {(avp.code, avp.vendor) for message in self.answers for avp in message.avps}

    def unseal(self, answer, wish=Wish.EITHER, identity=IDENTITY):
        keys = self.peer.keys
        return unseal(
            answer.sealed_assignment, keys.emsk, SealContext(identity, keys.session_id, wish)
        )


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority.make(tmp_path_factory.mktemp("aaa"))


@pytest.fixture
def lab(authority, tmp_path):
    with Leases(tmp_path / "leases.db") as leases:
        yield Lab(authority, leases)


POOLED = replace(HOME, home_address=IPv6Address("2001:db8:100::2000"))


@pytest.mark.parametrize(
    ("user", "wish", "candidate", "place", "assignment", "features"),
    [
        ("mn", None, CANDIDATE, None, None, None),
        ("net", Wish.EITHER, CANDIDATE, None, None, 0),
        ("mn", Wish.HOME, CANDIDATE, Place.HOME, HOME, 1),
        ("mn", Wish.LOCAL, CANDIDATE, Place.HOME, HOME, 1),
        ("mn", Wish.EITHER, CANDIDATE, Place.HOME, HOME, 1),
        ("free", Wish.LOCAL, None, Place.HOME, POOLED, 1),
        ("free", Wish.LOCAL, CANDIDATE, Place.LOCAL, CANDIDATE, 3),
        ("free", Wish.EITHER, CANDIDATE, Place.HOME, POOLED, 1),
        ("roamer", Wish.EITHER, CANDIDATE, Place.LOCAL, CANDIDATE, 3),
        ("roamer", Wish.HOME, CANDIDATE, Place.HOME, POOLED, 1),
    ],
)
def test_an_answer_says_what_was_granted(lab, user, wish, candidate, place, assignment, features):
    answer = lab.run(user, wish, candidate)
    assert answer.result_code == 2001
    assert (answer.assignment, answer.feature_vector) == (assignment, features)
    assert answer.sealed_assignment is None
    event = lab.aaa.events[-1]
    assert isinstance(event, SubscriberAuthenticated)
    assert (event.place, event.assignment) == (place, assignment)
    refused = [e for e in lab.aaa.events if isinstance(e, MobilityRefused)]
    assert bool(refused) == (user == "net")


@pytest.mark.parametrize("protection", ["none", "sealed"])
def test_a_home_agent_that_asks_for_itself_alone_is_told_home_addresses(lab, protection):
    options = {"protection": protection, "home_agents": ["B.Visited.test"]}
    told = lab.run("mn", **options)
    assert (lab.unseal(told) if protection == "sealed" else told.assignment) == HOME

    options["home_agents"] = ["ha.home.test"]
    told = lab.run("mn", **options)

    without = replace(HOME, home_address=None)
    assert (lab.unseal(told) if protection == "sealed" else told.assignment) == without
    assert lab.aaa.events[-1].assignment == HOME
    local = lab.run("roamer", Wish.LOCAL, CANDIDATE, **options)
    assert local.assignment == CANDIDATE


def test_a_candidate_inside_the_home_link_is_passed_over(lab):
    evil = Assignment(IPv6Address("2001:db8:100::bad"), 64)
    answer = lab.run("roamer", Wish.LOCAL, evil)
    assert answer.assignment == POOLED
    event = lab.aaa.events[0]
    assert isinstance(event, HomeAgentPassedOver)
    assert "claims the home link 2001:db8:100::/64 of ha1" in event.reason


@pytest.mark.parametrize("protection", ["none", "sealed"])
def test_failed_authentication_tells_the_nas_nothing_about_home_agents(
    lab, authority, tmp_path, protection
):
    stranger = Authority.make(tmp_path / "other")
    other = authority.ca.issue_client("net@home.test").write(authority.directory, "net")
    for user, files in (("roamer", stranger.client), ("roamer", other), ("nobody", None)):
        answer = lab.run(user, Wish.LOCAL, CANDIDATE, files, protection=protection)
        assert answer.result_code == 4001
    assert not lab.codes() & ABOUT_HOME_AGENTS
    assert list(lab.leases) == []


def test_nothing_about_home_agents_before_the_last_answer(lab):
    lab.run("roamer", Wish.LOCAL, CANDIDATE, protection="sealed")
    last = lab.answers.pop()
    assert len(lab.answers) >= 3
    assert not lab.codes() & ABOUT_HOME_AGENTS
    assert {(avp.code, avp.vendor) for avp in last.avps} >= ABOUT_HOME_AGENTS


def test_a_sealed_home_agent_is_for_the_mobile_node_alone(lab):
    answer = lab.run("mn", Wish.HOME, protection="sealed")
    assert (answer.result_code, answer.assignment, answer.feature_vector) == (2001, None, 1)
    assert lab.unseal(answer, Wish.HOME) == HOME
    octets = lab.answers[-1].encode()
    for part in (HOME.home_agent.packed, HOME.home_address.packed, b"ha1"):
        assert part not in octets
    assert lab.aaa.events[-1].assignment == HOME


def test_a_refusal_is_sealed_too(lab):
    answer = lab.run("net", protection="sealed")
    assert lab.unseal(answer, identity="net@home.test") is None
    assert answer.sealed_assignment is not None
    assert lab.run("mn", None, protection="sealed").sealed_assignment is None


def test_a_wish_that_the_access_router_altered_is_detected(lab):
    answer = lab.run("roamer", Wish.LOCAL, CANDIDATE, protection="sealed")
    with pytest.raises(SealError):
        lab.unseal(answer, Wish.HOME, identity="roamer@home.test")


def test_an_older_sealed_home_agent_is_detected(lab):
    old = lab.run("mn", protection="sealed")
    new = lab.run("mn", protection="sealed")
    assert lab.unseal(new) == HOME
    with pytest.raises(SealError):
        lab.unseal(old)


# The visited network runs a local home agent: it needs its mobile node's address and key.
@pytest.mark.parametrize("protection", ["none", "sealed"])
@pytest.mark.parametrize("source", ["msk", "emsk"])
def test_a_local_home_agent_gets_its_key_by_way_of_the_answer(lab, source, protection):
    answer = lab.run("roamer", Wish.LOCAL, CANDIDATE, protection=protection, psk_source=source)
    keys = lab.peer.keys
    secret = keys.msk if source == "msk" else ike_root(keys.emsk)
    assert answer.local_home_agent_key == ike_psk(secret, CANDIDATE)
    assert answer.assignment == CANDIDATE
    if protection == "sealed":
        assert lab.unseal(answer, Wish.LOCAL, "roamer@home.test") == CANDIDATE


def test_a_home_agent_at_home_gives_the_nas_no_key_but_the_msk(lab):
    answer = lab.run("mn", psk_source="emsk")
    assert answer.local_home_agent_key is None
    assert answer.msk == lab.peer.keys.msk
    event = lab.aaa.events[-1]
    assert event.ike_root == ike_root(lab.peer.keys.emsk)
    octets = lab.answers[-1].encode()
    assert event.ike_root not in octets
    assert ike_psk(event.ike_root, HOME) not in octets
    assert ike_psk(event.ike_root, HOME) != ike_psk(event.msk, HOME)


def test_home_agents_alone_are_served_in_their_application(lab):
    options = {"application": APPLICATION_MIP6_IKE, "candidate": CANDIDATE}
    refused = lab.run(**options)
    assert refused.result_code == 5003
    assert refused.msk is refused.assignment is None
    assert not lab.aaa.events
    assert len(lab.answers) == 1
    lab.answers.clear()
    answer = lab.run(home_agents=["B.Visited.test"], **options)
    assert answer.result_code == 2001
    assert answer.assignment == HOME
    assert {message.application for message in lab.answers} == {7}
    assert lab.aaa.events[-1].application == 7


@pytest.mark.parametrize("interval", [0, 60])
def test_an_answer_says_how_a_session_is_to_be_accounted(lab, interval):
    answer = lab.run(accounting=True, interim_interval=interval)
    assert answer.interim_interval == interval
    assert d.ACCOUNTING_REALTIME_REQUIRED.find(answer.unknown) == 3
    assert len(lab.aaa.accounts) == 1
    assert lab.aaa.next_timeout() is not None
    answer = lab.run()
    assert answer.unknown == ()
    assert lab.aaa.accounts is None
