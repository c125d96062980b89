"""Keys from the EMSK, which only the EAP peer and the EAP server know (RFC 5295)."""

from __future__ import annotations

import re

from agents.crypto.prf import HMAC_SHA2_256

ROOT_KEY_LENGTH = 64
"""The least length of a root key in octets (RFC 5295 section 3.1)."""

_MAXIMUM_LENGTH = 255 * HMAC_SHA2_256.length
_MAXIMUM_LABEL = 255
_MAXIMUM_USAGE_LABEL = 64
_USAGE_LABEL = re.compile(r"[!-+\--?A-~]+@[!-+\--?A-~]+", re.ASCII)


def derive(key: bytes, label: str, data: bytes = b"", length: int = ROOT_KEY_LENGTH) -> bytes:
    """Return KDF(key, label | 0 | data | length), the default KDF of RFC 5295 section 3.1.2."""
    if not label.isascii() or not label.isprintable() or not 0 < len(label) <= _MAXIMUM_LABEL:
        raise ValueError(f"{label!r} is no key label: 1 to 255 printable ASCII characters")
    if not 0 < length <= _MAXIMUM_LENGTH:
        raise ValueError(f"{length} octets of key wanted, 1 to {_MAXIMUM_LENGTH} can be had")
    seed = label.encode() + b"\0" + data + length.to_bytes(2)
    return HMAC_SHA2_256.plus(key, seed, length)


def usage_root_key(emsk: bytes, label: str, data: bytes = b"") -> bytes:
    """Return the 64-octet usage-specific root key of `label` (RFC 5295 section 3.1).

    The label has the form usage@organisation, at most 64 characters and neither comma nor space
    (section 8.1); `data` is the optional data.
    """
    if len(label) > _MAXIMUM_USAGE_LABEL or not _USAGE_LABEL.fullmatch(label):
        raise ValueError(f"{label!r} is no usage label of the form usage@organisation")
    return derive(emsk, label, data)
