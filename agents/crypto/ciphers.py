"""Block ciphers in the modes that IKE uses, over the cryptography library."""

from __future__ import annotations

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

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
