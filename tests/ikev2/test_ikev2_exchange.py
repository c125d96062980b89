"""PSK exchanges between two ends: negotiation, refusals, losses, cookies, addresses."""

import pytest

from agents.core.machine import Timing
from agents.core.record import replace
from agents.ike.esp import Encryption, Integrity
from agents.ikev2 import (
    AddressAssigned,
    ChildDeleted,
    ChildEstablished,
    ChildRekeyed,
    Config,
    EspProposal,
    Failed,
    Grant,
    IkeDeleted,
    IkeEstablished,
    IkeProposal,
    IkeStarted,
    Selectors,
)
from agents.ikev2.constants import Encr
from tests.ike import COA, HA, HOA, PSK, find, names
from tests.ikev2.peers import ASSIGN, FAST, SELECTORS, Peers, assert_same_sas, assert_up, pairs

CBC = IkeProposal(Encr.AES_CBC, 128, 12, 5, 31)
BINDING_UPDATE, BINDING_ACK = 5, 6


@pytest.mark.parametrize("group", [14, 19, 31])
@pytest.mark.parametrize(
    "algorithms",
    [(20, 128, 0, 5), (20, 256, 0, 6), (12, 128, 12, 5), (12, 256, 13, 6), (12, 192, 14, 7)],
)
def test_algorithms_of_the_ike_sa(group, algorithms):
    peers = Peers(replace(FAST, proposals=(IkeProposal(*algorithms, group),)))
    peers.connect(5.0)
    assert len(peers.sent) == 4
    assert_up(peers)
    (event,) = find(peers.mn, IkeEstablished)
    assert len(event.sk_ei) == algorithms[1] // 8 + (4 if algorithms[0] == 20 else 0)
    assert len(event.sk_ai) == {0: 0, 12: 32, 13: 48, 14: 64}[algorithms[2]]


@pytest.mark.parametrize(
    ("proposal", "encryption", "integrity", "lengths"),
    [
        (EspProposal(20, 128), Encryption.AES_GCM_16, Integrity.NONE, (20, 0)),
        (EspProposal(20, 256), Encryption.AES_GCM_16, Integrity.NONE, (36, 0)),
        (EspProposal(12, 128, 12), Encryption.AES_CBC, Integrity.HMAC_SHA2_256_128, (16, 32)),
        (EspProposal(12, 256, 13), Encryption.AES_CBC, Integrity.HMAC_SHA2_384_192, (32, 48)),
        (EspProposal(12, 256, 14), Encryption.AES_CBC, Integrity.HMAC_SHA2_512_256, (32, 64)),
        (EspProposal(12, 128, 2), Encryption.AES_CBC, Integrity.HMAC_SHA1_96, (16, 20)),
    ],
)
def test_algorithms_of_esp(proposal, encryption, integrity, lengths):
    peers = Peers(replace(FAST, esp_proposals=(proposal,)))
    peers.connect(5.0)
    assert_up(peers)
    (pair,) = pairs(peers.mn)
    for sa in (pair.inbound, pair.outbound):
        assert (sa.encryption, sa.integrity) == (encryption, integrity)
        assert (len(sa.encryption_key), len(sa.integrity_key)) == lengths


def test_defaults_agree():
    peers = Peers(Config())
    peers.connect(5.0)
    assert_up(peers)
    assert find(peers.mn, IkeEstablished)[0].encryption.startswith("AES-GCM-128")


def test_order_of_events():
    peers = Peers()
    peers.connect(5.0)
    assert names(peers.mn) == ["IkeStarted", "IkeEstablished", "ChildEstablished"]
    assert names(peers.ha) == ["IkeStarted", "IkeEstablished", "ChildEstablished"]
    (established,) = find(peers.ha, IkeEstablished)
    assert (established.identity, established.method) == (str(COA), "psk")
    assert established.home_address == HOA


def test_secrets_do_not_show():
    peers = Peers()
    peers.connect(5.0)
    for machine in (peers.mn, peers.ha):
        shown = repr(list(machine.events))
        (up,) = find(machine, IkeEstablished)
        (pair,) = pairs(machine)
        for key in (up.sk_ei, up.sk_er, pair.inbound.encryption_key):
            assert repr(key)[2:-1] not in shown


@pytest.mark.parametrize("identity", ["mn@home.test", "mn.home.test", str(HOA)])
def test_the_key_is_found_by_identity(identity):
    peers = Peers(replace(FAST, identity=identity), FAST, identity=identity)
    peers.connect(5.0)
    assert_up(peers)
    assert find(peers.ha, IkeEstablished)[0].identity == identity


@pytest.mark.parametrize("lost", range(4))
def test_any_one_message_may_be_lost(lost):
    peers = Peers(drop={lost})
    peers.connect(20.0)
    assert len(peers.sent) > 4
    assert_up(peers)
    assert not find(peers.ha, Failed)


def test_every_message_may_come_twice():
    peers = Peers()
    mn, ha = peers.mn, peers.ha
    mn.initiate(HA, SELECTORS, 0.0)
    for _ in range(4):
        for machine, other, address in ((mn, ha, (str(COA), 500)), (ha, mn, (str(HA), 500))):
            batch = [machine.outbox.popleft()[0] for _ in range(len(machine.outbox))]
            for data in dict.fromkeys(batch):
                other.handle_message(data, address, 0.1)
                other.handle_message(data, address, 0.1)
    assert_up(peers)


def test_the_old_ike_sa_init_is_not_answered_again_later():
    peers = Peers()
    peers.connect(5.0)
    peers.ha.handle_message(peers.sent[0], (str(COA), 500), 5.0)
    # It counts as a new first message, for which a new half-open SA is made.
    assert len(find(peers.ha, IkeStarted)) == 2
    peers.link.run(150.0)
    assert "taken too long" in peers.reasons(peers.ha, Failed)[0]
    assert_same_sas(peers)


def test_another_psk():
    peers = Peers(ha_psk=b"another")
    peers.connect()
    (reason,) = peers.reasons(peers.ha, Failed)
    assert reason == "IKE_AUTH: AUTH is wrong; the pre-shared keys probably differ"
    (failed,) = find(peers.mn, Failed)
    assert failed.reason == "IKE_AUTH: the peer says AUTHENTICATION_FAILED"
    assert failed.selectors == SELECTORS
    assert failed.at < 1.0
    assert not find(peers.ha, IkeEstablished)


def test_a_responder_that_cannot_prove_itself():
    """It takes any AUTH, but its own is made with another key; it learns that the SA is void."""
    peers = Peers()
    peers.mn.remove_psk(peer=HA)
    peers.mn.add_psk(b"another", peer=HA)
    entry = peers.ha.sas.psks.by_address(COA)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("agents.ikev2.ike_auth_responder.check_psk", lambda *_: None)
        peers.connect(5.0)
    assert entry is not None
    assert "AUTH is wrong" in peers.reasons(peers.mn, Failed)[0]
    assert peers.reasons(peers.ha, IkeDeleted) == ["the peer says AUTHENTICATION_FAILED"]
    assert_same_sas(peers, 0)


def test_a_peer_without_a_psk():
    peers = Peers()
    peers.ha.remove_psk(peer=COA)
    peers.connect(5.0)
    assert "no pre-shared key for" in peers.reasons(peers.ha, Failed)[0]
    assert "AUTHENTICATION_FAILED" in peers.reasons(peers.mn, Failed)[0]


def test_no_way_to_authenticate():
    peers = Peers()
    peers.mn.remove_psk(peer=HA)
    peers.connect(5.0)
    assert "no pre-shared key" in peers.reasons(peers.mn, Failed)[0]
    assert not peers.sent


def test_an_identity_of_somebody_else_is_refused():
    peers = Peers(replace(FAST, identity="2001:db8::bad"), FAST)
    peers.connect(5.0)
    assert "no pre-shared key for 2001:db8::bad" in peers.reasons(peers.ha, Failed)[0]


def test_the_holder_of_a_key_is_whom_the_key_stands_for():
    """A peer known by its address gains nothing by calling itself another's name."""
    asked = []
    peers = Peers(
        replace(FAST, identity="victim@home.test"),
        FAST,
        home_address=None,
        allocate=lambda who, _: asked.append(who),
    )
    peers.connect(5.0, ASSIGN)
    assert asked == [str(COA)]
    assert find(peers.ha, IkeEstablished)[0].identity == str(COA)


def test_a_refused_ike_proposal():
    peers = Peers(FAST, replace(FAST, proposals=(CBC,)))
    peers.connect()
    assert "none of the peer's IKE SA proposals" in peers.reasons(peers.ha, Failed)[0]
    (failed,) = find(peers.mn, Failed)
    assert failed.reason == "IKE_SA_INIT: the peer says NO_PROPOSAL_CHOSEN (unauthenticated)"
    assert 2.0 < failed.at < 5.0  # Only when it is said again and again: anybody may say it.
    assert peers.mn.next_timeout() is None or peers.mn.next_timeout() > 30


def test_a_forged_refusal_does_no_harm():
    refusing = Peers(FAST, replace(FAST, proposals=(CBC,)))
    peers = Peers()
    peers.mn.initiate(HA, SELECTORS, 0.0)
    first = peers.mn.outbox[0][0]
    refusing.ha.handle_message(first, (str(COA), 500), 0.0)
    peers.mn.handle_message(refusing.ha.outbox.popleft()[0], (str(HA), 500), 0.0)
    peers.link.run(5.0)
    assert_up(peers)


def test_a_refused_esp_proposal_leaves_the_ike_sa():
    ours = replace(FAST, esp_proposals=(EspProposal(20, 256),))
    peers = Peers(ours, FAST)
    peers.connect(5.0)
    assert "none of the peer's ESP proposals" in peers.reasons(peers.ha, Failed)[0]
    (failed,) = find(peers.mn, Failed)
    assert failed.reason == "CHILD SA: the peer says NO_PROPOSAL_CHOSEN"
    assert failed.selectors == SELECTORS
    assert len(find(peers.mn, IkeEstablished)) == 1


@pytest.mark.parametrize(
    "wanted",
    [
        Selectors(HOA + 1, HA),
        Selectors(HOA, HA + 1),
        Selectors(HOA, HA, 17),
        Selectors(COA, HA),
        Selectors(HA, HOA),
    ],
)
def test_selectors_that_the_peer_may_not_have(wanted):
    peers = Peers()
    peers.connect(5.0, wanted)
    (reason,) = peers.reasons(peers.ha, Failed)
    assert f"whose home address is {HOA}" in reason
    assert peers.reasons(peers.mn, Failed) == ["CHILD SA: the peer says TS_UNACCEPTABLE"]
    assert not find(peers.ha, ChildEstablished)


# RFC 4877 section 7.2.1: Binding Updates one way, Acknowledgements the other; RFC 4301 section
# 4.4.1.1 has examples with one type for both ways.
@pytest.mark.parametrize(
    "messages",
    [(BINDING_UPDATE, BINDING_ACK), (BINDING_UPDATE, BINDING_UPDATE), (None, BINDING_ACK)],
)
def test_selectors_of_one_kind_of_message(messages):
    peers = Peers()
    peers.connect(5.0, Selectors(HOA, HA, 135, *messages))
    assert_up(peers)
    for step in range(2):
        (pair,) = pairs(peers.mn)
        assert (pair.outbound.message, pair.inbound.message) == messages
        (mirrored,) = pairs(peers.ha)
        assert (mirrored.inbound.message, mirrored.outbound.message) == messages
        if step == 0:
            peers.mn.rekey_children(HA, 6.0)
            peers.link.run(8.0)
            peers.ha.rekey_children(COA, 9.0)
            peers.link.run(12.0)
    assert len(find(peers.ha, ChildRekeyed)) == len(find(peers.mn, ChildRekeyed)) == 2


def test_messages_of_one_kind_beside_all():
    peers = Peers()
    peers.connect(5.0)
    peers.connect(10.0, Selectors(HOA, HA, 135, BINDING_UPDATE, BINDING_ACK))
    assert [pair.outbound.message for pair in pairs(peers.mn)] == [None, BINDING_UPDATE]
    assert not find(peers.ha, Failed)


def test_a_peer_without_a_home_address_gets_nothing():
    peers = Peers(home_address=None)
    peers.connect(5.0)
    assert "whose home address is not known" in peers.reasons(peers.ha, Failed)[0]
    peers.connect(10.0, ASSIGN)
    assert "no home address to assign" in peers.reasons(peers.ha, Failed)[1]
    assert "INTERNAL_ADDRESS_FAILURE" in peers.reasons(peers.mn, Failed)[1]


def test_the_home_address_is_assigned():
    asked = []

    def allocate(identity, wanted):
        asked.append((identity, wanted))
        return Grant(HOA, 64, 3600)

    peers = Peers(
        replace(FAST, identity="mn@home.test"),
        FAST,
        identity="mn@home.test",
        home_address=None,
        allocate=allocate,
    )
    peers.connect(5.0, ASSIGN)
    assert_up(peers)
    assert asked == [("mn@home.test", None)]
    (assigned,) = find(peers.mn, AddressAssigned)
    assert assigned.home_address == HOA
    assert str(assigned.prefix) == "2001:db8:100::/64"
    assert assigned.prefix_lifetime == 3600
    assert names(peers.mn) == [
        "IkeStarted",
        "IkeEstablished",
        "AddressAssigned",
        "ChildEstablished",
    ]


def test_an_invalid_ke_costs_one_round_trip():
    ours = replace(FAST, proposals=(IkeProposal(group=31), IkeProposal(group=19)))
    peers = Peers(ours, replace(FAST, proposals=(IkeProposal(group=19),)))
    peers.connect(5.0)
    assert len(peers.sent) == 6
    assert_up(peers)


def test_an_invalid_ke_for_a_group_that_was_not_offered_is_a_refusal():
    def forge(data):
        if data[18] == 34 and data[19] & 0x20:  # Any answer becomes: group 14 please.
            body = bytes.fromhex("0000000a00000011") + (14).to_bytes(2)
            return data[:8] + bytes(8) + b"\x29" + data[17:24] + (38).to_bytes(4) + body
        return data

    peers = Peers(tamper=forge)
    peers.connect()
    assert "INVALID_KE_PAYLOAD (unauthenticated)" in peers.reasons(peers.mn, Failed)[0]


@pytest.mark.parametrize("lost", range(6))
def test_cookies(lost):
    config = replace(FAST, cookie_threshold=0)
    peers = Peers(config, drop={lost})
    peers.connect(20.0)
    assert_up(peers)


def test_cookies_are_demanded_above_the_threshold_and_cost_no_state():
    config = replace(FAST, cookie_threshold=3)
    peers = Peers(config)
    for number in range(10):
        other = Peers(config)
        other.rng.seed(number)
        other.mn.initiate(HA, SELECTORS, 0.0)
        source = str(COA + 1 + number), 500
        peers.ha.handle_message(other.mn.outbox.popleft()[0], source, 0.0)
    answers = [data for data, _ in peers.ha.outbox]
    assert len(find(peers.ha, IkeStarted)) == 3
    assert [len(a) for a in answers[3:]] == [28 + 8 + 33] * 7
    peers.ha.outbox.clear()
    peers.connect(10.0)
    assert len(find(peers.mn, ChildEstablished)) == 1


def test_a_cookie_of_another_address_is_not_taken():
    peers = Peers(replace(FAST, cookie_threshold=0))
    peers.mn.initiate(HA, SELECTORS, 0.0)
    peers.ha.handle_message(peers.mn.outbox.popleft()[0], (str(COA), 500), 0.0)
    peers.mn.handle_message(peers.ha.outbox.popleft()[0], (str(HA), 500), 0.0)
    again = peers.mn.outbox.popleft()[0]
    peers.ha.handle_message(again, (str(COA + 1), 500), 0.0)
    assert not find(peers.ha, IkeStarted)
    peers.ha.handle_message(again, (str(COA), 500), 200.0)  # Too old.
    assert not find(peers.ha, IkeStarted)


def test_the_number_of_half_open_sas_is_limited():
    peers = Peers(replace(FAST, half_open_limit=1))
    peers.mn.initiate(HA, SELECTORS, 0.0)
    first = peers.mn.outbox.popleft()[0]
    peers.ha.handle_message(first, (str(COA), 500), 0.0)
    peers.ha.handle_message(first, (str(COA + 1), 500), 0.0)
    assert peers.reasons(peers.ha, Failed) == ["IKE_AUTH: it gives way to newer negotiations"]
    assert len(peers.ha.sas.table) == len(peers.ha.sas.half_open) == 1


def test_nobody_answers():
    peers = Peers(tamper=lambda _: None)
    peers.connect()
    (failed,) = find(peers.mn, Failed)
    assert failed.reason == "IKE_SA_INIT: the peer does not answer"
    assert failed.at < 30
    assert len(peers.sent) == 5


def test_ike_auth_is_never_answered():
    peers = Peers(tamper=lambda data: None if data[18:20] == b"\x23\x20" else data)
    peers.connect(150.0)
    (failed,) = find(peers.mn, Failed)
    assert failed.reason == "IKE_AUTH: the peer does not answer"
    assert failed.at == pytest.approx(120.0)
    requests = [data for data in peers.sent if data[18:20] == b"\x23\x08"]
    assert len(requests) >= 12


def test_a_negotiation_ends_by_its_deadline_however_many_retransmissions():
    config = replace(FAST, timing=Timing(initial=1.0, maximum=2.0), negotiation_timeout=10.0)
    peers = Peers(config, tamper=lambda _: None)
    peers.connect()
    assert find(peers.mn, Failed)[0].at == pytest.approx(10.0)


def test_a_second_child_uses_the_ike_sa_that_is_up():
    peers = Peers()
    peers.connect(5.0)
    peers.connect(10.0)
    assert len(peers.sent) == 6
    assert_same_sas(peers, 2)


def test_two_requests_before_the_ike_sa_is_up_share_it():
    peers = Peers()
    peers.mn.initiate(HA, SELECTORS, 0.0)
    peers.connect(5.0)
    assert len(find(peers.mn, IkeEstablished)) == 1
    assert_same_sas(peers, 2)


def test_both_call_each_other_at_once():
    peers = Peers()
    peers.mn.add_psk(PSK, peer=HA, home_address=HA)
    peers.ha.initiate(COA, SELECTORS.mirrored(), 0.0)
    peers.connect(5.0)
    assert len(find(peers.mn, IkeEstablished)) == 2
    up = find(peers.mn, ChildEstablished)
    assert len(up) >= 1


def test_a_peer_that_has_started_afresh_replaces_its_sas():
    peers = Peers()
    peers.connect(5.0)
    again = Peers()
    again.join(ha=peers.ha)
    again.rng.seed(9)
    again.connect(5.0)
    assert peers.reasons(peers.ha, IkeDeleted) == ["the peer has started afresh"]
    assert peers.reasons(peers.ha, ChildDeleted) == ["the peer has started afresh"]
    assert_same_sas(again)


def test_a_new_care_of_address_needs_a_new_ike_sa():
    peers = Peers()
    peers.connect(5.0)
    peers.mn.local = COA + 1
    peers.mn.initiate(HA, SELECTORS, 5.0)
    data, _ = peers.mn.outbox.popleft()
    assert data[18] == 34


def test_delete_reaches_the_peer():
    peers = Peers()
    peers.connect(5.0)
    peers.mn.delete(HA, 5.0)
    peers.link.run(6.0)
    for machine, reason in ((peers.mn, "deleted"), (peers.ha, "deleted by the peer")):
        assert peers.reasons(machine, ChildDeleted) == [reason]
        assert peers.reasons(machine, IkeDeleted) == [reason]
    (mine,), (theirs,) = find(peers.mn, ChildDeleted), find(peers.ha, ChildDeleted)
    assert mine.spis == tuple(reversed(theirs.spis))
    peers.link.run(100.0)
    assert peers.mn.next_timeout() is None
    assert not peers.mn.sas.table
    assert not peers.ha.sas.table


@pytest.mark.parametrize("lost", [4, 5])
def test_delete_survives_a_loss(lost):
    peers = Peers(drop={lost})
    peers.connect(5.0)
    peers.ha.delete(COA, 5.0)
    peers.link.run(10.0)
    assert_same_sas(peers, 0)
    assert len(find(peers.mn, IkeDeleted)) == len(find(peers.ha, IkeDeleted)) == 1


def test_both_delete_at_once():
    peers = Peers()
    peers.connect(5.0)
    peers.mn.delete(HA, 5.0)
    peers.ha.delete(COA, 5.0)
    peers.link.run(50.0)
    assert_same_sas(peers, 0)
    assert len(find(peers.mn, IkeDeleted)) == len(find(peers.ha, IkeDeleted)) == 1


def test_delete_of_one_child_keeps_the_ike_sa():
    peers = Peers()
    peers.connect(5.0)
    peers.ha.delete(COA, 5.0, SELECTORS.mirrored())
    peers.link.run(10.0)
    assert peers.reasons(peers.mn, ChildDeleted) == ["deleted by the peer"]
    assert not find(peers.mn, IkeDeleted)
    peers.connect(15.0)
    assert_same_sas(peers)


def test_both_delete_one_child_at_once():
    peers = Peers()
    peers.connect(5.0)
    peers.ha.delete(COA, 5.0, SELECTORS.mirrored())
    peers.mn.delete(HA, 5.0, SELECTORS)
    peers.link.run(10.0)
    assert_same_sas(peers, 0)
    assert not find(peers.mn, IkeDeleted)


def test_delete_ends_negotiations():
    peers = Peers(tamper=lambda _: None)
    peers.connect(3.0)
    peers.mn.delete(HA, 3.0)
    assert peers.reasons(peers.mn, Failed) == ["deleted"]


def test_a_dead_peer_is_found():
    lost = False
    config = replace(FAST, liveness_interval=10.0)
    peers = Peers(config, FAST, tamper=lambda data: None if lost else data)
    peers.connect(35.0)
    assert len(peers.sent) == 4 + 6  # Every ten seconds a question and its answer.
    lost, before = True, len(peers.sent)
    peers.link.run(400.0)
    assert len(peers.sent) == before + 12
    assert find(peers.mn, IkeDeleted)[0].at > 180.0  # RFC 7296 section 2.4: several minutes.
    assert peers.reasons(peers.mn, IkeDeleted) == ["the peer does not answer"]
    assert peers.reasons(peers.mn, ChildDeleted) == ["the peer does not answer"]


def test_a_flood_of_requests_for_children_is_limited():
    peers = Peers(replace(FAST, children_limit=3))
    for second in range(5):
        peers.connect(2.0 * second + 2)
    assert len(pairs(peers.ha)) == 3
    assert "NO_ADDITIONAL_SAS" in peers.reasons(peers.mn, Failed)[0]


def test_the_sas_of_an_identity_are_deleted():
    peers = Peers(replace(FAST, identity="mn@home.test"), FAST, identity="mn@home.test")
    peers.connect(5.0)
    assert_up(peers)
    peers.ha.delete_identity("another@home.test", peers.link.now)
    assert_up(peers)
    peers.ha.delete_identity("mn@home.test", peers.link.now)
    peers.link.run(10.0)
    assert_same_sas(peers, 0)
    assert len(find(peers.ha, IkeDeleted)) == len(find(peers.mn, IkeDeleted)) == 1


def test_the_sas_of_an_identity_that_cannot_be_reached_any_more_end():
    peers = Peers(
        replace(FAST, identity="mn@home.test"), FAST, identity="mn@home.test", drop=range(4, 99)
    )
    peers.connect(5.0)
    peers.ha.delete_identity("mn@home.test", peers.link.now)
    peers.link.run(60.0)
    assert len(find(peers.ha, ChildDeleted)) == len(find(peers.ha, IkeDeleted)) == 1
