"""DHCPv6 (RFC 8415, RFC 6610) and DNS: how a mobile node looks for its home agent."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from ipaddress import IPv6Address

import dns.exception
import dns.message
import dns.rdatatype

from testbed.trace.decode.text import Lines, address, hexadecimal, named, number, within

Write = Callable[[bytes], str]
_MESSAGES = {
    1: "Solicit",
    2: "Advertise",
    3: "Request",
    5: "Renew",
    6: "Rebind",
    7: "Reply",
    11: "Information-request",
    12: "Relay-forward",
    13: "Relay-reply",
}
_RELAYED = frozenset({12, 13})
_RELAY_MESSAGE = 9


def _numbers(value: bytes) -> str:
    return ", ".join(named(_NAMES, one) for (one,) in struct.iter_unpack("!H", value))


def _domain(value: bytes) -> str:
    labels, at = [], 0
    while at < len(value) and value[at]:
        labels.append(value[at + 1 : at + 1 + value[at]].decode(errors="backslashreplace"))
        at += 1 + value[at]
    return ".".join(labels)


def _prefix(value: bytes) -> str:
    return f"{IPv6Address(value[1:17])}/{value[0]}" if len(value) == 17 else hexadecimal(value)


_OPTIONS: dict[int, tuple[str, Write]] = {
    1: ("Client Identifier", hexadecimal),
    2: ("Server Identifier", hexadecimal),
    6: ("Option Request", _numbers),
    8: ("Elapsed Time", number),
    _RELAY_MESSAGE: ("Relay Message", hexadecimal),
    13: ("Status Code", hexadecimal),
    18: ("Interface-Id", hexadecimal),
    32: ("Information Refresh Time", number),
    49: ("MIP6 Home Network ID FQDN", _domain),
    50: ("MIP6 Visited Domain Information", hexadecimal),
    66: ("Relay-Supplied Options", hexadecimal),
    69: ("MIP6 Identified Home Network", hexadecimal),
    70: ("MIP6 Unrestricted Home Network", hexadecimal),
    71: ("MIP6 Home Network Prefix", _prefix),
    72: ("MIP6 Home Agent Address", address),
    73: ("MIP6 Home Agent FQDN", _domain),
    83: ("INF_MAX_RT", number),
}
_NAMES = {code: name for code, (name, _) in _OPTIONS.items()}
_NESTED = frozenset({50, 66, 69, 70})


def dhcpv6(data: bytes) -> Lines:
    """Yield the fields of a DHCPv6 message."""
    kind = data[0]
    yield f"DHCPv6 {named(_MESSAGES, kind)}"
    if kind in _RELAYED:
        yield f"  Hops: {data[1]}"
        yield f"  Link address: {IPv6Address(data[2:18])}"
        yield f"  Peer address: {IPv6Address(data[18:34])}"
        yield from within(_options(data[34:]))
        return
    yield f"  Transaction ID: {data[1:4].hex()}"
    yield from within(_options(data[4:]))


def _options(data: bytes) -> Lines:
    for code, value in _split(data):
        name, write = _OPTIONS.get(code, (f"Option {code}", hexadecimal))
        if code == _RELAY_MESSAGE:
            yield name
            yield from within(dhcpv6(value))
        elif code in _NESTED:
            yield name
            yield from within(_options(value))
        else:
            yield f"{name}: {write(value)}"


def _split(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= 4:
        code, length = struct.unpack_from("!HH", data)
        yield code, data[4 : 4 + length]
        data = data[4 + length :]


def dns_message(data: bytes) -> Lines:
    """Yield the fields of a DNS message."""
    try:
        message = dns.message.from_wire(data)
    except dns.exception.DNSException:
        yield f"DNS: {hexadecimal(data)}"
        return
    yield f"DNS {'answer' if message.flags & 0x8000 else 'query'}"
    yield f"  ID: {message.id:#06x}, {message.rcode().name}"
    for question in message.question:
        yield f"  Question: {question.name} {dns.rdatatype.to_text(question.rdtype)}"
    for title, section in (("Answer", message.answer), ("Additional", message.additional)):
        for found in section:
            for one in found:
                kind = dns.rdatatype.to_text(found.rdtype)
                yield f"  {title}: {found.name} {kind} {one}, {found.ttl} s"
