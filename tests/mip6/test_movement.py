"""Movement detection: routers' messages, and which of them tell of another link."""

from __future__ import annotations

import random
from ipaddress import IPv6Address, IPv6Network

import pytest
from scapy.layers.inet6 import (
    ICMPv6ND_RA,
    ICMPv6ND_RS,
    ICMPv6NDOptMTU,
    ICMPv6NDOptPrefixInfo,
    ICMPv6NDOptSrcLLAddr,
    raw,
)

from agents.core.reader import WireError
from agents.mip6.movement import LinkKept, LinkUp, Moved, MovementDetection, RouterSolicited
from agents.mip6.prefixes import PrefixInformation
from agents.mip6.routers import RouterAdvertisement, solicitation

MAC = bytes.fromhex("020000000101")
HERE, THERE = IPv6Network("2001:db8:a::/64"), IPv6Network("2001:db8:a2::/64")
CARE_OF = HERE[0x1234]
ROUTER, ANOTHER = ("fe80::1%A-access", 0), ("fe80::2%A-access", 0)


def advertisement(prefix=THERE, *, lifetime=30, **changes):
    """Return what a router on a link tells of it."""
    values = {"valid": 86400, "preferred": 14400, "is_router": True} | changes
    told = PrefixInformation(prefix[1], prefix.prefixlen, **values)
    return RouterAdvertisement(lifetime, (told,)).encode()


class Mobile:
    """A mobile node on a link, at second 0."""

    def __init__(self):
        self.machine = MovementDetection(CARE_OF, MAC, rng=random.Random(1))
        self.now = 0.0

    def hear(self, data, source=ANOTHER):
        self.machine.handle_message(data, source, self.now)
        return self.told()

    def told(self):
        """Return the events since this was asked."""
        events = [type(event) for event in self.machine.events]
        self.moved = [event for event in self.machine.events if isinstance(event, Moved)]
        kept = [event for event in self.machine.events if isinstance(event, LinkKept)]
        self.kept = kept[-1] if kept else None
        self.machine.events.clear()
        return events

    def asked(self):
        """Return how many solicitations have left since this was asked."""
        sent = list(self.machine.outbox)
        self.machine.outbox.clear()
        assert all(packet == (solicitation(MAC), ("ff02::2", 0)) for packet in sent)
        return len(sent)

    def wait(self, seconds):
        until = self.now + seconds
        while (due := self.machine.next_timeout()) is not None and due <= until:
            self.now = due
            self.machine.handle_timeout(due)
        self.now = until


@pytest.fixture
def mobile():
    return Mobile()


def test_the_messages_are_those_of_the_rfc():
    asked = ICMPv6ND_RS(cksum=0) / ICMPv6NDOptSrcLLAddr(lladdr="02:00:00:00:01:01")
    assert solicitation(MAC) == raw(asked)
    told = ICMPv6ND_RA(cksum=0, chlim=0, prf=0, routerlifetime=30) / ICMPv6NDOptPrefixInfo(
        prefix="2001:db8:a2::1", prefixlen=64, L=1, A=1, R=1, validlifetime=86400,
        preferredlifetime=14400, res2=0,
    )  # fmt: skip
    assert raw(told) == advertisement()
    read = RouterAdvertisement.decode(raw(told / ICMPv6NDOptMTU(mtu=1400)))
    assert read.router == THERE[1]
    assert [prefix.network for prefix in read.usable] == [THERE]


@pytest.mark.parametrize("cut", [0, 3, 15, 17, 47])
def test_a_message_that_is_cut_short_is_told_of(mobile, cut):
    with pytest.raises(WireError):
        RouterAdvertisement.decode(advertisement()[:cut])
    mobile.machine.link_up(0.0)
    assert Moved not in mobile.hear(advertisement()[:cut])


def test_a_link_that_comes_up_is_asked_for_and_the_first_router_tells_which_it_is(mobile):
    mobile.machine.link_up(0.0)
    assert mobile.told() == [LinkUp, RouterSolicited]
    assert mobile.asked() == 1
    assert mobile.hear(advertisement()) == [Moved]
    [moved] = mobile.moved
    assert (moved.prefixes, moved.router) == ((THERE,), THERE[1])
    assert moved.link_local == IPv6Address("fe80::2")
    mobile.machine.arrived(THERE[0x1234])
    assert mobile.machine.next_timeout() is None
    assert mobile.hear(advertisement()) == []


def test_the_same_link_is_no_movement(mobile):
    mobile.machine.link_up(0.0)
    mobile.told()
    assert mobile.hear(advertisement(HERE), ROUTER) == [LinkKept]
    assert mobile.kept.router == HERE[1]
    assert mobile.hear(advertisement(HERE), ROUTER) == []
    assert mobile.machine.next_timeout() is None


def test_at_the_start_the_link_is_as_unknown_as_after_it_was_down(mobile):
    """The address may be from a link before."""
    mobile.machine.start(0.0)
    assert mobile.told() == [RouterSolicited]
    assert mobile.hear(advertisement()) == [Moved]


def test_who_gets_no_answer_asks_again_later_and_later_but_not_while_the_link_is_down(mobile):
    mobile.machine.link_up(0.0)
    mobile.wait(50.0)
    assert mobile.asked() == 4  # At once, and after about 4, 12 and 28 s.
    mobile.machine.link_down()
    mobile.wait(3600.0)
    assert mobile.asked() == 0


def test_a_new_router_is_on_the_same_link_if_the_known_one_answers(mobile):
    """RFC 6275 section 11.5.1: hearing a new router with a new prefix is no reliable sign."""
    assert mobile.hear(advertisement()) == [RouterSolicited]
    mobile.wait(8.5)
    assert mobile.asked() == 2  # One may be lost.
    mobile.told()
    assert mobile.hear(advertisement(HERE), ROUTER) == [LinkKept]
    mobile.wait(3600.0)
    assert mobile.told() == []


def test_a_new_router_is_on_another_link_if_the_known_one_is_silent(mobile):
    mobile.hear(advertisement())
    assert mobile.asked() == 1
    mobile.wait(8.9)
    assert Moved not in mobile.told()
    assert mobile.hear(advertisement()) == []
    mobile.wait(0.2)
    assert mobile.told()[-1] is Moved
    assert mobile.moved[0].prefixes == (THERE,)


@pytest.mark.parametrize(
    ("data", "source"),
    [
        (advertisement(), ("2001:db8:a2::1", 0)),
        (advertisement(lifetime=0), ANOTHER),
        (advertisement(preferred=0), ANOTHER),
        (advertisement(valid=0), ANOTHER),
        (advertisement(valid=60, preferred=61), ANOTHER),
        (advertisement(IPv6Network("fe80::/64")), ANOTHER),
        (advertisement(IPv6Network("ff0e::/64")), ANOTHER),
        (advertisement(HERE, autonomous=False), ANOTHER),
        (advertisement(HERE, lifetime=0), ANOTHER),
        (advertisement(IPv6Network("2001:db8::/32")), ANOTHER),
        (advertisement(autonomous=False), ANOTHER),
        (advertisement(IPv6Network("2001:db8:a2::/48")), ANOTHER),
        (solicitation(MAC), ANOTHER),
        (b"", ANOTHER),
    ],
)
def test_what_is_of_no_use_says_nothing(mobile, data, source):
    mobile.machine.link_up(0.0)
    mobile.told()
    assert {Moved, LinkKept}.isdisjoint(mobile.hear(data, source))
    assert mobile.machine.next_timeout() is not None  # It goes on asking.


@pytest.mark.parametrize("address", ["::", "ff02::1", "fe80::1", "::1", "2001:db8:a2::"])
def test_no_other_address_is_a_routers(address):
    """The last one is that of any router on the link (RFC 4291 section 2.6.1)."""
    told = PrefixInformation(IPv6Address(address), 64, 86400, 14400, is_router=True)
    usable = PrefixInformation(THERE[7], 64, 86400, 14400)
    assert RouterAdvertisement(30, (told, usable)).router is None


def test_a_prefix_of_everybody_comes_before_a_local_one_and_both_stay(mobile):
    local = IPv6Network("fd00:a2::/64")
    options = tuple(PrefixInformation(p[1], 64, 86400, 14400) for p in (local, THERE))
    mobile.machine.link_up(0.0)
    mobile.hear(RouterAdvertisement(30, options).encode())
    assert mobile.moved[0].prefixes == (THERE, local)


def test_who_waits_for_an_address_on_the_new_link_knows_its_router(mobile):
    """With duplicate address detection it takes a second, in which others advertise too."""
    third = IPv6Network("2001:db8:a3::/64")
    mobile.machine.link_up(0.0)
    assert mobile.hear(advertisement())[-1] is Moved
    mobile.wait(5.0)
    mobile.hear(advertisement(third), ("fe80::3%A-access", 0))
    mobile.hear(advertisement())
    mobile.machine.arrived(THERE[0x1234])
    mobile.wait(60.0)
    assert Moved not in mobile.told()


def test_nobody_makes_it_ask_more_often_than_every_four_seconds(mobile):
    for _ in range(200):
        mobile.hear(advertisement())
        mobile.hear(advertisement(HERE), ROUTER)
        mobile.wait(0.1)
    assert mobile.asked() <= 6


def test_a_router_that_does_not_tell_its_address_is_a_router_too(mobile):
    mobile.machine.link_up(0.0)
    assert mobile.hear(advertisement(is_router=False))[-1] is Moved
    assert mobile.moved[0].router is None
