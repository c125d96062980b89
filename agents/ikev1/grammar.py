"""Which payloads each message has, as data, checked before any handler (RFC 2409 section 5)."""

from __future__ import annotations

from collections.abc import Sequence

from agents.core.machine import PeerError
from agents.core.record import Record
from agents.ikev1.constants import ExchangeType, NotifyType, PayloadType
from agents.ikev1.wire import Payload

_SA, _KE, _ID = PayloadType.SA, PayloadType.KE, PayloadType.ID
_HASH, _NONCE = PayloadType.HASH, PayloadType.NONCE

_ONE = (1, 1)
_OPTIONAL = (0, 1)


class Encryption:
    """Whether a message has to be encrypted."""

    NEVER, ALWAYS, EITHER = range(3)


class Rule(Record, frozen=True):
    """The least and greatest count of each payload, and those that come first, in their order.

    Payload types that the rule does not name (vendor ids, NAT detection, certificates,
    notifications, unknown ones) are tolerated, except those of `NAMED`.
    """

    counts: dict[int, tuple[int, int]]
    first: tuple[int, ...]
    encryption: int


NAMED: frozenset[int] = frozenset({_SA, _KE, _ID, _HASH, _NONCE})
"""Payloads that are illegal in a message whose rule does not name them."""

_OFFER: dict[int, tuple[int, int]] = {_SA: _ONE}
_KEY: dict[int, tuple[int, int]] = {_KE: _ONE, _NONCE: _ONE}
_IDENTITY: dict[int, tuple[int, int]] = {_ID: _ONE, _HASH: _ONE}
_QUICK: dict[int, tuple[int, int]] = {
    _HASH: _ONE,
    _SA: _ONE,
    _NONCE: _ONE,
    _KE: _OPTIONAL,
    _ID: (0, 2),
}

RULES: dict[tuple[int, int], Rule] = {
    (ExchangeType.MAIN, 1): Rule(_OFFER, (_SA,), Encryption.NEVER),
    (ExchangeType.MAIN, 2): Rule(_OFFER, (_SA,), Encryption.NEVER),
    (ExchangeType.MAIN, 3): Rule(_KEY, (), Encryption.NEVER),
    (ExchangeType.MAIN, 4): Rule(_KEY, (), Encryption.NEVER),
    (ExchangeType.MAIN, 5): Rule(_IDENTITY, (), Encryption.ALWAYS),
    (ExchangeType.MAIN, 6): Rule(_IDENTITY, (), Encryption.ALWAYS),
    (ExchangeType.AGGRESSIVE, 1): Rule({**_OFFER, **_KEY, _ID: _ONE}, (_SA,), Encryption.NEVER),
    (ExchangeType.AGGRESSIVE, 2): Rule({**_OFFER, **_KEY, **_IDENTITY}, (_SA,), Encryption.NEVER),
    (ExchangeType.AGGRESSIVE, 3): Rule({_HASH: _ONE}, (), Encryption.EITHER),
    (ExchangeType.QUICK, 1): Rule(_QUICK, (_HASH, _SA), Encryption.ALWAYS),
    (ExchangeType.QUICK, 2): Rule(_QUICK, (_HASH, _SA), Encryption.ALWAYS),
    (ExchangeType.QUICK, 3): Rule({_HASH: _ONE}, (_HASH,), Encryption.ALWAYS),
}
"""Rules by exchange type and the message's number in the exchange."""


def check(exchange: int, number: int, payloads: Sequence[Payload], *, encrypted: bool) -> None:
    """Raise PeerError unless the payloads are those of this message."""
    rule = RULES[exchange, number]
    if encrypted != (rule.encryption == Encryption.ALWAYS) and rule.encryption != Encryption.EITHER:
        raise PeerError(
            f"message {number} is {'' if encrypted else 'not '}encrypted",
            NotifyType.PAYLOAD_MALFORMED,
        )
    types = [p.type for p in payloads]
    for kind, (least, most) in rule.counts.items():
        if not least <= (count := types.count(kind)) <= most:
            name = PayloadType(kind).name
            raise PeerError(
                f"message {number} has {count} {name} payloads",
                NotifyType.PAYLOAD_MALFORMED,
            )
    for kind in NAMED.intersection(types) - rule.counts.keys():
        raise PeerError(
            f"message {number} has a {PayloadType(kind).name} payload",
            NotifyType.INVALID_PAYLOAD_TYPE,
        )
    if tuple(types[: len(rule.first)]) != rule.first:
        raise PeerError(
            f"the payloads of message {number} are out of order", NotifyType.PAYLOAD_MALFORMED
        )


def find(payloads: Sequence[Payload], kind: int) -> bytes:
    """Return the body of the only payload of this type; the rule has counted it."""
    return next(p.body for p in payloads if p.type == kind)


def find_all(payloads: Sequence[Payload], kind: int) -> list[bytes]:
    """Return the bodies of all payloads of this type."""
    return [p.body for p in payloads if p.type == kind]
