"""Datagram sockets over the loopback interface: UDP and, as root, raw."""

import asyncio
from ipaddress import IPv6Address
from pathlib import Path

import pytest

from agents.shell.datagrams import DatagramSocket

EXPERIMENTAL = 253
"""A protocol for experiments (RFC 3692)."""


def local(sock):
    return sock._socket.getsockname()[:2]


async def exchange(sender, destination, arrived):
    """Send numbered datagrams until one has arrived: an earlier one's error may cost the first."""
    async with asyncio.timeout(10):
        for number in range(100):
            sender.send(b"%d" % number, destination)
            await asyncio.sleep(0.01)
            if arrived:
                return


def test_udp_survives_a_port_that_nobody_has():
    async def run():
        arrived = []
        gone = DatagramSocket(("::1", 0), lambda *_: None)
        nobody = local(gone)
        gone.close()
        here = DatagramSocket(("::1", 0), lambda *_: None)
        there = DatagramSocket(("::1", 0), lambda *datagram: arrived.append(datagram))
        for _ in range(3):
            here.send(b"", nobody)
        await exchange(here, local(there), arrived)
        assert arrived[0][1] == local(here)
        here.close()
        there.close()

    asyncio.run(run())


def test_raw():
    async def run():
        arrived = []
        try:
            both = DatagramSocket(
                ("::1", 0), lambda *datagram: arrived.append(datagram), protocol=EXPERIMENTAL
            )
        except PermissionError:
            pytest.skip("raw sockets need root")
        await exchange(both, ("::1", 0), arrived)
        assert arrived[0] == (b"0", ("::1", 0))
        both.close()

    asyncio.run(run())


def test_what_the_kernel_will_not_send_is_lost():
    async def run():
        sock = DatagramSocket(("::1", 0), lambda *_: None)
        sock.send(bytes(1 << 16), local(sock))
        sock.send(b"", ("fe80::1%gone", 9))
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
