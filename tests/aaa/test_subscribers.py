from __future__ import annotations

from contextlib import suppress
from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.aaa.policy import Subscription
from agents.aaa.subscribers import AddressRange, SubscribersError, load, parse

AGENT = """
[[home_agents]]
name = "ha1"
address = "2001:db8:100::1"
prefix = "2001:db8:100::/64"
"""
TWO_AGENTS = (
    AGENT
    + """pool = "2001:db8:100::1000-2001:db8:100::1fff"
[[home_agents]]
name = "ha2"
address = "2001:db8:200::1"
prefix = "2001:db8:200::/64"
pool = "2001:db8:200::/120"
"""
)


def subscriber(**keys: object) -> str:
    lines = [
        f"{key} = {str(value).lower()}" for key, value in keys.items() if value in (True, False)
    ]
    lines += [f'{key} = "{value}"' for key, value in keys.items() if isinstance(value, str)]
    return "[[subscribers]]\n" + "\n".join(lines) + "\n"


def test_a_fixed_home_address():
    mn = subscriber(identity="mn@home.test", home_agent="ha1", home_address="2001:db8:100::1234")
    subscribers = parse(AGENT + mn)
    found = subscribers.find("mn@HOME.test")
    assert found.mobility
    assert found.home_address == IPv6Address("2001:db8:100::1234")
    (agent,) = found.home_agents
    assert agent.address == IPv6Address("2001:db8:100::1")
    assert found.addresses(agent) == AddressRange(found.home_address, found.home_address)
    assert subscribers.find("MN@home.test") is None
    assert len(subscribers) == 1


def test_a_pool_and_who_serves_it():
    subscribers = parse(
        TWO_AGENTS
        + subscriber(identity="a@home.test", pool="2001:db8:200::100-2001:db8:200::1ff")
        + subscriber(identity="b@home.test")
        + subscriber(identity="c@home.test", mobility=False)
    )
    a, b, c = (subscribers.find(f"{x}@home.test") for x in "abc")
    assert [agent.name for agent in a.home_agents] == ["ha2"]
    assert [agent.name for agent in b.home_agents] == ["ha1", "ha2"]
    assert not c.mobility
    # A prefix leaves the routers' anycast address out.
    assert b.addresses(b.home_agents[1]).first == IPv6Address("2001:db8:200::1")


def test_the_fixed_addresses_and_the_home_agents_are_reserved():
    subscribers = parse(
        TWO_AGENTS
        + subscriber(identity="a@home.test", home_address="2001:db8:100::1000")
        + subscriber(identity="b@home.test")
    )
    a, b = subscribers.find("a@home.test"), subscribers.find("b@home.test")
    agents = {IPv6Address("2001:db8:100::1"), IPv6Address("2001:db8:200::1")}
    assert subscribers.reserved(a) == agents
    assert subscribers.reserved(b) == agents | {IPv6Address("2001:db8:100::1000")}


MN = "mn@home.test"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "the file's top: unknown key x; use one of home_agents, subscribers"),
        ("[[subscribers]]\nidentity = 5", "subscribers[0].identity: 5 is not allowed; use a text"),
        (subscriber(mobility=True), "subscribers[0]: missing key identity; add it"),
        (
            AGENT + subscriber(identity=MN, home_adress="::"),
            "subscribers[0]: unknown key home_adress, perhaps home_address; use one of identity",
        ),
        (AGENT + "colour = 1", "home_agents[0]: unknown key colour; use one of name, address"),
        (AGENT + AGENT, "home_agents: name 'ha1' is used 2 times; keep one"),
        (
            AGENT + AGENT.replace("ha1", "ha2"),
            "home_agents: address '2001:db8:100::1' is used 2 times",
        ),
        (
            AGENT.replace('"2001:db8:100::1"', '"10.0.0.1"'),
            "home_agents[0].address: '10.0.0.1' is not an IPv6 address",
        ),
        (
            AGENT.replace('"2001:db8:100::1"', '"fe80::1"'),
            "home_agents[0].address: 'fe80::1' is not a global unicast",
        ),
        (
            AGENT.replace('"2001:db8:100::1"', '"2001:db8:101::1"'),
            "home_agents[0].address: 2001:db8:101::1 lies outside its own prefix",
        ),
        (
            AGENT.replace("::/64", "::5/64"),
            "home_agents[0].prefix: '2001:db8:100::5/64' is not an IPv6 prefix",
        ),
        (AGENT.replace("ha1", "ha 1"), "home_agents[0].name: 'ha 1' is no name"),
        (AGENT + 'pool = "2001:db8::/64"', "home_agents[0].pool: '2001:db8::/64' lies outside"),
        (AGENT + 'pool = "x"', "home_agents[0].pool: 'x' is no pool"),
        (
            AGENT + 'pool = "2001:db8:100::9-2001:db8:100::8"',
            "its last address lies before its first; write 'first-last' or a prefix",
        ),
        (subscriber(identity="mn"), "subscribers[0].identity: 'mn' is not a network access id"),
        (subscriber(identity=MN), f"subscribers[0]: {MN} has mobility, but there are no [[home"),
        (AGENT + subscriber(identity=MN), "has no home addresses; give it a home_address or a"),
        (
            TWO_AGENTS + subscriber(identity=MN) * 2,
            "subscribers: identity 'mn@home.test' is used 2 times",
        ),
        (
            TWO_AGENTS + subscriber(identity=MN) + subscriber(identity="mn@HOME.test"),
            "subscribers: identity 'mn@home.test' is used 2 times",
        ),
        (
            AGENT + subscriber(identity=MN, home_agent="ha7"),
            "subscribers[0].home_agent: there is no home agent 'ha7'; those in the file: ha1",
        ),
        (
            AGENT + subscriber(identity=MN, home_address="2001:db8:200::5"),
            "home_address 2001:db8:200::5 is no host address inside 2001:db8:100::/64 of ha1",
        ),
        (
            AGENT + subscriber(identity=MN, home_address="2001:db8:100::"),
            "home_address: '2001:db8:100::' is not a global unicast address",
        ),
        (
            AGENT + subscriber(identity=MN, home_address="2001:db8:100::1"),
            "subscribers[0].home_address: 2001:db8:100::1 is a home agent's; choose another",
        ),
        (
            AGENT + subscriber(identity=MN, home_address="2001:db8:100::zz"),
            "subscribers[0].home_address: '2001:db8:100::zz' is not an IPv6 address",
        ),
        (
            AGENT + subscriber(identity=MN, pool="2001:db8::/64"),
            "pool '2001:db8::/64' lies outside 2001:db8:100::/64 of ha1",
        ),
        (
            AGENT
            + subscriber(identity=MN, pool="2001:db8:100::/64", home_address="2001:db8:100::9"),
            "has a home_address and a pool; keep one",
        ),
        (
            AGENT
            + subscriber(identity="a@b", home_address="2001:db8:100::9")
            + subscriber(identity="c@d", home_address="2001:db8:100:0::9"),
            "subscribers: home_address '2001:db8:100::9' is used 2 times",
        ),
        ("[[subscribers", "not TOML"),
    ],
)
def test_a_bad_file_is_refused_with_its_place(text, message):
    with pytest.raises(SubscribersError) as caught:
        parse(text, "subscribers.toml")
    assert str(caught.value).startswith("subscribers.toml: ")
    assert message in str(caught.value)


@given(st.text(max_size=60))
def test_random_text_is_read_or_refused(text):
    with suppress(SubscribersError):
        parse(text)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(SubscribersError, match=r"none\.toml: cannot be read: No such file"):
        load(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SubscribersError, match=r"bad\.toml: cannot be read: it is not UTF-8"):
        load(tmp_path / "bad.toml")
    (tmp_path / "good.toml").write_text(AGENT)
    assert list(load(tmp_path / "good.toml")) == []


def test_names_and_capacities_of_home_agents():
    subscribers = parse(AGENT + 'host = "HA1.home.test."\ncapacity = 20\n')
    agent = subscribers.home_agents["ha1"]
    assert (agent.host, agent.capacity) == ("HA1.home.test", 20)
    plain = parse(AGENT).home_agents["ha1"]
    assert (plain.host, plain.capacity) == (None, None)


def test_what_a_subscriber_may_have():
    address = {"home_address": "2001:db8:100::5"}
    for keys, expected in (
        ({}, Subscription.HOME_ONLY),
        ({"local_home_agent": False}, Subscription.HOME_ONLY),
        ({"local_home_agent": True}, Subscription.RATHER_HOME),
        ({"local_home_agent": True, "prefer": "home"}, Subscription.RATHER_HOME),
        ({"local_home_agent": True, "prefer": "local"}, Subscription.RATHER_LOCAL),
        ({"local_home_agent": True, "mobility": False}, Subscription.NO_MOBILITY),
    ):
        subscribers = parse(AGENT + subscriber(identity=MN, **address, **keys))
        assert subscribers.find(MN).subscription is expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (AGENT + 'host = "ha1"', "home_agents[0].host: 'ha1' is no fully qualified domain name"),
        (AGENT + 'host = "ha_1.home.test"', "is no fully qualified domain name"),
        (AGENT + 'host = "-a.home.test"', "is no fully qualified domain name"),
        (AGENT + "capacity = -1", "home_agents[0].capacity: "),
        (
            AGENT + subscriber(identity=MN, home_address="2001:db8:100::5", prefer="local"),
            "subscribers[0].prefer: mn@home.test may have no local home agent; "
            "add local_home_agent = true",
        ),
        (
            AGENT + subscriber(identity=MN, local_home_agent=True, prefer="visited"),
            "subscribers[0].prefer: 'visited' is not known; use home or local",
        ),
    ],
)
def test_what_home_agent_choices_cannot_be(text, problem):
    with pytest.raises(SubscribersError) as caught:
        parse(text)
    assert problem in str(caught.value)
