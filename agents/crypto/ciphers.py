"""Block ciphers in the modes that IKE uses, over the cryptography library."""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

AES_BLOCK = 16
"""The AES block in octets; an IV has this length, and data are multiples of it."""


def aes_cbc_encrypt(key: bytes, iv: bytes, data: bytes) -> bytes:
    """Return `data` (whole blocks) encrypted by AES-CBC (RFC 3602); no padding is added."""
    encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    return encryptor.update(data) + encryptor.finalize()


def aes_cbc_decrypt(key: bytes, iv: bytes, data: bytes) -> bytes:
    """Return `data` (whole blocks) decrypted by AES-CBC (RFC 3602); padding stays.

    Raises ValueError if `data` is not made of whole blocks.
    """
    decryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()
    return decryptor.update(data) + decryptor.finalize()


GCM_SALT = 4
"""Octets of keying material behind an AES-GCM key that start every nonce (RFC 5282, RFC 4106)."""

GCM_IV = 8
"""Octets of the explicit IV: the rest of the nonce. No IV may be used twice with a key."""

GCM_TAG = 16
"""Octets of the integrity check value."""


class AesGcm:
    """AES-GCM with a tag of 16 octets and a key followed by its salt (RFC 5282 section 7.1)."""

    def __init__(self, key_and_salt: bytes) -> None:
        self._cipher = AESGCM(key_and_salt[:-GCM_SALT])
        self._salt = key_and_salt[-GCM_SALT:]

    def encrypt(self, iv: bytes, data: bytes, associated: bytes) -> bytes:
        """Return the ciphertext and the tag; `associated` is authenticated with them."""
        return self._cipher.encrypt(self._salt + iv, data, associated)

    def decrypt(self, iv: bytes, data: bytes, associated: bytes) -> bytes | None:
        """Return the plaintext of ciphertext and tag, None if they are not authentic."""
        try:
            return self._cipher.decrypt(self._salt + iv, data, associated)
        except InvalidTag:
            return None
