"""Stateless cookies against floods of IKE_SA_INIT from forged addresses (RFC 7296 section 2.6)."""

from __future__ import annotations

import hmac
import random

from agents.core.machine import Address

LIFETIME = 60.0
"""Seconds after which a new secret is used; the one before still counts."""

_SECRET_LENGTH = 32


class Cookies:
    """Makes and checks cookies: HMAC-SHA-256 over nonce, address and SPI of the initiator."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._secrets: dict[int, bytes] = {}

    def _secret(self, epoch: int) -> bytes:
        if epoch not in self._secrets:
            self._secrets[epoch] = self._rng.randbytes(_SECRET_LENGTH)
            self._secrets = {e: s for e, s in self._secrets.items() if e >= epoch - 1}
        return self._secrets[epoch]

    def _cookie(self, epoch: int, nonce: bytes, source: Address, spi: bytes) -> bytes:
        seed = nonce + source[0].encode() + b"\0" + source[1].to_bytes(2) + spi
        return bytes([epoch % 256]) + hmac.digest(self._secret(epoch), seed, "sha256")

    def make(self, nonce: bytes, source: Address, spi: bytes, now: float) -> bytes:
        """Return the cookie that this initiator has to come back with."""
        return self._cookie(int(now // LIFETIME), nonce, source, spi)

    def check(self, cookie: bytes, nonce: bytes, source: Address, spi: bytes, now: float) -> bool:
        """Return whether the cookie is one of ours and of the last two minutes at most."""
        epoch = int(now // LIFETIME)
        known = [e for e in (epoch, epoch - 1) if e in self._secrets]
        return any(hmac.compare_digest(cookie, self._cookie(e, nonce, source, spi)) for e in known)
