"""What the shared secret does: authenticators, and keys that only the two ends can read.

Every Access packet has a Message-Authenticator, and it is the first attribute: without it the
Response Authenticator can be forged by MD5's collisions (CVE-2024-3596, "Blast-RADIUS").
"""

from __future__ import annotations

import hmac
import random
from collections.abc import Iterable, Iterator
from hashlib import md5

from agents.core.reader import WireError
from agents.core.record import replace
from agents.radius.dictionary import HIDDEN, MESSAGE_AUTHENTICATOR
from agents.radius.wire import AUTHENTICATOR_LENGTH, HEADER_LENGTH, Attribute, Code, Packet

_BLOCK = 16
_SALT_LENGTH = 2
_AUTHENTICATOR = slice(4, HEADER_LENGTH)
_BLANK = MESSAGE_AUTHENTICATOR.attribute(bytes(AUTHENTICATOR_LENGTH))
_FIRST = slice(HEADER_LENGTH + 2, HEADER_LENGTH + 2 + AUTHENTICATOR_LENGTH)
"""Where the value of the first attribute is if that is Message-Authenticator."""

_ACCOUNTING = frozenset({Code.ACCOUNTING_REQUEST, Code.ACCOUNTING_RESPONSE})
"""What has no Message-Authenticator (RFC 2866): all authenticators there are keyed."""


def check_secret(secret: bytes) -> None:
    """Raise ValueError for an empty secret (RFC 2865 section 3)."""
    if not secret:
        raise ValueError("the shared secret is empty; put some 16 octets at random into its file")


def protect_access_request(
    identifier: int,
    attributes: Iterable[Attribute],
    secret: bytes,
    authenticator: bytes,
    rng: random.Random,
) -> bytes:
    """Return an Access-Request (RFC 3579 section 3.2); ValueError if it is too long."""
    hidden = hide(attributes, secret, authenticator, rng)
    packet = Packet(Code.ACCESS_REQUEST, identifier, authenticator, (_BLANK, *hidden))
    return _signed(packet.encode(), secret)


def protect_accounting_request(
    identifier: int, attributes: Iterable[Attribute], secret: bytes
) -> bytes:
    """Return an Accounting-Request (RFC 2866 section 3); ValueError if it is too long."""
    blank = bytes(AUTHENTICATOR_LENGTH)
    packet = Packet(Code.ACCOUNTING_REQUEST, identifier, blank, tuple(attributes))
    return _authenticated(packet.encode(), secret)


def protect_answer(
    code: Code, request: Packet, attributes: Iterable[Attribute], secret: bytes, rng: random.Random
) -> bytes:
    """Return an answer to a request; ValueError if it is too long."""
    hidden = tuple(hide(attributes, secret, request.authenticator, rng))
    first = () if code in _ACCOUNTING else (_BLANK,)
    packet = Packet(code, request.identifier, request.authenticator, (*first, *hidden))
    data = packet.encode()
    return _authenticated(_signed(data, secret) if first else data, secret)


def _signed(data: bytes, secret: bytes) -> bytes:
    """Return a packet with the value of the Message-Authenticator that it begins with."""
    return data[: _FIRST.start] + hmac.digest(secret, data, "md5") + data[_FIRST.stop :]


def _authenticated(data: bytes, secret: bytes) -> bytes:
    """Return a packet with the authenticator that follows from that in its place."""
    return data[:4] + md5(data + secret).digest() + data[HEADER_LENGTH:]  # noqa: S324 RFC 2865.


def check_request(data: bytes, secret: bytes) -> Packet:
    """Return a request whose sender has the secret; raises WireError for any other."""
    packet = Packet.decode(data)
    data = _without_padding(data)
    if packet.code == Code.ACCOUNTING_REQUEST:
        blank = data[:4] + bytes(AUTHENTICATOR_LENGTH) + data[HEADER_LENGTH:]
        _compare(_authenticated(blank, secret)[_AUTHENTICATOR], packet.authenticator, "Request")
        return packet
    if packet.code != Code.ACCESS_REQUEST:
        raise WireError(f"a packet with code {packet.code} is no request to a server")
    _check_message(packet, data, secret)
    return _shown(packet, secret, packet.authenticator)


def check_answer(data: bytes, authenticator: bytes, secret: bytes) -> Packet:
    """Return the answer to a request with an authenticator; raises WireError for any other."""
    packet = Packet.decode(data)
    data = _without_padding(data)
    asked = data[:4] + authenticator + data[HEADER_LENGTH:]
    _compare(_authenticated(asked, secret)[_AUTHENTICATOR], packet.authenticator, "Response")
    if packet.code not in _ACCOUNTING:
        _check_message(packet, asked, secret)
    return _shown(packet, secret, authenticator)


def _without_padding(data: bytes) -> bytes:
    return data[: int.from_bytes(data[2:4])]


def _check_message(packet: Packet, data: bytes, secret: bytes) -> None:
    """Check the Message-Authenticator, wherever it is."""
    values = list(MESSAGE_AUTHENTICATOR.values(packet.attributes))
    if len(values) != 1 or len(values[0]) != AUTHENTICATOR_LENGTH:
        raise WireError("no Message-Authenticator, or not one")
    start = _place(data) + 2
    blank = data[:start] + bytes(AUTHENTICATOR_LENGTH) + data[start + AUTHENTICATOR_LENGTH :]
    _compare(hmac.digest(secret, blank, "md5"), values[0], "Message")


def _place(data: bytes) -> int:
    """Return where the Message-Authenticator is, which is there."""
    start = HEADER_LENGTH
    while data[start] != MESSAGE_AUTHENTICATOR.type:
        start += data[start + 1]
    return start


def _compare(wanted: bytes, found: bytes, what: str) -> None:
    if not hmac.compare_digest(wanted, found):
        raise WireError(f"the {what} Authenticator is wrong: another secret, or altered")


# Keys (RFC 2548 section 2.4.2)


def hide(
    attributes: Iterable[Attribute], secret: bytes, authenticator: bytes, rng: random.Random
) -> Iterator[Attribute]:
    """Yield attributes, encrypted where they are to be."""
    salts = rng.getrandbits(15)
    for attribute in attributes:
        if (attribute.type, attribute.vendor) in HIDDEN:
            # No two keys of a packet have the same salt, and its first bit is set.
            salt = (0x8000 | salts & 0x7FFF).to_bytes(_SALT_LENGTH)
            salts += 1
            plain = bytes((len(attribute.value),)) + attribute.value
            plain += bytes(-len(plain) % _BLOCK)
            value = salt + _encrypt(plain, secret, authenticator + salt)
            yield replace(attribute, value=value)
        else:
            yield attribute


def _encrypt(plain: bytes, secret: bytes, before: bytes) -> bytes:
    cipher = b""
    for start in range(0, len(plain), _BLOCK):
        before = _xor(plain[start : start + _BLOCK], _pad(secret, before))
        cipher += before
    return cipher


def _decrypt(cipher: bytes, secret: bytes, before: bytes) -> bytes:
    plain = b""
    for start in range(0, len(cipher), _BLOCK):
        block = cipher[start : start + _BLOCK]
        plain += _xor(block, _pad(secret, before))
        before = block
    return plain


def _pad(secret: bytes, before: bytes) -> bytes:
    return md5(secret + before).digest()  # noqa: S324 RFC 2548.


def _xor(a: bytes, b: bytes) -> bytes:
    return (int.from_bytes(a) ^ int.from_bytes(b)).to_bytes(_BLOCK)


def _shown(packet: Packet, secret: bytes, authenticator: bytes) -> Packet:
    """Return a packet with what is encrypted in it in the clear; raises WireError."""
    if not any((one.type, one.vendor) in HIDDEN for one in packet.attributes):
        return packet
    shown = tuple([_show(one, secret, authenticator) for one in packet.attributes])
    return replace(packet, attributes=shown)


def _show(attribute: Attribute, secret: bytes, authenticator: bytes) -> Attribute:
    if (attribute.type, attribute.vendor) not in HIDDEN:
        return attribute
    salt, cipher = attribute.value[:_SALT_LENGTH], attribute.value[_SALT_LENGTH:]
    if not cipher or len(cipher) % _BLOCK:
        raise WireError(f"a key of {len(attribute.value)} octets is not encrypted")
    plain = _decrypt(cipher, secret, authenticator + salt)
    if plain[0] >= len(plain):
        raise WireError("a key is longer than its attribute")
    return replace(attribute, value=plain[1 : 1 + plain[0]])
