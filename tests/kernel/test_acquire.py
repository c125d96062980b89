"""The kernel's ACQUIRE notification."""

from __future__ import annotations

import struct
from ipaddress import IPv6Address

import pytest

from agents.kernel.netlink import Reply
from agents.kernel.xfrm import ACQUIRE, NEW_SA, SaWanted, decode_acquire

HOME, AGENT = IPv6Address("2001:db8:100::1234"), IPv6Address("2001:db8:100::1")


def acquire(family=10):
    """Return struct xfrm_user_acquire as linux/xfrm.h has it."""
    identity = struct.pack("=16s4sBxxx", AGENT.packed, bytes(4), 50)
    ends = AGENT.packed + HOME.packed
    selector = ends + struct.pack("=HHHHHBBBxxxiI", 0, 0, 0, 0, family, 128, 128, 135, 0, 0)
    policy = bytes(168)  # struct xfrm_userpolicy_info
    return identity + HOME.packed + selector + policy + struct.pack("=IIII", 0, 0, 0, 7)


def test_what_is_wanted():
    body = acquire()
    assert len(body) == 280
    assert decode_acquire(Reply(ACQUIRE, 0, body)) == SaWanted(HOME, AGENT, 50)
    assert decode_acquire(Reply(ACQUIRE, 0, body + bytes(80))) == SaWanted(HOME, AGENT, 50)


@pytest.mark.parametrize("length", range(280))
def test_a_cut_message_is_none(length):
    assert decode_acquire(Reply(ACQUIRE, 0, acquire()[:length])) is None


def test_other_messages_are_none():
    assert decode_acquire(Reply(NEW_SA, 0, acquire())) is None
    assert decode_acquire(Reply(ACQUIRE, 0, acquire(family=2))) is None
