"""Key schedule (RFC 7296 sections 2.13 to 2.18)."""

from __future__ import annotations

from agents.core.record import Record, Secret
from agents.crypto.ciphers import GCM_SALT
from agents.crypto.prf import Prf
from agents.ike.esp import Integrity
from agents.ikev2.config import EspProposal, IkeProposal

INTEGRITY_KEYS = {
    Integrity.NONE: 0,
    Integrity.HMAC_SHA1_96: 20,
    Integrity.HMAC_SHA2_256_128: 32,
    Integrity.HMAC_SHA2_384_192: 48,
    Integrity.HMAC_SHA2_512_256: 64,
}
"""Key lengths of ESP's integrity algorithms in octets (RFC 2404, RFC 4868)."""

KEY_PAD = b"Key Pad for IKEv2"


class IkeKeys(Record, frozen=True):
    """The seven keys of an IKE SA (section 2.14); a key of AES-GCM is followed by its salt."""

    prf: Prf
    d: Secret[bytes]
    ai: Secret[bytes]
    ar: Secret[bytes]
    ei: Secret[bytes]
    er: Secret[bytes]
    pi: Secret[bytes]
    pr: Secret[bytes]

    @classmethod
    def expand(cls, proposal: IkeProposal, skeyseed: bytes, seed: bytes) -> IkeKeys:
        """Return prf+(SKEYSEED, seed) cut into keys; the seed is Ni | Nr | SPIi | SPIr."""
        prf = proposal.function
        cipher = proposal.key_bits // 8 + (GCM_SALT if proposal.is_aead else 0)
        digest = proposal.digest.key_length if proposal.digest else 0
        lengths = (prf.length, digest, digest, cipher, cipher, prf.length, prf.length)
        stream = prf.plus(skeyseed, seed, sum(lengths))
        keys, start = [], 0
        for length in lengths:
            keys.append(stream[start : start + length])
            start += length
        return cls(prf, *keys)

    @classmethod
    def derive(
        cls,
        proposal: IkeProposal,
        shared: bytes,
        nonces: tuple[bytes, bytes],
        spis: tuple[bytes, bytes],
    ) -> IkeKeys:
        """Return the keys of a new IKE SA (section 2.14); pairs are (initiator's, responder's)."""
        both = nonces[0] + nonces[1]
        skeyseed = proposal.function(both, shared)
        return cls.expand(proposal, skeyseed, both + spis[0] + spis[1])

    def rekey(
        self,
        proposal: IkeProposal,
        shared: bytes,
        nonces: tuple[bytes, bytes],
        spis: tuple[bytes, bytes],
    ) -> IkeKeys:
        """Return the keys of the IKE SA that replaces this one (section 2.18)."""
        both = nonces[0] + nonces[1]
        skeyseed = self.prf(self.d, shared + both)
        return IkeKeys.expand(proposal, skeyseed, both + spis[0] + spis[1])

    def keymat(self, nonces: tuple[bytes, bytes], length: int, shared: bytes) -> bytes:
        """Return KEYMAT of a CHILD SA (section 2.17); `shared` is empty without a KE."""
        return self.prf.plus(self.d, shared + nonces[0] + nonces[1], length)


class EspKeys(Record, frozen=True):
    """The keys of one direction of an ESP SA."""

    encryption: Secret[bytes]
    integrity: Secret[bytes]


def esp_keys(
    keys: IkeKeys, proposal: EspProposal, nonces: tuple[bytes, bytes], shared: bytes
) -> tuple[EspKeys, EspKeys]:
    """Return the keys from initiator to responder, and back (section 2.17)."""
    cipher = proposal.key_bits // 8 + (GCM_SALT if proposal.cipher.is_aead else 0)
    digest = INTEGRITY_KEYS[proposal.digest]
    stream = keys.keymat(nonces, 2 * (cipher + digest), shared)
    there, back = stream[: cipher + digest], stream[cipher + digest :]
    return (EspKeys(there[:cipher], there[cipher:]), EspKeys(back[:cipher], back[cipher:]))


def shared_key_auth(prf: Prf, secret: bytes, octets: bytes) -> bytes:
    """Return AUTH for a pre-shared key or the MSK (sections 2.15 and 2.16)."""
    return prf(prf(secret, KEY_PAD), octets)
