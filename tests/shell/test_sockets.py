"""Datagram sockets over the loopback interface: UDP and, as root, raw."""

import asyncio
import socket
from contextlib import suppress
from ipaddress import IPv6Address
from pathlib import Path

import pytest

from agents.shell.sockets import DatagramSocket

EXPERIMENTAL = 253
"""A protocol for experiments (RFC 3692)."""


def free():
    """Return an address whose port nobody has."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        probe.bind(("::1", 0))
        return probe.getsockname()[:2]


class Arrivals:
    """What arrives at a socket."""

    def __init__(self):
        self._first = asyncio.get_running_loop().create_future()

    def __call__(self, *datagram):
        if not self._first.done():
            self._first.set_result(datagram)

    async def first(self, sender, destination):
        """Send numbered datagrams until one has arrived, for an earlier one's error may cost one.

        Return what arrived, and from where.
        """
        for number in range(1000):
            sender.send(b"%d" % number, destination)
            with suppress(TimeoutError):
                return await asyncio.wait_for(asyncio.shield(self._first), 0.01)
        raise AssertionError("nothing has arrived")


def test_udp_survives_a_port_that_nobody_has():
    async def run():
        nobody, mine, yours = free(), free(), free()
        arrivals = Arrivals()
        here = DatagramSocket(mine, lambda *_: None)
        there = DatagramSocket(yours, arrivals)
        for _ in range(3):
            here.send(b"", nobody)
        _, source = await arrivals.first(here, yours)
        assert source == mine
        here.close()
        there.close()

    asyncio.run(run())


def test_raw():
    async def run():
        arrivals = Arrivals()
        try:
            both = DatagramSocket(("::1", 0), arrivals, protocol=EXPERIMENTAL)
        except PermissionError:
            pytest.skip("raw sockets need root")
        assert await arrivals.first(both, ("::1", 0)) == (b"0", ("::1", 0))
        both.close()

    asyncio.run(run())


def test_what_the_kernel_will_not_send_is_lost():
    async def run():
        mine = free()
        sock = DatagramSocket(mine, lambda *_: None)
        sock.send(bytes(1 << 16), mine)
        sock.send(b"", ("fe80::1%gone", 9))
        sock.close()
        sock.close()

    asyncio.run(run())


def test_an_address_that_the_host_does_not_have():
    async def run():
        with pytest.raises(OSError, match="assign"):
            DatagramSocket(("2001:db8::1", 0), lambda *_: None)

    asyncio.run(run())


def test_a_group_is_joined_on_the_interface():
    async def run():
        sock = DatagramSocket(("::", 0), lambda *_: None, interface="lo", multicast="ff02::1:2")
        joined = [line.split()[1:3] for line in Path("/proc/net/igmp6").read_text().splitlines()]
        assert ["lo", IPv6Address("ff02::1:2").packed.hex()] in joined
        sock.close()

    asyncio.run(run())
