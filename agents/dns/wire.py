"""DNS messages as the lookup needs them, over dnspython (RFC 1035, 2782, 3596, 6891)."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv6Address
from itertools import accumulate, groupby
from typing import Self

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import msgspec
from dns.rdtypes.IN.AAAA import AAAA
from dns.rdtypes.IN.SRV import SRV

from agents.core.folding import ascii_lower
from agents.core.reader import WireError
from agents.core.record import Record

for _kind in (dns.rdatatype.CNAME, dns.rdatatype.NS, dns.rdatatype.SOA, dns.rdatatype.OPT):
    # The library would import what it finds in an answer when it finds it.
    dns.rdata.get_rdata_class(dns.rdataclass.ANY, _kind)  # type: ignore[no-untyped-call]

PORT = 53
EDNS_PAYLOAD = 1232
"""Octets of an answer that need no fragment on an IPv6 path (RFC 9715)."""

NO_EDNS = frozenset({"FORMERR", "NOTIMP", "BADVERS"})
"""How a server says that it does not know EDNS (RFC 6891 sections 6.1.3 and 7)."""

_ABOUT_THE_NAME = frozenset({dns.rcode.NOERROR, dns.rcode.NXDOMAIN, dns.rcode.YXDOMAIN})
"""Response codes that tell about the name; others tell about the server, at this moment."""


class Target(Record, frozen=True):
    """One SRV record (RFC 2782)."""

    priority: int
    weight: int
    name: str


class Answer(Record, frozen=True):
    """What an answer says about its question; None where an error does not repeat the question.

    `error` is the response code's name if it is not NOERROR, or what is wrong with the records.
    Without `conclusive` the same question may get another answer later. `name` is where the aliases
    of the question's name lead. `aliases` and `addresses` hold CNAME and AAAA records by lower-case
    name. Of what is `truncated` nothing is read but the question.
    """

    identifier: int
    question: tuple[str, str] | None
    error: str | None
    conclusive: bool
    truncated: bool = False
    name: str = ""
    targets: tuple[Target, ...] = ()
    aliases: Mapping[str, str] = msgspec.field(default_factory=dict)
    addresses: Mapping[str, tuple[IPv6Address, ...]] = msgspec.field(default_factory=dict)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a response to one question of class IN; raises WireError."""
        try:
            message = dns.message.from_wire(data, keyring=False, continue_on_error=True)
        except dns.exception.DNSException as problem:
            raise WireError(f"not a DNS message: {problem or type(problem).__name__}") from None
        if not message.flags & dns.flags.QR or message.opcode() != dns.opcode.QUERY:
            raise WireError("not a response to a query")
        rcode = message.rcode()
        error = None if rcode == dns.rcode.NOERROR else dns.rcode.to_text(rcode)
        conclusive = rcode in _ABOUT_THE_NAME
        if not message.question and not conclusive:
            return cls(message.id, None, error, conclusive)
        if len(message.question) != 1 or message.question[0].rdclass != dns.rdataclass.IN:
            raise WireError("a response that does not repeat one question")
        asked = message.question[0]
        question = _text(asked.name), dns.rdatatype.to_text(asked.rdtype)
        if message.flags & dns.flags.TC:
            return cls(message.id, question, error, conclusive, truncated=True)
        if message.errors and error is None:
            reason = message.errors[0].exception
            return cls(message.id, question, f"not readable: {reason}", conclusive=False)
        answer = [rrset for rrset in message.answer if rrset.rdclass == dns.rdataclass.IN]
        aliases = {
            ascii_lower(_text(rrset.name)): _text(rrset[0].target)
            for rrset in answer
            if rrset.rdtype == dns.rdatatype.CNAME
        }
        name = _follow(question[0], aliases)
        if name is None:
            return cls(message.id, question, "its aliases form a ring", conclusive)
        return cls(
            message.id,
            question,
            error,
            conclusive,
            name=name,
            targets=tuple(_targets(answer, name)),
            aliases=aliases,
            addresses=_addresses([*answer, *message.additional]),
        )

    def addresses_of(self, name: str) -> tuple[IPv6Address, ...]:
        """Return the addresses that the answer gives for a name, or for what it is an alias of."""
        owner = _follow(name, self.aliases)
        return () if owner is None else self.addresses.get(ascii_lower(owner), ())


def query(name: str, kind: str, identifier: int, *, edns: bool = True) -> bytes:
    """Return a recursive query; raises ValueError for what is no domain name."""
    try:
        message = dns.message.make_query(
            dns.name.from_text(name),
            kind,
            use_edns=0 if edns else False,
            payload=EDNS_PAYLOAD,
            id=identifier,
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


def _follow(name: str, aliases: Mapping[str, str]) -> str | None:
    """Return where a chain of aliases leads (RFC 1034 section 3.6.2); None for a ring."""
    seen = set()
    while (key := ascii_lower(name)) in aliases:
        if key in seen:
            return None
        seen.add(key)
        name = aliases[key]
    return name


def _targets(answer: Iterable[dns.rrset.RRset], owner: str) -> Iterator[Target]:
    for rrset in answer:
        if ascii_lower(_text(rrset.name)) != ascii_lower(owner):
            continue
        for record in rrset:
            if isinstance(record, SRV) and record.target != dns.name.root:
                yield Target(record.priority, record.weight, _text(record.target))


def _addresses(records: Iterable[dns.rrset.RRset]) -> dict[str, tuple[IPv6Address, ...]]:
    found: defaultdict[str, list[IPv6Address]] = defaultdict(list)
    for rrset in records:
        addresses = [IPv6Address(record.address) for record in rrset if isinstance(record, AAAA)]
        found[ascii_lower(_text(rrset.name))] += addresses
    return {name: tuple(addresses) for name, addresses in found.items()}


def in_order(targets: Iterable[Target], rng: random.Random) -> Iterator[str]:
    """Yield names by priority, and by a draw with their weights within one (RFC 2782)."""
    # Those of weight 0 come first, so that they are hardly ever drawn.
    by_rank = sorted(targets, key=lambda target: (target.priority, target.weight))
    for _, group in groupby(by_rank, key=lambda target: target.priority):
        left = list(group)
        while left:
            draw = rng.randint(0, sum(target.weight for target in left))
            totals = accumulate(target.weight for target in left)
            index = next(index for index, total in enumerate(totals) if total >= draw)
            yield left.pop(index).name
