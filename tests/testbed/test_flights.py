"""Frames on their way: what two captures of a link say of each."""

import pytest

from testbed.trace import pcapng
from testbed.trace.flights import flights
from topologies import paper
from topologies.model import Shape, mac_address

LINK = "access"
MS = 1_000_000


def mac(number):
    link = paper.TOPOLOGY.link(LINK)
    return bytes.fromhex(mac_address(paper.TOPOLOGY, link, number).replace(":", ""))


A, B = mac(0), mac(1)
GROUP = bytes.fromhex("333300000001")


def frame(name, source=A, destination=B):
    return destination + source + b"\x86\xdd" + name.encode()


@pytest.fixture
def seen(tmp_path):
    def seen(topology=paper.TOPOLOGY, **hosts):
        for host, packets in hosts.items():
            found = [pcapng.Packet(t * MS, 0, data) for t, data in packets]
            pcapng.write(tmp_path / f"{host}.pcapng", [f"{host}-{LINK}"], found)
        return [
            (
                one.sender + one.receiver,
                None if one.sent is None else one.sent // MS,
                None if one.arrived is None else one.arrived // MS,
                one.heard,
            )
            for one in flights(tmp_path, topology)
        ]

    return seen


def test_a_frame_is_one_flight_of_two_captures(seen):
    one, back = frame("one"), frame("back", B, A)

    found = seen(A=[(10, one), (17, back)], B=[(12, one), (15, back)])

    assert found == [("AB", 10, 12, True), ("BA", 15, 17, True)]


def test_of_frames_that_are_alike_the_one_before_an_arrival_is_it_and_the_earlier_are_lost(seen):
    one = frame("one")

    found = seen(A=[(10, one), (1010, one), (3010, one)], B=[(3012, one), (4000, frame("end"))])

    assert found[:3] == [
        ("AB", 10, None, True),
        ("AB", 1010, None, True),
        ("AB", 3010, 3012, True),
    ]


def test_a_copy_that_the_link_made_was_not_sent(seen):
    one = frame("one")

    assert seen(A=[(10, one)], B=[(12, one), (13, one)]) == [
        ("AB", 10, 12, True),
        ("AB", None, 13, True),
    ]


def test_where_nobody_listens_or_not_any_more_nothing_is_lost(seen):
    assert seen(A=[(10, frame("one"))]) == [("AB", 10, None, False)]


def test_what_is_under_way_when_the_captures_end_is_not_lost(seen):
    far = paper.TOPOLOGY.with_links({LINK: Shape(delay=0.1)})
    early, late, heard = frame("early"), frame("late"), frame("heard", B, A)

    found = seen(far, A=[(10, early), (480, late)], B=[(500, heard)])

    assert found[:2] == [("AB", 10, None, True), ("AB", 480, None, False)]


def test_a_sender_without_a_capture_is_heard(seen):
    assert seen(B=[(12, frame("one"))]) == [("AB", None, 12, True)]


def test_what_goes_to_a_group_arrives_at_the_other_end(seen):
    asked = frame("asked", destination=GROUP)

    assert seen(A=[(10, asked)], B=[(11, asked)]) == [("AB", 10, 11, True)]


def test_a_stranger_outside_the_network_is_left_out(seen):
    assert seen(A=[(10, frame("one", source=bytes(6)))]) == []
