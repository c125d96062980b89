"""Which addresses a home agent can have, whoever tells it."""

from __future__ import annotations

import random
from ipaddress import IPv6Address, IPv6Network

import dns.message
import dns.rrset
import pytest

from agents.aaa.choice import Chooser
from agents.aaa.leases import Leases
from agents.aaa.subscribers import SubscribersError, parse
from agents.bootstrap.assignment import Assignment, Wish
from agents.bootstrap.sealed import SealContext, SealError, seal
from agents.core.unicast import is_unicast
from agents.daemons.kea import LocalHomeAgent
from agents.daemons.nsd import HomeAgentRecord
from agents.dhcpv6.home import Home, HomeInformation
from agents.diameter import mobility
from agents.dns.events import HomeAgentsFound
from agents.dns.lookup import HomeAgentLookup
from agents.eap.tls import EapKeys
from agents.kernel.model_port import ModelEnforcementPoint
from agents.kernel.port import AccessLink
from agents.nodes.access_router.pinholes import Pinholes
from agents.nodes.home_agent.settings import HomeAgentSettings
from agents.nodes.home_registration.settings import RegistrationConfiguration
from agents.nodes.mobile_node.access import Granted
from agents.nodes.mobile_node.settings import StaticSettings
from agents.nodes.mobile_node.trust import Trust
from tests.nodes.simulated import Network, Node

NOBODYS = [
    "::",
    "::1",
    "::192.0.2.1",
    "::ffff:192.0.2.1",
    "64:ff9b::192.0.2.1",
    "64:ff9b:1::1",
    "100::1",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "2001:db8:100::",
    "2001:db8:100:0:fdff:ffff:ffff:fffe",
    "2001:db8:100:0:fdff:ffff:ffff:ff80",
]
ONE_HOSTS = [
    "2001:db8:100::1",
    "fd00:100::1",
    "2001:db8:100:0:fdff:ffff:ffff:ff7f",
    "2001:db8:100:0:ffff:ffff:ffff:ffff",
]


@pytest.mark.parametrize("address", [*NOBODYS, "2001:db8:100::1%eth0"])
def test_nobodys(address):
    assert not is_unicast(IPv6Address(address))


@pytest.mark.parametrize("address", ONE_HOSTS)
def test_one_hosts(address):
    assert is_unicast(IPv6Address(address))


# Every way on which a home agent's address is learnt: each returns whether it is taken.


def refused(error, work, *arguments, **options):
    try:
        work(*arguments, **options)
    except error:
        return True
    return False


def from_dns(address):
    server = ("2001:db8::53", 53)
    lookup = HomeAgentLookup(server, rng=random.Random(1), host="ha.home.test")
    lookup.start(0.0)
    reply = dns.message.make_response(dns.message.from_wire(lookup.outbox.popleft()[0]))
    reply.answer.append(dns.rrset.from_text("ha.home.test.", 60, "IN", "AAAA", address))
    lookup.handle_message(reply.to_wire(), server, 0.1)
    return isinstance(lookup.events[-1], HomeAgentsFound)


def from_dhcpv6(address):
    told = HomeInformation(Home.LOCAL, addresses=(IPv6Address(address),)).to_option()
    return HomeInformation.from_option(told).complete


KEYS = EapKeys(msk=bytes(64), emsk=bytes(64), session_id=b"\x0d" + bytes(64))


def believed(address, protection):
    """Let a mobile node believe what PANA brings, in clear and sealed."""
    assignment = Assignment(IPv6Address(address), 64)
    sealed = seal(assignment, KEYS.emsk, SealContext("mn@home.test", KEYS.session_id))
    trust = Trust("mn@home.test", None, protection=protection, psk_source="emsk", preshared=None)
    granted = Granted(assignment, sealed, KEYS)
    return not refused(SealError, trust.assignment, granted, None)


def from_pana(address):
    return believed(address, "none")


def from_the_seal(address):
    return believed(address, "sealed")


def from_diameter(address):
    """Let an access router read two home agents, this one first."""
    first, second = Assignment(IPv6Address(address), 64), Assignment(IPv6Address("2001:db8::2"), 64)
    avps = [*mobility.assignment_avps(first), *mobility.assignment_avps(second)]
    return mobility.read_assignment(avps)[0] == first


SUBSCRIBERS = """
[[home_agents]]
name = "ha"
address = "2001:db8:ffff::1"
prefix = "2001:db8:ffff::/64"
pool = "2001:db8:ffff::1000-2001:db8:ffff::1fff"
[[subscribers]]
identity = "mn@home.test"
local_home_agent = true
prefer = "local"
"""


def from_the_visited_network(address, tmp_path):
    subscribers = parse(SUBSCRIBERS)
    with Leases(tmp_path / "leases") as leases:
        chooser = Chooser(subscribers, leases, lifetime=0.0)
        candidate = Assignment(IPv6Address(address), 64)
        return chooser.choose(subscribers.find("mn@home.test"), Wish.LOCAL, candidate).local


def from_the_subscribers_file(address):
    prefix = IPv6Network((address, 64), strict=False)
    text = SUBSCRIBERS.partition("[[subscribers]]")[0].partition("pool")[0]
    text = text.replace("2001:db8:ffff::/64", str(prefix)).replace("2001:db8:ffff::1", address)
    return not refused(SubscribersError, parse, text)


def from_an_access_router(address):
    """Return whether an access router lets IKE through to it."""
    link = AccessLink("access", IPv6Network("2001:db8:a::/64"))
    enforcement = ModelEnforcementPoint(None, link)
    enforcement.close_access()
    router = Node(Network(), "B")
    ways = Pinholes(router.host, enforcement, link, router.log)
    return ways.open(1, IPv6Address("2001:db8:a::2"), IPv6Address(address))


def configured(kind, **options):
    return lambda address: (
        not refused(
            ValueError,
            kind,
            **{key: address if value is ... else value for key, value in options.items()},
        )
    )


WAYS = {
    "dns": from_dns,
    "dhcpv6": from_dhcpv6,
    "pana": from_pana,
    "seal": from_the_seal,
    "diameter": from_diameter,
    "subscribers": from_the_subscribers_file,
    "access router": from_an_access_router,
    "static": configured(StaticSettings, home_agent=...),
    "registration": configured(
        RegistrationConfiguration, host="A", home_agent=..., home_address="", care_of=""
    ),
    "home agent": configured(HomeAgentSettings, address=..., interface="", prefix=""),
    "dhcpv6 server": configured(LocalHomeAgent, address=...),
    "dns server": lambda address: configured(HomeAgentRecord, name="ha", addresses=[address])(""),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_on_which_a_home_agent_is_learnt_takes_what_one_can_have(way):
    taken = [address for address in (*NOBODYS, *ONE_HOSTS) if WAYS[way](address)]
    assert taken == ONE_HOSTS


def test_a_visited_network_offers_what_a_home_agent_can_have(tmp_path):
    addresses = (*NOBODYS, *ONE_HOSTS)
    taken = [a for a in addresses if from_the_visited_network(a, tmp_path)]
    assert taken == ONE_HOSTS
