"""Randomness of the system for secrets, fetched in stock."""

from __future__ import annotations

import os
import random

_STOCK = 1024


class StockedRandom(random.SystemRandom):
    """SystemRandom with a stock of octets, each of which is used once: one call for many values."""

    def __init__(self) -> None:
        super().__init__()
        self._stock = b""
        self._used = 0

    def clear(self) -> None:
        """Use nothing of the stock, which another process may have too."""
        self._stock, self._used = b"", 0

    def randbytes(self, n: int) -> bytes:
        """Return `n` random octets."""
        start, end = self._used, self._used + n
        if end > len(self._stock):
            self._stock, start, end = os.urandom(max(_STOCK, n)), 0, n
        self._used = end
        return self._stock[start:end]

    def random(self) -> float:
        """Return a number in [0, 1), of 53 bits."""
        return (int.from_bytes(self.randbytes(7)) >> 3) * 2.0**-53

    def getrandbits(self, k: int) -> int:
        """Return an integer of `k` random bits."""
        return int.from_bytes(self.randbytes((k + 7) // 8)) >> -k % 8


RANDOM = StockedRandom()
"""This process's."""

os.register_at_fork(after_in_child=RANDOM.clear)
