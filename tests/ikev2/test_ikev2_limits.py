"""What hosts without credentials, and single subscribers, can make a responder keep and do."""

import random

from agents.core.machine import Discarded
from agents.core.record import replace
from agents.ike.half_open import MAX_UNPROVEN
from agents.ikev2 import (
    ChildEstablished,
    Config,
    EapEnded,
    EapResponse,
    Failed,
    IkeDeleted,
    IkeEstablished,
    IkeStarted,
    Ikev2,
)
from tests.ike import COA, HA, HOA, PSK, find, settle
from tests.ikev2.peers import FAST, SELECTORS, Peers, pairs
from tests.ikev2.people import HA_NAME, MN_NAME, eap_peer

FAR = COA + (1 << 80)
NAMED = replace(FAST, identity=MN_NAME)


def home_agent(config: Config = FAST) -> Ikev2:
    ha = Ikev2(rng=random.Random(2), local=HA, config=config)
    ha.add_psk(PSK, identity=MN_NAME, home_address=HOA)
    return ha


def node(seed: int, local=COA, config: Config = NAMED, psk: bytes = PSK) -> Ikev2:
    mn = Ikev2(rng=random.Random(seed), local=local, config=config)
    mn.add_psk(psk, peer=HA)
    return mn


def first(seed: int, local=COA) -> bytes:
    """Return a first message."""
    mn = node(seed, local)
    mn.initiate(HA, SELECTORS, 0.0)
    return mn.outbox.popleft()[0]


def half_open(ha: Ikev2) -> int:
    """Return how many IKE SAs a responder has begun that have neither come up nor failed."""
    return len(find(ha, IkeStarted)) - len(find(ha, IkeEstablished)) - len(find(ha, Failed))


def come_back(ha: Ikev2, local, seeds, now: float) -> int:
    """Have a host ask, with the cookie if one is wanted; return how many SAs are made for it."""
    before = len(find(ha, IkeStarted))
    for seed in seeds:
        mn = node(seed, local)
        mn.initiate(HA, SELECTORS, now)
        for _ in range(2):
            ha.handle_message(mn.outbox.popleft()[0], (str(local), 500), now)
            if not ha.outbox:
                break
            mn.handle_message(ha.outbox.popleft()[0], (str(HA), 500), now)
            if find(ha, IkeStarted)[before:] and mn.outbox and mn.outbox[0][0][18] != 34:
                break
        ha.outbox.clear()
    return len(find(ha, IkeStarted)) - before


def gets_in(ha: Ikev2, local, now: float) -> bool:
    mn = node(4711, local)
    mn.initiate(HA, SELECTORS, now)
    settle(ha, {local: mn}, now)
    return bool(find(mn, ChildEstablished))


def test_messages_from_a_forged_address_do_not_fill_its_owners_share():
    ha = home_agent()
    for seed in range(100):
        ha.handle_message(first(seed), (str(COA), 500), 0.0)
    assert half_open(ha) == 1
    ha.outbox.clear()
    assert gets_in(ha, COA, 0.1)


def test_one_host_that_answers_has_its_share():
    ha = home_agent()
    assert come_back(ha, COA, range(50), 0.0) == 8
    assert "too many half-open IKE SAs" in find(ha, Discarded)[-1].reason
    assert gets_in(ha, COA + 1, 0.1)
    ha.handle_timeout(121.0)
    assert gets_in(ha, COA, 121.0)


def test_a_link_leaves_room_for_others():
    ha = home_agent()
    for number in range(100):
        come_back(ha, COA + number, [number], 0.0)
    assert half_open(ha) == 64
    assert gets_in(ha, FAR, 0.1)
    assert gets_in(ha, COA + 1000, 0.2)


def test_neighbours_get_in_while_the_hosts_of_a_link_fill_it():
    """Eight addresses hold all that they may, and renew it as soon as it ends."""
    ha, seed, least = home_agent(), 0, 64
    for second in range(70):
        ha.handle_timeout(float(second))
        for address in (COA + n for n in range(100, 108)):
            seed += 1
            while come_back(ha, address, [seed], float(second)):
                seed += 1
        least = min(least, len(ha.sas.unproven))
        assert second % 5 or gets_in(ha, COA, float(second))
    assert least == 64


def test_who_has_one_half_open_sa_keeps_it_while_others_have_several():
    ha, mn = home_agent(), node(4711)
    mn.initiate(HA, SELECTORS, 0.0)
    ha.handle_message(mn.outbox.popleft()[0], (str(COA), 500), 0.0)
    mn.handle_message(ha.outbox.popleft()[0], (str(HA), 500), 0.0)
    for number in range(200):
        come_back(ha, COA + 1 + number % 20, [number], 0.0)
    settle(ha, {COA: mn}, 0.1)
    assert find(mn, ChildEstablished)


def test_an_honest_peer_gets_in_though_many_links_flood():
    ha = home_agent()
    for number in range(600):
        come_back(ha, COA + (number << 64), [number], 0.0)
        assert half_open(ha) <= 512
    assert gets_in(ha, COA - (1 << 64), 0.1)
    assert len(ha.sas.table) <= 513


def guesses(ha: Ikev2, seeds, now: float) -> int:
    """Have a host prove itself by a wrong key; return how often it was told so."""
    told = 0
    for seed in seeds:
        mn = node(seed, psk=b"a guess")
        mn.initiate(HA, SELECTORS, now)
        settle(ha, {COA: mn}, now)
        told += any("AUTHENTICATION_FAILED" in e.reason for e in find(mn, Failed))
    return told


def test_what_fails_counts_for_as_long_as_what_hangs():
    ha = home_agent()
    assert guesses(ha, range(20), 0.0) == 8
    assert guesses(ha, range(20, 40), 29.0) == 0
    assert gets_in(ha, COA + 1, 29.0)
    ha.handle_timeout(31.0)
    assert guesses(ha, range(40, 60), 31.0) == 8
    ha.handle_timeout(70.0)
    assert gets_in(ha, COA, 70.0)


def test_a_public_value_that_is_none_counts_too():
    """Its half-open SA ends with the first IKE_AUTH."""
    ha = home_agent()
    began = 0
    for seed in range(20):
        mn = node(seed)
        mn.initiate(HA, SELECTORS, 0.0)
        for _ in range(2):
            data = bytearray(mn.outbox.popleft()[0])
            at = data.index(bytes.fromhex("001f0000")) + 4
            data[at : at + 32] = bytes(32)
            ha.handle_message(bytes(data), (str(COA), 500), 0.0)
            if not ha.outbox:
                break
            answer = ha.outbox.popleft()[0]
            if len(answer) > 100:
                began += 1
                mn.handle_message(answer, (str(HA), 500), 0.0)
                ha.handle_message(mn.outbox.popleft()[0], (str(COA), 500), 0.0)
                break
            mn.handle_message(answer, (str(HA), 500), 0.0)
    assert began == 8


def test_long_messages_of_strangers_are_not_kept():
    ha, mn = home_agent(), node(1)
    data = first(7)
    data = data[:24] + (len(data) + MAX_UNPROVEN).to_bytes(4) + data[28:] + bytes(MAX_UNPROVEN)
    ha.handle_message(data, (str(COA), 500), 0.0)
    assert "IKE_SA_INIT of" in find(ha, Discarded)[-1].reason
    mn.initiate(HA, SELECTORS, 0.0)
    ha.handle_message(mn.outbox.popleft()[0], (str(COA), 500), 0.0)
    mn.handle_message(ha.outbox.popleft()[0], (str(HA), 500), 0.0)
    data = mn.outbox.popleft()[0]
    data = data[:24] + (len(data) + MAX_UNPROVEN).to_bytes(4) + data[28:] + bytes(MAX_UNPROVEN)
    ha.handle_message(data, (str(COA), 500), 0.0)
    assert "IKE_AUTH of" in find(ha, Discarded)[-1].reason


def test_a_recorded_request_is_answered_to_where_it_came_from():
    peers = Peers()
    peers.connect(5.0)
    ask = peers.sent[2]
    peers.ha.handle_message(ask, ("2001:db8::bad", 500), 5.0)
    assert peers.ha.outbox.pop()[1] == (str(COA), 500)


# EAP: the AAA server has to be asked before anybody is known.


def eap_home_agent(people) -> Ikev2:
    config = replace(FAST, identity=HA_NAME, accept_eap=True)
    return Ikev2(rng=random.Random(2), local=HA, config=config, credentials=people.ha)


def ask_for_eap(ha, people, authority, local, seed) -> Ikev2:
    credentials = replace(people.mn, certificate=None, key=None)
    mn = Ikev2(rng=random.Random(seed), local=local, config=NAMED, credentials=credentials)
    mn.initiate(HA, SELECTORS, 0.0, eap=eap_peer(authority), remote_identity=HA_NAME)
    settle(ha, {local: mn}, 0.0)
    return mn


def test_one_host_has_few_conversations_with_the_aaa_server(people, authority):
    ha = eap_home_agent(people)
    for seed in range(30):
        ask_for_eap(ha, people, authority, COA, seed)
    assert len(find(ha, EapResponse)) == 8
    ask_for_eap(ha, people, authority, COA + 1, 99)
    assert len(find(ha, EapResponse)) == 9


def test_all_hosts_together_have_fewer_than_the_aaa_server_takes(people, authority):
    ha = eap_home_agent(people)
    for number in range(530):
        ask_for_eap(ha, people, authority, COA + (number << 64), number)
    begun, ended = len(find(ha, EapResponse)), len(find(ha, EapEnded))
    assert (begun, begun - ended) == (530, 512)


# Subscribers.


def up(ha: Ikev2) -> int:
    return len(find(ha, IkeEstablished)) - len(find(ha, IkeDeleted))


def test_one_subscriber_has_a_few_sas_however_often_it_comes():
    """The latest count: it may have lost the others, or moved (RFC 4877 section 7.4)."""
    ha = home_agent(replace(FAST, initial_contact=False))
    config = replace(NAMED, initial_contact=False)
    for number in range(60):
        local = COA + number
        mn = node(number, local, config)
        mn.initiate(HA, SELECTORS, 0.0)
        settle(ha, {local: mn}, 0.0)
        assert len(pairs(mn)) == 1
        assert up(ha) <= 4
        assert len(pairs(ha)) <= 4
    assert (up(ha), len(pairs(ha))) == (4, 4)
    assert len(ha.sas.table) <= 8


def test_the_one_that_gives_way_is_told():
    ha = home_agent()
    config = replace(NAMED, initial_contact=False)
    nodes = {COA + number: node(number, COA + number, config) for number in range(5)}
    for mn in nodes.values():
        mn.initiate(HA, SELECTORS, 0.0)
        settle(ha, nodes, 0.0)
    oldest = nodes[COA]
    assert [e.reason for e in find(oldest, IkeDeleted)] == ["deleted by the peer"]
    assert [len(pairs(mn)) for mn in nodes.values()] == [0, 1, 1, 1, 1]


def test_a_subscriber_whose_realm_is_spelt_otherwise_is_the_same():
    ha = home_agent()
    user, realm = MN_NAME.split("@")
    for number in range(16):
        spelt = "".join(c.upper() if number >> i & 1 else c for i, c in enumerate(realm))
        config = replace(FAST, identity=f"{user}@{spelt}", initial_contact=False)
        mn = node(number, COA + number, config)
        mn.initiate(HA, SELECTORS, 0.0)
        settle(ha, {COA + number: mn}, 0.0)
        assert find(mn, ChildEstablished)
    assert up(ha) == 4


def test_ike_sas_that_are_replaced_again_and_again_do_not_pile_up():
    """The peer has to delete those that it has replaced, and need not do so."""
    ha, mn = home_agent(), node(1)
    mn.initiate(HA, SELECTORS, 0.0)
    settle(ha, {COA: mn}, 0.0)
    for number in range(30):
        mn.rekey_ike(HA, 1.0 + number)
        ha.handle_message(mn.outbox.popleft()[0], (str(COA), 500), 1.0 + number)
        mn.handle_message(ha.outbox.popleft()[0], (str(HA), 500), 1.0 + number)
        mn.outbox.clear()  # The deletion, kept to itself.
        ha.outbox.clear()
        assert up(ha) <= 4
        assert len(pairs(ha)) == 1
    assert len(ha.sas.table) <= 8


def test_two_at_one_address_who_claim_it_have_their_own_keys():
    ha = home_agent()
    ha.add_psk(b"first", peer=COA, identity="a@home.test", home_address=HOA + 1)
    ha.add_psk(b"second", peer=COA, identity="b@home.test", home_address=HOA + 2)
    for seed, (key, home) in enumerate(((b"first", HOA + 1), (b"second", HOA + 2))):
        mn = node(seed, config=FAST, psk=key)
        mn.initiate(HA, SELECTORS._replace(local=home), 0.0)
        settle(ha, {COA: mn}, 0.0)
        assert find(mn, ChildEstablished)
    assert [e.identity for e in find(ha, IkeEstablished)] == ["a@home.test", "b@home.test"]
