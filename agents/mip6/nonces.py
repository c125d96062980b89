"""A correspondent node's nonces, each good for a while (RFC 6275 sections 5.2.2 and 5.2.7)."""

from __future__ import annotations

import random
from collections import OrderedDict

MAX_NONCE_LIFETIME = 240.0
MAX_TOKEN_LIFETIME = 210.0
_RENEWAL = MAX_NONCE_LIFETIME - MAX_TOKEN_LIFETIME
_LENGTH = 8


class Nonces:
    """Makes nonces on demand: a token of one is good for MAX_TOKEN_LIFETIME at least."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._index = rng.getrandbits(16)
        self._made: OrderedDict[int, tuple[bytes, float]] = OrderedDict()
        """Nonces by their indices, each with the time of its first use, the newest last."""

    def current(self, now: float) -> tuple[int, bytes]:
        """Return the index and nonce that a new token is made of."""
        self._expire(now)
        if self._made:
            index, (nonce, made) = next(reversed(self._made.items()))
            if now < made + _RENEWAL:
                return index, nonce
        self._index = (self._index + 1) % 65536
        nonce = self._rng.randbytes(_LENGTH)
        self._made[self._index] = nonce, now
        return self._index, nonce

    def find(self, index: int, now: float) -> bytes | None:
        """Return a nonce that is still good, None if there is none of this index."""
        self._expire(now)
        found = self._made.get(index)
        return found[0] if found else None

    def end(self) -> None:
        """Let no token be good that has been given."""
        self._made.clear()

    def _expire(self, now: float) -> None:
        while self._made:
            index, (_, made) = next(iter(self._made.items()))
            if now < made + MAX_NONCE_LIFETIME:
                return
            del self._made[index]
