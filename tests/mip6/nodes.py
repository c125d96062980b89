"""A mobile node and a home agent on a link, on a fake kernel."""

from __future__ import annotations

import math
import random
from ipaddress import IPv6Address, IPv6Network
from typing import Any

from agents.kernel.model_port import ModelHomeAgent
from agents.mip6.codec import BindingUpdate, Message, decode, encode
from agents.mip6.home_addresses import HomeAddresses
from agents.mip6.home_agent import HomeAgent
from agents.mip6.mobile_node import HomeRegistration
from tests.link import Link

HOME, AGENT = IPv6Address("2001:db8:100::1234"), IPv6Address("2001:db8:100::1")
CARE_OF, NEXT_CARE_OF = IPv6Address("2001:db8:a::2"), IPv6Address("2001:db8:b::2")
PREFIX = IPv6Network("2001:db8:100::/64")
MN, HA = (str(HOME), 0), (str(AGENT), 0)


def mobile_node(**options: Any) -> HomeRegistration:
    options = {"lifetime": 420, "rng": random.Random(1), **options}
    return HomeRegistration(HOME, AGENT, CARE_OF, **options)


SUBSCRIBER = "mn@home.test"


def home_agent(
    *, detect: bool = False, held: bool = True, **options: Any
) -> tuple[HomeAgent, ModelHomeAgent]:
    """Return a home agent at which one subscriber holds HOME for ever, unless not `held`."""
    kernel = ModelHomeAgent(None, AGENT)
    homes = HomeAddresses(
        AGENT, PREFIX, owns=kernel.owns, end=lambda home, _, now: ha.end(home, now)
    )
    options = {"kernel": kernel, "rng": random.Random(2), **options}
    ha = HomeAgent(homes, duplicate_address_detection=detect, **options)
    if held:
        assert homes.hold(HOME, SUBSCRIBER, math.inf, 0.0)
    return ha, kernel


def link(mn: HomeRegistration, ha: HomeAgent, **options: Any) -> Link:
    return Link(mn, MN, ha, HA, **options)


def messages(over: Link) -> list[tuple[float, Message]]:
    return [(round(at, 3), decode(data)) for at, _, data in over.sent]


def kinds(machine: HomeRegistration | HomeAgent) -> list[str]:
    return [type(event).__name__ for event in machine.events]


def update(sequence: int, lifetime: int = 420, **options: Any) -> bytes:
    options = {"care_of": CARE_OF, **options}
    return encode(BindingUpdate(sequence, lifetime, **options))


def answers(ha: HomeAgent) -> list[Message]:
    found = [decode(data) for data, _ in ha.outbox]
    ha.outbox.clear()
    return found
