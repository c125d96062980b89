"""Netlink requests for classifiers of traffic, those that count above all, and for interfaces.

Structures of linux/pkt_sched.h, linux/pkt_cls.h, linux/gen_stats.h and linux/if_link.h.
"""

from __future__ import annotations

import errno
import socket
import struct
from enum import IntEnum
from ipaddress import IPv6Address

from agents.core.record import Record
from agents.kernel.netlink import CREATE, EXCLUSIVE, Reply, Request, attribute, attributes, reading

_NEW_QDISC, _NEW_FILTER, _DELETE_FILTER, _GET_FILTER = 36, 44, 45, 46
_MESSAGE = struct.Struct("=BxxxiIII")
"""tcmsg: family, interface, handle, parent, info."""

_CLSACT, _CLSACT_HANDLE = 0xFFFFFFF1, 0xFFFF0000
_ETHERNET_IPV6 = 0x86DD
_KIND, _OPTIONS = 1, 2
_FLOWER_ACTIONS, _FLOWER_TYPE = 3, 8
_FLOWER_ADDRESSES = {"source": 14, "destination": 16}
"""The attribute of an address; the one of its mask follows."""

_ACTION_KIND, _ACTION_OPTIONS, _ACTION_STATISTICS = 1, 2, 4
_GACT_PARAMETERS, _GACT = 2, struct.Struct("=IIiii")
PASS, DROP = 0, 2
_BASIC, _PACKETS64 = 1, 8
_GET_LINK, _LINK, _LINK_STATISTICS = 18, struct.Struct("=BxHiII"), 23

PRIORITY = 716
"""Marks the classifiers that are this program's, or were a predecessor's: the port of PANA."""

_GONE = (errno.ENOENT, errno.EINVAL)


class Way(IntEnum):
    """Which traffic of an interface, by the classifiers' parents."""

    IN = 0xFFFFFFF2
    OUT = 0xFFFFFFF3


class Count(Record, frozen=True):
    """What has passed: octets as the kernel counts them there, and packets."""

    octets: int
    packets: int


def _info(interface: int, way: Way, handle: int) -> bytes:
    info = PRIORITY << 16 | socket.htons(_ETHERNET_IPV6)
    return _MESSAGE.pack(0, interface, handle, way, info)


def add_place(interface: int) -> Request:
    """Return the request that lets an interface have classifiers, both ways."""
    body = _MESSAGE.pack(0, interface, _CLSACT_HANDLE, _CLSACT, 0) + attribute(_KIND, b"clsact\0")
    return Request("classify traffic", _NEW_QDISC, CREATE | EXCLUSIVE, body, (errno.EEXIST,))


def verdict(kind: int, what: int) -> bytes:
    """Return the one action of a classifier, as its attribute of this kind: PASS, or DROP."""
    parameters = attribute(_GACT_PARAMETERS, _GACT.pack(0, 0, what, 0, 0))
    action = attribute(_ACTION_KIND, b"gact\0") + attribute(_ACTION_OPTIONS, parameters)
    return attribute(kind, attribute(1, action))


def add_counter(interface: int, way: Way, handle: int, address: IPv6Address) -> Request:
    """Return the request that counts what is from `address` if it comes in, to it if it goes out.

    All have the same mask, so that a lookup is one in a hash, however many there are.
    """
    kind = _FLOWER_ADDRESSES["source" if way is Way.IN else "destination"]
    options = (
        attribute(_FLOWER_TYPE, _ETHERNET_IPV6.to_bytes(2))
        + attribute(kind, address.packed)
        + attribute(kind + 1, b"\xff" * 16)
        + verdict(_FLOWER_ACTIONS, PASS)
    )
    body = _info(interface, way, handle) + attribute(_KIND, b"flower\0")
    body += attribute(_OPTIONS, options)
    return Request("count traffic", _NEW_FILTER, CREATE | EXCLUSIVE, body)


def remove_counter(interface: int, way: Way, handle: int = 0) -> Request:
    """Return the request that removes a counter, or all of them."""
    body = _info(interface, way, handle)
    if handle:
        body += attribute(_KIND, b"flower\0")
    return Request("stop counting traffic", _DELETE_FILTER, 0, body, _GONE)


def find_counter(interface: int, way: Way, handle: int) -> Request:
    """Return the query for a counter."""
    body = _info(interface, way, handle) + attribute(_KIND, b"flower\0")
    return Request("read traffic", _GET_FILTER, 0, body)


@reading()
def decode_counter(reply: Reply) -> Count:
    """Return what the answer to find_counter() has counted."""
    options = dict(attributes(dict(attributes(reply.body[_MESSAGE.size :]))[_OPTIONS]))
    action = dict(attributes(dict(attributes(options[_FLOWER_ACTIONS]))[1]))
    found = dict(attributes(action[_ACTION_STATISTICS]))
    octets, packets = struct.unpack_from("=QI", found[_BASIC])
    if _PACKETS64 in found:
        (packets,) = struct.unpack("=Q", found[_PACKETS64])
    return Count(octets, packets)


def find_statistics(interface: int) -> Request:
    """Return the query for what an interface has carried."""
    return Request("find link", _GET_LINK, 0, _LINK.pack(0, 0, interface, 0, 0))


@reading()
def decode_statistics(reply: Reply) -> tuple[Count, Count]:
    """Return what has come in by an interface, and gone out."""
    found = dict(attributes(reply.body[_LINK.size :]))[_LINK_STATISTICS]
    packets_in, packets_out, octets_in, octets_out = struct.unpack_from("=4Q", found)
    return Count(octets_in, packets_in), Count(octets_out, packets_out)
