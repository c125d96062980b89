"""Sockets for IPv6 datagrams, in the running event loop: UDP, raw, and packets of one link."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv6Address
from typing import Any

from agents.core.host import Receive
from agents.core.machine import Address, Carried
from agents.core.reader import Reader
from agents.mip6 import routers

_MAX_DATAGRAM, _MAX_ANCILLARY = 65535, 4096
_MOBILITY_HEADER, _HOME_ADDRESS_OPTION = 135, 201
_SO_SNDBUFFORCE = 32  # asm-generic/socket.h
_SEND_BUFFER = 4 << 20
"""Octets that may wait for link-layer addresses: a kernel keeps 1024 that nobody answers for 3 s.

One buffer is for all to whom a socket speaks. Were it as small as usual, few hundred datagrams per
second to addresses that nobody has would keep all others from an answer (RFC 6583 section 6).
"""

_SOL_PACKET, _ADD_MEMBERSHIP, _PROMISCUOUS = 263, 1, 1  # linux/if_packet.h
_ICMP6_FILTER = 1  # linux/icmpv6.h
_JOIN_ANYCAST, _XFRM_POLICY, _FREEBIND = 27, 35, 78  # linux/in6.h
_LOST = {
    errno.EACCES,
    errno.EADDRNOTAVAIL,
    errno.EAGAIN,
    errno.ECONNREFUSED,
    errno.EHOSTUNREACH,
    errno.EMSGSIZE,
    errno.ENETDOWN,
    errno.ENETUNREACH,
    errno.ENOBUFS,
    errno.ENODEV,
    errno.EPERM,
    errno.EPROTO,
    errno.ESRCH,  # There is no SA.
}


def socket_address(address: Address) -> tuple[str, int, int, int]:
    """Return what the kernel needs; a host's zone ("fe80::1%eth0") names an interface."""
    host, _, zone = address[0].partition("%")
    return host, address[1], 0, socket.if_nametoindex(zone) if zone else 0


class _Socket:
    """A socket that is read as datagrams come in: one whenever the loop finds some."""

    def __init__(self, family: int, kind: int, protocol: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket = socket.socket(family, kind, protocol)
        self._socket.setblocking(False)
        with suppress(PermissionError):
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _SEND_BUFFER)

    def _read_on(self) -> None:
        self._loop.add_reader(self._socket, self._readable)

    def _send(self, data: bytes, destination: tuple[Any, ...]) -> None:
        """Send one datagram; one that the kernel will not send counts as lost on the wire."""
        try:
            self._transmit(data, destination)
        except OSError as error:
            if error.errno not in _LOST:
                raise

    def _transmit(self, data: bytes, destination: tuple[Any, ...]) -> None:
        self._socket.sendto(data, destination)

    def _readable(self) -> None:
        try:
            data, source = self._read()
        except OSError as error:  # An ICMPv6 error about an earlier datagram.
            if error.errno not in _LOST:
                raise
        else:
            self._take(data, source)

    def _read(self) -> tuple[bytes, tuple[Any, ...]]:
        return self._socket.recvfrom(_MAX_DATAGRAM)

    def _take(self, data: bytes, source: tuple[Any, ...]) -> None:
        raise NotImplementedError

    def close(self) -> None:
        """Close the socket."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._socket.close()


def hearing_all(interface: str, kind: int, protocol: int) -> socket.socket:
    """Return a packet socket that hears all frames on a link, whoever they are for (packet(7))."""
    opened = socket.socket(socket.AF_PACKET, kind, 0)
    opened.setblocking(False)
    opened.bind((interface, protocol))
    number = socket.if_nametoindex(interface)
    membership = struct.pack("iHH8s", number, _PROMISCUOUS, 0, b"")
    opened.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, membership)
    return opened


class DatagramSocket(_Socket):
    """One bound socket, with addresses as machines have them; link-local hosts carry their zone.

    `protocol` other than UDP makes it a raw socket, whose port is 0. `interface` ties the socket
    to an interface; `multicast` is a group to join there, `multicast_hops` how far what is sent to
    groups goes. Must be made inside a running event loop. Raises OSError if the address cannot
    be bound or the group not joined.
    """

    def __init__(
        self,
        local: Address,
        receive: Receive,
        *,
        protocol: int = socket.IPPROTO_UDP,
        interface: str | None = None,
        multicast: str | None = None,
        multicast_hops: int = 1,
    ) -> None:
        kind = socket.SOCK_DGRAM if protocol == socket.IPPROTO_UDP else socket.SOCK_RAW
        super().__init__(socket.AF_INET6, kind, protocol)
        self._receive = receive
        try:
            self._configure(local, interface, multicast)
            self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, multicast_hops)
        except BaseException:
            self._socket.close()
            raise
        self._read_on()

    def _configure(self, local: Address, interface: str | None, multicast: str | None) -> None:
        if interface:
            self._socket.setsockopt(
                socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0"
            )
        if multicast:
            index = socket.if_nametoindex(interface) if interface else 0
            request = socket.inet_pton(socket.AF_INET6, multicast) + struct.pack("@I", index)
            self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
        self._socket.bind(socket_address(local))

    def send(self, data: bytes, destination: Address) -> None:
        """Send one datagram; it is lost if the kernel refuses, or the zone's interface is gone."""
        try:
            to = socket_address(destination)
        except OSError:
            return
        self._send(data, to)

    def _take(self, data: bytes, source: tuple[Any, ...]) -> None:
        self._receive(data, (source[0], source[1]))


class MobilitySocket(DatagramSocket):
    """A raw socket for Mobility Headers; a source that was carried tells what carried it."""

    def __init__(self, local: IPv6Address, receive: Receive) -> None:
        super().__init__((str(local), 0), receive, protocol=_MOBILITY_HEADER)
        self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVDSTOPTS, 1)

    def _read(self) -> tuple[bytes, tuple[Any, ...]]:
        data, ancillary, _, source = self._socket.recvmsg(_MAX_DATAGRAM, _MAX_ANCILLARY)
        for _, kind, options in ancillary:
            if kind == socket.IPV6_DSTOPTS and (care_of := carrier(options)):
                return data, (Carried.by(source[0], str(care_of)), *source[1:])
        return data, source


def carrier(options: bytes) -> IPv6Address | None:
    """Return the address in a Home Address option: the care-of address, once Linux has swapped."""
    r = Reader(options)
    try:
        r.u16()
        while r.remaining:
            if kind := r.u8():
                value = r.take(r.u8())
                if kind == _HOME_ADDRESS_OPTION:
                    return IPv6Address(value)
    except ValueError:
        pass
    return None


class IcmpSocket(DatagramSocket):
    """A raw ICMPv6 socket at an address that hears messages of one type.

    It takes what `policy`, the socket option XFRM_POLICY, lets in, if there is one.
    """

    def __init__(
        self, local: IPv6Address, kind: int, receive: Receive, *, policy: bytes | None = None
    ) -> None:
        super().__init__((str(local), 0), receive, protocol=socket.IPPROTO_ICMPV6)
        if policy:
            self._socket.setsockopt(socket.IPPROTO_IPV6, _XFRM_POLICY, policy)
        _hear_only(self._socket, kind)


class AnycastSocket(IcmpSocket):
    """An ICMPv6 socket that hears an anycast address, and sends from an address of one host.

    The interface's kernel answers for the anycast address while this is open.
    """

    def __init__(
        self, anycast: IPv6Address, interface: str, local: IPv6Address, kind: int, receive: Receive
    ) -> None:
        self._joined = anycast, interface
        super().__init__(anycast, kind, receive)
        self._from = [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, local.packed + bytes(4))]

    def _configure(self, local: Address, interface: str | None, multicast: str | None) -> None:
        address, link = self._joined
        joined = address.packed + struct.pack("@I", socket.if_nametoindex(link))
        self._socket.setsockopt(socket.IPPROTO_IPV6, _JOIN_ANYCAST, joined)
        # Linux finds an anycast address among none that can be bound.
        self._socket.setsockopt(socket.IPPROTO_IPV6, _FREEBIND, 1)
        super()._configure(local, interface, multicast)

    def _transmit(self, data: bytes, destination: tuple[Any, ...]) -> None:
        self._socket.sendmsg([data], self._from, 0, destination)


def _hear_only(opened: socket.socket, kind: int) -> None:
    """Have a raw ICMPv6 socket hear messages of one type (RFC 3542 section 3.2)."""
    words = [0xFFFFFFFF] * 8  # What is to be blocked.
    words[kind // 32] ^= 1 << kind % 32
    opened.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, struct.pack("=8I", *words))


class RouterSocket(DatagramSocket):
    """A raw ICMPv6 socket that asks for routers, and hears those of its link (RFC 4861)."""

    def __init__(self, interface: str, receive: Receive) -> None:
        super().__init__(
            ("::", 0),
            receive,
            protocol=socket.IPPROTO_ICMPV6,
            interface=interface,
            multicast_hops=routers.HOP_LIMIT,
        )
        self._interface = interface
        self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
        _hear_only(self._socket, routers.ADVERTISEMENT)

    def send(self, data: bytes, destination: Address) -> None:
        """Send one message on the link."""
        super().send(data, (f"{destination[0]}%{self._interface}", destination[1]))

    def _read(self) -> tuple[bytes, tuple[Any, ...]]:
        data, ancillary, _, source = self._socket.recvmsg(_MAX_DATAGRAM, _MAX_ANCILLARY)
        limits = [struct.unpack("=i", v)[0] for _, k, v in ancillary if k == socket.IPV6_HOPLIMIT]
        return (data if limits == [routers.HOP_LIMIT] else b""), source

    def _take(self, data: bytes, source: tuple[Any, ...]) -> None:
        if data:
            super()._take(data, source)


# A filter program for a packet socket without link-layer header: Neighbor Advertisements, and
# Neighbor Solicitations from ::. Each line: code, jump if true, jump if false, operand.
_LOAD_OCTET, _LOAD_WORD, _EQUAL, _RETURN = 0x30, 0x20, 0x15, 0x06
_WHOLE_PACKET = 65535
_CLAIMS = (
    (_LOAD_OCTET, 0, 0, 6),
    (_EQUAL, 0, 12, socket.IPPROTO_ICMPV6),
    (_LOAD_OCTET, 0, 0, 40),
    (_EQUAL, 9, 0, 136),
    (_EQUAL, 0, 9, 135),
    (_LOAD_WORD, 0, 0, 8),
    (_EQUAL, 0, 7, 0),
    (_LOAD_WORD, 0, 0, 12),
    (_EQUAL, 0, 5, 0),
    (_LOAD_WORD, 0, 0, 16),
    (_EQUAL, 0, 3, 0),
    (_LOAD_WORD, 0, 0, 20),
    (_EQUAL, 0, 1, 0),
    (_RETURN, 0, 0, _WHOLE_PACKET),
    (_RETURN, 0, 0, 0),
)
_SO_ATTACH_FILTER = 26
_SOL_PACKET, _ADD_MEMBERSHIP, _ALL_MULTICAST = 263, 1, 2
_PACKET_OUTGOING = 4
_ETHERTYPE_IPV6 = 0x86DD


class LinkSocket(_Socket):
    """Neighbor Discovery on a link: hears claims to addresses, sends from any source.

    It is a packet socket, for a raw IPv6 socket cannot send from ::. Must be made inside a running
    event loop. Raises OSError if there is no such interface.
    """

    def __init__(self, interface: str, receive: Callable[[bytes], None]) -> None:
        super().__init__(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        self._interface = interface
        self._receive = receive
        try:
            self._attach_filter()
            self._socket.bind((interface, _ETHERTYPE_IPV6))
            index = socket.if_nametoindex(interface)
            membership = struct.pack("=iHH8s", index, _ALL_MULTICAST, 0, b"")
            self._socket.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, membership)
        except BaseException:
            self._socket.close()
            raise
        self.link_address: bytes = self._socket.getsockname()[4]
        self._read_on()

    def _attach_filter(self) -> None:
        program = b"".join(struct.pack("=HBBI", *line) for line in _CLAIMS)
        code = ctypes.create_string_buffer(program)
        option = struct.pack("@HP", len(_CLAIMS), ctypes.addressof(code))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, option)

    def send(self, packet: bytes, group: IPv6Address) -> None:
        """Send an IPv6 packet to a multicast group on the link; a refusal counts as a loss."""
        link_group = b"\x33\x33" + group.packed[-4:]
        self._send(packet, (self._interface, _ETHERTYPE_IPV6, 0, 0, link_group))

    def _take(self, data: bytes, source: tuple[Any, ...]) -> None:
        if source[2] != _PACKET_OUTGOING:
            self._receive(data)
