"""The end of an authorisation: nothing of an identity is left, and nothing new can be made."""

import random

import pytest

from agents.core.machine import Discarded
from agents.core.record import replace
from agents.ikev2 import ChildEstablished, Failed, IkeDeleted, IkeEstablished, Ikev2
from tests.ike import COA, ENDS, HA, HOA, PSK, find, settle
from tests.ikev2.peers import FAST, SELECTORS, pairs
from tests.ikev2.people import HA_NAME, MN_NAME, Aaa, between, eap_peer

OTHER = "other@home.test"


def world(config=FAST) -> tuple[Ikev2, Ikev2, Ikev2]:
    """A home agent, the node whose authorisation will end, and another one at COA + 1."""
    ha = Ikev2(rng=random.Random(2), local=HA, config=config)
    nodes = []
    for number, (key, name) in enumerate(((PSK, MN_NAME), (b"other", OTHER))):
        ha.add_psk(key, identity=name, home_address=HOA + number)
        own = replace(config, identity=name)
        mn = Ikev2(rng=random.Random(number + 5), local=COA + number, config=own)
        mn.add_psk(key, peer=HA)
        mn.initiate(HA, SELECTORS._replace(local=HOA + number), 0.0)
        nodes.append(mn)
    return ha, *nodes


def end(ha: Ikev2, now: float = 1.0) -> None:
    ha.remove_psk(identity=MN_NAME)
    ha.delete_identity(MN_NAME, now)


def home_addresses(ha: Ikev2) -> list:
    """Return whose SAs the home agent's owner has in the kernel."""
    return [p.inbound.source for p in pairs(ha)]


def up(machine: Ikev2) -> int:
    return len(find(machine, IkeEstablished)) - len(find(machine, IkeDeleted))


def test_the_esp_sas_of_an_identity_end_at_once_and_the_peer_is_told():
    ha, mn, other = world()
    settle(ha, {COA: mn, COA + 1: other}, 0.0)
    end(ha)
    assert home_addresses(ha) == [HOA + 1]
    settle(ha, {COA: mn, COA + 1: other}, 1.0)
    assert (up(ha), up(mn), up(other)) == (1, 0, 1)
    assert not pairs(mn)


def test_a_peer_that_does_not_answer_keeps_nothing_and_makes_nothing():
    ha, mn, other = world()
    settle(ha, {COA: mn, COA + 1: other}, 0.0)
    end(ha)
    ha.outbox.clear()
    for ask in (
        lambda: mn.rekey_children(HA, 1.0),
        lambda: mn.rekey_ike(HA, 1.0),
        lambda: mn.initiate(HA, SELECTORS, 1.0),
    ):
        ask()
        for _ in range(len(mn.outbox)):
            ha.handle_message(mn.outbox.popleft()[0], ENDS[0], 1.0)
        for _ in range(len(ha.outbox)):
            mn.handle_message(ha.outbox.popleft()[0], ENDS[1], 1.0)
    assert home_addresses(ha) == [HOA + 1]
    for second in range(2, 40):
        ha.handle_timeout(float(second))
    assert up(ha) == 1
    assert len(find(ha, IkeEstablished)) == 2


@pytest.mark.parametrize("what", ["rekey_children", "rekey_ike", "initiate"])
@pytest.mark.parametrize("by_ha", [False, True])
@pytest.mark.parametrize("carried", range(4))
def test_whatever_is_under_way_ends(what, by_ha, carried):
    """Messages of an exchange that either side has begun go on after the end."""
    ha, mn, other = world()
    settle(ha, {COA: mn, COA + 1: other}, 0.0)
    machine, peer = (ha, COA) if by_ha else (mn, HA)
    wanted = SELECTORS.mirrored() if by_ha else SELECTORS
    getattr(machine, what)(peer, *([wanted] if what == "initiate" else []), 0.5)
    ends = [(mn, ha, ENDS[0]), (ha, mn, ENDS[1])]
    for number in range(carried):
        sender, receiver, address = ends[(number + by_ha) % 2]
        for _ in range(len(sender.outbox)):
            receiver.handle_message(sender.outbox.popleft()[0], address, 0.5)
    end(ha)
    assert home_addresses(ha) == [HOA + 1]
    for second in range(1, 60):
        settle(ha, {COA: mn, COA + 1: other}, float(second))
        assert home_addresses(ha) == [HOA + 1]
        for node in (ha, mn):
            node.handle_timeout(float(second))
    assert (up(ha), up(mn)) == (1, 0)
    assert not pairs(mn)


def test_a_request_that_the_peer_never_answers_delays_nothing_for_long():
    """The window is 1: the deletion has to wait for that answer (RFC 7296 section 2.3)."""
    ha, mn, other = world()
    settle(ha, {COA: mn, COA + 1: other}, 0.0)
    ha.rekey_ike(COA, 0.5)
    end(ha)
    assert home_addresses(ha) == [HOA + 1]
    while up(ha) > 1:
        deadline = ha.next_timeout()
        assert deadline is not None
        assert deadline < 32.0
        ha.handle_timeout(deadline)


def test_both_replace_the_ike_sa_while_it_ends():
    ha, mn, other = world()
    settle(ha, {COA: mn, COA + 1: other}, 0.0)
    mn.rekey_ike(HA, 0.5)
    ha.rekey_ike(COA, 0.5)
    ha.handle_message(mn.outbox.popleft()[0], ENDS[0], 0.5)
    end(ha)
    for second in range(1, 400):
        settle(ha, {COA: mn, COA + 1: other}, float(second))
        for node in (ha, mn):
            node.handle_timeout(float(second))
    assert (up(ha), up(mn)) == (1, 0)
    assert home_addresses(ha) == [HOA + 1]


def test_without_its_key_an_exchange_that_has_begun_comes_to_nothing():
    ha, mn, _ = world()
    ha.handle_message(mn.outbox.popleft()[0], ENDS[0], 0.0)
    mn.handle_message(ha.outbox.popleft()[0], ENDS[1], 0.0)
    end(ha)
    settle(ha, {COA: mn}, 1.0)
    assert "no pre-shared key for" in find(ha, Failed)[-1].reason
    assert not pairs(ha)


def test_the_next_key_of_an_identity_leaves_its_sas():
    """A new authentication of the same subscriber with the same home address."""
    ha, mn, other = world()
    settle(ha, {COA: mn, COA + 1: other}, 0.0)
    ha.remove_psk(identity=MN_NAME)
    ha.add_psk(b"next", identity=MN_NAME, home_address=HOA)
    mn.rekey_ike(HA, 1.0)
    mn.rekey_children(HA, 1.0)
    settle(ha, {COA: mn}, 1.0)
    assert sorted(home_addresses(ha)) == [HOA, HOA + 1]
    assert not find(ha, Discarded)


# With EAP, whose authorisation has a time of its own.


def authorised(people, authority, lifetime):
    peers = between(people)
    aaa = Aaa(peers, authority)
    aaa.lifetime = lifetime
    peers.connect(5.0, eap=eap_peer(authority), remote_identity=HA_NAME)
    return peers


def test_esp_sas_last_no_longer_than_the_authorisation(people, authority):
    """Nor do those that replace them, or belong to the IKE SA that replaces the first."""
    peers = authorised(people, authority, 100.0)
    for at in (20.0, 50.0, 80.0):
        peers.link.run(at)
        peers.link.now = at
        peers.mn.rekey_ike(HA, at)
        peers.link.run(at + 1)
        peers.mn.rekey_children(HA, at + 1)
        peers.link.run(at + 2)
        (pair,) = pairs(peers.ha)
        assert at + 1 + pair.inbound.lifetime == pytest.approx(100.1, abs=0.2)
    made = len(find(peers.ha, ChildEstablished))
    peers.link.run(99.9)
    assert len(find(peers.ha, ChildEstablished)) == made  # None lasts longer than the last one.
    assert len(pairs(peers.ha)) == 1
    peers.link.run(100.5)
    assert not pairs(peers.ha)


def test_at_its_end_nothing_waits_for_a_peer_that_has_gone(people, authority):
    """Not for the answer to the deletion, nor to a request before it."""
    peers = authorised(people, authority, 50.0)
    peers.link.now = 45.0
    peers.ha.rekey_ike(COA, 45.0)
    peers.ha.outbox.clear()
    while (deadline := peers.ha.next_timeout()) is not None and deadline < 51.0:
        peers.ha.handle_timeout(deadline)
        peers.ha.outbox.clear()
    assert not pairs(peers.ha)


def test_who_has_not_proved_the_msk_yet_ends_too(people, authority):
    peers = between(people)
    Aaa(peers, authority)
    peers.mn.initiate(HA, SELECTORS, 0.0, eap=eap_peer(authority), remote_identity=HA_NAME)
    for _ in range(40):  # Until EAP-Success is out.
        for machine, other, address in (
            (peers.mn, peers.ha, ENDS[0]),
            (peers.ha, peers.mn, ENDS[1]),
        ):
            for _ in range(len(machine.outbox)):
                data = machine.outbox.popleft()[0]
                if peers.ha.sas.of_identity(MN_NAME) and machine is peers.mn:
                    peers.ha.delete_identity(MN_NAME, 0.5)
                other.handle_message(data, address, 0.5)
    assert "IKE_AUTH: deleted" in [e.reason for e in find(peers.ha, Failed)]
    assert not find(peers.ha, IkeEstablished)
    assert not pairs(peers.ha)
