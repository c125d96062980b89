"""Proofs of a PaC's address that the PAA checks without having kept anything about the PaC."""

from __future__ import annotations

import hmac
import random
from collections.abc import Iterator

from agents.core.machine import Address

PERIOD = 30.0
"""Seconds for which a secret makes tokens; it checks them for as long again."""

SALTS = 8
"""Tokens that one address can have at a time."""


class Tokens:
    """Makes and remakes the token of a PaC: HMAC over its address under a secret that changes.

    draft-ietf-pana-pana-12 section 4.3 leaves the cookie to the PAA; in RFC 5191 the token is the
    session identifier and the sequence number, which PAN[S] echoes (section 4.1 only says that
    the PAA may stay stateless).
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._secrets = (b"", b"")
        self._until: float | None = None

    def _turn(self, now: float) -> None:
        if self._until is None or now >= self._until + PERIOD:
            self._secrets = (self._rng.randbytes(32), self._rng.randbytes(32))
            self._until = now + PERIOD
        elif now >= self._until:
            self._secrets = (self._rng.randbytes(32), self._secrets[0])
            self._until += PERIOD

    def current(self, pac: Address, relay: Address | None, now: float) -> Iterator[bytes]:
        """Yield the tokens of 32 octets that the PaC may get now."""
        self._turn(now)
        for salt in range(SALTS):
            yield _token(self._secrets[0], pac, relay, salt)

    def valid(self, pac: Address, relay: Address | None, now: float) -> Iterator[bytes]:
        """Yield the tokens that the PaC may have got lately."""
        self._turn(now)
        for secret in self._secrets:
            for salt in range(SALTS):
                yield _token(secret, pac, relay, salt)


def _token(secret: bytes, pac: Address, relay: Address | None, salt: int) -> bytes:
    return hmac.digest(secret, repr((pac, relay, salt)).encode(), "sha256")
