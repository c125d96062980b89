"""Pseudo-random functions and integrity algorithms by their IKE transform numbers."""

from __future__ import annotations

from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.hmac import HMAC

from agents.core.record import Record

_HASHES = {"sha1": SHA1(), "sha256": SHA256(), "sha384": SHA384(), "sha512": SHA512()}  # noqa: S303


class Prf(Record, frozen=True):
    """A keyed hash used as a pseudo-random function (RFC 7296 section 2.13)."""

    hash_name: str
    length: int
    """The output's length in octets."""

    def __call__(self, key: bytes, data: bytes) -> bytes:
        """Return prf(key, data)."""
        function = HMAC(key, _HASHES[self.hash_name])
        function.update(data)
        return function.finalize()

    def plus(self, key: bytes, seed: bytes, length: int) -> bytes:
        """Return `length` octets of prf+ (RFC 7296 section 2.13); at most 255 blocks."""
        if length > 255 * self.length:
            raise ValueError(f"prf+ yields at most {255 * self.length} octets, {length} asked for")
        output, block = b"", b""
        for counter in range(1, -(-length // self.length) + 1):
            block = self(key, block + seed + bytes([counter]))
            output += block
        return output[:length]


HMAC_SHA1 = Prf("sha1", 20)
HMAC_SHA2_256 = Prf("sha256", 32)
HMAC_SHA2_384 = Prf("sha384", 48)
HMAC_SHA2_512 = Prf("sha512", 64)

PRFS = {2: HMAC_SHA1, 5: HMAC_SHA2_256, 6: HMAC_SHA2_384, 7: HMAC_SHA2_512}
"""IKEv2 transform type 2, as PANA and IKEv2 negotiate it."""


class IntegrityAlgorithm(Record, frozen=True):
    """A keyed hash truncated to `length` octets (IKEv2 transform type 3)."""

    prf: Prf
    length: int

    @property
    def key_length(self) -> int:
        """The key's length in octets: the hash's."""
        return self.prf.length

    def __call__(self, key: bytes, data: bytes) -> bytes:
        """Return the integrity check value of `data`."""
        return self.prf(key, data)[: self.length]


INTEGRITY = {
    2: IntegrityAlgorithm(HMAC_SHA1, 12),
    7: IntegrityAlgorithm(HMAC_SHA1, 20),
    12: IntegrityAlgorithm(HMAC_SHA2_256, 16),
    13: IntegrityAlgorithm(HMAC_SHA2_384, 24),
    14: IntegrityAlgorithm(HMAC_SHA2_512, 32),
}
"""IKEv2 transform type 3, as PANA and IKEv2 negotiate it."""
