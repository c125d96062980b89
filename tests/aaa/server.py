"""A home AAA server as most tests want it."""

from __future__ import annotations

from functools import cache

from agents.aaa import subscribers
from agents.aaa.config import HomeAaaConfig
from agents.aaa.home_aaa import HomeAaa
from agents.core.later import Later

parse = cache(subscribers.parse)


class AtOnce(HomeAaa):
    """A server whose leases are stored with every request."""

    def handle(self, request, now):
        answer, told = super().handle(request, now), []
        if isinstance(answer, Later):
            answer.then(told.append)
        self.commit(now)
        return told[0] if told else answer


def home_aaa(file, leases, tls, *, rng=None, kind=AtOnce, **options) -> HomeAaa:
    """Return a server for the subscribers in the text of `file`."""
    usual = {
        "origin_host": "aaa.home.test",
        "origin_realm": "home.test",
        "fragment_size": 1000,
        "session_timeout": 3600.0,
        "protection": "none",
        "psk_source": "msk",
        "early": False,
        "pick_up": False,
        "home_agents": (),
    }
    return kind(parse(file), leases, HomeAaaConfig(tls=tls, **usual | options), rng=rng)
