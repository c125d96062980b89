"""Phases from synthetic captures and events."""

import json
from dataclasses import replace

import pytest
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6ND_NS, IPv6
from scapy.layers.l2 import Ether

from testbed.base.jsonl import DataError
from testbed.base.phases import PHASES, titles
from testbed.trace.dissect import dissect
from testbed.trace.frames import read_frames
from testbed.trace.phases import (
    PhaseError,
    began,
    contradiction,
    disagreement,
    from_capture,
    from_events,
    from_frames,
    macs,
    reached,
)
from tests.testbed import synthesis as syn
from topologies import attacked

MARKS = (0.020, 0.022, 0.050, 0.051, 0.055)
ANSWER = 136  # The type of a Neighbor Advertisement.


def close(value):
    return pytest.approx(value, abs=2e-6)


@pytest.fixture
def capture(tmp_path):
    return lambda packets: syn.write(tmp_path / "A.pcapng", packets)


def test_a_whole_bootstrap(capture):
    timeline = from_capture(capture(syn.bootstrap()))

    assert timeline.marks == close(MARKS)
    assert timeline.first_packet == close(0.060)
    assert timeline.phases == {
        "pana": close(0.020),
        "pana_to_ike": close(0.002),
        "ike": close(0.028),
        "ike_to_binding": close(0.001),
        "binding": close(0.004),
        "total": close(0.055),
    }
    assert sum(timeline.phases[name] for name in PHASES) == pytest.approx(timeline.phases["total"])


def by_dot1x(marks=MARKS, **options):
    """Return a bootstrap with IEEE 802.1X in PANA's place."""
    ike = [one for one in syn.bootstrap(marks, **options) if one[0] >= marks[1]]
    return [*syn.dot1x_exchange(0.0, marks[0]), *ike]


def test_access_by_dot1x_is_from_eapol_start_to_eap_success(capture):
    packets = [(-0.9, syn.eapol(0, b"\x01\x01\x00\x05\x01", down=True)), *by_dot1x()]

    path = capture(packets)

    assert from_capture(path).marks == close(MARKS)
    shown = [m.label for m in dissect(read_frames(path)) if m.protocol == "802.1X"][1:]
    assert shown == ["EAPOL-Start", "Identity", "Identity", "EAP-TLS", "EAP-TLS", "EAP-Success"]


def test_dot1x_without_success_is_no_access(capture):
    packets = [p for p in by_dot1x() if p[0] != MARKS[0]]
    with pytest.raises(PhaseError, match="no EAP-Success was seen"):
        from_capture(capture([*packets, (0.02, syn.eapol(0, b"\x04\x08\x00\x04", down=True))]))
    assert reached(capture(packets)) == {}


def test_what_is_cut_short_is_no_frame_of_dot1x(capture):
    short = syn.eapol(0)
    short.load = b"\x02\x00\x00\x09\x01"
    assert from_capture(capture([(-0.5, short), *by_dot1x()])).marks == close(MARKS)


def test_phases_are_called_by_the_protocol_of_access():
    assert titles([])["pana"] == titles(["pana"])["pana"] == "PANA"
    assert titles(["802.1x"])["pana_to_ike"] == "802.1X to IKE"
    assert titles(["pana", "802.1x"])["pana"] == "access"
    assert titles(["802.1x"])["ike"] == "IKE"


def test_retransmissions_count_for_the_phase_that_waits_for_them(capture):
    packets = syn.bootstrap((0.020, 0.022, 0.050, 0.051, 4.0), packet=4.1)
    packets += [
        (-1.0, syn.from_mn(syn.pana(1, 0, 0))),  # A first PCI that was lost.
        (0.0201, syn.from_mn(syn.pana(2, syn.C, 106, syn.avp(1, bytes(20))))),
        (0.0505, syn.from_mn(syn.ike(32, 3, 0xABCD), 500)),  # Quick mode 3 again.
        (1.551, syn.update(2)),
        (3.551, syn.update(3)),
        (5.0, syn.update(4)),
        (5.1, syn.ack(4)),
    ]

    timeline = from_capture(capture(packets))

    assert timeline.marks == close((1.020, 1.022, 1.050, 1.051, 5.0))


def resolved(capture, asked, answered):
    """Return the frames of a bootstrap with questions for the neighbour's address and an answer."""
    question = IPv6(src=syn.LINK_A, dst="ff02::1:ff00:b") / ICMPv6ND_NS(tgt=syn.LINK_B)
    answer = IPv6(src=syn.LINK_B, dst=syn.LINK_A) / ICMPv6ND_NA(tgt=syn.LINK_B)
    whole = [packet for packet in syn.bootstrap() if packet[0] >= 0]
    frames = read_frames(capture([*whole, *((t, question) for t in asked), (answered, answer)]))
    return [
        replace(f, data=f.data[6:12] + f.data[:6] + f.data[12:]) if f.data[54] == ANSWER else f
        for f in frames
    ]


@pytest.mark.parametrize("answered", [0.0, -0.0001])
def test_pana_begins_with_the_question_for_the_address_that_its_first_message_waits_for(
    tmp_path, capture, answered
):
    found = from_frames(resolved(capture, (-2.0, -1.0, -0.01), answered), tmp_path)

    assert found.marks == close([2.0 + mark for mark in MARKS])
    assert found.first_packet == close(2.060)


def test_an_address_that_was_known_long_before_is_not_waited_for(tmp_path, capture):
    assert from_frames(resolved(capture, (-2.0,), -1.9), tmp_path).marks == close(MARKS)


def test_the_draft_12_dialect(capture):
    packets = [p for p in syn.bootstrap() if p[0] > 0.021] + syn.pana12_exchange()

    path = capture(packets)

    assert from_capture(path).marks == close(MARKS)
    labels = [m.label for m in dissect(read_frames(path))][:7]
    assert labels == [
        "PCI",
        "PSR Identity",
        "PSA Identity",
        "PAR EAP-TLS",
        "PAN EAP-TLS",
        "PBR",
        "PBA",
    ]


def test_aggressive_mode_and_quick_mode_overtaking_its_third_message(capture):
    packets = [p for p in syn.bootstrap() if not 0.021 < p[0] < 0.0505]
    packets += syn.ikev1_exchange(0.022, 0.050, first=4, count=3)

    assert from_capture(capture(packets)).marks == close(MARKS)


def test_ikev2_ends_with_its_last_ike_auth(capture):
    packets = [p for p in syn.bootstrap() if not 0.021 < p[0] < 0.0505]
    for time, side, exchange, number in [
        (0.022, syn.from_mn, 34, 1),
        (0.030, syn.to_mn, 34, 2),
        (0.031, syn.from_mn, 35, 3),
        (0.050, syn.to_mn, 35, 4),
    ]:
        packets.append((time, side(syn.ike(exchange, number, version=0x20), 500)))

    path = capture(packets)

    assert from_capture(path).marks == close(MARKS)
    assert "IKE_SA_INIT" in [m.label for m in dissect(read_frames(path))]


def test_an_ike_sa_of_an_attempt_before_is_not_the_one_of_the_binding(tmp_path, capture):
    packets = [*syn.bootstrap(), *syn.ikev1_exchange(0.0205, 0.0215, cookie=b"before it")]
    events = syn.write_events(tmp_path / "events.jsonl", zero=1_000_000_000)
    marks = (MARKS[0], 0.0205, *MARKS[2:])
    again = [
        {"t": 1_020_500_000, "host": "A", "agent": "ikev1", "event": "Phase1Started"},
        {"t": 1_021_500_000, "host": "A", "agent": "ikev1", "event": "ChildEstablished"},
        {"t": 2_000_000_000, "host": "A", "agent": "ikev1", "event": "ChildEstablished"},
    ]
    with events.open("a") as file:
        file.writelines(json.dumps(event) + "\n" for event in again)

    assert from_capture(capture(packets)).marks == close(marks)
    assert from_events(events, "A").marks == close(marks)


def test_another_home_agent_may_answer_when_the_first_one_has_not(capture):
    packets = [p for p in syn.bootstrap(packet=None) if p[0] < 0.0545]
    elsewhere = [(0.10, syn.update()), (0.14, syn.ack()), (0.15, syn.tunnelled())]
    for (_, packet), end in zip(elsewhere, ("dst", "src", "src"), strict=True):
        setattr(packet, end, "2001:db8:101::1")

    found = from_capture(capture([*packets, *elsewhere]))

    assert found.marks == close((*MARKS[:4], 0.14))
    assert found.first_packet == close(0.15)


def test_a_binding_update_in_clear(capture):
    packets = [p for p in syn.bootstrap() if p[0] < 0.0505]
    packets += [(0.051, syn.update(clear=True)), (0.055, syn.ack(clear=True))]

    assert from_capture(capture(packets)).marks == close(MARKS)


def test_a_refused_binding_update(capture):
    packets = [p for p in syn.bootstrap() if p[0] < 0.0505]
    packets += [(0.051, syn.update(clear=True)), (0.055, syn.ack(clear=True, status=134))]

    with pytest.raises(PhaseError, match="refused"):
        from_capture(capture(packets))


def test_only_packets_for_the_home_address_are_the_first_packet(capture):
    packets = [*syn.bootstrap(packet=0.09), (0.07, syn.tunnelled("2001:db8:100::7"))]

    assert from_capture(capture(packets)).first_packet == close(0.09)


def test_a_forged_copy_of_the_result_takes_nothing_back(capture):
    (time, _), (answered, _) = syn.pana_exchange(end=MARKS[0])[-2:]
    (_, refusal), _ = syn.pana_exchange(result=1)[-2:]
    packets = [*syn.bootstrap(), ((time + answered) / 2, refusal)]
    assert from_capture(capture(packets)).marks == close(MARKS)


def test_another_host_that_bootstraps_on_the_link(capture):
    others = [
        (time - 0.01, Ether(src=syn.NEIGHBOUR, dst=syn.ROUTER) / packet)
        for time, packet in syn.bootstrap()
    ]
    alone = began(capture(syn.bootstrap()))
    path = capture(syn.bootstrap() + others)
    own = macs(attacked.TOPOLOGY)

    assert own == {bytes.fromhex(syn.MN.replace(":", ""))}
    assert from_capture(path, own).marks == close(MARKS)
    assert sum(reached(path, own).values()) == close(MARKS[-1])
    assert began(path, own) == alone
    assert began(path) < alone


@pytest.mark.parametrize(
    ("kept", "missing"),
    [
        (lambda t: t < 0, "PCI"),
        (lambda t: t < 0.018, "PANA result"),
        (lambda t: t < 0.0199, "answer to the PANA result"),
        (lambda t: t < 0.021, "no IKE message"),
        (lambda t: t < 0.050, "Binding Update"),
        (lambda t: not 0.049 < t < 0.0505, "complete IKE exchange"),
        (lambda t: t < 0.055, "Binding Acknowledgement"),
    ],
)
def test_what_was_not_seen_is_named(capture, kept, missing):
    path = capture([p for p in syn.bootstrap() if kept(p[0])])

    with pytest.raises(PhaseError, match=missing) as raised:
        from_capture(path)
    assert str(path) in str(raised.value)


def test_a_rejected_authentication_is_no_success(capture):
    with pytest.raises(PhaseError, match="without success"):
        from_capture(capture(syn.pana_exchange(result=1)))


def test_ike_that_starts_before_pana_ends_counts_from_its_end(capture):
    packets = [*syn.bootstrap(), (0.01, syn.from_mn(syn.ike(2, 9), 500))]

    found = from_capture(capture(packets))

    assert found.phases["pana_to_ike"] == 0
    assert found.pana_end == close(MARKS[0])
    assert found.overlap == close(0.01)
    assert sum(found.phases[name] for name in PHASES) == close(found.phases["total"])


def test_ike_that_ends_before_pana_does_takes_no_time_of_its_own(capture):
    packets = [p for p in syn.bootstrap() if not 0.0199 < p[0] < 0.0499]
    early = [p for p in syn.bootstrap() if 0.0199 < p[0] < 0.0505]
    packets += [(time * 0.3, packet) for time, packet in early if time > 0.02]
    last = max(time for time, _ in packets if time < 0.02)

    found = from_capture(capture(packets + [p for p in syn.bootstrap() if 0.0195 < p[0] < 0.0201]))

    assert (found.phases["pana_to_ike"], found.phases["ike"]) == (0, 0)
    assert found.pana_end >= last
    assert found.overlap == close((MARKS[2] - MARKS[1]) * 0.3)


def test_an_open_network_has_no_pana(capture):
    packets = [p for p in syn.bootstrap() if p[0] > 0.02]

    found = from_capture(capture(packets))

    assert (found.phases["pana"], found.phases["pana_to_ike"]) == (0, 0)
    assert found.phases["ike"] == close(MARKS[2] - MARKS[1])
    assert (found.discovery, found.overlap) == (None, 0)


def test_discovery_lasts_from_the_first_message_to_the_last_answer(capture):
    searched = [
        (0.0203, syn.lookup(syn.DHCPV6_REQUEST)),
        (0.0205, syn.lookup(syn.DHCPV6_REQUEST)),  # Once more.
        (0.0212, syn.lookup(syn.DHCPV6_REPLY)),
    ]

    found = from_capture(capture([*syn.bootstrap(), *searched]))

    assert found.discovery == close(0.0009)
    assert found.marks == close(MARKS)
    assert from_capture(capture([*syn.bootstrap(), *searched[:2]])).discovery is None
    late = [(time + 0.003, packet) for time, packet in searched]
    assert from_capture(capture([*syn.bootstrap(), *late])).discovery is None


def test_discovery_by_dns_is_where_an_open_network_begins(capture):
    packets = [p for p in syn.bootstrap() if p[0] > 0.021]
    packets += [
        (0.010, syn.lookup(syn.DNS_QUERY)),
        (0.012, syn.lookup(syn.DNS_ANSWER)),
        (0.013, syn.lookup(syn.DNS_QUERY)),
        (0.016, syn.lookup(syn.DNS_ANSWER)),
    ]

    found = from_capture(capture(packets))

    assert found.discovery == close(0.006)
    assert (found.phases["pana"], found.phases["pana_to_ike"]) == (0, close(0.012))


def test_events_give_the_same_phases(tmp_path, capture):
    events = from_events(syn.write_events(tmp_path / "events.jsonl"), "A")
    seen = from_capture(capture(syn.bootstrap()))

    assert events.marks == close(MARKS)
    assert max(disagreement(events.phases, seen.phases).values()) < 5e-6


def test_a_disagreement_is_told_phase_by_phase():
    assert disagreement({"pana": 1.0, "ike": 2.0}, {"pana": 1.5, "total": 9.0}) == {"pana": 0.5}


def test_events_have_the_overlap_too(tmp_path):
    marks = (0.020, 0.012, 0.050, 0.051, 0.055)

    found = from_events(syn.write_events(tmp_path / "events.jsonl", marks), "A")

    assert found.overlap == close(0.008)
    assert found.marks == close((0.020, 0.020, *marks[2:]))


def test_an_exchange_that_captures_do_not_know_contradicts_them(tmp_path, capture):
    path = syn.write_events(tmp_path / "events.jsonl", zero=1_000_000_000)
    unknown = {"t": 970_000_000, "host": "A", "agent": "hip", "event": "Started"}
    path.write_text(json.dumps(unknown) + "\n" + path.read_text())
    seen = from_capture(capture(syn.bootstrap()))

    told = contradiction(seen.phases, from_events(path, "A").phases)

    assert told is not None
    assert told.startswith("capture and events differ by 30.0 ms in total, most in the phase PANA")


@pytest.mark.parametrize(("more", "told"), [(0.0, False), (0.019, False), (0.021, True)])
def test_what_is_noise_is_no_contradiction(more, told):
    seen = {"pana": 0.1, "ike": 0.2, "total": 0.3}
    logged = seen | {"ike": 0.2 + more, "total": 0.3 + more}

    assert (contradiction(seen, logged) is not None) == told
    assert contradiction(seen, logged, share=0.25) is None
    assert contradiction(seen, {}) is None


def test_a_missing_event_is_named(tmp_path):
    path = syn.write_events(tmp_path / "events.jsonl")
    lines = [line for line in path.read_text().splitlines(True) if "ChildEst" not in line]
    path.write_text("".join(lines))

    with pytest.raises(PhaseError, match="ikev1 ChildEstablished"):
        from_events(path, "A")


def test_a_bad_event_line_is_named(tmp_path):
    path = syn.write_events(tmp_path / "events.jsonl")
    lines = path.read_text().splitlines(True)
    lines[3] = json.dumps({"t": "soon", "host": "A"}) + "\n"
    path.write_text("".join(lines))

    with pytest.raises(DataError, match=r"events\.jsonl:4: "):
        from_events(path, "A")


def test_events_that_break_off_are_no_record(tmp_path):
    path = syn.write_events(tmp_path / "events.jsonl")
    path.write_text(path.read_text() + '{"t": 12, "ho')

    with pytest.raises(DataError, match=r"events\.jsonl:\d+: the last line is not finished"):
        from_events(path, "A")


@pytest.mark.parametrize(
    ("until", "whole"),
    [
        (-1.0, []),
        (0.0195, []),
        (0.0215, ["pana"]),
        (0.0505, ["pana", "pana_to_ike"]),  # Only the Binding Update tells which was IKE's last.
        (0.053, ["pana", "pana_to_ike", "ike", "ike_to_binding"]),
        (1.0, list(PHASES)),
    ],
)
def test_the_phases_that_a_bootstrap_went_through_before_it_ended(capture, until, whole):
    packets = [packet for packet in syn.bootstrap() if packet[0] < until]

    found = reached(capture(packets))

    assert list(found) == whole
    expected = from_capture(capture(syn.bootstrap())).phases
    assert found == {name: close(expected[name]) for name in whole}


def test_what_is_reached_beside_pana_counts_for_pana(capture):
    early = [(0.01 + t - 0.022, p) if 0.022 <= t < 0.05 else (t, p) for t, p in syn.bootstrap()]

    found = reached(capture(sorted(early, key=lambda packet: packet[0])))

    assert found["pana"] == close(0.020)
    assert found["pana_to_ike"] == 0.0
