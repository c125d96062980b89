"""DNS messages as the lookup needs them, over dnspython (RFC 1035, 2782, 3596, 6891)."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Self

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
from dns.rdtypes.IN.AAAA import AAAA
from dns.rdtypes.IN.SRV import SRV

from agents.folding import ascii_lower
from agents.unicast import is_unicast
from agents.wire import WireError

PORT = 53
EDNS_PAYLOAD = 1232
"""Octets of an answer that need no fragment on an IPv6 path (RFC 9715)."""

_MAX_ALIASES = 8


@dataclass(frozen=True, slots=True)
class Target:
    """One SRV record (RFC 2782)."""

    priority: int
    weight: int
    name: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What an answer says about its question; `addresses` holds AAAA records by lower-case name.

    AAAA records whose address cannot be a home agent's are left out.
    `error` is the response code's name if it is not NOERROR.
    """

    identifier: int
    question: tuple[str, str]
    error: str | None
    truncated: bool
    targets: tuple[Target, ...]
    addresses: dict[str, tuple[IPv6Address, ...]]

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a response to one question of class IN; raises WireError."""
        try:
            message = dns.message.from_wire(data)
        except (dns.exception.DNSException, ValueError) as error:
            raise WireError(f"not a DNS message: {error or type(error).__name__}") from None
        if not message.flags & dns.flags.QR or message.opcode() != 0:
            raise WireError("not a response to a query")
        if len(message.question) != 1 or message.question[0].rdclass != dns.rdataclass.IN:
            raise WireError("a response that does not repeat one question")
        asked = message.question[0]
        rcode = message.rcode()
        return cls(
            message.id,
            (_text(asked.name), dns.rdatatype.to_text(asked.rdtype)),
            None if rcode == dns.rcode.NOERROR else dns.rcode.to_text(rcode),
            bool(message.flags & dns.flags.TC),
            tuple(_targets(message.answer, asked.name)),
            _addresses([*message.answer, *message.additional], message.answer),
        )

    def addresses_of(self, name: str) -> tuple[IPv6Address, ...]:
        """Return the addresses that the answer gives for a name."""
        return self.addresses.get(ascii_lower(name), ())


def query(name: str, kind: str, identifier: int) -> bytes:
    """Return a recursive query with EDNS; raises ValueError for what is no domain name."""
    try:
        message = dns.message.make_query(
            dns.name.from_text(name), kind, use_edns=0, payload=EDNS_PAYLOAD, id=identifier
        )
    except dns.exception.DNSException as error:
        raise ValueError(f"{name!r} is not a domain name: {error}") from None
    return message.to_wire()


def normal(name: str) -> str:
    """Return a name as answers give theirs: without the final dot, ValueError if it is none."""
    try:
        return _text(dns.name.from_text(name))
    except dns.exception.DNSException as error:
        raise ValueError(f"{name!r} is not a domain name: {error}") from None


def _text(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True)


def _aliases(answer: list[dns.rrset.RRset]) -> dict[dns.name.Name, dns.name.Name]:
    return {rrset.name: rrset[0].target for rrset in answer if rrset.rdtype == dns.rdatatype.CNAME}


def _follow(name: dns.name.Name, answer: list[dns.rrset.RRset]) -> dns.name.Name:
    """Return where a chain of aliases in an answer leads (RFC 1034 section 3.6.2)."""
    aliases = _aliases(answer)
    for _ in range(_MAX_ALIASES):
        if name not in aliases:
            break
        name = aliases[name]
    return name


def _targets(answer: list[dns.rrset.RRset], asked: dns.name.Name) -> Iterator[Target]:
    owner = _follow(asked, answer)
    for rrset in answer:
        if rrset.name != owner:
            continue
        for record in rrset:
            if isinstance(record, SRV) and record.target != dns.name.root:
                yield Target(record.priority, record.weight, _text(record.target))


def _addresses(
    sections: list[dns.rrset.RRset], answer: list[dns.rrset.RRset]
) -> dict[str, tuple[IPv6Address, ...]]:
    found: defaultdict[dns.name.Name, list[IPv6Address]] = defaultdict(list)
    for rrset in sections:
        for record in rrset:
            if isinstance(record, AAAA) and is_unicast(address := IPv6Address(record.address)):
                found[rrset.name].append(address)
    for alias in _aliases(answer):
        found.setdefault(alias, found.get(_follow(alias, answer), []))
    return {ascii_lower(_text(name)): tuple(addresses) for name, addresses in found.items()}


def in_order(targets: tuple[Target, ...], rng: random.Random) -> list[str]:
    """Return names by priority, and by a draw with their weights within one (RFC 2782)."""
    names: list[str] = []
    for priority in sorted({target.priority for target in targets}):
        # Those of weight 0 come first, so that they are hardly ever drawn.
        left = sorted((t for t in targets if t.priority == priority), key=lambda t: t.weight)
        while left:
            draw, total = rng.randint(0, sum(t.weight for t in left)), 0
            for index, target in enumerate(left):
                total += target.weight
                if total >= draw:
                    names.append(left.pop(index).name)
                    break
    return names
