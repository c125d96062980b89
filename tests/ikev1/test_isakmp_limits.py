"""What hosts without credentials, and single subscribers, can make a responder keep and do."""

import random

import pytest

from agents.core.machine import Discarded
from agents.core.record import replace
from agents.crypto import dh
from agents.ike.half_open import MAX_UNPROVEN
from agents.ikev1 import (
    ChildDeleted,
    ChildEstablished,
    ChildKeyed,
    Config,
    Ikev1,
    Phase1Deleted,
    Phase1Established,
    Phase1Started,
)
from tests.ike import COA, ENDS, HA, HOA, PSK, find, settle
from tests.ikev1.peers import AGGRESSIVE, FAST, SELECTORS
from tests.link import Link

NAME = "mn@home.test"
FAR = COA + (1 << 80)


def home_agent(config: Config = FAST, peers=(COA,)) -> Ikev1:
    ha = Ikev1(rng=random.Random(2), local=HA, config=config)
    for peer in peers:
        ha.add_psk(PSK, peer=peer, home_address=HOA)
    return ha


def node(seed: int, config: Config = FAST, local=COA) -> Ikev1:
    mn = Ikev1(rng=random.Random(seed), local=local, config=config)
    mn.add_psk(PSK, peer=HA, home_address=HOA)
    return mn


def first(seed: int, config: Config = FAST) -> bytes:
    """Return a first message."""
    mn = node(seed, config)
    mn.initiate(HA, SELECTORS, 0.0)
    return mn.outbox.popleft()[0]


def gets_in(ha: Ikev1, local, now: float, config: Config = FAST, seed: int = 4711) -> bool:
    mn = node(seed, config, local)
    mn.initiate(HA, SELECTORS, now)
    settle(ha, {local: mn}, now)
    return bool(find(mn, ChildEstablished))


def half_open(ha: Ikev1) -> int:
    """Return how many negotiations a responder has under way."""
    return len(ha._sas._sas) - len(find(ha, Phase1Established))


@pytest.mark.parametrize("config", [FAST, AGGRESSIVE], ids=["main", "aggressive"])
def test_messages_from_a_forged_address_do_not_lock_its_owner_out(config):
    """Nobody who does not answer keeps a place that somebody else wants."""
    ha = home_agent(config)
    for seed in range(300):
        ha.handle_message(first(seed, config), (str(COA), 500), 0.0)
        assert half_open(ha) <= 256
    ha.outbox.clear()
    assert gets_in(ha, COA, 0.1, config)


class Spoofer:
    """Sends first messages in a node's name to a home agent, so many per second."""

    def __init__(self, ha: Ikev1, rate: int, config: Config, seed: int) -> None:
        self.events, self.outbox = ha.events, ha.outbox
        self._ha, self._period, self._next = ha, 1 / rate, 0.0
        self._rng, self._message = random.Random(seed), first(1, config)

    def handle_message(self, data: bytes, source, now: float) -> None:
        self._ha.handle_message(data, source, now)

    def next_timeout(self) -> float:
        own = self._ha.next_timeout()
        return self._next if own is None else min(own, self._next)

    def handle_timeout(self, now: float) -> None:
        self._ha.handle_timeout(now)
        while self._next <= now:
            said = len(self.outbox)
            data = self._rng.randbytes(8) + self._message[8:]
            self._ha.handle_message(data, (str(COA), 500), now)
            while len(self.outbox) > said:  # What answers them is nothing to the node.
                self.outbox.pop()
            self._next += self._period


@pytest.mark.parametrize(("rate", "least"), [(100, 10), (500, 8)])
@pytest.mark.parametrize("config", [FAST, AGGRESSIVE], ids=["main", "aggressive"])
def test_a_node_gets_in_past_first_messages_in_its_name(config, rate, least):
    """At a round trip of 100 ms; of twelve nodes, each of which begins once."""
    up = 0
    for seed in range(12):
        ha, mn = Ikev1(rng=random.Random(seed), local=HA, config=config), node(4711, config)
        ha.add_psk(PSK, peer=COA, home_address=HOA)
        flood = Spoofer(ha, rate, config, seed)
        link = Link(mn, ENDS[0], flood, ENDS[1], delay=0.05)
        link.now = 256 / rate
        flood.handle_timeout(link.now)
        mn.initiate(HA, SELECTORS, link.now)
        link.run(link.now + 0.5)
        up += bool(find(mn, ChildEstablished))
    assert up >= least


def test_an_honest_peer_gets_in_though_many_addresses_flood():
    forged = [COA + (n << 64) for n in range(1, 400)]
    ha = home_agent(replace(FAST, unanswered_limit=256), peers=(*forged, COA))
    for seed, address in enumerate(forged):
        ha.handle_message(first(seed), (str(address), 500), 0.0)
    assert half_open(ha) == 256
    ha.outbox.clear()
    assert gets_in(ha, COA, 0.1)


def test_a_link_leaves_room_for_others():
    flood = [COA + n for n in range(1, 400)]
    ha = home_agent(replace(FAST, unanswered_limit_per_link=64), peers=(*flood, FAR))
    for seed, address in enumerate(flood):
        ha.handle_message(first(seed), (str(address), 500), 0.0)
    assert half_open(ha) == 64
    ha.outbox.clear()
    assert gets_in(ha, FAR, 0.1)


def answering(ha: Ikev1, local, seeds, now: float, *, fail: bool) -> int:
    """Have a host come back with message 3 and, to fail, 5; return how many messages 4 it got."""
    got = 0
    for seed in seeds:
        mn = Ikev1(rng=random.Random(seed), local=local, config=FAST)
        mn.add_psk(b"a guess", peer=HA)
        mn.initiate(HA, None, now)
        for _ in range(2):
            ha.handle_message(mn.outbox.popleft()[0], (str(local), 500), now)
            if not ha.outbox:
                break
            mn.handle_message(ha.outbox.popleft()[0], (str(HA), 500), now)
        else:
            got += 1
            if fail:
                ha.handle_message(mn.outbox.popleft()[0], (str(local), 500), now)
                ha.outbox.clear()
    return got


@pytest.mark.parametrize("fail", [False, True])
def test_one_host_that_answers_has_a_share_of_what_is_computed(fail):
    """A failure does not give it back before its time: guesses are as dear as silence."""
    ha = home_agent(peers=(COA, COA + 1))
    assert answering(ha, COA, range(50), 0.0, fail=fail) == 8
    assert answering(ha, COA, range(50, 100), 29.0, fail=fail) == 0
    assert "too many phase 1 negotiations with this host" in find(ha, Discarded)[-1].reason
    assert gets_in(ha, COA + 1, 29.0)
    ha.handle_timeout(31.0)
    assert answering(ha, COA, range(100, 150), 31.0, fail=fail) == 8
    ha.handle_timeout(70.0)
    assert gets_in(ha, COA, 70.0)


def test_neighbours_get_in_while_the_hosts_of_a_link_fill_it():
    """Eight addresses have all computed that they may, and come again as soon as they can."""
    flood = [COA + n for n in range(100, 108)]
    ha = home_agent(peers=(*flood, COA))
    for second in range(0, 70, 5):
        now = float(second)
        ha.handle_timeout(now)
        for number, address in enumerate(flood):
            seeds = range(1000 * second + 20 * number, 1000 * second + 20 * number + 10)
            answering(ha, address, seeds, now, fail=bool(number % 2))
            ha.outbox.clear()
        assert len(ha._sas._unproven) == 64
        assert gets_in(ha, COA, now, seed=4711 + second)


def test_an_aggressive_first_message_costs_no_exponentiation(monkeypatch):
    made = []
    original = dh.generate
    monkeypatch.setattr(dh, "generate", lambda *what: made.append(what) or original(*what))
    messages = [first(seed, AGGRESSIVE) for seed in range(50)]
    ha = home_agent(AGGRESSIVE)
    made.clear()
    for data in messages:
        ha.handle_message(data, (str(COA), 500), 0.0)
    assert len(made) == 1
    assert len(find(ha, Phase1Started)) == 50
    ha.outbox.clear()
    assert gets_in(ha, COA, 0.1, AGGRESSIVE)
    made.clear()
    ha.handle_message(first(99, AGGRESSIVE), (str(COA), 500), 0.2)
    assert len(made) == 2  # The node's own, and a fresh one after somebody has come back.


def test_nothing_is_sent_twice_to_an_address_that_may_be_forged():
    ha = home_agent(AGGRESSIVE)
    ha.handle_message(first(1, AGGRESSIVE), (str(COA), 500), 0.0)
    assert len(ha.outbox) == 1
    while (deadline := ha.next_timeout()) is not None:
        ha.handle_timeout(deadline)
    assert len(ha.outbox) == 1


def test_long_messages_of_strangers_are_not_kept():
    ha = home_agent()
    data = first(1)
    data = data[:24] + (len(data) + MAX_UNPROVEN).to_bytes(4) + data[28:] + bytes(MAX_UNPROVEN)
    ha.handle_message(data, (str(COA), 500), 0.0)
    assert "a phase 1 message of" in find(ha, Discarded)[-1].reason


def live(ha: Ikev1) -> int:
    """Return how many pairs the owner has in the kernel."""
    return len(find(ha, ChildKeyed)) - len(find(ha, ChildDeleted))


def test_one_subscriber_has_a_few_sas_however_often_it_comes():
    """The latest count: it may have lost the others, or moved (RFC 4877 section 7.4)."""
    config = replace(FAST, initial_contact=False)
    ha = home_agent(config, ())
    for number in range(60):
        local = COA + number
        ha.add_psk(PSK, peer=local, identity=NAME, home_address=HOA)
        mn = node(number, config, local)
        mn.initiate(HA, SELECTORS, 0.0)
        settle(ha, {local: mn}, 0.0)
        assert find(mn, ChildEstablished)
        assert live(ha) <= 4
    up = len(find(ha, Phase1Established)) - len(find(ha, Phase1Deleted))
    assert (up, live(ha)) == (4, 4)


def test_one_isakmp_sa_has_a_few_pairs():
    """Of a node that never deletes the ones before."""
    ha, mn = home_agent(), node(1)
    mn.initiate(HA, None, 0.0)
    settle(ha, {COA: mn}, 0.0)
    for second in range(0, 400, 10):
        ha.handle_timeout(float(second))
        mn.handle_timeout(float(second))
        mn.initiate(HA, SELECTORS, float(second))
        for _ in range(2):
            data = mn.outbox.popleft()[0]
            ha.handle_message(data, (str(COA), 500), float(second))
            if ha.outbox:
                mn.handle_message(ha.outbox.popleft()[0], (str(HA), 500), float(second))
        mn.outbox.clear()
        assert live(ha) <= 4
    assert len(find(ha, ChildEstablished)) == 40


def test_pairs_that_are_not_confirmed_are_few():
    """Each has SAs in the kernel from message 2 on."""
    ha, mn = home_agent(), node(1)
    mn.initiate(HA, None, 0.0)
    settle(ha, {COA: mn}, 0.0)
    for _ in range(10):
        mn.initiate(HA, SELECTORS, 0.0)
        ha.handle_message(mn.outbox.popleft()[0], (str(COA), 500), 0.0)
    assert len(find(ha, ChildKeyed)) == 4


def test_a_peer_at_its_limit_still_moves():
    config = replace(FAST, initial_contact=False)
    ha = home_agent(config, ())
    for number in range(6):
        ha.add_psk(PSK, peer=COA + number, identity=NAME, home_address=HOA)
        assert gets_in(ha, COA + number, float(number), config)
