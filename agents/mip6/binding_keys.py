"""Keygen tokens, and the key that two of them make for binding messages (RFC 6275 section 5.2)."""

from __future__ import annotations

from ipaddress import IPv6Address

from cryptography.hazmat.primitives.constant_time import bytes_eq
from cryptography.hazmat.primitives.hashes import SHA1, Hash

from agents.core.record import replace
from agents.crypto.prf import HMAC_SHA1, INTEGRITY
from agents.mip6.codec import (
    BINDING_AUTHORISATION,
    NONCE_INDICES,
    TOKEN_LENGTH,
    BindingAck,
    BindingUpdate,
    Option,
    encode,
)

NODE_KEY_LENGTH = 20  # Kcn (section 5.2.1).
HMAC_SHA1_96 = INTEGRITY[2]
_HOME, _CARE_OF = b"\0", b"\1"
_CHECKSUM = slice(4, 6)


def home_token(node_key: bytes, home_address: IPv6Address, nonce: bytes) -> bytes:
    """Return the home keygen token (section 5.2.5)."""
    return HMAC_SHA1(node_key, home_address.packed + nonce + _HOME)[:TOKEN_LENGTH]


def care_of_token(node_key: bytes, care_of: IPv6Address, nonce: bytes) -> bytes:
    """Return the care-of keygen token (section 5.2.5)."""
    return HMAC_SHA1(node_key, care_of.packed + nonce + _CARE_OF)[:TOKEN_LENGTH]


def binding_key(home: bytes, care_of: bytes = b"") -> bytes:
    """Return Kbm of two keygen tokens, or of the home one to remove a binding (section 5.2.5)."""
    digest = Hash(SHA1())  # noqa: S303  # It is the protocol's.
    digest.update(home + care_of)
    return digest.finalize()


def nonce_indices(home: int, care_of: int) -> Option:
    """Return a Nonce Indices option (section 6.2.6)."""
    return Option(NONCE_INDICES, home.to_bytes(2) + care_of.to_bytes(2))


def indices_of(message: BindingUpdate) -> tuple[int, int] | None:
    """Return the home and the care-of nonce index of an update, None if there are none."""
    for option in message.options:
        if option.kind == NONCE_INDICES and len(option.value) == 4:
            return int.from_bytes(option.value[:2]), int.from_bytes(option.value[2:])
    return None


def sealed(
    message: BindingUpdate | BindingAck,
    key: bytes,
    care_of: IPv6Address,
    correspondent: IPv6Address,
) -> bytes:
    """Return a message with its Binding Authorization Data, the last option (section 6.2.7).

    `care_of` is the home address where a binding is removed.
    """
    empty = Option(BINDING_AUTHORISATION, bytes(HMAC_SHA1_96.length))
    data = encode(replace(message, options=(*message.options, empty)))
    data = data[: -HMAC_SHA1_96.length]
    return data + authenticator(data, key, care_of, correspondent)


def is_sealed(data: bytes) -> bool:
    """Return whether a message ends with Binding Authorization Data, as it has to."""
    head = bytes((BINDING_AUTHORISATION, HMAC_SHA1_96.length))
    return data[-HMAC_SHA1_96.length - len(head) : -HMAC_SHA1_96.length] == head


def is_authentic(data: bytes, key: bytes, care_of: IPv6Address, correspondent: IPv6Address) -> bool:
    """Return whether a received message is what the owner of the key has sealed."""
    head, seal = data[: -HMAC_SHA1_96.length], data[-HMAC_SHA1_96.length :]
    return is_sealed(data) and bytes_eq(seal, authenticator(head, key, care_of, correspondent))


def authenticator(head: bytes, key: bytes, care_of: IPv6Address, other: IPv6Address) -> bytes:
    """Return the authenticator of a message without it; its checksum counts as 0.

    `other` is the correspondent node's address, or with the authentication option the home address.
    """
    blank = bytearray(head)
    blank[_CHECKSUM] = bytes(2)
    return HMAC_SHA1_96(key, care_of.packed + other.packed + bytes(blank))
