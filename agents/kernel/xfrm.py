"""XFRM requests: security associations, policies, mobility states (linux/xfrm.h)."""

from __future__ import annotations

import errno
import struct
import sys
from enum import IntEnum
from ipaddress import IPv6Address, IPv6Network

from agents.core.record import Record
from agents.ike.esp import EspSa
from agents.kernel.netlink import CREATE, EXCLUSIVE, Reply, Request, attribute, attributes
from agents.kernel.port import SaState

ESP, ICMPV6 = 50, 58
MOBILITY_HEADER = 135
ANYWHERE = IPv6Network("::/0")
UNSPECIFIED = IPv6Address("::")
ACQUIRE_GROUP, SA_GROUP, REPORT_GROUP = 1, 3, 6  # Multicast groups of notifications.
NEW_SA, ACQUIRE, UPDATE_SA, REPORT = 16, 23, 26, 32

_DELETE_SA, _GET_SA, _ALLOCATE_SPI = 17, 18, 22
_DELETE_POLICY, _UPDATE_POLICY = 20, 25
_ALG_CRYPT, _TMPL, _SRCADDR, _COADDR, _POLICY_TYPE = 2, 5, 13, 14, 16
_ALG_AEAD, _ALG_AUTH_TRUNC, _ADDRESS_FILTER = 18, 20, 26
_AEAD_ICV_BITS = 128
_AF_INET6 = 10
_WILDCARD_RECEIVE = 8
_INFINITE = 2**64 - 1
_GONE = (errno.ENOENT, errno.ESRCH)

_SELECTOR = struct.Struct("=16s16sHH2sHHBBB3xiI")
_SA_ID = struct.Struct("=16s4sB3x")
_LIFETIME = struct.Struct("=8Q")
_SA_TAIL = struct.Struct("=16s64s32s12sIIHBBB7x")
_SA_KEY = struct.Struct("=16s4sHBx")
_POLICY_TAIL = struct.Struct("=64s32sIIBBBB4x")
_POLICY_KEY = struct.Struct("=IB3x")
_TEMPLATE = struct.Struct("=16s4sB3xH2x16sIBBBxIII")
_TYPE = struct.Struct("=BxHBx")
_FILTER = struct.Struct("=16s16sHBB")
_FAMILY, _FAMILY_OFFSET = struct.Struct("=H"), 40  # In struct xfrm_selector.
_ACQUIRE_SIZE = 280
_REPORT_SELECTOR, _REPORT_SIZE = 4, 60  # struct xfrm_user_report
_SPI_RANGE = struct.Struct("=II")
_RESERVED_SPI = 1
_ALGORITHM = struct.Struct("=64sI")
_AUTHENTICATION = _AEAD = struct.Struct("=64sII")


class Direction(IntEnum):
    """Which packets a policy looks at."""

    IN = 0
    OUT = 1


class Table(IntEnum):
    """The policy tables: IPsec in the main one, Mobile IPv6 in the sub one."""

    MAIN = 0
    SUB = 1


class Mode(IntEnum):
    """The XFRM modes in use."""

    TRANSPORT = 0
    ROUTE_OPTIMISATION = 2


class Extension(IntEnum):
    """What carries a home address: destination options or routing header."""

    HOME_ADDRESS_OPTION = 60
    ROUTING_TYPE_2 = 43


class Selector(Record, frozen=True):
    """Packets from `source` to `destination`; `message` is a type of Mobility Header or ICMPv6."""

    source: IPv6Network
    destination: IPv6Network
    protocol: int = 0
    message: int | None = None

    def encode(self) -> bytes:
        """Return struct xfrm_selector; the message type lies in the source port."""
        source, destination = self.source, self.destination
        return _selector(
            (source.network_address, source.prefixlen),
            (destination.network_address, destination.prefixlen),
            self.protocol,
            self.message,
        )


def _selector(
    source: tuple[IPv6Address, int],
    destination: tuple[IPv6Address, int],
    protocol: int,
    message: int | None,
) -> bytes:
    port, mask = (0, 0) if message is None else (message, 0xFFFF)
    return _SELECTOR.pack(
        destination[0].packed,
        source[0].packed,
        0,
        0,
        port.to_bytes(2),
        mask,
        _AF_INET6,
        destination[1],
        source[1],
        protocol,
        0,
        0,
    )


class Template(Record, frozen=True):
    """The state that a policy demands; `optional` means that packets may come without."""

    source: IPv6Address
    destination: IPv6Address
    protocol: int
    mode: Mode
    reqid: int = 0
    optional: bool = False

    def encode(self) -> bytes:
        """Return struct xfrm_user_tmpl."""
        every = 0xFFFFFFFF
        return _TEMPLATE.pack(
            self.destination.packed,
            bytes(4),
            self.protocol,
            _AF_INET6,
            self.source.packed,
            self.reqid,
            self.mode,
            0,
            self.optional,
            every,
            every,
            every,
        )


class Policy(Record, frozen=True):
    """One policy of either table; without a template packets pass as they are."""

    selector: Selector
    direction: Direction
    table: Table
    priority: int
    template: Template | None

    def put(self) -> Request:
        """Return the request that adds or replaces this policy."""
        tail = _POLICY_TAIL.pack(
            _lifetime(0, 0), bytes(32), self.priority, 0, self.direction, 0, 0, 0
        )
        body = self.selector.encode() + tail
        if self.template:
            body += attribute(_TMPL, self.template.encode())
        body += self._type()
        return Request("add policy", _UPDATE_POLICY, 0, body)

    def remove(self) -> Request:
        """Return the request that removes this policy."""
        body = self.selector.encode() + _POLICY_KEY.pack(0, self.direction) + self._type()
        return Request("delete policy", _DELETE_POLICY, 0, body, _GONE)

    def _type(self) -> bytes:
        return attribute(_POLICY_TYPE, _TYPE.pack(self.table, 0, 0))


def demanding(*templates: Template) -> bytes:
    """Return the IPv6 socket option XFRM_POLICY: the socket takes only what has come so.

    The templates are in the order in which a sender applies them.
    """
    tail = _POLICY_TAIL.pack(_lifetime(0, 0), bytes(32), 0, 0, Direction.IN, 0, 0, 0)
    policy = Selector(ANYWHERE, ANYWHERE).encode() + tail
    return policy + b"".join(template.encode() for template in templates)


class MobilityState(Record, frozen=True):
    """How a home address is carried: between `source` and `destination`, by way of `care_of`."""

    source: IPv6Address
    destination: IPv6Address
    extension: Extension
    care_of: IPv6Address

    def add(self) -> Request:
        """Return the request that adds this state where none is."""
        flags = 0 if int(self.care_of) else _WILDCARD_RECEIVE
        return Request("add mobility state", NEW_SA, _NEW, self._body(flags), (errno.EEXIST,))

    def update(self) -> Request:
        """Return the request that gives an existing state this care-of address."""
        return Request("update mobility state", UPDATE_SA, 0, self._body(0))

    def put(self) -> list[Request]:
        """Return the requests that add this state or move the one that is there."""
        return [self.add(), self.update()] if int(self.care_of) else [self.add()]

    def remove(self) -> Request:
        """Return the request that removes this state."""
        key = _SA_KEY.pack(self.destination.packed, bytes(4), _AF_INET6, self.extension)
        body = key + attribute(_SRCADDR, self.source.packed)
        return Request("delete mobility state", _DELETE_SA, 0, body, _GONE)

    def get(self) -> Request:
        """Return the request that asks for this state."""
        key = _SA_KEY.pack(self.destination.packed, bytes(4), _AF_INET6, self.extension)
        body = key + attribute(_SRCADDR, self.source.packed)
        return Request("get mobility state", _GET_SA, 0, body)

    def _body(self, flags: int) -> bytes:
        selector = Selector(ANYWHERE, ANYWHERE).encode()
        identity = _SA_ID.pack(self.destination.packed, bytes(4), self.extension)
        mode = Mode.ROUTE_OPTIMISATION
        tail = _sa_tail(self.source, _lifetime(0, 0), 0, mode, flags, window=0)
        return selector + identity + tail + attribute(_COADDR, self.care_of.packed)


_NEW = CREATE | EXCLUSIVE


def add_esp(sa: EspSa, reqid: int) -> Request:
    """Return the request that installs `sa` where none has the same SPI and destination."""
    # Behind an extension header Linux reads ICMPv6's type wrongly on input: it can select nothing.
    message = sa.message if sa.protocol == MOBILITY_HEADER else None
    # A network is made of an address slowly.
    selector = _selector((sa.source, 128), (sa.destination, 128), sa.protocol, message)
    identity = _SA_ID.pack(sa.destination.packed, sa.spi.to_bytes(4), ESP)
    lifetime = _lifetime(0, int(sa.lifetime))
    tail = _sa_tail(sa.source, lifetime, reqid, Mode.TRANSPORT, 0, window=32)
    body = selector + identity + tail + _algorithms(sa)
    return Request("add ESP SA", NEW_SA, _NEW, body)


def _algorithms(sa: EspSa) -> bytes:
    cipher, bits = sa.encryption.value.encode(), 8 * len(sa.encryption_key)
    if sa.encryption.is_aead:
        return attribute(_ALG_AEAD, _AEAD.pack(cipher, bits, _AEAD_ICV_BITS) + sa.encryption_key)
    name, icv_bits = sa.integrity.value
    digest = _AUTHENTICATION.pack(name.encode(), 8 * len(sa.integrity_key), icv_bits)
    return attribute(_ALG_CRYPT, _ALGORITHM.pack(cipher, bits) + sa.encryption_key) + attribute(
        _ALG_AUTH_TRUNC, digest + sa.integrity_key
    )


def remove_esp(destination: IPv6Address, spi: int) -> Request:
    """Return the request that removes the ESP SA with this SPI."""
    body = _SA_KEY.pack(destination.packed, spi.to_bytes(4), _AF_INET6, ESP)
    return Request("delete ESP SA", _DELETE_SA, 0, body, _GONE)


def remove_acquired(sa: SaState) -> list[Request]:
    """Return the requests that remove an SA that is asked for only.

    The kernel removes SAs by SPI, which this one has to be given first: one that IANA reserves.
    """
    identity = _SA_ID.pack(sa.destination.packed, bytes(4), ESP)
    tail = _sa_tail(sa.source, _lifetime(0, 0), sa.reqid, Mode.TRANSPORT, 0, window=0)
    body = Selector(ANYWHERE, ANYWHERE).encode() + identity + tail
    body += _SPI_RANGE.pack(_RESERVED_SPI, _RESERVED_SPI)
    allocation = Request("allocate SPI", _ALLOCATE_SPI, 0, body)
    return [allocation, remove_esp(sa.destination, _RESERVED_SPI)]


def list_sas(source: IPv6Network, destination: IPv6Network) -> Request:
    """Return the request that dumps the SAs from `source` to `destination`."""
    ends = (source.network_address.packed, destination.network_address.packed)
    key = _FILTER.pack(*ends, _AF_INET6, source.prefixlen, destination.prefixlen)
    return Request("list SAs", _GET_SA, 0, attribute(_ADDRESS_FILTER, key))


def decode_sa(reply: Reply) -> SaState | None:
    """Return the SA that a dump or notification tells of, or None if it is something else."""
    start = _SELECTOR.size
    if reply.kind not in (NEW_SA, UPDATE_SA) or len(reply.body) < start + 168:
        return None
    destination, spi, protocol = _SA_ID.unpack_from(reply.body, start)
    tail = _SA_TAIL.unpack_from(reply.body, start + _SA_ID.size)
    if tail[6] != _AF_INET6:
        return None
    selects = _SELECTOR.unpack_from(reply.body)[9]
    ends = IPv6Address(tail[0]), IPv6Address(destination)
    return SaState(*ends, int.from_bytes(spi), protocol, tail[5], selects)


class SaWanted(Record, frozen=True):
    """A packet met a policy that demands an IPsec SA, and there is none; the packet is lost."""

    source: IPv6Address
    destination: IPv6Address
    protocol: int


def decode_acquire(reply: Reply) -> SaWanted | None:
    """Return what an ACQUIRE asks for (struct xfrm_user_acquire), or None if it is another."""
    if reply.kind != ACQUIRE or len(reply.body) < _ACQUIRE_SIZE:
        return None
    destination, _, protocol = _SA_ID.unpack_from(reply.body)
    source = reply.body[_SA_ID.size : _SA_ID.size + 16]
    (family,) = _FAMILY.unpack_from(reply.body, _SA_ID.size + 16 + _FAMILY_OFFSET)
    if family != _AF_INET6:
        return None
    return SaWanted(IPv6Address(source), IPv6Address(destination), protocol)


class OptionRefused(Record, frozen=True):
    """A packet with a Home Address option that no binding allows; it is lost."""

    home_address: IPv6Address
    care_of: IPv6Address


def decode_report(reply: Reply) -> OptionRefused | None:
    """Return what a report tells (struct xfrm_user_report), or None if it is another."""
    if reply.kind != REPORT or len(reply.body) < _REPORT_SIZE:
        return None
    is_option = reply.body[0] == Extension.HOME_ADDRESS_OPTION
    care_of = dict(attributes(reply.body[_REPORT_SIZE:])).get(_COADDR, b"")
    if not is_option or len(care_of) != 16:
        return None
    source = reply.body[_REPORT_SELECTOR + 16 : _REPORT_SELECTOR + 32]
    return OptionRefused(IPv6Address(source), IPv6Address(care_of))


def decode_used(reply: Reply) -> int:
    """Return how many packets a state in a reply has carried."""
    start = _SELECTOR.size + _SA_ID.size + 16 + _LIFETIME.size
    return int.from_bytes(reply.body[start + 8 : start + 16], sys.byteorder)


def _lifetime(soft: int, hard: int) -> bytes:
    unlimited = (_INFINITE,) * 4
    return _LIFETIME.pack(*unlimited, soft, hard, 0, 0)


def _sa_tail(
    source: IPv6Address, lifetime: bytes, reqid: int, mode: Mode, flags: int, *, window: int
) -> bytes:
    return _SA_TAIL.pack(
        source.packed,
        lifetime,
        bytes(32),
        bytes(12),
        0,
        reqid,
        _AF_INET6,
        mode,
        window,
        flags,
    )
