"""Key schedule and cipher chaining (RFC 2409 section 5 and appendix B)."""

from __future__ import annotations

import hashlib

from agents.core.reader import WireError
from agents.core.record import Record, Secret
from agents.crypto.ciphers import AES_BLOCK, aes_cbc_decrypt, aes_cbc_encrypt
from agents.crypto.prf import Prf


def feedback(prf: Prf, key: bytes, seed: bytes, length: int) -> bytes:
    """Return `length` octets of K1 | K2 | ..: K1 = prf(key, seed), Kn = prf(key, Kn-1 | seed)."""
    block = output = prf(key, seed)
    while len(output) < length:
        block = prf(key, block + seed)
        output += block
    return output[:length]


def cipher_key(prf: Prf, skeyid_e: bytes, length: int) -> bytes:
    """Return the key of the ISAKMP SA's cipher, expanded if SKEYID_e is too short (appendix B)."""
    if length <= len(skeyid_e):
        return skeyid_e[:length]
    block = output = prf(skeyid_e, b"\0")
    while len(output) < length:
        block = prf(skeyid_e, block)
        output += block
    return output[:length]


class Transcript(Record, frozen=True):
    """What both sides of phase 1 have sent, as far as it is authenticated."""

    cookie_i: bytes
    cookie_r: bytes
    public_i: bytes
    public_r: bytes
    sa_i: bytes
    """The body of the initiator's SA payload."""

    def hash_r(self, prf: Prf, skeyid: bytes, identity: bytes) -> bytes:
        """Return HASH_R over the responder's ID payload body."""
        ends = self.public_r + self.public_i + self.cookie_r + self.cookie_i
        return prf(skeyid, ends + self.sa_i + identity)


def skeyid_of(prf: Prf, psk: bytes, nonces: tuple[bytes, bytes]) -> bytes:
    """Return SKEYID for a pre-shared key; the nonces are the initiator's and the responder's."""
    return prf(psk, nonces[0] + nonces[1])


class Keys(Record, frozen=True):
    """The keys of an ISAKMP SA (section 5)."""

    prf: Prf
    skeyid: Secret[bytes]
    skeyid_d: Secret[bytes]
    skeyid_a: Secret[bytes]
    encryption: Secret[bytes]

    @classmethod
    def derive(
        cls,
        prf: Prf,
        psk: bytes,
        nonces: tuple[bytes, bytes],
        *,
        shared: bytes,
        transcript: Transcript,
        key_length: int,
    ) -> Keys:
        """Return the keys for a pre-shared key, the nonces (initiator's, responder's) and g^xy."""
        skeyid = skeyid_of(prf, psk, nonces)
        seed = shared + transcript.cookie_i + transcript.cookie_r
        skeyid_d = prf(skeyid, seed + b"\0")
        skeyid_a = prf(skeyid, skeyid_d + seed + b"\1")
        skeyid_e = prf(skeyid, skeyid_a + seed + b"\2")
        return cls(prf, skeyid, skeyid_d, skeyid_a, cipher_key(prf, skeyid_e, key_length))

    def hash_i(self, t: Transcript, identity: bytes) -> bytes:
        """Return HASH_I over the initiator's ID payload body."""
        seed = t.public_i + t.public_r + t.cookie_i + t.cookie_r + t.sa_i + identity
        return self.prf(self.skeyid, seed)

    def hash_r(self, t: Transcript, identity: bytes) -> bytes:
        """Return HASH_R over the responder's ID payload body."""
        return t.hash_r(self.prf, self.skeyid, identity)

    def phase1_iv(self, t: Transcript) -> bytes:
        """Return the IV of the first encrypted message of phase 1 (appendix B)."""
        return hashlib.new(self.prf.hash_name, t.public_i + t.public_r).digest()[:AES_BLOCK]

    def phase2_iv(self, last_block: bytes, message_id: int) -> bytes:
        """Return the first IV of a phase 2 exchange, from the last CBC block of phase 1."""
        seed = last_block + message_id.to_bytes(4)
        return hashlib.new(self.prf.hash_name, seed).digest()[:AES_BLOCK]

    def phase2_hash(self, message_id: int, rest: bytes, nonce: bytes = b"") -> bytes:
        """Return HASH(1) over `rest`, or HASH(2) if the initiator's nonce is given."""
        return self.prf(self.skeyid_a, message_id.to_bytes(4) + nonce + rest)

    def phase2_hash3(self, message_id: int, nonces: tuple[bytes, bytes]) -> bytes:
        """Return HASH(3)."""
        return self.prf(self.skeyid_a, b"\0" + message_id.to_bytes(4) + nonces[0] + nonces[1])

    def keymat(
        self, protocol: int, spi: bytes, nonces: tuple[bytes, bytes], length: int, shared: bytes
    ) -> bytes:
        """Return KEYMAT of one direction (section 5.5); `shared` is empty without PFS."""
        seed = shared + bytes([protocol]) + spi + nonces[0] + nonces[1]
        return feedback(self.prf, self.skeyid_d, seed, length)


def encrypt(key: bytes, iv: bytes, payloads: bytes) -> tuple[bytes, bytes]:
    """Return the payloads padded with zeros and encrypted, and the next IV (appendix B)."""
    data = aes_cbc_encrypt(key, iv, payloads + bytes(-len(payloads) % AES_BLOCK))
    return data, data[-AES_BLOCK:]


def decrypt(key: bytes, iv: bytes, data: bytes) -> tuple[bytes, bytes]:
    """Return the padded payloads and the next IV; raises WireError for part of a block."""
    if not data or len(data) % AES_BLOCK:
        raise WireError(f"{len(data)} encrypted octets are not whole blocks")
    return aes_cbc_decrypt(key, iv, data), data[-AES_BLOCK:]
