"""The encrypted payload (RFC 7296 section 3.14, RFC 5282 for AES-GCM)."""

from __future__ import annotations

import hmac
import random
from collections.abc import Sequence

from agents.core.reader import Reader, WireError
from agents.crypto.ciphers import (
    AES_BLOCK,
    GCM_IV,
    GCM_TAG,
    AesGcm,
    aes_cbc_decrypt,
    aes_cbc_encrypt,
)
from agents.crypto.prf import IntegrityAlgorithm
from agents.ikev2.config import IkeProposal
from agents.ikev2.constants import PayloadType
from agents.ikev2.keys import IkeKeys
from agents.ikev2.wire import (
    GENERIC_HEADER,
    HEADER_LENGTH,
    Header,
    Message,
    Payload,
    decode_chain,
    encode_chain,
)


class NotAuthenticError(Exception):
    """An encrypted message whose integrity check fails."""


class _Gcm:
    """One direction under AES-GCM; its IVs count up, so that none comes twice."""

    def __init__(self, key: bytes, rng: random.Random) -> None:
        self._cipher = AesGcm(key)
        self._counter = rng.getrandbits(32)
        self.overhead = GCM_IV + 1 + GCM_TAG

    def length(self, plain: int) -> int:
        return plain + self.overhead

    def seal(self, head: bytes, plain: bytes) -> bytes:
        self._counter += 1
        iv = self._counter.to_bytes(GCM_IV)
        return iv + self._cipher.encrypt(iv, plain + b"\0", head)

    def open(self, head: bytes, body: bytes) -> bytes:
        plain = self._cipher.decrypt(body[:GCM_IV], body[GCM_IV:], head)
        if plain is None:
            raise NotAuthenticError
        return plain


class _CbcHmac:
    """One direction under AES-CBC and an HMAC (encrypt, then MAC)."""

    def __init__(
        self, key: bytes, digest: IntegrityAlgorithm, digest_key: bytes, rng: random.Random
    ) -> None:
        self._key, self._digest, self._digest_key, self._rng = key, digest, digest_key, rng

    def length(self, plain: int) -> int:
        padded = -(-(plain + 1) // AES_BLOCK) * AES_BLOCK
        return AES_BLOCK + padded + self._digest.length

    def seal(self, head: bytes, plain: bytes) -> bytes:
        padding = -(len(plain) + 1) % AES_BLOCK
        iv = self._rng.randbytes(AES_BLOCK)
        data = plain + bytes(padding) + bytes([padding])
        text = iv + aes_cbc_encrypt(self._key, iv, data)
        return text + self._digest(self._digest_key, head + text)

    def open(self, head: bytes, body: bytes) -> bytes:
        text, tag = body[: -self._digest.length], body[-self._digest.length :]
        if not hmac.compare_digest(self._digest(self._digest_key, head + text), tag):
            raise NotAuthenticError
        iv, data = text[:AES_BLOCK], text[AES_BLOCK:]
        if len(iv) < AES_BLOCK or not data or len(data) % AES_BLOCK:
            raise WireError(f"{len(data)} encrypted octets are not whole blocks")
        return aes_cbc_decrypt(self._key, iv, data)


class Sealer:
    """Seals what the local host sends over an IKE SA and opens what the peer sends."""

    def __init__(
        self, proposal: IkeProposal, keys: IkeKeys, rng: random.Random, *, initiator: bool
    ) -> None:
        ours, theirs = ((keys.ei, keys.ai), (keys.er, keys.ar))
        if not initiator:
            ours, theirs = theirs, ours
        digest = proposal.digest
        self._out: _Gcm | _CbcHmac
        self._in: _Gcm | _CbcHmac
        if digest is None:
            self._out, self._in = _Gcm(ours[0], rng), _Gcm(theirs[0], rng)
        else:
            self._out = _CbcHmac(ours[0], digest, ours[1], rng)
            self._in = _CbcHmac(theirs[0], digest, theirs[1], rng)

    def seal(self, header: Header, payloads: Sequence[Payload]) -> bytes:
        """Return a message of one encrypted payload."""
        plain = encode_chain(payloads)
        length = GENERIC_HEADER + self._out.length(len(plain))
        first = payloads[0].type if payloads else 0
        head = header.encode(PayloadType.SK, length) + bytes((first, 0)) + length.to_bytes(2)
        return head + self._out.seal(head, plain)

    def open(self, message: Message) -> tuple[Payload, ...]:
        """Return the payloads of an authentic message.

        Raises NotAuthenticError if it is not, WireError or PeerError for what is inside one that
        is. Payloads in front of the encrypted one are not taken.
        """
        r = Reader(message.body)
        if message.first != PayloadType.SK:
            raise NotAuthenticError
        try:
            first, _, length = r.u8(), r.u8(), r.u16()
            body = r.take(length - GENERIC_HEADER)
            r.finish()
        except WireError as error:
            raise NotAuthenticError from error
        if len(body) < GCM_IV + GCM_TAG:
            raise NotAuthenticError
        head = message.data[: HEADER_LENGTH + GENERIC_HEADER]
        plain = self._in.open(head, body)
        if not plain or plain[-1] >= len(plain):
            raise WireError("more padding than there are octets")
        return decode_chain(first, plain[: len(plain) - 1 - plain[-1]])
