"""The mobility message authentication option, at both ends (RFC 4285)."""

from __future__ import annotations

import hashlib
import hmac
import math
from ipaddress import IPv6Address
from itertools import pairwise

import pytest
from scapy.layers.inet6 import HAO, IPv6, IPv6ExtHdrDestOpt, PadN
from scapy.layers.l2 import Ether
from scapy.utils import wrpcap

from agents.core.machine import Carried, Discarded
from agents.core.record import replace
from agents.mip6.authentication import (
    AHEAD,
    AUTHENTICATION,
    CLOSE_ENOUGH,
    IDENTIFIER,
    REPLAY_PROTECTION,
    RegistrationAuthentication,
    UpdateAuthentication,
    check_key,
    identifier,
    later,
    replay_protection,
    sealed,
    timestamp,
    timestamp_of,
)
from agents.mip6.binding_cache import Bound
from agents.mip6.codec import (
    BindingAck,
    BindingError,
    BindingRefreshRequest,
    BindingUpdate,
    ErrorStatus,
    Status,
    checksum,
    decode,
    encode,
)
from agents.mip6.home_addresses import Key
from agents.mip6.mobile_node import BindingAccepted, BindingRefused, Registered, Registering
from tests.mip6.nodes import (
    AGENT,
    CARE_OF,
    HA,
    HOME,
    NEXT_CARE_OF,
    SUBSCRIBER,
    answers,
    home_agent,
    link,
    mobile_node,
    update,
)
from tests.wireshark import FAULTS, rows, tshark

KEY, OTHER_KEY = bytes(range(16)), bytes(range(1, 17))
MORNING = 1.8e9
"""The time of day at which the clocks of both ends begin."""

OTHER_HOME = IPv6Address("2001:db8:100::1235")
ADDRESSES = CARE_OF, HOME


def clock(ahead: float = 0.0):
    return lambda now: MORNING + ahead + now


def registering(ahead: float = 0.0, key: bytes = KEY, name: str = SUBSCRIBER):
    return mobile_node(authentication=RegistrationAuthentication(name, key, clock(ahead)))


def serving(*, now: float = -AHEAD, **options):
    """Return a home agent, started at a time, at which the subscriber holds HOME with KEY."""
    ha, kernel = home_agent(
        held=False, authentication=UpdateAuthentication(clock(), now), **options
    )
    assert ha.homes.hold(HOME, SUBSCRIBER, math.inf, 0.0, key=Key(KEY, None))
    return ha, kernel


def signed(sequence=1, now=1.0, *, key=KEY, name=SUBSCRIBER, care_of=CARE_OF, **fields):
    """Return an update as its owner sends it."""
    stamped = identifier(name), replay_protection(timestamp(MORNING + now))
    fields = {"lifetime": 420, "care_of": care_of, "options": stamped, **fields}
    return sealed(BindingUpdate(sequence, **fields), key, care_of, HOME)


def carried(data, care_of=CARE_OF):
    """Return a message with its source, as one with a Home Address option comes in."""
    return data, (Carried.by(str(HOME), str(care_of)), 0)


def acks(ha):
    found = answers(ha)
    assert all(isinstance(one, BindingAck) for one in found)
    return found


# The options


def test_the_authenticator_is_that_of_the_rfc():
    data = signed()
    head, seal = data[:-12], data[-12:]
    assert head[-7:] == bytes((AUTHENTICATION, 17, 1)) + (256).to_bytes(4)
    assert (len(head) - 7) % 4 == 1
    assert len(data) % 8 == 0
    covered = CARE_OF.packed + HOME.packed + head
    assert seal == hmac.new(KEY, covered, hashlib.sha1).digest()[:12]


def test_the_checksum_counts_as_zero():
    ha, _ = serving()
    data = signed()
    number = checksum(HOME, AGENT, data)
    ha.handle_message(*carried(data[:4] + number.to_bytes(2) + data[6:]), 1.0)
    assert ha.is_bound(HOME)


def test_timestamps_are_ntps_and_go_on_after_their_seconds_have_begun_anew():
    assert timestamp(0.5) == (2_208_988_800 << 32) + (1 << 31)
    last_second = timestamp(2**32 - 2_208_988_800 - 1)
    assert later(timestamp(2**32 - 2_208_988_800 + 1), last_second) == 2 << 32
    assert later(last_second, last_second) == 0


def test_wireshark_reads_the_options(tmp_path):
    data = signed()
    data = data[:4] + checksum(HOME, AGENT, data).to_bytes(2) + data[6:]
    option = IPv6ExtHdrDestOpt(nh=135, options=[PadN(optdata=b"\0\0"), HAO(hoa=str(HOME))])
    packet = IPv6(src=str(CARE_OF), dst=str(AGENT)) / option / data
    path = tmp_path / "signed.pcap"
    wrpcap(str(path), [Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / packet])
    fields = "mip6.mhtype", "mip6.mnid.identifier", "mip6.auth.mobility_spi", "mip6.auth.auth_data"
    kind, name, spi, seal = rows(path, *fields)[0].split("\t")
    assert (kind, name, spi) == ("5", SUBSCRIBER, "256")
    # Wireshark 4.0 shows all but the last two octets, and NTP's seconds as if they began in 1970.
    assert data[-12:].startswith(bytes.fromhex(seal.replace(":", "")))
    assert not tshark(path, "-Y", FAULTS)


# Both ends


def test_they_understand_each_other():
    mn, (ha, kernel) = registering(), serving()
    between = link(mn, ha)
    mn.start(0.0)
    between.run(10.0)
    assert isinstance(mn.state, Registered)
    assert kernel.bound == {HOME: CARE_OF}
    mn.move(NEXT_CARE_OF, 20.0)
    between.run(30.0)
    assert kernel.bound == {HOME: NEXT_CARE_OF}
    mn.stop(40.0)
    between.run(50.0)
    assert kernel.bound == {}


@pytest.mark.parametrize("ahead", [-3600.0, -7.5, -1.0, 0.0, 0.9, 1.5, 7.5, 3600.0])
def test_a_clock_that_differs_costs_one_exchange_at_most(ahead):
    mn, (ha, _) = registering(ahead), serving(now=-100.0)
    between = link(mn, ha)
    mn.start(0.0)
    between.run(10.0)
    assert isinstance(mn.state, Registered)
    assert len(between.sent) == (2 if -CLOSE_ENOUGH < ahead <= AHEAD else 4)


def test_a_clock_behind_that_of_a_home_agent_which_has_just_started_costs_one_exchange():
    mn, (ha, _) = registering(-2.5), serving()
    between = link(mn, ha)
    mn.start(0.0)
    between.run(10.0)
    assert isinstance(mn.state, Registered)
    assert len(between.sent) == 4


def test_who_is_started_again_registers_at_once():
    ha, _ = serving()
    for ahead in (0.0, 0.4, 0.8):
        mn = registering(ahead)
        between = link(mn, ha)
        mn.start(0.0)
        between.run(1.0)
        assert isinstance(mn.state, Registered)
        assert len(between.sent) == 2


def test_a_home_agent_that_is_started_again_binds_again():
    mn = registering()
    for start in (-9.0, -5.0):
        ha, _ = serving(now=start)
        between = link(mn, ha)
        mn.start(0.0)
        between.run(1.0)
        assert ha.is_bound(HOME)


def test_duplicate_address_detection_is_answered_by_the_update_that_came_last():
    mn, (ha, _) = registering(), serving(detect=True)
    between = link(mn, ha)
    mn.start(0.0)
    between.run(10.0)
    assert [type(e).__name__ for e in mn.events].count("BindingAccepted") == 1


# What a home agent takes


def test_an_update_of_the_holder_is_taken_and_answered_with_what_it_has_to_have():
    ha, _ = serving()
    ha.handle_message(*carried(signed()), 1.0)
    data, _ = ha.outbox.popleft()
    ack = decode(data)
    assert ack.status == Status.ACCEPTED
    assert [o.kind for o in ack.options] == [IDENTIFIER, REPLAY_PROTECTION, AUTHENTICATION]
    assert timestamp_of(ack) == timestamp(MORNING + 1.0)
    seal = hmac.new(KEY, CARE_OF.packed + HOME.packed + data[:-12], hashlib.sha1).digest()
    assert data[-12:] == seal[:12]


def test_without_an_alternate_care_of_address_the_source_is_what_is_signed():
    ha, kernel = serving()
    stamped = identifier(SUBSCRIBER), replay_protection(timestamp(MORNING + 1.0))
    data = sealed(BindingUpdate(1, 420, options=stamped), KEY, CARE_OF, HOME)
    ha.handle_message(*carried(data, NEXT_CARE_OF), 1.0)
    assert kernel.bound == {}
    ha.handle_message(*carried(data), 1.0)
    assert kernel.bound == {HOME: CARE_OF}


@pytest.mark.parametrize(
    "data",
    [
        update(1),
        encode(BindingUpdate(1, 420, care_of=CARE_OF, options=(identifier(SUBSCRIBER),))),
        signed(name="another@home.test"),
        signed(options=()),
        encode(BindingRefreshRequest()),
        encode(BindingAck(0, 1, 420)),
    ],
)
def test_what_does_not_say_and_show_whose_it_is_gets_no_answer(data):
    ha, kernel = serving()
    ha.handle_message(*carried(data), 1.0)
    assert kernel.bound == {}
    assert answers(ha) == []


def altered(data, at):
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]


def test_one_bit_that_is_altered_anywhere_makes_it_nobodys():
    data = signed()
    for at in range(len(data)):
        if at in (4, 5):  # The checksum, which the kernel has verified.
            continue
        ha, kernel = serving()
        ha.handle_message(*carried(altered(data, at)), 1.0)
        assert kernel.bound == {}, at


def test_who_has_no_key_is_told_so_only_while_there_is_no_binding():
    ha, kernel = serving()
    for now in (1.0, 1.5, 1.9):
        ha.handle_message(*carried(signed(key=OTHER_KEY)), now)
    (ack,) = acks(ha)  # Once in a second.
    assert ack.status == Status.AUTHENTICATION_FAILED
    ha.handle_message(*carried(signed()), 1.0)
    answers(ha)
    ways = dict(kernel.reached)
    ha.handle_message(*carried(signed(2, key=OTHER_KEY, care_of=NEXT_CARE_OF), NEXT_CARE_OF), 2.0)
    assert answers(ha) == []
    assert kernel.reached == ways
    assert kernel.bound == {HOME: CARE_OF}


def test_a_subscriber_cannot_bind_anothers_home_address():
    ha, kernel = serving()
    assert ha.homes.hold(OTHER_HOME, "another@home.test", math.inf, 0.0, key=Key(OTHER_KEY, None))
    for name in ("another@home.test", SUBSCRIBER):
        ha.handle_message(*carried(signed(key=OTHER_KEY, name=name)), 1.0)
    assert kernel.bound == {}


def test_an_update_that_is_sent_again_changes_nothing():
    ha, kernel = serving()
    first = signed(1, 1.0)
    ha.handle_message(*carried(first), 1.0)
    second = signed(2, 2.0, care_of=NEXT_CARE_OF)
    ha.handle_message(*carried(second, NEXT_CARE_OF), 2.0)
    answers(ha)
    for now in (2.1, 5.0, 100.0):
        for data, care_of in ((first, CARE_OF), (second, NEXT_CARE_OF)):
            ha.handle_message(*carried(data, care_of), now)
            assert [ack.status for ack in acks(ha)] == [Status.MESSAGE_ID_MISMATCH]
    assert kernel.bound == {HOME: NEXT_CARE_OF}


def test_nor_after_the_binding_has_ended_nor_after_the_home_agent_was_started_again():
    ha, kernel = serving()
    first = signed(1, 1.0)
    ha.handle_message(*carried(first), 1.0)
    last = signed(2, 2.0, lifetime=0)
    ha.handle_message(*carried(last), 2.0)
    assert kernel.bound == {}
    for now in (2.5, 7.5, 30.0):
        ha.handle_message(*carried(first), now)
    assert kernel.bound == {}
    successor, kernel = serving(now=3.0)
    successor.handle_message(*carried(first), 3.5)
    assert kernel.bound == {}


def test_what_is_ahead_as_far_as_may_be_is_old_to_who_is_started_after_it():
    ha, kernel = serving()
    data = signed(1, 1.999 + AHEAD)
    ha.handle_message(*carried(data), 2.0)
    assert kernel.bound == {HOME: CARE_OF}
    for now in (2.1, 3.0, 5.0, 9.5):
        successor, kernel = serving(now=2.0)
        successor.handle_message(*carried(data), now)
        assert kernel.bound == {}


@pytest.mark.parametrize("off", [-7.5, 7.5, -1e6, 1e6])
def test_an_update_of_another_time_is_refused_with_this_clocks_seconds(off):
    ha, kernel = serving()
    ha.handle_message(*carried(signed(1, 2e6 + off)), 2e6)
    (ack,) = acks(ha)
    assert ack.status == Status.MESSAGE_ID_MISMATCH
    there = timestamp(MORNING + 2e6 + off)
    assert timestamp_of(ack) & 0xFFFFFFFF == there & 0xFFFFFFFF
    assert timestamp_of(ack) >> 32 == timestamp(MORNING + 2e6) >> 32
    assert kernel.bound == {}


def test_an_update_without_a_timestamp_is_refused():
    ha, _ = serving()
    data = sealed(
        BindingUpdate(1, 420, care_of=CARE_OF, options=(identifier(SUBSCRIBER),)), KEY, *ADDRESSES
    )
    ha.handle_message(*carried(data), 1.0)
    assert [ack.status for ack in acks(ha)] == [Status.MESSAGE_ID_REQUIRED]


def test_sequence_numbers_do_not_count():
    ha, _ = serving()
    for sequence, now in ((5, 1.0), (5, 2.0), (4, 3.0), (40000, 4.0)):
        ha.handle_message(*carried(signed(sequence, now)), now)
        assert [ack.status for ack in acks(ha)] == [Status.ACCEPTED]
    assert isinstance(ha.bindings[HOME], Bound)


def test_what_is_remembered_does_not_grow():
    authentication = UpdateAuthentication(clock(), 0.0)
    for number in range(2000):
        home, now = HOME + number, 2.0 + number / 10
        stamped = identifier(SUBSCRIBER), replay_protection(timestamp(MORNING + now))
        message = BindingUpdate(1, 420, care_of=CARE_OF, options=stamped)
        data = sealed(message, KEY, CARE_OF, home)
        objection = authentication.objection(
            SUBSCRIBER, KEY, decode(data), data, (CARE_OF, home), now
        )
        assert objection is None
    assert len(authentication._latest) <= 10 * 2 * CLOSE_ENOUGH


# What a mobile node takes


def asked():
    """Return a mobile node that has sent an update, and that update."""
    mn = registering()
    mn.start(0.0)
    data, _ = mn.outbox.popleft()
    mn.events.clear()
    return mn, decode(data)


def ack_of(sent, status=Status.ACCEPTED, *, key=KEY, care_of=CARE_OF, stamp=None):
    stamp = timestamp_of(sent) if stamp is None else stamp
    options = identifier(SUBSCRIBER), replay_protection(stamp)
    return sealed(BindingAck(status, sent.sequence, 420, options=options), key, care_of, HOME)


def test_an_acknowledgement_of_the_home_agent_is_taken():
    mn, sent = asked()
    mn.handle_message(ack_of(sent), HA, 0.1)
    assert isinstance(mn.events[-1], BindingAccepted)


@pytest.mark.parametrize(
    "answer",
    [
        lambda sent: encode(BindingAck(Status.ACCEPTED, sent.sequence, 420)),
        lambda sent: encode(BindingAck(Status.AUTHENTICATION_FAILED, sent.sequence, 0)),
        lambda sent: encode(BindingAck(Status.MESSAGE_ID_MISMATCH, sent.sequence, 0)),
        lambda sent: encode(BindingAck(Status.SEQUENCE_OUT_OF_WINDOW, sent.sequence, 0)),
        lambda sent: ack_of(sent, key=OTHER_KEY),
        lambda sent: ack_of(sent, care_of=NEXT_CARE_OF),
        lambda sent: ack_of(sent, stamp=timestamp_of(sent) - 1),
        lambda sent: ack_of(sent, Status.AUTHENTICATION_FAILED, key=OTHER_KEY),
        lambda sent: ack_of(sent, Status.MESSAGE_ID_MISMATCH, key=OTHER_KEY),
        lambda sent: ack_of(replace(sent, sequence=sent.sequence + 1)),
        lambda _: encode(BindingError(ErrorStatus.UNKNOWN_TYPE, HOME)),
        lambda _: encode(BindingRefreshRequest()),
    ],
)
def test_what_shows_nothing_has_no_effect(answer):
    mn, sent = asked()
    before = mn.state
    mn.handle_message(answer(sent), HA, 0.1)
    assert mn.state == before
    assert [type(event) for event in mn.events] == [Discarded]


def test_an_authentic_refusal_ends_the_attempt():
    mn, sent = asked()
    mn.handle_message(ack_of(sent, Status.ADMINISTRATIVELY_PROHIBITED), HA, 0.1)
    assert isinstance(mn.events[-1], BindingRefused)


def test_a_copy_that_somebody_has_altered_does_not_keep_the_true_one_from_its_answer():
    mn, (ha, _) = registering(), serving(detect=True)
    mn.start(0.0)
    data, _ = mn.outbox.popleft()
    ha.handle_message(*carried(altered(data, len(data) - 1)), 0.01)
    ha.handle_message(*carried(data), 0.02)
    between = link(mn, ha)
    between.run(3.0)
    assert isinstance(mn.state, Registered)


def test_old_updates_that_are_sent_again_while_another_one_waits_do_not_end_it():
    mn, (ha, _) = registering(), serving(detect=True)
    mn.start(0.0)
    old = [mn.outbox.popleft()[0]]
    mn.handle_timeout(mn.next_timeout())
    ha.handle_message(*carried(mn.outbox[0][0]), 1.5)
    mn.outbox.clear()
    for number in range(8):
        ha.handle_message(*carried(old[0]), 1.6 + number / 100)
    between = link(mn, ha)
    between.now = 1.7
    between.run(6.0)
    assert isinstance(mn.state, Registered)


def test_an_answer_about_its_clock_that_nobody_waits_for_changes_nothing():
    mn, sent = asked()
    mn.handle_message(ack_of(sent), HA, 0.1)
    told = ack_of(sent, Status.MESSAGE_ID_MISMATCH, stamp=timestamp(MORNING + 200.0))
    mn.handle_message(told, HA, 0.2)
    mn.handle_timeout(mn.next_timeout())
    data, _ = mn.outbox.popleft()
    assert later(timestamp_of(decode(data)), timestamp(MORNING + 420.0)) < 0


@pytest.mark.parametrize("key", [None, b"", KEY[:-1], KEY + b"x"])
def test_a_key_of_another_length_is_none(key):
    with pytest.raises(ValueError, match=r"mn\.key: the key .* has 16 octets, and not"):
        check_key(key, "mn.key")
    check_key(KEY, "mn.key")


def test_late_answers_about_its_clock_do_not_add_up():
    mn, (ha, _) = registering(-100.0), serving()
    mn.start(10.0)
    mn.handle_timeout(mn.next_timeout())
    for data, _ in tuple(mn.outbox):
        ha.handle_message(*carried(data), 11.6)
    mn.outbox.clear()
    between = link(mn, ha)
    between.now = 11.6
    between.run(13.0)
    assert isinstance(mn.state, Registered)
    assert len(between.sent) <= 2 + 4  # Two late answers, and two exchanges.


def test_what_is_sent_again_is_later():
    mn = registering()
    mn.start(0.0)
    while len(mn.outbox) < 6:
        mn.handle_timeout(mn.next_timeout())
    stamps = [timestamp_of(decode(data)) for data, _ in mn.outbox]
    assert all(later(after, before) > 0 for before, after in pairwise(stamps))
    assert isinstance(mn.state, Registering)
