"""CREATE_CHILD_SA: rekeying of both kinds of SA, by either side, at once, with losses."""

import random

import pytest

from agents.core.record import replace
from agents.ikev2 import (
    ChildDeleted,
    ChildEstablished,
    ChildRekeyed,
    Failed,
    IkeDeleted,
    IkeEstablished,
    child,
    errors,
)
from agents.ikev2.constants import ExchangeType, PayloadType
from agents.ikev2.ike_sa_manager import Timer
from agents.ikev2.wire import Header, Payload
from tests.ike import COA, ENDS, HA, find, names
from tests.ikev2.peers import FAST, SELECTORS, Peers, assert_same_sas, pairs

SIDES = ("mn", "ha")


def live(machine) -> list[tuple[bytes, bytes]]:
    """The SPIs of the IKE SAs that are up by the events."""
    gone = {(e.spi_i, e.spi_r) for e in find(machine, IkeDeleted)}
    up = [(e.spi_i, e.spi_r) for e in find(machine, IkeEstablished)]
    return [spis for spis in up if spis not in gone]


def assert_settled(peers: Peers) -> None:
    """One IKE SA, one pair of ESP SAs, alike on both ends; nothing failed on the way."""
    assert_same_sas(peers)
    assert live(peers.mn) == live(peers.ha)
    assert len(live(peers.mn)) == 1
    assert not find(peers.mn, Failed)
    assert not find(peers.ha, Failed)


@pytest.mark.parametrize("pfs", [None, 14, 19, 31])
@pytest.mark.parametrize("by_ha", [False, True])
def test_a_child_is_replaced(pfs, by_ha):
    peers = Peers(replace(FAST, pfs=pfs))
    peers.connect(1.0)
    (old,) = pairs(peers.mn)
    machine, other = (peers.ha, COA) if by_ha else (peers.mn, HA)
    assert machine.rekey_children(other, 1.0) == 1
    peers.link.run(2.0)
    assert_settled(peers)
    (new,) = pairs(peers.mn)
    assert new.inbound.spi != old.inbound.spi
    assert new.inbound.encryption_key != old.inbound.encryption_key
    assert [(e.old, e.pair) for e in find(peers.mn, ChildRekeyed)] == [(old, new)]
    assert len(peers.sent) == 8


@pytest.mark.parametrize("by_ha", [False, True])
@pytest.mark.parametrize("group", [14, 19, 31])
def test_an_ike_sa_is_replaced(group, by_ha):
    proposal = replace(FAST.proposals[0], group=group)
    peers = Peers(replace(FAST, proposals=(proposal,)))
    peers.connect(1.0)
    (old,) = live(peers.mn)
    machine, other = (peers.ha, COA) if by_ha else (peers.mn, HA)
    assert machine.rekey_ike(other, 1.0)
    peers.link.run(2.0)
    assert_settled(peers)
    first, second = find(peers.mn, IkeEstablished)
    assert (second.replaces, second.identity) == (old, first.identity)
    assert second.sk_ei != first.sk_ei
    # The new IKE SA carries on in both directions.
    peers.mn.rekey_children(HA, 2.0)
    peers.link.run(3.0)
    peers.ha.rekey_children(COA, 3.0)
    peers.link.run(4.0)
    peers.ha.rekey_ike(COA, 4.0)
    peers.link.run(5.0)
    peers.mn.rekey_ike(HA, 5.0)
    peers.link.run(6.0)
    assert_settled(peers)


@pytest.mark.parametrize("lost", range(4, 8))
@pytest.mark.parametrize("what", ["rekey_children", "rekey_ike"])
def test_any_one_message_of_a_rekeying_may_be_lost(what, lost):
    peers = Peers(drop={lost})
    peers.connect(1.0)
    getattr(peers.mn, what)(HA, 1.0)
    peers.link.run(20.0)
    assert_settled(peers)


def test_new_sas_are_there_before_the_answer_leaves_and_the_old_ones_until_the_end():
    peers = Peers()
    peers.connect(1.0)
    before = len(peers.ha.events)
    peers.mn.rekey_children(HA, 1.0)
    peers.ha.handle_message(peers.mn.outbox.popleft()[0], (str(COA), 500), 1.0)
    assert names(peers.ha)[before:] == ["ChildEstablished", "ChildRekeyed"]
    assert len(peers.ha.outbox) == 1
    assert len(pairs(peers.ha)) == 2
    before = len(peers.mn.events)
    peers.mn.handle_message(peers.ha.outbox.popleft()[0], (str(HA), 500), 1.0)
    assert names(peers.mn)[before:] == ["ChildEstablished", "ChildRekeyed"]


def test_a_new_ike_sa_that_is_heard_of_late():
    """As long as the peer asks for the answer the old one is not deleted."""
    peers = Peers(drop={5, 7, 9, 11, 13, 15})
    peers.connect(1.0)
    peers.mn.rekey_ike(HA, 1.0)
    peers.link.run(200.0)
    assert_settled(peers)
    assert find(peers.mn, IkeEstablished)[1].at > 31.0


@pytest.mark.parametrize("lost", [None, 4, 5, 6, 7, 8, 9])
@pytest.mark.parametrize("seed", range(4))
def test_both_replace_the_child_at_once(seed, lost):
    peers = Peers(drop=() if lost is None else {lost})
    peers.connect(1.0)
    peers.rng.seed(seed)
    peers.mn.rekey_children(HA, 1.0)
    peers.ha.rekey_children(COA, 1.0)
    peers.link.run(30.0)
    assert_settled(peers)


@pytest.mark.parametrize("seed", range(4))
def test_both_replace_the_ike_sa_at_once(seed):
    peers = Peers()
    peers.connect(1.0)
    peers.rng.seed(seed)
    peers.mn.rekey_ike(HA, 1.0)
    peers.ha.rekey_ike(COA, 1.0)
    peers.link.run(40.0)
    assert_settled(peers)
    assert len(find(peers.mn, IkeEstablished)) == 3  # One was in vain.
    peers.mn.rekey_children(HA, 40.0)
    peers.ha.rekey_children(COA, 40.0)
    peers.link.run(60.0)
    assert_settled(peers)


@pytest.mark.parametrize("lost", range(4, 10))
@pytest.mark.parametrize("seed", range(2))
def test_both_replace_the_ike_sa_at_once_and_a_message_is_lost(seed, lost):
    peers = Peers(drop={lost})
    peers.connect(1.0)
    peers.rng.seed(seed)
    peers.mn.rekey_ike(HA, 1.0)
    peers.ha.rekey_ike(COA, 1.0)
    peers.link.run(400.0)
    assert_settled(peers)


def play(commands, *, seed=0, **link) -> Peers:
    """Have either side rekey (C: the CHILD SA, I: the IKE SA) at 6 s and later; run to the end."""
    peers = Peers(**link)
    peers.rng.seed(seed)
    peers.ha_rng.seed(seed + 999)
    peers.connect(6.0)
    for at, side, what in sorted(commands):
        peers.link.run(at)
        peers.link.now = max(peers.link.now, at)
        machine, other = (peers.mn, HA) if side == "mn" else (peers.ha, COA)
        (machine.rekey_children if what == "C" else machine.rekey_ike)(other, at)
        peers.link._collect()
    peers.link.run(400.0)
    return peers


@pytest.mark.parametrize(
    ("commands", "link"),
    [
        pytest.param(
            [(6.0, "mn", "I"), (6.1, "mn", "C"), (6.3, "mn", "C")],
            {"delay": 0.2},
            id="queued twice behind another request",
        ),
        pytest.param(
            [(6.0, "ha", "C"), (7.0, "mn", "C")],
            {"drop": {5, 8}},
            id="noticed by one side only",
        ),
        pytest.param(
            [(6.0, "mn", "C"), (7.0, "ha", "C")],
            {"delay": 0.2, "drop": {5, 6, 8}},
            id="a pair that the peer has not heard of yet",
        ),
    ],
)
def test_a_child_is_replaced_once_whoever_begins(commands, link):
    assert_settled(play(commands, **link))


@pytest.mark.parametrize(
    ("seed", "commands", "link"),
    [
        pytest.param(
            1878,
            [(6.0, "mn", "C"), (6.05, "mn", "I"), (6.3, "ha", "I")],
            {"drop": {5, 7, 12}},
            id="used before the other side knows that it takes over",
        ),
        pytest.param(
            4126,
            [(6.0, "ha", "C"), (6.05, "ha", "I"), (6.3, "mn", "I")],
            {"delay": 0.1, "drop": {6}},
            id="something is left to do on it",
        ),
    ],
)
def test_both_replace_the_ike_sa_and_the_one_that_is_left_has_the_child(seed, commands, link):
    assert_settled(play(commands, seed=seed, **link))


def test_whatever_both_replace_at_once_and_whatever_is_lost():
    """Three commands of either side collide; no more datagrams are lost than are sent again."""
    for seed in range(150):
        rng = random.Random(seed)
        commands = [
            (6.0 + rng.choice((0.0, 0.05, 0.1, 0.3, 0.5, 1.0)), rng.choice(SIDES), rng.choice("CI"))
            for _ in range(3)
        ]
        link = {"delay": rng.choice((0.01, 0.1, 0.2, 0.6)), "drop": rng.sample(range(4, 24), 4)}
        try:
            assert_settled(play(commands, seed=seed, **link))
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {commands}, {link}") from error


def test_one_replaces_the_ike_sa_and_the_other_the_child_at_once():
    peers = Peers()
    peers.connect(1.0)
    peers.mn.rekey_ike(HA, 1.0)
    peers.ha.rekey_children(COA, 1.0)
    peers.link.run(20.0)
    assert_settled(peers)
    assert len(find(peers.mn, ChildRekeyed)) == 1
    assert len(find(peers.mn, IkeEstablished)) == 2


def test_one_replaces_the_ike_sa_and_the_other_deletes_it():
    peers = Peers()
    peers.connect(1.0)
    peers.mn.rekey_ike(HA, 1.0)
    peers.ha.delete(COA, 1.0)
    peers.link.run(60.0)
    assert_same_sas(peers, 0)
    assert live(peers.mn) == live(peers.ha) == []


def test_one_replaces_the_child_and_the_other_deletes_it():
    peers = Peers()
    peers.connect(1.0)
    peers.mn.rekey_children(HA, 1.0)
    peers.ha.delete(COA, 1.0, SELECTORS.mirrored())
    peers.link.run(60.0)
    assert len(pairs(peers.mn)) == len(pairs(peers.ha))
    assert not find(peers.mn, Failed)


def test_a_child_that_the_peer_has_lost_is_made_anew():
    peers = Peers()
    peers.connect(1.0)
    host = peers.ha.sas
    (child,) = host.children.values()
    host.remove_child(child, "lost", 1.0)
    peers.mn.rekey_children(HA, 1.0)
    peers.link.run(5.0)
    assert peers.reasons(peers.mn, ChildDeleted) == ["the peer does not have it"]
    assert_settled(peers)


def test_a_child_is_replaced_before_it_expires():
    peers = Peers(replace(FAST, esp_lifetime=100.0))
    peers.connect(90.0)
    first, second = (e.at for e in find(peers.mn, ChildEstablished))
    assert first == pytest.approx(0.04)
    assert 0.97 * 85.0 < second - 0.06 < 85.0
    assert peers.reasons(peers.mn, ChildDeleted) == ["replaced"]
    assert peers.reasons(peers.ha, ChildDeleted) == ["deleted by the peer"]
    assert_settled(peers)


def test_an_ike_sa_is_replaced_before_it_expires():
    peers = Peers(replace(FAST, ike_lifetime=100.0))
    peers.connect(300.0)
    assert len(find(peers.mn, IkeEstablished)) == 4
    assert_settled(peers)


@pytest.mark.parametrize("what", ["ike_lifetime", "esp_lifetime"])
def test_the_side_with_the_shorter_lifetime_replaces_an_sa(what):
    """RFC 7296 section 2.8: lifetimes are not negotiated, each side sees to its own."""
    peers = Peers(FAST, replace(FAST, **{what: 100.0}))
    peers.connect(450.0)
    assert_settled(peers)
    kind = IkeEstablished if what == "ike_lifetime" else ChildEstablished
    assert len(find(peers.ha, kind)) in (5, 6)


def test_a_child_expires_if_nobody_replaces_it():
    peers = Peers(replace(FAST, esp_lifetime=100.0, rekey_at=1.0))
    peers.connect(1.0)
    for machine in (peers.mn, peers.ha):
        (pair,) = pairs(machine)
        machine.sas.timers.cancel((Timer.CHILD_REKEY, b"", pair.inbound.spi))
    peers.link.run(120.0)
    assert_same_sas(peers, 0)


def test_groups_that_differ_leave_the_old_child():
    """The responder insists on a group that is not offered."""
    peers = Peers(FAST, replace(FAST, pfs=19))
    peers.connect(1.0)
    peers.mn.rekey_children(HA, 1.0)
    peers.link.run(2.0)
    assert "NO_PROPOSAL_CHOSEN" in peers.reasons(peers.mn, Failed)[0]
    assert_same_sas(peers)


@pytest.mark.parametrize("pfs", [None, 31])
def test_a_group_that_was_not_offered_is_not_followed(pfs, monkeypatch):
    peers = Peers(replace(FAST, pfs=pfs), FAST)
    peers.connect(1.0)

    def insist(*_):
        raise errors.WrongGroupError(14)

    monkeypatch.setattr(child, "choose", insist)
    peers.mn.rekey_children(HA, 1.0)
    peers.link.run(5.0)
    assert peers.reasons(peers.mn, Failed) == ["CHILD SA: the peer says INVALID_KE_PAYLOAD"]
    assert len(peers.sent) == 6
    assert_same_sas(peers)


def test_as_many_children_as_there_may_be_can_be_replaced():
    peers = Peers(replace(FAST, children_limit=2))
    peers.connect(1.0)
    peers.connect(2.0)
    peers.mn.rekey_children(HA, 2.0)
    peers.link.run(5.0)
    assert_same_sas(peers, 2)
    assert not find(peers.mn, Failed)


def test_a_malformed_request_ends_the_ike_sa_on_both_sides(monkeypatch):
    """RFC 7296 section 2.21.3: INVALID_SYNTAX needs no Delete."""
    peers = Peers()
    peers.connect(1.0)
    well = child.offer_payloads

    def twice(*arguments):
        offer, selectors = well(*arguments)
        return offer + offer, selectors

    monkeypatch.setattr(child, "offer_payloads", twice)
    peers.mn.rekey_children(HA, 1.0)
    peers.link.run(5.0)
    assert peers.reasons(peers.mn, IkeDeleted) == ["the peer says INVALID_SYNTAX"]
    assert not live(peers.ha)
    assert_same_sas(peers, 0)
    assert not peers.mn.sas.esp_spis


@pytest.mark.parametrize("what", ["rekey_children", "rekey_ike"])
def test_an_unreadable_response_is_a_failure(what):
    peers = Peers()
    peers.connect(1.0)
    getattr(peers.mn, what)(HA, 1.0)
    (theirs,) = peers.ha.sas.table.values()
    header = Header(*theirs.spis, ExchangeType.CREATE_CHILD_SA, 2, initiator=False, response=True)
    broken = theirs.keymat.sealer.seal(header, [Payload(PayloadType.NOTIFY, b"")])
    peers.mn.handle_message(broken, ENDS[1], 1.0)
    assert len(find(peers.mn, Failed)) == 1
    assert len(peers.mn.sas.esp_spis) == 1


def test_a_failed_negotiation_gives_its_spi_back():
    peers = Peers(ha_psk=b"another")
    peers.connect(5.0)
    assert find(peers.mn, Failed)
    assert not peers.mn.sas.esp_spis
