"""Prefix discovery: messages, both ends, and how long the home agent grants."""

from __future__ import annotations

import random
from ipaddress import IPv6Address, IPv6Network

import pytest
from scapy.layers.inet6 import IPv6, IPv6ExtHdrRouting, Raw
from scapy.layers.l2 import Ether
from scapy.utils import wrpcap

from agents.core.reader import WireError
from agents.mip6.codec import BindingAck, Status, internet_checksum
from agents.mip6.home_prefix import HomePrefix
from agents.mip6.prefix_advertiser import AdvertiserTimers, PrefixAdvertised, PrefixAdvertiser
from agents.mip6.prefix_discovery import PrefixDiscovery, PrefixesLearnt
from agents.mip6.prefixes import (
    INFINITE,
    PrefixAdvertisement,
    PrefixInformation,
    PrefixSolicitation,
    decode,
)
from tests.mip6.nodes import AGENT, CARE_OF, HA, HOME, MN, PREFIX, answers, home_agent, update
from tests.wireshark import FAULTS, rows, tshark

ASKED = PrefixSolicitation(0x1234)
TOLD = PrefixInformation(AGENT, 64, 7200, 3600, is_router=True)
ANSWERED = PrefixAdvertisement(0x1234, (TOLD,), managed=True)


def test_the_messages_are_those_of_the_rfc():
    assert ASKED.encode() == bytes.fromhex("92000000 1234 0000")
    assert ANSWERED.encode() == bytes.fromhex(
        "93000000 1234 8000 030440e0 00001c20 00000e10 00000000 20010db8010000000000000000000001"
    )
    assert TOLD.network == PREFIX
    for message in (ASKED, ANSWERED):
        assert decode(message.encode()) == message


def test_options_that_are_not_known_are_passed_over():
    for message in (ASKED, ANSWERED):
        assert decode(message.encode() + bytes((77, 1)) + bytes(6)) == message


@pytest.mark.parametrize(
    "data",
    [
        ASKED.encode()[:-1],
        bytes((146, 1)) + ASKED.encode()[2:],
        bytes((128, 0)) + ASKED.encode()[2:],
        PrefixAdvertisement(1, ()).encode(),
        ASKED.encode() + bytes((77, 0)),
        ANSWERED.encode()[:8] + bytes((3, 4, 129)) + ANSWERED.encode()[11:],
        ANSWERED.encode()[:8] + bytes((3, 5)) + ANSWERED.encode()[10:] + bytes(8),
        *(ANSWERED.encode()[:end] for end in range(9, 40)),
    ],
)
def test_what_is_malformed_is_refused(data):
    with pytest.raises(WireError):
        decode(data)


def test_wireshark_reads_them(tmp_path):
    def message(source, destination, data, *headers):
        number = internet_checksum(source, destination, 58, data)
        body = Raw(data[:2] + number.to_bytes(2) + data[4:])
        ends = {"src": str(source), "dst": str(CARE_OF if headers else destination)}
        packet = IPv6(nh=43 if headers else 58, **ends)
        for header in headers:
            packet = packet / header
        return Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / packet / body

    routing = IPv6ExtHdrRouting(nh=58, type=2, segleft=1, addresses=[str(HOME)])
    path = tmp_path / "prefixes.pcap"
    wrpcap(
        str(path),
        [
            message(HOME, AGENT, ASKED.encode()),
            message(AGENT, HOME, ANSWERED.encode(), routing),
        ],
    )
    assert tshark(path, "-Y", FAULTS) == ""
    fields = ("icmpv6.type", "icmpv6.checksum.status", "icmpv6.opt.prefix.valid_lifetime")
    assert rows(path, *fields) == ["146\t1\t", "147\t1\t7200"]


# How long the home agent grants (section 10.3.1)


@pytest.mark.parametrize(
    ("valid", "preferred", "granted", "status"),
    [
        (None, None, 420, Status.ACCEPTED),
        (1000, 1000, 420, Status.ACCEPTED),
        (1000, 420, 420, Status.ACCEPTED),
        (1000, 419, 420, Status.PREFIX_DISCOVERY_NECESSARY),
        (1000, 0, 420, Status.PREFIX_DISCOVERY_NECESSARY),
        (424, 424, 420, Status.ACCEPTED),
        (423, 423, 420, Status.PREFIX_DISCOVERY_NECESSARY),
        (101, 101, 100, Status.PREFIX_DISCOVERY_NECESSARY),
        (3, 3, 0, Status.NOT_HOME_SUBNET),
    ],
)
def test_the_prefix_bounds_the_binding(valid, preferred, granted, status):
    prefix = HomePrefix(PREFIX, AGENT, valid=valid, preferred=preferred)
    ha, _ = home_agent(prefix=prefix)
    ha.handle_message(update(1), MN, 0.0)
    assert answers(ha) == [BindingAck(status, 1, granted)]


def test_a_prefix_that_ends_earlier_than_it_was_to_ends_bindings_with_it():
    prefix = HomePrefix(PREFIX, AGENT)
    ha, kernel = home_agent(prefix=prefix)
    ha.handle_message(update(1), MN, 0.0)
    prefix.change(30.0, 0.0, 10.0)
    ha.prefix_changed()
    assert ha.next_timeout() == 40.0
    ha.handle_timeout(40.0)
    assert kernel.bound == {}


def test_a_prefix_is_not_preferred_for_longer_than_it_is_valid():
    with pytest.raises(ValueError, match="preferred"):
        HomePrefix(PREFIX, AGENT, valid=10.0, preferred=10.5)


# Both ends


class Ends:
    """A home agent that tells of a prefix and a mobile node that asks."""

    def __init__(self):
        self.prefix = HomePrefix(PREFIX, AGENT, valid=7200.0, preferred=3600.0)
        self.bound = True
        rng = random.Random(1)
        self.ha = PrefixAdvertiser(self.prefix, is_bound=lambda _: self.bound, rng=rng)
        self.mn = PrefixDiscovery(AGENT, rng=rng)

    def carry(self, now):
        """Carry what waits from either end to the other; return what that was."""
        carried = []
        for machine, other, source in ((self.mn, self.ha, MN), (self.ha, self.mn, HA)):
            while machine.outbox:
                data, _ = machine.outbox.popleft()
                carried.append(decode(data))
                other.handle_message(data, source, now)
        return carried

    def learnt(self):
        return [e.prefixes for e in self.mn.events if isinstance(e, PrefixesLearnt)]


def test_a_solicitation_is_answered_with_its_identifier_at_once():
    ends = Ends()
    ends.mn.solicit(100.0)
    asked, told = ends.carry(100.0)
    assert told.identifier == asked.identifier
    assert ends.learnt() == [(PrefixInformation(AGENT, 64, 7100, 3500, is_router=True),)]
    assert ends.mn.next_timeout() is ends.ha.next_timeout() is None


def test_without_an_answer_it_is_asked_again_later_and_later():
    mn = Ends().mn
    mn.solicit(0.0)
    times = []
    for _ in range(7):
        times.append(mn.next_timeout())
        mn.handle_timeout(times[-1])
    assert times == [3.0, 9.0, 21.0, 45.0, 77.0, 109.0, 141.0]
    assert len({decode(data).identifier for data, _ in mn.outbox}) == 8
    mn.stop()
    assert mn.next_timeout() is None


def test_what_nobody_has_asked_for_is_not_believed_but_asked_for():
    ends = Ends()
    ends.mn.handle_message(PrefixAdvertisement(7, (TOLD,)).encode(), HA, 0.0)
    assert ends.learnt() == []
    ends.carry(0.0)
    assert len(ends.learnt()) == 1


@pytest.mark.parametrize(
    ("identifier", "source"), [("other", HA), ("same", ("2001:db8:100::2", 0))]
)
def test_a_forged_advertisement_changes_nothing(identifier, source):
    ends = Ends()
    ends.mn.solicit(0.0)
    asked = decode(ends.mn.outbox[0][0]).identifier
    number = asked if identifier == "same" else asked ^ 1
    ends.mn.handle_message(PrefixAdvertisement(number, (TOLD,)).encode(), source, 0.0)
    assert ends.learnt() == []
    assert ends.mn.next_timeout() == 3.0


def test_the_home_agent_answers_who_is_bound_and_no_more_than_once_a_second():
    ends = Ends()
    ends.ha.handle_message(ASKED.encode(), MN, 0.0)
    ends.ha.handle_message(ASKED.encode(), MN, 0.5)
    assert len(ends.ha.outbox) == 1
    assert ends.ha.next_timeout() == 1.0
    ends.ha.handle_timeout(1.0)
    assert len(ends.ha.outbox) == 2
    ends.bound = False
    ends.ha.handle_message(ASKED.encode(), MN, 9.0)
    ends.ha.handle_message(ANSWERED.encode(), MN, 9.0)
    ends.ha.handle_message(b"", MN, 9.0)
    assert len(ends.ha.outbox) == 2


def test_a_change_is_told_until_it_is_asked_about():
    ends = Ends()
    ends.prefix.change(7000.0, 3000.0, 0.0)
    ends.ha.changed([HOME], 0.0)
    times = []
    while (due := ends.ha.next_timeout()) is not None:
        times.append(due)
        ends.ha.handle_timeout(due)
    assert 600.0 <= times[0] <= 3000.0
    assert [round(t - times[0], 3) for t in times] == [0.0, 3.0, 9.0, 21.0]
    unasked = [e.solicited for e in ends.ha.events if isinstance(e, PrefixAdvertised)]
    assert unasked == [False] * 4

    ends.ha.changed([HOME], 5000.0)
    due = ends.ha.next_timeout()
    ends.ha.handle_timeout(due)
    ends.ha.outbox = type(ends.ha.outbox)([ends.ha.outbox[-1]])
    ends.carry(due)  # It is told, and asks; that is the acknowledgement.
    ends.carry(due)
    ends.ha.handle_timeout(due + 1.0)
    ends.carry(due + 1.0)
    assert len(ends.learnt()) == 1
    assert ends.ha.next_timeout() is None


def test_with_the_binding_ends_what_was_to_be_told():
    ends = Ends()
    ends.ha.changed([HOME], 0.0)
    ends.ha.forget(HOME)
    assert ends.ha.next_timeout() is None
    ends.ha.changed([HOME], 0.0)
    ends.bound = False
    ends.ha.handle_timeout(ends.ha.next_timeout())
    assert not ends.ha.outbox


def test_for_ever_is_told_as_such():
    told = HomePrefix(PREFIX, AGENT).information(5.0)
    assert (told.valid, told.preferred) == (INFINITE, INFINITE)
    assert AdvertiserTimers().retries == 3
    assert IPv6Network("2001:db8:100::/64") == told.network
    assert told.address == IPv6Address("2001:db8:100::1")
