"""Algorithms, keys and message authentication of a PANA SA (RFC 5191 sections 5.3 and 5.4)."""

from __future__ import annotations

import hmac

from agents.core.machine import PeerError
from agents.core.record import Record, Secret
from agents.crypto.prf import INTEGRITY, PRFS
from agents.pana.wire import Message

AES128_CTR = 1
"""RFC 6786 section 4."""

PRF_HMAC_SHA1, AUTH_HMAC_SHA1_160 = 2, 7
"""What every implementation has (RFC 5191 sections 8.6 and 8.3)."""


class Suite(Record, frozen=True):
    """One PRF and one integrity algorithm by their IKEv2 transform numbers.

    `encryption` is an Encryption-Algorithm of RFC 6786, 0 for none.
    """

    prf: int
    integrity: int
    encryption: int = 0


class Algorithms(Record, frozen=True):
    """The algorithms that one side supports, the preferred first; no encryption is well too."""

    prfs: tuple[int, ...]
    integrities: tuple[int, ...]
    encryptions: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        known = (
            set(self.prfs) <= PRFS.keys()
            and set(self.integrities) <= INTEGRITY.keys()
            and set(self.encryptions) <= {AES128_CTR}
        )
        if not known:
            raise ValueError(f"no implementation of some of {self}")

    @property
    def preferred(self) -> Suite:
        """The first of each."""
        return Suite(self.prfs[0], self.integrities[0], next(iter(self.encryptions), 0))

    def choose(
        self,
        prfs: tuple[int, ...],
        integrities: tuple[int, ...],
        encryptions: tuple[int, ...] = (),
    ) -> Suite:
        """Return the preferred suite out of a peer's offer; PeerError if none is shared.

        Encryption may be left out.
        """
        prf = next((number for number in self.prfs if number in prfs), None)
        integrity = next((number for number in self.integrities if number in integrities), None)
        if prf is None or integrity is None:
            raise PeerError(f"no common algorithms: PRF {prfs}, integrity {integrities} offered")
        encryption = next((number for number in self.encryptions if number in encryptions), 0)
        return Suite(prf, integrity, encryption)


DEFAULT_ALGORITHMS = Algorithms(prfs=(5, PRF_HMAC_SHA1), integrities=(12, AUTH_HMAC_SHA1_160))
"""HMAC-SHA2-256 and HMAC-SHA2-256-128 are preferred to RFC 5191's MUST."""


class KeyMaterial(Record, frozen=True):
    """Everything that a dialect may derive keys from; `is_pac` tells which side asks."""

    msk: Secret[bytes]
    start_request: bytes
    start_answer: bytes
    pac_nonce: bytes
    paa_nonce: bytes
    session: bytes
    key_id: int
    suite: Suite
    is_pac: bool = False


class SecurityAssociation(Record, frozen=True):
    """The keys that protect a session's messages; those for encryption are empty without it."""

    key_id: int
    integrity: int
    key: Secret[bytes]
    encrypt_key: Secret[bytes] = b""
    decrypt_key: Secret[bytes] = b""

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
