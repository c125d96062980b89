"""A peer that has forgotten an IKE SA says so, and is tested, not believed (RFC 7296, 2.21.4)."""

import random

import pytest

from agents.core.machine import Discarded
from agents.core.record import replace
from agents.ikev2 import Failed, IkeDeleted, Ikev2
from agents.ikev2.constants import ExchangeType, NotifyType, PayloadType
from agents.ikev2.payloads import Notification
from agents.ikev2.wire import Header, encode_plain, split_datagram
from tests.ike import COA, ENDS, HA, find
from tests.ikev2.peers import FAST, SELECTORS, Peers, pairs
from tests.link import Link


def header(data: bytes) -> Header:
    return split_datagram(data).header


def denial(request: bytes) -> bytes:
    """What a host that does not know the IKE SA of a request answers, and anybody can forge."""
    back = replace(header(request), initiator=False, response=True)
    return encode_plain(back, [Notification(NotifyType.INVALID_IKE_SPI).payload()])


def restarted(peers: Peers) -> Ikev2:
    """Put a home agent that remembers nothing in the place of the other one."""
    ha = Ikev2(rng=random.Random(3), local=HA, config=FAST)
    peers.join(ha=ha)
    return ha


def test_a_request_over_an_unknown_ike_sa_is_answered_in_clear():
    peers = Peers()
    peers.connect(5.0)
    ha = restarted(peers)
    peers.mn.rekey_ike(HA, 5.0)
    (request, _) = peers.mn.outbox[0]
    peers.link.run(5.02)
    ((data, address),) = [(d, a) for _, a, d in peers.link.sent if a == ENDS[1]]
    assert (data, address) == (denial(request), ENDS[1])
    assert len(data) < len(request)
    assert not find(ha, Failed)


@pytest.mark.parametrize("ask", ["rekey_ike", "rekey_children"])
def test_a_home_agent_that_has_restarted_is_noticed_in_seconds(ask):
    peers = Peers()
    peers.connect(5.0)
    restarted(peers)
    getattr(peers.mn, ask)(HA, 5.0)
    peers.link.run(600.0)
    (gone,) = find(peers.mn, IkeDeleted)
    assert gone.reason == "the peer does not answer"
    assert gone.at < 15.0
    assert not pairs(peers.mn)
    assert not peers.mn.connected(HA)


def test_the_test_of_liveness_notices_it_too():
    peers = Peers(replace(FAST, liveness_interval=20.0))
    peers.connect(5.0)
    restarted(peers)
    peers.link.run(600.0)
    (gone,) = find(peers.mn, IkeDeleted)
    assert 20.0 < gone.at < 30.0


def test_a_mobile_node_that_has_restarted_is_noticed_as_soon():
    peers = Peers()
    peers.connect(5.0)
    mn = Ikev2(rng=random.Random(3), local=COA, config=FAST)
    peers.join(mn=mn)
    peers.ha.rekey_children(COA, 5.0)
    peers.link.run(600.0)
    assert find(peers.ha, IkeDeleted)[0].at < 15.0


def test_one_that_restarts_between_two_messages_of_the_set_up_is_named_as_the_reason():
    peers = Peers()
    peers.mn.initiate(HA, SELECTORS, 0.0)
    peers.link.run(0.025)
    restarted(peers)
    peers.link.run(60.0)
    (failed,) = find(peers.mn, Failed)
    assert failed.reason.endswith("the peer says INVALID_IKE_SPI (unauthenticated)")
    assert failed.at < 12.0


def forge(peers: Peers, now: float) -> None:
    """Tell the mobile node in the home agent's name that it does not know the IKE SA."""
    peers.mn.handle_message(denial(peers.sent[2]), ENDS[1], now)


def test_forged_denials_end_no_negotiation_whose_peer_answers():
    peers = Peers(drop={2, 3})
    peers.mn.initiate(HA, SELECTORS, 0.0)
    peers.link.run(0.025)
    for tenth in range(1, 20):
        forge(peers, tenth / 10)
        peers.link.run(tenth / 10)
    peers.link.run(60.0)
    assert peers.mn.connected(HA)
    assert not find(peers.mn, Failed)


@pytest.mark.parametrize("lost", range(-1, 4))
def test_a_forged_denial_ends_nothing(lost):
    peers = Peers(drop={4 + lost})
    peers.connect(5.0)
    for second in range(5, 60):
        peers.link.run(float(second))
        forge(peers, float(second))
    peers.link.run(100.0)
    assert not find(peers.mn, IkeDeleted)
    assert not find(peers.mn, Failed)
    assert len(pairs(peers.mn)) == 1
    assert peers.mn.rekey_children(HA, 100.0)
    peers.link.run(101.0)
    assert len(pairs(peers.mn)) == 1


def test_a_forged_denial_has_no_answer_and_causes_one_test_in_a_while():
    peers = Peers()
    peers.connect(5.0)
    before = len(peers.sent)
    for _ in range(100):
        forge(peers, 5.0)
    (probe,) = (data for data, _ in peers.mn.outbox)
    assert (header(probe).exchange, header(probe).response) == (ExchangeType.INFORMATIONAL, False)
    for tenth in range(50, 650):
        peers.link.run(tenth / 10)
        forge(peers, tenth / 10)
    assert len(peers.sent) - before <= 2 * 7
    assert len(find(peers.mn, Discarded)) == 700


def test_a_denial_while_a_request_is_under_way_repeats_nothing_at_once():
    peers = Peers()
    peers.connect(5.0)
    peers.mn.rekey_children(HA, 5.0)
    assert len(peers.mn.outbox) == 1
    forge(peers, 5.0)
    assert len(peers.mn.outbox) == 1
    peers.link.run(20.0)
    assert not find(peers.mn, IkeDeleted)
    assert len(pairs(peers.mn)) == 1


def test_a_denial_from_elsewhere_or_in_an_exchange_that_is_over_is_nothing():
    peers = Peers()
    peers.connect(5.0)
    peers.mn.handle_message(denial(peers.sent[2]), ("2001:db8::bad", 500), 5.0)
    peers.mn.handle_message(denial(peers.sent[0]), ENDS[1], 5.0)
    assert not peers.mn.outbox


def test_two_hosts_that_know_nothing_do_not_answer_each_other():
    peers = Peers()
    peers.connect(5.0)
    request = peers.sent[2]
    ends = [Ikev2(rng=random.Random(n), local=a, config=FAST) for n, a in ((1, COA), (2, HA))]
    link = Link(ends[0], ENDS[0], ends[1], ENDS[1])
    ends[1].handle_message(request, ENDS[0], 5.0)
    link.run(600.0)
    assert len(link.sent) == 1


def test_nor_do_two_that_know_different_ike_sas():
    """Each one's test is answered by a denial, and no denial by anything."""
    here, there = Peers(), Peers()
    for peers in (here, there):
        peers.connect(5.0)
    other = Ikev2(rng=random.Random(3), local=HA, config=FAST)
    link = Link(here.mn, ENDS[0], other, ENDS[1])
    link.now = 5.0
    forge(here, 5.0)
    link.run(600.0)
    ours = [header(d).response for _, a, d in link.sent if a == ENDS[0]]
    assert ours == [False] * 5
    assert [header(d).response for _, a, d in link.sent if a == ENDS[1]] == [True] * 5


def test_denials_are_rationed():
    ha = Ikev2(rng=random.Random(2), local=HA, config=FAST)
    peers = Peers()
    peers.connect(5.0)
    for _ in range(1000):
        ha.handle_message(peers.sent[2], ENDS[0], 5.0)
    assert len(ha.outbox) == 100
    for _ in range(1000):
        ha.handle_message(peers.sent[2], ENDS[0], 6.0)
    assert len(ha.outbox) == 120


@pytest.mark.parametrize(
    "alter",
    [
        lambda h: replace(h, response=True),
        lambda h: replace(h, response=True, initiator=False),
    ],
)
def test_responses_and_what_is_in_clear_have_no_answer(alter):
    peers = Peers()
    peers.connect(5.0)
    ha = Ikev2(rng=random.Random(2), local=HA, config=FAST)
    strange = alter(header(peers.sent[2]))
    ha.handle_message(strange.encode(46, 0) + b"", ENDS[0], 5.0)
    ha.handle_message(denial(peers.sent[2]), ENDS[0], 5.0)
    ha.handle_message(encode_plain(header(peers.sent[2]), []), ENDS[0], 5.0)
    assert not ha.outbox


def test_a_live_peer_that_does_not_know_the_new_ike_sa_yet_has_all_the_time():
    """It has lost the answer to its rekeying, and asks for it again and again."""

    def lose(data: bytes) -> bytes | None:
        answer = header(data).response and split_datagram(data).first == PayloadType.SK
        return None if answer and 1.0 < peers.link.now < 12.0 else data

    peers = Peers(tamper=lose)
    peers.connect(1.0)
    peers.mn.rekey_ike(HA, 1.0)
    peers.link.run(1.1)
    peers.ha.rekey_children(COA, 1.1)
    peers.link.run(60.0)
    assert [e.reason for e in find(peers.ha, IkeDeleted)] == ["deleted by the peer"]
    assert len(pairs(peers.mn)) == len(pairs(peers.ha)) == 1
