"""What passes an access link in each address's name, counted by classifiers of the kernel.

A packet is looked up in a hash and an address is counted by two classifiers, whose counters are
read by their numbers: nothing costs more the more addresses are counted. What comes in is counted
before the access filter (agents/kernel/filter.py) and what goes out before the link's queue: what
an address sends is charged to it even if it has no way, and what is sent to it even if the link
loses it.
"""

from __future__ import annotations

import errno
import socket
from contextlib import suppress
from ipaddress import IPv6Address
from itertools import count

from agents.core.usage import Usage
from agents.kernel import netlink, traffic
from agents.kernel.netlink import NetlinkSocket
from agents.kernel.port import KernelError
from agents.kernel.traffic import Count, Way

_LINK_HEADER = {Way.IN: 0, Way.OUT: 14}
"""Octets of each packet that the kernel counts and that are not IPv6's: what leaves has Ethernet's
header already, what comes in has it no more."""

_NOBODY = IPv6Address("::")


class LinuxMeter:
    """Counts on one access interface (agents.kernel.port.Meter), from nothing."""

    def __init__(self, interface: str) -> None:
        self._interface = socket.if_nametoindex(interface)
        self._socket = NetlinkSocket(netlink.ROUTE)
        self._numbers: dict[IPv6Address, int] = {}
        """Of classifiers that may be there, noted before they are asked for."""

        self._counted: set[IPv6Address] = set()
        self._next = count(1)
        self._socket.transact([traffic.add_place(self._interface)])
        for way in Way:
            # What a predecessor has left, if any: one by one, for an error ends nothing.
            with suppress(KernelError):
                self._socket.transact([traffic.remove_counter(self._interface, way)])
        # The kernel loads what it needs now, or refuses now, and keeps it while there is one.
        self.count(_NOBODY)

    def close(self) -> None:
        """Close the socket; what is counted is counted on."""
        self._socket.close()

    def count(self, address: IPv6Address) -> None:
        """Count what passes from and to `address` from now on."""
        if address in self._counted:
            return
        self.forget(address)  # What a refusal has left: one way alone is counted.
        number = self._numbers[address] = next(self._next)
        here = self._interface
        self._socket.transact([traffic.add_counter(here, way, number, address) for way in Way])
        self._counted.add(address)

    def usage(self, address: IPv6Address) -> Usage:
        """Return what has passed since count(); KernelError if it is not counted."""
        if address not in self._counted:
            raise KernelError(errno.ENOENT, f"{address} is not counted")
        number = self._numbers[address]
        came, went = (self._read(way, number) for way in (Way.IN, Way.OUT))
        return Usage(came.octets, came.packets, went.octets, went.packets)

    def _read(self, way: Way, number: int) -> Count:
        reply = self._socket.query(traffic.find_counter(self._interface, way, number))
        found = traffic.decode_counter(reply)
        return Count(found.octets - found.packets * _LINK_HEADER[way], found.packets)

    def forget(self, address: IPv6Address) -> None:
        """Count what passes from and to `address` no more."""
        self._counted.discard(address)
        if address in self._numbers:
            here, number = self._interface, self._numbers[address]
            self._socket.transact([traffic.remove_counter(here, way, number) for way in Way])
            del self._numbers[address]

    def release(self) -> None:
        """Count nothing any more."""
        for address in tuple(self._numbers):
            self.forget(address)
