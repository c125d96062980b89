"""Algorithms, keys and message authentication of a PANA SA (RFC 5191 sections 5.3 and 5.4)."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field

from agents.crypto.prf import INTEGRITY, PRFS
from agents.machine import PeerError
from agents.pana.wire import Message


@dataclass(frozen=True, slots=True)
class Suite:
    """One PRF and one integrity algorithm by their IKEv2 transform numbers."""

    prf: int
    integrity: int


@dataclass(frozen=True, slots=True)
class Algorithms:
    """The PRFs and integrity algorithms that one side supports, the preferred first."""

    prfs: tuple[int, ...]
    integrities: tuple[int, ...]

    def __post_init__(self) -> None:
        if not (set(self.prfs) <= PRFS.keys() and set(self.integrities) <= INTEGRITY.keys()):
            raise ValueError(f"no implementation of some of {self}")

    def choose(self, prfs: tuple[int, ...], integrities: tuple[int, ...]) -> Suite:
        """Return the preferred suite out of a peer's offer; PeerError if none is shared."""
        prf = next((number for number in self.prfs if number in prfs), None)
        integrity = next((number for number in self.integrities if number in integrities), None)
        if prf is None or integrity is None:
            raise PeerError(f"no common algorithms: PRF {prfs}, integrity {integrities} offered")
        return Suite(prf, integrity)


DEFAULT_ALGORITHMS = Algorithms(prfs=(5, 2), integrities=(12, 7))
"""HMAC-SHA2-256 and HMAC-SHA2-256-128, then RFC 5191's MUST: HMAC-SHA1 and HMAC-SHA1-160."""


@dataclass(frozen=True, slots=True)
class KeyMaterial:
    """Everything that a dialect may derive PANA_AUTH_KEY from."""

    msk: bytes = field(repr=False)
    start_request: bytes
    start_answer: bytes
    pac_nonce: bytes
    paa_nonce: bytes
    session: bytes
    key_id: int
    suite: Suite


@dataclass(frozen=True, slots=True)
class SecurityAssociation:
    """The key that protects a session's messages."""

    key_id: int
    integrity: int
    key: bytes = field(repr=False)

    @property
    def auth_length(self) -> int:
        """The length of the AUTH AVP's value in octets."""
        return INTEGRITY[self.integrity].length

    def auth(self, pdu: bytes) -> bytes:
        """Return AUTH's value for a message whose AUTH value is all zero (RFC 5191 5.4)."""
        return INTEGRITY[self.integrity](self.key, pdu)

    def verify(self, data: bytes, message: Message) -> bool:
        """Return whether `data`, decoded as `message`, has a right AUTH AVP."""
        start, length = message.auth_offset, self.auth_length
        if start is None or message.auth_length != length:
            return False
        zeroed = data[:start] + bytes(length) + data[start + length :]
        return hmac.compare_digest(self.auth(zeroed), data[start : start + length])
