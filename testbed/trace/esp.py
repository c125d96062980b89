"""Which ESP packets of a capture are whole: their integrity, by the keys of the run (RFC 4303)."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import InvalidTag
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

_GCM = "rfc4106(gcm(aes))"


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
    nonce = secret[-_SALT:] + data[_HEADER : _HEADER + _IV]
    try:
        AESGCM(secret[:-_SALT]).decrypt(nonce, data[_HEADER + _IV :], data[:_HEADER])
    except InvalidTag:
        return False
    return True
