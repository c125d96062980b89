import pytest

from agents.core.machine import Discarded, Timing
from agents.core.record import replace
from agents.ikev1 import (
    ChildAbandoned,
    ChildDeleted,
    ChildEstablished,
    ChildKeyed,
    Config,
    EspProposal,
    Failed,
    IkeProposal,
    Mode,
    Phase1Deleted,
    Phase1Established,
    Selectors,
)
from agents.ikev1.config import ESP_INTEGRITY
from tests.ike import COA, HA, HOA, PSK, find, names
from tests.ikev1.peers import AGGRESSIVE, FAST, SELECTORS, Peers


def assert_up(peers: Peers) -> None:
    """Both ends hold the same two SAs, one's inbound being the other's outbound."""
    (mn,) = find(peers.mn, ChildEstablished)
    (ha,) = find(peers.ha, ChildEstablished)
    (keyed,) = find(peers.ha, ChildKeyed)
    assert keyed.pair == ha.pair
    assert mn.pair.inbound == ha.pair.outbound
    assert mn.pair.outbound == ha.pair.inbound
    assert mn.pair.outbound.source == HOA
    assert mn.pair.outbound.destination == HA
    assert mn.pair.outbound.protocol == 135
    assert mn.pair.outbound.spi != mn.pair.inbound.spi
    assert mn.pair.outbound.encryption_key != mn.pair.inbound.encryption_key
    (a,), (b,) = find(peers.mn, Phase1Established), find(peers.ha, Phase1Established)
    assert (a.initiator_cookie, a.encryption_key) == (b.initiator_cookie, b.encryption_key)


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("group", [14, 19])
@pytest.mark.parametrize("pfs", [None, 14, 19])
def test_phase_1_and_quick_mode(mode, group, pfs):
    peers = Peers(Config(mode=mode, proposals=(IkeProposal(128, 4, group),), pfs=pfs))

    peers.connect()

    assert len(peers.sent) == (9 if mode is Mode.MAIN else 6)
    assert_up(peers)


@pytest.mark.parametrize("bits", [128, 256])
@pytest.mark.parametrize("digest", [2, 4])
@pytest.mark.parametrize("integrity", ESP_INTEGRITY.values())
def test_algorithms(bits, digest, integrity):
    config = Config(
        proposals=(IkeProposal(bits, digest, 19),), esp_proposals=(EspProposal(128, integrity),)
    )
    peers = Peers(config)
    peers.connect()
    assert_up(peers)
    (event,) = find(peers.mn, ChildEstablished)
    assert len(event.pair.inbound.encryption_key) == 16
    assert len(event.pair.inbound.integrity_key) == {96: 20, 128: 32}[integrity.value[1]]
    assert len(find(peers.mn, Phase1Established)[0].encryption_key) == bits // 8


def test_the_first_acceptable_proposal_of_the_initiator_is_taken():
    strong, weak = IkeProposal(256, 4, 19), IkeProposal(128, 2, 19)
    peers = Peers(Config(proposals=(strong, weak)), Config(proposals=(weak,), esp_lifetime=1800))
    peers.connect()
    assert_up(peers)
    assert len(find(peers.mn, Phase1Established)[0].encryption_key) == 16


def test_main_mode_order_of_events():
    peers = Peers()
    peers.connect()
    assert names(peers.mn) == ["Phase1Started", "Phase1Established", "ChildEstablished"]
    assert names(peers.ha) == [
        "Phase1Started",
        "Phase1Established",
        "ChildKeyed",
        "ChildEstablished",
    ]
    assert find(peers.ha, Phase1Established)[0].identity == str(COA)


def test_secrets_do_not_show():
    peers = Peers()
    peers.connect()
    for machine in (peers.mn, peers.ha):
        shown = repr(list(machine.events))
        (event,) = find(machine, ChildEstablished)
        (phase1,) = find(machine, Phase1Established)
        for key in (event.pair.inbound.encryption_key, phase1.encryption_key):
            assert repr(key)[2:-1] not in shown


@pytest.mark.parametrize("identity", ["mn@example.org", str(HOA), "mn.example.org"])
def test_aggressive_mode_finds_the_key_by_identity(identity):
    peers = Peers(
        replace(AGGRESSIVE, identity=identity),
        replace(AGGRESSIVE, identity=None),
        identity=identity,
    )
    peers.connect()
    assert_up(peers)
    assert find(peers.ha, Phase1Established)[0].identity == identity


@pytest.mark.parametrize("config", [FAST, AGGRESSIVE], ids=["main", "aggressive"])
@pytest.mark.parametrize("lost", range(9))
def test_any_one_message_may_be_lost(config, lost):
    peers = Peers(config, drop={lost})
    peers.connect()
    if config is FAST or lost < 6:
        assert len(peers.sent) > (9 if config is FAST else 6)
    assert_up(peers)
    assert not find(peers.ha, Failed)


@pytest.mark.parametrize("config", [FAST, AGGRESSIVE], ids=["main", "aggressive"])
def test_every_message_may_come_twice(config):
    peers = Peers(config)
    mn, ha = peers.mn, peers.ha
    mn.initiate(HA, SELECTORS, 0.0)
    for _ in range(12):
        for machine, other, address in ((mn, ha, (str(COA), 500)), (ha, mn, (str(HA), 500))):
            batch = [machine.outbox.popleft()[0] for _ in range(len(machine.outbox))]
            for data in dict.fromkeys(batch):
                other.handle_message(data, address, 0.1)
                other.handle_message(data, address, 0.1)
    assert_up(peers)


def test_quick_mode_that_overtakes_aggressive_message_3_is_kept():
    peers = Peers(AGGRESSIVE)
    mn, ha = peers.mn, peers.ha
    mn.initiate(HA, SELECTORS, 0.0)
    ha.handle_message(mn.outbox.popleft()[0], (str(COA), 500), 0.1)
    mn.handle_message(ha.outbox.popleft()[0], (str(HA), 500), 0.2)
    third, quick = (data for data, _ in mn.outbox)
    mn.outbox.clear()

    ha.handle_message(quick, (str(COA), 500), 0.3)
    assert not ha.outbox
    ha.handle_message(third, (str(COA), 500), 0.3)

    mn.handle_message(ha.outbox.popleft()[0], (str(HA), 500), 0.4)
    ha.handle_message(mn.outbox.popleft()[0], (str(COA), 500), 0.5)
    assert_up(peers)


def test_quick_mode_message_3_that_never_comes():
    peers = Peers(tamper=lambda data: None if len(data) < 90 and data[18] == 32 else data)
    peers.connect()
    assert [e.pair for e in find(peers.ha, ChildKeyed)] == [
        e.pair for e in find(peers.ha, ChildAbandoned)
    ]
    assert not find(peers.ha, ChildEstablished)
    # The responder's Delete ends what the initiator believes in.
    assert [e.reason for e in find(peers.mn, ChildDeleted)] == ["deleted by the peer"]


def test_another_psk_in_main_mode():
    peers = Peers(ha_psk=b"another")
    peers.connect()
    (reason,) = peers.reasons(peers.ha, Failed)
    assert reason.startswith("main mode message 5")
    assert reason.endswith("the pre-shared keys probably differ")
    (reason,) = peers.reasons(peers.mn, Failed)
    assert "message 6 never came after 5 transmissions; the pre-shared keys may differ" in reason
    assert "the peer claimed AUTHENTICATION-FAILED (unauthenticated)" in reason
    assert find(peers.mn, Failed)[0].at > 20
    assert find(peers.mn, Failed)[0].selectors == SELECTORS


def test_another_psk_in_aggressive_mode():
    peers = Peers(AGGRESSIVE, ha_psk=b"another")
    peers.connect()
    (reason,) = peers.reasons(peers.mn, Failed)
    assert reason == (
        "aggressive mode message 2: the hash of message 2 is wrong; "
        "the pre-shared keys probably differ"
    )
    (reason,) = peers.reasons(peers.ha, Failed)
    assert "message 3 never came" in reason
    assert "AUTHENTICATION-FAILED (unauthenticated)" in reason


@pytest.mark.parametrize("config", [FAST, AGGRESSIVE], ids=["main", "aggressive"])
def test_a_peer_without_a_psk(config):
    peers = Peers(config)
    peers.ha.remove_psk(peer=COA)
    peers.connect()
    assert set(peers.reasons(peers.ha, Failed)) == {
        f"{config.mode.value} mode: no pre-shared key for {COA}"
    }
    assert "AUTHENTICATION-FAILED (unauthenticated)" in peers.reasons(peers.mn, Failed)[0]


def test_no_psk_for_the_peer_to_call():
    peers = Peers()
    peers.mn.remove_psk(peer=HA)
    peers.connect()
    assert peers.reasons(peers.mn, Failed) == [f"no pre-shared key for {HA}"]
    assert not peers.sent


@pytest.mark.parametrize("mode", Mode)
def test_a_refused_phase_1_proposal(mode):
    ours = Config(mode=mode, proposals=(IkeProposal(128, 2, 19),))
    peers = Peers(ours, Config(proposals=(IkeProposal(256, 4, 19),)))
    peers.connect()
    assert (
        "none of the peer's phase 1 proposals is acceptable" in (peers.reasons(peers.ha, Failed)[0])
    )
    (reason,) = peers.reasons(peers.mn, Failed)
    assert "NO-PROPOSAL-CHOSEN (unauthenticated)" in reason


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"esp_proposals": (EspProposal(256),)}, {}),
        ({}, {"pfs": 19}),
        ({"pfs": 14}, {"pfs": 19}),
    ],
)
def test_a_refused_esp_proposal_ends_at_once(ours, theirs):
    peers = Peers(replace(FAST, **ours), replace(FAST, **theirs))
    peers.connect()
    assert peers.reasons(peers.ha, Failed) == [
        "quick mode refused: none of the peer's ESP proposals is acceptable"
    ]
    (failed,) = find(peers.mn, Failed)
    assert failed.reason == "quick mode: the peer says NO-PROPOSAL-CHOSEN"
    assert failed.at < 1.0
    assert failed.selectors == SELECTORS


@pytest.mark.parametrize(
    "wanted",
    [
        Selectors(HOA + 1, HA),
        Selectors(HOA, HA + 1),
        Selectors(HOA, HA, 0),
        Selectors(HOA, HA, 17),
        Selectors(COA, HA),
        Selectors(HA, HOA),
    ],
)
def test_selectors_that_the_peer_may_not_have(wanted):
    peers = Peers()
    peers.mn.initiate(HA, wanted, 0.0)
    peers.link.run()
    (reason,) = peers.reasons(peers.ha, Failed)
    assert f"is not for this peer, whose home address is {HOA}" in reason
    assert peers.reasons(peers.mn, Failed) == ["quick mode: the peer says INVALID-ID-INFORMATION"]
    assert not find(peers.ha, ChildKeyed)


def test_a_peer_without_a_home_address_gets_nothing():
    peers = Peers(home_address=None)
    peers.connect()
    assert "whose home address is not known" in peers.reasons(peers.ha, Failed)[0]


def test_an_identity_of_somebody_else_is_refused():
    peers = Peers(replace(FAST, identity="2001:db8::bad"), FAST)
    peers.connect()
    (reason,) = peers.reasons(peers.ha, Failed)
    assert "2001:db8::bad does not belong to the pre-shared key" in reason


@pytest.mark.parametrize("mode", Mode)
def test_nobody_answers(mode):
    peers = Peers(replace(FAST, mode=mode), tamper=lambda _: None)
    peers.connect()
    (failed,) = find(peers.mn, Failed)
    assert "message 2 never came after 5 transmissions" in failed.reason
    assert failed.at < 30
    assert len(peers.sent) == 5
    assert peers.mn.next_timeout() is None


def test_the_peer_goes_away_before_quick_mode():
    peers = Peers(tamper=lambda data: None if data[18] == 32 else data)
    peers.connect()
    assert peers.reasons(peers.mn, Failed) == ["quick mode: message 2 never came"]
    assert peers.reasons(peers.mn, Phase1Deleted) == ["the peer does not answer"]


def test_a_negotiation_ends_by_its_deadline_however_many_retransmissions():
    config = replace(FAST, timing=Timing(initial=1.0, maximum=2.0), negotiation_timeout=10.0)
    peers = Peers(config, tamper=lambda _: None)
    peers.connect()
    assert find(peers.mn, Failed)[0].at == pytest.approx(10.0)


def test_a_second_child_uses_the_isakmp_sa_that_is_up():
    peers = Peers()
    peers.connect(5.0)
    before = len(peers.sent)
    peers.connect(10.0)
    assert len(peers.sent) == before + 4  # Quick mode, and the Delete of what it replaces.
    assert len(find(peers.ha, ChildEstablished)) == 2


def test_two_requests_before_phase_1_is_up_share_it():
    peers = Peers()
    peers.mn.initiate(HA, SELECTORS, 0.0)
    peers.mn.initiate(HA, SELECTORS, 0.0)
    peers.link.run(10.0)
    assert len(find(peers.mn, Phase1Established)) == 1
    assert len(find(peers.mn, ChildEstablished)) == 2


def test_delete_reaches_the_peer():
    peers = Peers()
    peers.connect(5.0)
    peers.mn.delete(HA, 5.0)
    peers.link.run(10.0)
    for machine, reason in ((peers.mn, "deleted"), (peers.ha, "deleted by the peer")):
        assert peers.reasons(machine, ChildDeleted) == [reason]
        assert peers.reasons(machine, Phase1Deleted) == [reason]
    (mine,), (theirs,) = find(peers.mn, ChildDeleted), find(peers.ha, ChildDeleted)
    assert mine.spis == tuple(reversed(theirs.spis))


def test_delete_of_one_child_keeps_phase_1():
    peers = Peers()
    peers.connect(5.0)
    peers.ha.delete(COA, 5.0, SELECTORS.mirrored())
    peers.link.run(10.0)
    assert peers.reasons(peers.mn, ChildDeleted) == ["deleted by the peer"]
    assert not find(peers.mn, Phase1Deleted)


def test_delete_ends_negotiations():
    peers = Peers(tamper=lambda _: None)
    peers.connect(3.0)
    peers.mn.delete(HA, 3.0)
    assert peers.reasons(peers.mn, Failed) == ["deleted"]
    assert peers.mn.next_timeout() is None


def test_a_child_is_replaced_before_it_expires():
    peers = Peers(replace(FAST, esp_lifetime=100.0))
    peers.connect(90.0)
    established, deleted = find(peers.mn, ChildEstablished), find(peers.mn, ChildDeleted)
    assert [round(e.at) for e in established] == [0, 85]
    assert deleted[0].pair == established[0].pair
    assert deleted[0].reason == "replaced"
    assert peers.reasons(peers.ha, ChildDeleted) == ["deleted by the peer"]


def test_a_child_that_is_not_replaced_expires_and_is_deleted():
    peers = Peers(replace(FAST, esp_lifetime=100.0, rekey_at=1.0))
    peers.connect(5.0)
    peers.mn.remove_psk(peer=HA)
    peers.ha.handle_timeout(105.0)
    assert peers.reasons(peers.ha, ChildDeleted) == ["expired"]
    peers.link.run(50.0)
    assert peers.reasons(peers.mn, ChildDeleted) == ["deleted by the peer"]


def test_phase_1_expires_and_the_next_rekeying_makes_another():
    peers = Peers(replace(FAST, ike_lifetime=100.0, esp_lifetime=200.0))
    peers.connect(190.0)
    assert {*peers.reasons(peers.mn, Phase1Deleted), *peers.reasons(peers.ha, Phase1Deleted)} == {
        "expired",
        "deleted by the peer",
    }
    assert len(find(peers.mn, Phase1Established)) == 2
    assert len(find(peers.ha, ChildEstablished)) == 2
    assert not find(peers.mn, Failed)


def test_the_responder_announces_its_shorter_lifetime():
    peers = Peers(FAST, replace(FAST, esp_lifetime=50.0))
    peers.connect(5.0)
    for machine in (peers.mn, peers.ha):
        assert find(machine, ChildEstablished)[0].pair.inbound.lifetime == 50.0


def test_a_responder_may_replace_what_the_initiator_has_made():
    peers = Peers()
    peers.connect(5.0)
    peers.ha.initiate(COA, SELECTORS.mirrored(), 5.0)
    peers.link.run(10.0)
    peers.mn.delete(HA, 10.0, SELECTORS)
    peers.ha.initiate(COA, SELECTORS.mirrored(), 10.0)
    assert len(find(peers.mn, ChildEstablished)) == 2
    assert not find(peers.mn, Failed)


def test_a_home_agent_that_has_lost_everything_is_met_again():
    peers = Peers(replace(FAST, esp_lifetime=600.0))
    peers.connect(5.0)
    peers.join(ha=Peers().ha)
    peers.link.run(595.0)
    assert peers.reasons(peers.mn, Failed) == ["quick mode: message 2 never came"]
    assert peers.reasons(peers.mn, Phase1Deleted) == ["the peer does not answer"]
    assert len(find(peers.mn, Phase1Established)) >= 2
    assert len(find(peers.mn, ChildEstablished)) >= 2


def test_a_mobile_node_that_has_moved_starts_from_its_new_address():
    peers = Peers()
    peers.connect(5.0)
    peers.mn.local = COA + 1
    peers.ha.add_psk(PSK, peer=COA + 1, home_address=HOA)
    peers.join(at=(str(COA + 1), 500))
    peers.connect(10.0)
    assert [e.peer for e in find(peers.ha, ChildEstablished)] == [COA, COA + 1]
    assert not find(peers.ha, Discarded)


def test_initial_contact_drops_what_the_peer_has_forgotten():
    peers = Peers()
    peers.connect(5.0)
    again = Peers()
    again.join(ha=peers.ha)
    again.rng.seed(77)
    again.connect(10.0)
    assert peers.reasons(peers.ha, ChildDeleted) == ["the peer has started afresh"]
    assert peers.reasons(peers.ha, Phase1Deleted) == ["the peer has started afresh"]
    assert len(find(peers.ha, ChildEstablished)) == 2


def test_half_open_negotiations_are_limited():
    config = replace(FAST, unanswered_limit=3)
    peers = Peers(config)
    for seed in range(5):
        one = Peers()
        one.rng.seed(seed)
        one.mn.initiate(HA, SELECTORS, 0.0)
        peers.ha.handle_message(one.mn.outbox.popleft()[0], (str(COA), 500), 0.0)
    assert len(peers.ha.outbox) == 5
    assert peers.reasons(peers.ha, Failed) == 2 * ["main mode: it gives way to newer negotiations"]
    peers.ha.handle_timeout(31.0)
    assert len(find(peers.ha, Failed)) == 5
    assert peers.ha.next_timeout() is None


def test_messages_from_another_address_are_not_taken():
    peers = Peers()
    peers.mn.initiate(HA, SELECTORS, 0.0)
    peers.ha.handle_message(peers.mn.outbox.popleft()[0], (str(COA), 500), 0.0)
    peers.mn.handle_message(peers.ha.outbox.popleft()[0], ("2001:db8::bad", 500), 0.1)
    assert not peers.mn.outbox
    assert "belong to no ISAKMP SA" in peers.reasons(peers.mn, Discarded)[0]


def test_many_peers_at_once():
    peers = Peers()
    for n in range(1, 20):
        coa = COA + n
        peers.ha.add_psk(b"%d" % n, peer=coa, home_address=HOA + n)
        one = Peers(psk=b"%d" % n)
        one.rng.seed(n)
        one.mn.local = coa
        one.mn.initiate(HA, Selectors(HOA + n, HA), 0.0)
        while one.mn.outbox or peers.ha.outbox:
            while one.mn.outbox:
                peers.ha.handle_message(one.mn.outbox.popleft()[0], (str(coa), 500), 0.0)
            while peers.ha.outbox:
                one.mn.handle_message(peers.ha.outbox.popleft()[0], (str(HA), 500), 0.0)
    established = find(peers.ha, ChildEstablished)
    assert [e.pair.inbound.source for e in established] == [HOA + n for n in range(1, 20)]
