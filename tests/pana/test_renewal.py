"""Who re-authenticates before a session's lifetime ends, and when (RFC 5191 sections 4.3, 5.7)."""

from __future__ import annotations

from itertools import pairwise

import pytest

from agents.pana.draft12 import DRAFT12
from agents.pana.events import Authenticated, Authorised, PingAnswered, Terminated
from agents.pana.rfc5191 import RFC5191
from tests.pana.fakes import FakeAaa, FakePeer, World

LIFETIME = 50.0


@pytest.fixture(params=[RFC5191, DRAFT12], ids=lambda dialect: dialect.name)
def opened(request):
    """Return what makes a world with an open session that some side renews after this part."""

    def make(*, pac=0.0, paa=0.0, aaa=None, drop=()):
        return World(
            dialect=request.param,
            aaa=aaa or FakeAaa(lifetime=LIFETIME),
            pac={"renew_eap": FakePeer, "reauth_at": pac},
            paa={"reauth_at": paa},
            drop=drop,
        ).bootstrap(5)

    return make


@pytest.mark.parametrize("starter", ["pac", "paa"])
def test_a_session_goes_on(opened, starter):
    world = opened(**{starter: 0.8})
    world.link.run(400)
    begun = [event.at for event in world.server.only(Authorised)]
    assert len(world.pac_events(Authenticated)) == len(begun) >= 9
    # At 40 s, up to a tenth earlier; an authentication takes less than 0.3 s.
    pauses = [later - earlier for earlier, later in pairwise(begun)]
    assert all(36.0 <= pause <= 40.3 for pause in pauses)
    assert max(pauses) - min(pauses) > 0.5
    assert world.server.only(Terminated) == world.pac_events(Terminated) == []
    assert world.session().transactions.sa.key_id == len(begun)


def test_without_anybody_it_ends(opened):
    world = opened()
    world.link.run(100)
    assert len(world.pac_events(Terminated)) == len(world.server.only(Terminated)) == 1
    assert len(world.pac_events(Authenticated)) == 1


def test_where_both_would_the_first_is_enough(opened):
    world = opened(pac=0.8, paa=0.95)
    world.link.run(49)
    assert len(world.server.only(Authorised)) == len(world.pac_events(Authenticated)) == 2


@pytest.mark.parametrize("starter", ["pac", "paa"])
def test_it_waits_for_a_ping(opened, starter):
    world = opened(**{starter: 0.8}, drop={11, 12, 13})
    world.link.run(35.9)
    if starter == "pac":
        assert world.pac.ping(35.9)
    else:
        assert world.paa.ping(world.session_id, 35.9)
    world.link.run(49)
    assert len(world.pac_events(PingAnswered) + world.server.only(PingAnswered)) == 1
    assert len(world.server.only(Authorised)) == 2


def test_it_does_not_outlast_the_lifetime(opened):
    aaa = FakeAaa(lifetime=LIFETIME)
    world = opened(pac=0.8, aaa=aaa)
    aaa._mute_after = 0
    world.link.run(200)
    (mine,), (theirs,) = world.pac_events(Terminated), world.server.only(Terminated)
    assert mine.at == pytest.approx(50.1, abs=0.1)
    assert theirs.at == pytest.approx(50.1, abs=0.1)


def test_a_pac_without_another_eap_peer_is_refused_at_once():
    with pytest.raises(ValueError, match="renew_eap"):
        World(pac={"reauth_at": 0.8})
