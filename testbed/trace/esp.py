"""ESP packets by the keys of the run (RFC 4303): which are whole, and what is in them."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from testbed.trace.dissect import ESP, parse
from testbed.trace.frames import Frame, read_frames
from testbed.trace.keys import KEYS, EspKey, read_keys

_HEADER, _IV, _SALT = 8, 8, 4
_HASHES = {
    "hmac(md5)": ("md5", 12),
    "hmac(sha1)": ("sha1", 12),
    "hmac(sha256)": ("sha256", 16),
    "hmac(sha384)": ("sha384", 24),
    "hmac(sha512)": ("sha512", 32),
}
"""Each integrity algorithm's hash, and the octets that are left of it."""

_GCM, _NULL = "rfc4106(gcm(aes))", "ecb(cipher_null)"
_BLOCKS = {"cbc(aes)": algorithms.AES, "cbc(des3_ede)": TripleDES}


def read_whole_frames(capture: Path) -> list[Frame]:
    """Return a capture's frames without those whose ESP its receiver drops as altered.

    The keys are those of the run, in `keys/` beside `captures/`; without any all are returned.
    Raises DataError for a bad file.
    """
    keys = read_keys(capture.parent.parent / "keys" / KEYS)
    return without_altered(read_frames(capture), [k for k in keys if isinstance(k, EspKey)])


def without_altered(frames: Iterable[Frame], keys: Iterable[EspKey]) -> list[Frame]:
    """Return the frames without those whose ESP is not as it was sealed with one of the keys."""
    by_spi = {key.spi.to_bytes(4): key for key in keys}
    return [f for f in frames if not by_spi or _is_whole(f, by_spi)]


def _is_whole(frame: Frame, keys: Mapping[bytes, EspKey]) -> bool:
    packet = None
    with suppress(LookupError, ValueError):
        packet = parse(frame)
    if packet is None or packet.protocol != ESP:
        return True
    key = keys.get(packet.payload[:4])
    return key is not None and _opens(packet.payload, key)


def open_packet(data: bytes, key: EspKey) -> tuple[int, bytes] | None:
    """Return protocol and content of an ESP packet (RFC 4303 section 2); None if it is altered.

    None too where its cipher is not known here.
    """
    if not _opens(data, key):
        return None
    secret, end = bytes.fromhex(key.encryption_key), len(data) - _check_length(key)
    if key.encryption == _GCM:
        plain = AESGCM(secret[:-_SALT]).decrypt(_nonce(secret, data), data[16:], data[:_HEADER])
    elif key.encryption == _NULL:
        plain = data[_HEADER:end]
    elif kind := _BLOCKS.get(key.encryption):
        cipher = kind(secret)
        first = _HEADER + cipher.block_size // 8
        opened = Cipher(cipher, modes.CBC(data[_HEADER:first])).decryptor()
        plain = opened.update(data[first:end]) + opened.finalize()
    else:
        return None
    padding, protocol = plain[-2:]
    return protocol, plain[: len(plain) - 2 - padding]


def _check_length(key: EspKey) -> int:
    return _HASHES[key.integrity][1] if key.integrity in _HASHES else 0


def _nonce(secret: bytes, data: bytes) -> bytes:
    return secret[-_SALT:] + data[_HEADER : _HEADER + _IV]


def _opens(data: bytes, key: EspKey) -> bool:
    """Return whether the integrity check value is right, as far as the algorithms have one."""
    if key.encryption == _GCM:
        return _decrypts(data, key)
    if key.integrity not in _HASHES:
        return True
    name, length = _HASHES[key.integrity]
    expected = hmac.digest(bytes.fromhex(key.integrity_key), data[:-length], name)
    return hmac.compare_digest(expected[:length], data[-length:])


def _decrypts(data: bytes, key: EspKey) -> bool:
    secret = bytes.fromhex(key.encryption_key)
    try:
        AESGCM(secret[:-_SALT]).decrypt(_nonce(secret, data), data[_HEADER + _IV :], data[:_HEADER])
    except InvalidTag:
        return False
    return True
