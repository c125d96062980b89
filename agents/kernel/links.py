"""Rtnetlink requests: addresses, tunnels, routes, rules, proxy neighbours (linux/rtnetlink.h)."""

from __future__ import annotations

import errno
import socket
import struct
import sys
from collections.abc import Iterable, Sequence
from enum import IntEnum, IntFlag
from ipaddress import IPv6Address, IPv6Network

from agents.core.record import Record
from agents.kernel.netlink import (
    CREATE,
    EXCLUSIVE,
    REPLACE,
    Reply,
    Request,
    attribute,
    attributes,
    reading,
)

OWNER = 71
"""The mark of what is this program's own: rules, routes, neighbours; no routing daemon's."""

MAIN_TABLE = 254
LOCAL_TABLE = 255

_AF_INET6 = socket.AF_INET6
_NEW_LINK, _DELETE_LINK, _GET_LINK = 16, 17, 18
_NEW_ADDRESS, _DELETE_ADDRESS, _GET_ADDRESS = 20, 21, 22
_NEW_ROUTE, _DELETE_ROUTE, _GET_ROUTE = 24, 25, 26
_NEW_NEIGHBOUR, _DELETE_NEIGHBOUR, _GET_NEIGHBOUR = 28, 29, 30
_NEW_RULE, _DELETE_RULE, _GET_RULE = 32, 33, 34

_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")
_ROUTE = struct.Struct("=BBBBBBBBI")
_NEIGHBOUR = struct.Struct("=B3xiHBB")
_RULE = struct.Struct("=BBBBBBBBI")
_U32 = struct.Struct("=I")
_PORTS = struct.Struct("=HH")

_UP = 1
_HOME_NODAD = 0x10 | 0x02
_PROXY = 8
_PERMANENT = 0x80
_PROTOCOL_STATIC = 4
_SCOPE_UNIVERSE = 0
UNICAST, LOCAL, BLACKHOLE, THROW = 1, 2, 6, 9
"""What a route does: to another host, to this one, nowhere, on to the next rule (RTN_*)."""

_DESTINATION, _SOURCE, _TABLE, _METRIC = 1, 2, 15, 6
_VERDICT_METRICS = {BLACKHOLE: 1024, THROW: 1023}
_FAMILIES, _INET6_FLAGS = 26, 1
_LINK_ADDRESS, _CARRIER_CHANGES = 1, 35
_LOWER_UP = 0x10000
_PERMANENT_ADDRESS = 0x80
_PROTOCOL_RA = 9
_INTERFACE, _GATEWAY = 4, 5
_OWNER = 21
_NEIGHBOUR_OWNER = 12
_IGNORE_ENCAPSULATION_LIMIT = 1
_NEW = CREATE | EXCLUSIVE
_GONE = (errno.ENOENT, errno.ESRCH, errno.ENODEV, errno.EADDRNOTAVAIL)


class Action(IntEnum):
    """What a rule does with a packet."""

    LOOKUP = 1
    GOTO = 2
    NOTHING = 3
    BLACKHOLE = 6


def _u32(kind: int, value: int) -> bytes:
    return attribute(kind, _U32.pack(value))


def _name(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")


def _address(address: IPv6Address, interface: int) -> bytes:
    body = _ADDRESS.pack(_AF_INET6, 128, _HOME_NODAD, 0, interface)
    return body + attribute(1, address.packed) + attribute(2, address.packed)


def add_home_address(address: IPv6Address, interface: int) -> Request:
    """Return the request that adds a home address (flags home and nodad)."""
    body = _address(address, interface)
    return Request("add home address", _NEW_ADDRESS, _NEW, body, (errno.EEXIST,))


def remove_address(address: IPv6Address, interface: int) -> Request:
    """Return the request that removes an address."""
    return Request("delete address", _DELETE_ADDRESS, 0, _address(address, interface), _GONE)


def list_addresses() -> Request:
    """Return the request to dump; its replies are for decode_addresses()."""
    return Request("list addresses", _GET_ADDRESS, 0, _ADDRESS.pack(_AF_INET6, 0, 0, 0, 0))


class InterfaceAddress(Record, frozen=True):
    """An address on an interface; `is_home` if it is of add_home_address()'s making."""

    address: IPv6Address
    interface: int
    is_home: bool


@reading()
def decode_addresses(replies: Iterable[Reply]) -> list[InterfaceAddress]:
    """Return the addresses that list_addresses() finds."""
    found = []
    for reply in replies:
        _, length, flags, _, interface = _ADDRESS.unpack_from(reply.body)
        is_home = (length, flags & _HOME_NODAD) == (128, _HOME_NODAD)
        address = IPv6Address(dict(attributes(reply.body[_ADDRESS.size :]))[1])
        found.append(InterfaceAddress(address, interface, is_home))
    return found


def _tunnel(name: str, local: IPv6Address, remote: IPv6Address) -> bytes:
    data = attribute(2, local.packed) + attribute(3, remote.packed)
    data += attribute(4, b"\x40") + attribute(6, b"\0")
    data += _u32(8, _IGNORE_ENCAPSULATION_LIMIT) + attribute(9, bytes((socket.IPPROTO_IPV6,)))
    info = _name(1, "ip6tnl") + attribute(2, data)
    return _LINK.pack(0, 0, 0, 0, 0) + _name(3, name) + attribute(18, info)


def add_tunnel(name: str, local: IPv6Address, remote: IPv6Address) -> list[Request]:
    """Return the requests that make an IPv6-in-IPv6 tunnel, up, without encapsulation limit.

    It gets no link-local address, so that no router or multicast listener discovery goes through.
    """
    no_address = attribute(26, attribute(_AF_INET6, attribute(8, b"\1")))
    quiet = _LINK.pack(0, 0, 0, 0, 0) + _name(3, name) + no_address
    up = _LINK.pack(0, 0, 0, _UP, _UP) + _name(3, name)
    return [
        Request("add tunnel", _NEW_LINK, _NEW, _tunnel(name, local, remote)),
        # On its own, and first: in one request the kernel would bring the tunnel up before.
        Request("keep tunnel without link-local address", _NEW_LINK, 0, quiet),
        Request("bring up tunnel", _NEW_LINK, 0, up),
    ]


def find_link(interface: int) -> Request:
    """Return the query for what an interface is."""
    return Request("find link", _GET_LINK, 0, _LINK.pack(0, 0, interface, 0, 0))


class Advertised(IntFlag):
    """What router advertisements have told an interface (IF_RA_*, linux/if_link.h)."""

    SEEN = 0x20
    MANAGED = 0x40


def decode_advertised(reply: Reply) -> Advertised:
    """Return what the answer to find_link() says of router advertisements."""
    of_families = dict(attributes(dict(attributes(reply.body[_LINK.size :])).get(_FAMILIES, b"")))
    of_ipv6 = dict(attributes(of_families.get(_AF_INET6, b"")))
    flags = int.from_bytes(of_ipv6.get(_INET6_FLAGS, b""), sys.byteorder)
    return Advertised(flags & (Advertised.SEEN | Advertised.MANAGED))


NEWS = (1, 9)
"""Groups that tell of links, and of IPv6 addresses (RTNLGRP_*, linux/rtnetlink.h)."""


class Carrier(Record, frozen=True):
    """Whether an interface's link is up, how often it has changed that, and its own address."""

    up: bool
    changes: int
    link_address: bytes


@reading()
def decode_carrier(reply: Reply) -> Carrier:
    """Return what the answer to find_link() says of the link."""
    flags, given = _LINK.unpack_from(reply.body)[3], dict(attributes(reply.body[_LINK.size :]))
    changes = int.from_bytes(given.get(_CARRIER_CHANGES, b""), sys.byteorder)
    return Carrier(bool(flags & _LOWER_UP), changes, given[_LINK_ADDRESS])


def change_tunnel(name: str, local: IPv6Address, remote: IPv6Address) -> Request:
    """Return the request that gives a tunnel new ends."""
    return Request("change tunnel", _NEW_LINK, 0, _tunnel(name, local, remote))


def remove_link(name: str) -> Request:
    """Return the request that removes an interface."""
    body = _LINK.pack(0, 0, 0, 0, 0) + _name(3, name)
    return Request("delete link", _DELETE_LINK, 0, body, _GONE)


def _route(
    destination: IPv6Network, interface: int, table: int, source: IPv6Address | None
) -> bytes:
    body = _ROUTE.pack(
        _AF_INET6,
        destination.prefixlen,
        0,
        0,
        0,
        _PROTOCOL_STATIC,
        _SCOPE_UNIVERSE,
        UNICAST,
        0,
    )
    body += _u32(15, table)
    if interface:
        body += _u32(4, interface)
    if destination.prefixlen:
        body += attribute(1, destination.network_address.packed)
    if source is not None:
        body += attribute(7, source.packed)
    return body


def put_route(
    destination: IPv6Network,
    interface: int,
    *,
    table: int = MAIN_TABLE,
    source: IPv6Address | None = None,
) -> Request:
    """Return the request that adds or replaces a route to an interface."""
    body = _route(destination, interface, table, source)
    return Request("add route", _NEW_ROUTE, CREATE | REPLACE, body)


def remove_route(destination: IPv6Network, *, table: int = MAIN_TABLE) -> Request:
    """Return the request that removes a route, whatever interface it leads to."""
    body = _route(destination, 0, table, None)
    return Request("delete route", _DELETE_ROUTE, 0, body, _GONE)


def verdict(
    table: int,
    kind: int,
    *,
    source: IPv6Address | None = None,
    destination: IPv6Address | None = None,
) -> bytes:
    """Return the body of a route that ends a lookup, or has it go on with the next rule.

    It is for packets from and to these addresses, all if none is given, and marked OWNER's. Each
    kind has a metric of its own: Linux removes the route of all sources in the place of one
    source's, where no source has any, unless their metrics differ.
    """
    lengths = (128 if destination else 0, 128 if source else 0)
    body = _ROUTE.pack(_AF_INET6, *lengths, 0, 0, OWNER, _SCOPE_UNIVERSE, kind, 0)
    body += _u32(_TABLE, table) + _u32(_METRIC, _VERDICT_METRICS[kind])
    if destination:
        body += attribute(_DESTINATION, destination.packed)
    if source:
        body += attribute(_SOURCE, source.packed)
    return body


def add_verdict(body: bytes) -> Request:
    """Return the request that adds a verdict()."""
    return Request("add verdict", _NEW_ROUTE, _NEW, body, (errno.EEXIST,))


def remove_verdict(body: bytes) -> Request:
    """Return the request that removes a verdict()."""
    return Request("delete verdict", _DELETE_ROUTE, 0, body, _GONE)


def list_routes() -> Request:
    """Return the request to dump; its replies are for owned_verdicts()."""
    return Request("list routes", _GET_ROUTE, 0, _ROUTE.pack(_AF_INET6, *[0] * 8))


@reading()
def owned_verdicts(replies: Iterable[Reply]) -> list[bytes]:
    """Return the bodies of the verdicts that this program, or one before it, has added."""
    found = []
    for reply in replies:
        fields = _ROUTE.unpack_from(reply.body)
        if fields[5] == OWNER and fields[7] in (BLACKHOLE, THROW):
            given = dict(attributes(reply.body[_ROUTE.size :]))
            ends = {
                name: IPv6Address(given[kind])
                for name, kind in (("source", _SOURCE), ("destination", _DESTINATION))
                if kind in given
            }
            found.append(verdict(_U32.unpack(given[_TABLE])[0], fields[7], **ends))
    return found


@reading()
def remove_routers(routes: Iterable[Reply], interface: int, but: IPv6Address) -> list[Request]:
    """Return the requests that remove an interface's advertised default routers, but for one.

    `routes` are the replies to list_routes().
    """
    found = []
    for reply in routes:
        fields = _ROUTE.unpack_from(reply.body)
        given = dict(attributes(reply.body[_ROUTE.size :]))
        there = _U32.unpack(given.get(_INTERFACE, bytes(4)))[0]
        advertised = fields[1] == 0 and fields[5] == _PROTOCOL_RA and there == interface
        if advertised and given.get(_GATEWAY) not in (None, but.packed):
            body = _ROUTE.pack(*fields[:8], 0) + _u32(_INTERFACE, interface)
            body += attribute(_GATEWAY, given[_GATEWAY])
            found.append(Request("delete router", _DELETE_ROUTE, 0, body, _GONE))
    return found


@reading()
def remove_autoconfigured(
    addresses: Iterable[Reply], interface: int, but: Sequence[IPv6Network]
) -> list[Request]:
    """Return the requests that remove an interface's addresses with lifetimes, but in prefixes.

    `addresses` are the replies to list_addresses(). The prefix's route goes with the last one.
    """
    found = []
    for reply in addresses:
        _, length, flags, scope, there = _ADDRESS.unpack_from(reply.body)
        value = dict(attributes(reply.body[_ADDRESS.size :]))[1]
        made = scope == _SCOPE_UNIVERSE and not flags & _PERMANENT_ADDRESS
        kept = any(IPv6Address(value) in prefix for prefix in but)
        if made and there == interface and not kept:
            body = _ADDRESS.pack(_AF_INET6, length, 0, 0, there) + attribute(1, value)
            found.append(Request("delete address", _DELETE_ADDRESS, 0, body, _GONE))
    return found


def find_route(destination: IPv6Address, interface: int = 0) -> Request:
    """Return the query for how packets to `destination` go, out of `interface` if that is given."""
    body = _ROUTE.pack(_AF_INET6, 128, 0, 0, 0, 0, 0, 0, 0) + attribute(1, destination.packed)
    if interface:
        body += _u32(4, interface)
    return Request(f"find route to {destination}", _GET_ROUTE, 0, body)


class Route(Record, frozen=True):
    """What a route does with packets (`kind`, RTN_*), and where they leave, on link or not."""

    kind: int
    interface: int
    is_on_link: bool


@reading()
def decode_route(reply: Reply) -> Route:
    """Return the route that answers find_route()."""
    found = dict(attributes(reply.body[_ROUTE.size :]))
    (interface,) = _U32.unpack(found.get(4, bytes(4)))
    return Route(_ROUTE.unpack_from(reply.body)[7], interface, is_on_link=5 not in found)


def _proxy(address: IPv6Address, interface: int) -> bytes:
    body = _NEIGHBOUR.pack(_AF_INET6, interface, _PERMANENT, _PROXY, 0)
    return body + attribute(1, address.packed) + attribute(_NEIGHBOUR_OWNER, bytes((OWNER,)))


def add_proxy(address: IPv6Address, interface: int) -> Request:
    """Return the request that makes this host answer for `address` on a link."""
    body = _proxy(address, interface)
    return Request("add proxy", _NEW_NEIGHBOUR, CREATE | REPLACE, body)


def remove_proxy(address: IPv6Address, interface: int) -> Request:
    """Return the request that ends proxying for `address`."""
    return Request("delete proxy", _DELETE_NEIGHBOUR, 0, _proxy(address, interface), _GONE)


def list_proxies() -> Request:
    """Return the request to dump; its replies are for owned_proxies()."""
    return Request("list proxies", _GET_NEIGHBOUR, 0, _NEIGHBOUR.pack(_AF_INET6, 0, 0, _PROXY, 0))


@reading()
def owned_proxies(replies: Iterable[Reply], interface: int) -> list[IPv6Address]:
    """Return the addresses that this program, or one before it, proxies for on a link."""
    found = []
    for reply in replies:
        fields = dict(attributes(reply.body[_NEIGHBOUR.size :]))
        there = _NEIGHBOUR.unpack_from(reply.body)[1]
        if there == interface and fields.get(_NEIGHBOUR_OWNER) == bytes((OWNER,)):
            found.append(IPv6Address(fields[1]))
    return found


def rule(
    priority: int,
    action: Action = Action.LOOKUP,
    *,
    table: int = 0,
    source: IPv6Network | None = None,
    destination: IPv6Network | None = None,
    incoming: str | None = None,
    outgoing: str | None = None,
    protocol: int | None = None,
    ports: tuple[int, int] | None = None,
    target: int = 0,
    owner: int = 0,
) -> bytes:
    """Return the body of a policy-routing rule, for add_rule() and remove_rule().

    `ports` is a range of destination ports, both ends included; `target` is the priority to go on
    with (Action.GOTO), of a rule that must exist. `owner` marks whose rule it is
    (FRA_PROTOCOL), so that owned_rules() finds it.
    """
    body = _RULE.pack(
        _AF_INET6,
        destination.prefixlen if destination else 0,
        source.prefixlen if source else 0,
        0,
        0,
        0,
        0,
        action,
        0,
    )
    body += _u32(6, priority) + _u32(15, table)
    if destination is not None:
        body += attribute(1, destination.network_address.packed)
    if source is not None:
        body += attribute(2, source.network_address.packed)
    if incoming is not None:
        body += _name(3, incoming)
    if outgoing is not None:
        body += _name(17, outgoing)
    if target:
        body += _u32(4, target)
    if owner:
        body += attribute(_OWNER, bytes((owner,)))
    if protocol is not None:
        body += attribute(22, bytes((protocol,)))
    if ports is not None:
        body += attribute(24, _PORTS.pack(*ports))
    return body


def add_rule(body: bytes) -> Request:
    """Return the request that adds a rule."""
    return Request("add rule", _NEW_RULE, _NEW, body, (errno.EEXIST,))


def remove_rule(body: bytes) -> Request:
    """Return the request that removes a rule."""
    return Request("delete rule", _DELETE_RULE, 0, body, _GONE)


def list_rules() -> Request:
    """Return the request to dump; its replies are for owned_rules()."""
    return Request("list rules", _GET_RULE, 0, _RULE.pack(_AF_INET6, *[0] * 8))


def owned_rules(replies: Iterable[Reply], owner: int) -> list[bytes]:
    """Return the bodies of the rules that carry this mark, for remove_rule()."""
    return [
        reply.body
        for reply in replies
        if reply.kind == _NEW_RULE
        and dict(attributes(reply.body[_RULE.size :])).get(_OWNER) == bytes((owner,))
    ]
