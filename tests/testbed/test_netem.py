"""What the kernel is told of a link, and how what it does to probes is judged."""

from __future__ import annotations

import struct

import pytest

from testbed.run import netem
from topologies.model import Shape

ALL = (1 << 32) - 1


def attributes(data):
    found = {}
    while data:
        length, kind = struct.unpack_from("HH", data)
        found[kind & 0x7FFF] = data[4:length]
        data = data[length + -length % 4 :]
    return found


def read(shape):
    """Return struct tc_netem_qopt, and the attributes behind it (linux/pkt_sched.h)."""
    options = netem.options(shape)
    return struct.unpack("6I", options[:24]), attributes(options[24:])


def share(percent):
    return pytest.approx(percent / 100 * ALL, abs=1)


def test_a_delay_is_in_nanoseconds_and_all_else_is_taken_away():
    (_, limit, loss, gap, duplicate, _), found = read(Shape(delay=0.015))
    assert (limit, loss, gap, duplicate) == (1000, 0, 0, 0)
    assert struct.unpack("q", found[10]) == (15_000_000,)
    assert found[3] == found[4] == bytes(8)
    assert 5 not in found


def test_each_fault_has_its_share():
    shape = Shape(delay=0.01, loss=30, duplication=2, reordering=3, corruption=4)
    (_, _, loss, gap, duplicate, _), found = read(shape)
    assert (loss, gap, duplicate) == (share(30), 1, share(2))
    assert struct.unpack("2I", found[3]) == (share(3), 0)
    assert struct.unpack("2I", found[4]) == (share(4), 0)


def test_bursts_are_gilbert_and_elliott_s():
    (_, _, loss, *_), found = read(Shape(loss=1, burst_begins=5, burst_ends=20, burst_loss=80))
    assert loss == 0
    model = attributes(found[5])[2]
    assert struct.unpack("4I", model) == (share(5), share(20), share(20), share(1))
