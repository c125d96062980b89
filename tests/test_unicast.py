"""Which addresses a home agent can have, whoever tells it."""

from __future__ import annotations

from ipaddress import IPv6Address

import pytest

from agents.unicast import is_unicast


@pytest.mark.parametrize(
    "address",
    [
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
    ],
)
def test_nobodys(address):
    assert not is_unicast(IPv6Address(address))


@pytest.mark.parametrize(
    "address",
    [
        "2001:db8:100::1",
        "fd00:100::1",
        "2001:db8:100:0:fdff:ffff:ffff:ff7f",
        "2001:db8:100:0:ffff:ffff:ffff:ffff",
    ],
)
def test_one_hosts(address):
    assert is_unicast(IPv6Address(address))
