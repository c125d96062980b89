"""What a mobile node hears while it moves, by its capture, and how that is drawn."""

import struct
from ipaddress import IPv6Address

import pytest

from testbed.base.jsonl import DataError
from testbed.report import interruptions, plots
from testbed.results import folder as results
from testbed.results.runs import HOME, Handover, Run, Throughput
from testbed.trace import pcapng
from testbed.trace.frames import Frame
from testbed.trace.interruptions import Movement, Segment, delivered, gap, hear
from tests.testbed import sample

HERE, THERE, HA = "2001:db8:a::1", "2001:db8:a2::1", "2001:db8:100::1"
NODE, PEER = "2001:db8:100::1234", "2001:db8:100::c"
MS = 1_000_000


def packet(source, destination, protocol, payload):
    ends = IPv6Address(source).packed + IPv6Address(destination).packed
    return struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64) + ends + payload


def summed(source, destination, protocol, payload, place):
    """Return a payload with its checksum at a place."""
    ends = IPv6Address(source).packed + IPv6Address(destination).packed
    data = ends + struct.pack("!II", len(payload), protocol) + payload
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return payload[:place] + struct.pack("!H", ~total & 0xFFFF) + payload[place + 2 :]


def tunnelled(ms, protocol, payload, place, care_of=HERE):
    inner = packet(PEER, NODE, protocol, summed(PEER, NODE, protocol, payload, place))
    return Frame(ms * MS, bytes(12) + b"\x86\xdd" + packet(HA, care_of, 41, inner))


def echo(ms, care_of=HERE):
    return tunnelled(ms, 58, struct.pack("!BBHHH", 128, 0, 0, 1, ms), 2, care_of)


def segment(ms, sequence, length, port=5201, source=40000):
    head = struct.pack("!HHIIHHHH", source, port, sequence % (1 << 32), 0, 0x5010, 500, 0, 0)
    return tunnelled(ms, 6, head + bytes(length), 16)


def update(ms, care_of):
    """A Binding Update under ESP, told by the Home Address option in front."""
    option = bytes((50, 2, 1, 2, 0, 0, 0xC9, 16)) + IPv6Address(NODE).packed
    data = packet(care_of, HA, 60, option + bytes(32))
    return Frame(ms * MS, bytes(12) + b"\x86\xdd" + data)


def acknowledgement(ms, care_of):
    routing = bytes((50, 2, 2, 1, 0, 0, 0, 0)) + IPv6Address(NODE).packed
    data = packet(HA, care_of, 43, routing + bytes(32))
    return Frame(ms * MS, bytes(12) + b"\x86\xdd" + data)


def moved():
    """A mobile node that moves at 100 ms, is bound at 150, and hears TCP again at 300."""
    begun = (1 << 32) - 1500  # Sequence numbers begin anew meanwhile.
    frames = [update(0, HERE), acknowledgement(5, HERE)]
    frames += [echo(ms) for ms in range(10, 100, 20)]
    frames += [segment(20, begun, 1000), segment(40, begun + 1000, 1000), segment(41, 1, 9, 22)]
    frames += [update(130, THERE), update(140, THERE), acknowledgement(150, THERE)]
    frames += [echo(ms, THERE) for ms in range(170, 400, 20)]
    frames += [segment(200, begun + 3000, 1000), segment(300, begun + 2000, 1000)]
    return [*frames, segment(310, begun + 4000, 1000), Frame(320 * MS, b"no packet")]


def test_what_is_heard_in_the_tunnel_is_found():
    heard = hear(sorted(moved(), key=lambda frame: frame.time), 5201)
    assert [time // MS for time in heard.echoes[:6]] == [10, 30, 50, 70, 90, 170]
    assert [(s.time // MS, s.start, s.end) for s in heard.segments] == [
        (20, 0, 1000),
        (40, 1000, 2000),
        (200, 3000, 4000),
        (300, 2000, 3000),
        (310, 4000, 5000),
    ]
    assert heard.movements == [Movement(130 * MS, 150 * MS)]


def test_a_stream_is_delivered_as_far_as_all_of_it_has_come():
    heard = hear(sorted(moved(), key=lambda frame: frame.time), 5201)
    progress = [(time // MS, end) for time, end in delivered(heard.segments)]
    assert progress == [(20, 1000), (40, 2000), (300, 4000), (310, 5000)]


def test_what_comes_again_delivers_nothing():
    again = [Segment(1, 0, 10), Segment(2, 0, 10), Segment(3, 5, 12), Segment(4, 20, 30)]
    assert delivered(again) == [(1, 10), (3, 12)]
    assert delivered([]) == []


@pytest.mark.parametrize(
    ("times", "found"),
    [
        ([10, 90, 170, 190], (90, 170)),
        ([90, 135, 170], (90, 135)),  # The longest of those that the movement is in.
        ([90, 100], None),  # Nothing was heard after it.
        ([170, 190], None),  # Nor before.
        ([], None),
    ],
)
def test_a_gap_is_the_longest_silence_about_a_movement(times, found):
    assert gap(times, Movement(130, 150)) == found


@pytest.fixture
def kept(tmp_path):
    folder = results.create(tmp_path, "paper", f"{sample.BASE}[variants.one]\n", "one")
    parts = {"detection": 0.1, "address": 0.1, "access": 0.1, "binding": 0.1}
    run = Run(
        run=1,
        variant="one",
        seed=1,
        status="expected",
        handovers=[Handover(cycle=1, link="access2", parts=parts, gap=0.08)],
        throughput=[
            Throughput(
                path=HOME,
                towards="mobile node",
                protocol="tcp",
                seconds=1,
                sent=1,
                received=1,
                cpu=0,
            )
        ],
    )
    results.append(folder, run)
    place = results.make_run_folder(folder, 1) / "captures" / "A.pcapng"
    place.parent.mkdir(exist_ok=True)
    packets = [pcapng.Packet(frame.time, 0, frame.data) for frame in moved()]
    pcapng.write(place, ["A-access"], sorted(packets, key=lambda one: one.time_ns))
    return results.load(folder), place


def test_a_handover_is_drawn_with_both_gaps(kept):
    loaded, _ = kept
    fig, data = interruptions.figure(loaded)
    assert data[1] == ["one", 1, pytest.approx(0.08), pytest.approx(0.26)]
    said = [text.get_text() for text in [*fig.texts, *fig.axes[0].texts]]
    assert {"stream 80.0 ms", "TCP 260 ms"} <= set(said)


def test_without_a_capture_it_is_said_that_there_is_no_figure(kept):
    loaded, place = kept
    place.write_bytes(b"")
    with pytest.raises(DataError):
        interruptions.figure(loaded)
    plots.draw(loaded)
    assert any(warning.startswith("figure interruptions: ") for warning in loaded.warnings)
