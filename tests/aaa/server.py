"""A home AAA server as most tests want it."""

from __future__ import annotations

from agents.aaa.config import HomeAaaConfig
from agents.aaa.home_aaa import HomeAaa
from agents.aaa.subscribers import parse


def home_aaa(file, leases, tls, *, rng=None, **options) -> HomeAaa:
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
    return HomeAaa(parse(file), leases, HomeAaaConfig(tls=tls, **usual | options), rng=rng)
