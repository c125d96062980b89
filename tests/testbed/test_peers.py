"""What is made of the captures and times of our daemons beside others."""

import pytest

from testbed.trace.frames import Frame, read_frames
from tests.lab.peers.timing import Spread, Times, authentications, negotiations, rows, table
from tests.testbed import synthesis as syn

DELETION = syn.ike(5, 1, message_id=0x5678)


def ikev1(start, end, cookie):
    return syn.ikev1_exchange(start, end, cookie=cookie)


def ikev2(start, end, cookie):
    data = [
        syn.ike(exchange, number, message_id, 0x20, cookie)
        for message_id, exchange in enumerate((34, 35))
        for number in (1, 2)
    ]
    sides = (syn.from_mn, syn.to_mn) * 2
    return syn.spread([side(d, 500) for side, d in zip(sides, data, strict=True)], start, end)


@pytest.fixture
def frames(tmp_path):
    def write(packets) -> list[Frame]:
        return read_frames(syn.write(tmp_path / "cable.pcapng", packets))

    return write


@pytest.mark.parametrize(("version", "exchange"), [(1, ikev1), (2, ikev2)])
def test_each_negotiation_counts_from_its_first_message_to_its_last(frames, version, exchange):
    packets = [
        *exchange(0.0, 0.030, b"first---"),
        (0.035, syn.from_mn(DELETION, 500)),
        *exchange(1.0, 1.012, b"second--"),
        (1.015, syn.from_mn(DELETION, 500)),
    ]
    found = negotiations(frames(packets), version)
    assert found == [pytest.approx(0.030, abs=2e-6), pytest.approx(0.012, abs=2e-6)]


@pytest.mark.parametrize(("version", "exchange"), [(1, ikev1), (2, ikev2)])
def test_a_retransmission_makes_no_measurement(frames, version, exchange):
    packets = exchange(0.0, 0.030, b"first---")
    again = (0.031, packets[-1][1])
    with pytest.raises(ValueError, match="not a negotiation"):
        negotiations(frames([*packets, again]), version)


@pytest.mark.parametrize(("version", "exchange"), [(1, ikev1), (2, ikev2)])
def test_a_negotiation_that_is_cut_short_makes_no_measurement(frames, version, exchange):
    packets = [*exchange(0.0, 0.030, b"first---"), *exchange(1.0, 1.012, b"second--")[:-1]]
    with pytest.raises(ValueError, match="not a negotiation"):
        negotiations(frames(packets), version)


def radius(*messages):
    """Messages of RADIUS by time, code and a body of their own."""
    sides = {1: syn.from_mn, 2: syn.to_mn, 11: syn.to_mn}
    return [
        (time, sides[code](bytes([code, *body]) + bytes(18), 1812))
        for time, code, *body in messages
    ]


FIRST = ((0.0, 1, 1), (0.004, 11, 1), (0.006, 1, 2), (0.010, 2, 2))
SECOND = ((1.0, 1, 3), (1.001, 11, 3), (1.002, 1, 4), (1.003, 2, 4))


def test_each_authentication_counts_to_its_access_accept(frames):
    found = authentications(frames(radius(*FIRST, *SECOND)), 1812)
    assert found == [pytest.approx(0.010, abs=2e-6), pytest.approx(0.003, abs=2e-6)]


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ((*FIRST, *SECOND[:-1]), "no Access-Accept"),
        ((*FIRST, *SECOND[2:]), r"\[4, 2\]"),
        ((*FIRST, SECOND[0], SECOND[0], SECOND[2], SECOND[3]), "sent again"),
    ],
)
def test_what_is_no_plain_authentication_makes_no_measurement(frames, messages, reason):
    with pytest.raises(ValueError, match=reason):
        authentications(frames(radius(*messages)), 1812)


def test_a_table_has_both_sides_and_the_ratios_within_rounds():
    theirs, ours = Times(), Times()
    for round_ in ([0.080, 0.020, 0.022, 0.040], [0.160, 0.040, 0.044, 0.060]):
        theirs.add(round_)
        ours.add([seconds / 4 for seconds in round_])
    cold, warm = rows("IKE", theirs, ours)
    assert cold == [
        "IKE",
        "cold",
        "120.00 (80.00 to 160.00)",
        "30.00 (20.00 to 40.00)",
        "0.25 (0.25 to 0.25)",
    ]
    assert warm[2] == "33.00 (22.00 to 44.00)"
    assert table(["", ""], [["a", "b"]]).splitlines()[-1] == "| a | b |"


def test_a_spread_is_median_least_and_greatest():
    assert Spread.of([3.0, 1.0, 8.0]) == (3.0, 1.0, 8.0)
