"""TLS records: the messages of a handshake, and with the secrets of its key log what they hide.

TLS 1.3 (RFC 8446) is opened; of older versions there is what is in the clear.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from testbed.trace.decode.text import UNREADABLE, Lines, named, within

CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION = 20, 21, 22, 23
HANDSHAKE_KEYS, APPLICATION_KEYS = "HANDSHAKE_TRAFFIC_SECRET", "TRAFFIC_SECRET_0"
_MESSAGES = {
    1: "ClientHello",
    2: "ServerHello",
    4: "NewSessionTicket",
    8: "EncryptedExtensions",
    11: "Certificate",
    12: "ServerKeyExchange",
    13: "CertificateRequest",
    14: "ServerHelloDone",
    15: "CertificateVerify",
    16: "ClientKeyExchange",
    20: "Finished",
    24: "KeyUpdate",
}
_SUITES = {
    0x1301: "TLS_AES_128_GCM_SHA256",
    0x1302: "TLS_AES_256_GCM_SHA384",
    0x1303: "TLS_CHACHA20_POLY1305_SHA256",
}
_VERSIONS = {0x0301: "TLS 1.0", 0x0302: "TLS 1.1", 0x0303: "TLS 1.2", 0x0304: "TLS 1.3"}
_EXTENSIONS = {
    0: "server_name",
    10: "supported_groups",
    11: "ec_point_formats",
    13: "signature_algorithms",
    16: "application_layer_protocol_negotiation",
    22: "encrypt_then_mac",
    23: "extended_master_secret",
    35: "session_ticket",
    41: "pre_shared_key",
    43: "supported_versions",
    45: "psk_key_exchange_modes",
    49: "post_handshake_auth",
    50: "signature_algorithms_cert",
    51: "key_share",
}
_ALERTS = {
    0: "close_notify",
    10: "unexpected_message",
    20: "bad_record_mac",
    40: "handshake_failure",
    42: "bad_certificate",
    44: "certificate_revoked",
    45: "certificate_expired",
    46: "certificate_unknown",
    48: "unknown_ca",
    49: "access_denied",
    50: "decode_error",
    51: "decrypt_error",
    70: "protocol_version",
    80: "internal_error",
    116: "certificate_required",
}

Secrets = dict[tuple[bytes, str], bytes]


def read_key_log(path: Path) -> Secrets:
    """Return the secrets of a key log, by client random and label; none without a file."""
    found: Secrets = {}
    if path.exists():
        for line in path.read_text(errors="replace").splitlines():
            with suppress(ValueError):
                label, random, secret = line.split()
                found[bytes.fromhex(random), label] = bytes.fromhex(secret)
    return found


@dataclass(frozen=True, slots=True)
class Read:
    """What a record holds, as lines, and application data of it."""

    lines: list[str]
    data: bytes = b""


@dataclass(slots=True)
class _Side:
    """What one end sends: octets of a record, and of a handshake message, that are not whole."""

    label: str
    records: bytearray = field(default_factory=bytearray)
    messages: bytearray = field(default_factory=bytearray)
    epoch: str = HANDSHAKE_KEYS
    number: int = 0


class Session:
    """Follows one TLS connection, of which octets come in the order in which they were sent."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets
        self._sides = {True: _Side("CLIENT"), False: _Side("SERVER")}
        self._random = b""
        self._suite = 0

    def feed(self, data: bytes, *, from_client: bool) -> Iterator[Read]:
        """Yield what the octets that an end sent hold, as far as records are whole."""
        side = self._sides[from_client]
        side.records += data
        while len(side.records) >= 5:
            kind, _, length = struct.unpack_from("!BHH", side.records)
            if len(side.records) < 5 + length:
                return
            record = bytes(side.records[: 5 + length])
            del side.records[: 5 + length]
            yield self._record(side, kind, record)

    def _record(self, side: _Side, kind: int, record: bytes) -> Read:
        body = record[5:]
        if kind == CHANGE_CIPHER_SPEC:
            return Read(["TLS ChangeCipherSpec"])
        if kind == HANDSHAKE and not self._is_message(side, body):
            return Read([f"TLS handshake, encrypted: {len(body)} octets"])
        if kind == APPLICATION:
            opened = self._open(side, record)
            if opened is None:
                return Read([f"TLS, encrypted: {len(body)} octets"])
            kind, body = opened
        if kind == HANDSHAKE:
            return Read(list(self._handshake(side, body)))
        if kind == ALERT and len(body) == 2:
            level = {1: "warning", 2: "fatal"}.get(body[0], "")
            return Read([f"TLS alert: {level} {named(_ALERTS, body[1])}"])
        return Read([f"TLS application data: {len(body)} octets"], body)

    @staticmethod
    def _is_message(side: _Side, body: bytes) -> bool:
        return bool(side.messages) or (len(body) > 3 and body[0] in _MESSAGES)

    def _handshake(self, side: _Side, body: bytes) -> Lines:
        side.messages += body
        while len(side.messages) >= 4:
            length = int.from_bytes(side.messages[1:4])
            if len(side.messages) < 4 + length:
                break
            kind, content = side.messages[0], bytes(side.messages[4 : 4 + length])
            del side.messages[: 4 + length]
            yield f"TLS {_MESSAGES.get(kind, f'handshake {kind}')}: {length} octets"
            with suppress(*UNREADABLE):
                yield from within(self._message(kind, content))
            if kind == 20 and self._suite:
                side.epoch, side.number = APPLICATION_KEYS, 0

    def _message(self, kind: int, content: bytes) -> Lines:
        if kind in (1, 2):
            yield from self._hello(kind, content)
        elif kind == 11:
            yield from _certificates(content, long_form=bool(self._suite))

    def _hello(self, kind: int, content: bytes) -> Lines:
        version = int.from_bytes(content[:2])
        at = 35 + content[34]
        suites = struct.unpack_from("!H", content, at)[0]
        if kind == 1:
            self._random = content[2:34]
            at += 2 + suites
            at += 1 + content[at]
        else:
            at += 3
        extensions = dict(_extensions(content[at:]))
        if kind == 2:
            if versions := extensions.get(43):
                version = int.from_bytes(versions)
                self._suite = suites
            yield f"Version: {named(_VERSIONS, version)}"
            yield f"Cipher suite: {_SUITES.get(suites, f'{suites:#06x}')}"
        if name := extensions.get(0):
            yield f"Server name: {name[5:].decode(errors='replace')}"
        yield f"Extensions: {', '.join(_EXTENSIONS.get(one, str(one)) for one in extensions)}"

    def _open(self, side: _Side, record: bytes) -> tuple[int, bytes] | None:
        """Return type and content of an encrypted record; None if there is no key for it."""
        secret = self._secrets.get((self._random, f"{side.label}_{side.epoch}"))
        if secret is None or self._suite not in _SUITES:
            return None
        hash_, length = {
            0x1301: (hashes.SHA256(), 16),
            0x1302: (hashes.SHA384(), 32),
            0x1303: (hashes.SHA256(), 32),
        }[self._suite]
        key = _expand(hash_, secret, "key", length)
        iv = int.from_bytes(_expand(hash_, secret, "iv", 12)) ^ side.number
        cipher = ChaCha20Poly1305(key) if self._suite == 0x1303 else AESGCM(key)
        try:
            plain = cipher.decrypt(iv.to_bytes(12), record[5:], record[:5]).rstrip(b"\0")
        except InvalidTag:
            return None
        side.number += 1
        return (plain[-1], plain[:-1]) if plain else None


def _expand(hash_: hashes.HashAlgorithm, secret: bytes, label: str, length: int) -> bytes:
    """HKDF-Expand-Label with an empty context (RFC 8446 section 7.1)."""
    name = f"tls13 {label}".encode()
    info = struct.pack("!HB", length, len(name)) + name + b"\0"
    return HKDFExpand(algorithm=hash_, length=length, info=info).derive(secret)


def _extensions(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 2
    while at + 4 <= len(data):
        kind, length = struct.unpack_from("!HH", data, at)
        yield kind, data[at + 4 : at + 4 + length]
        at += 4 + length


def _certificates(content: bytes, *, long_form: bool) -> Lines:
    """Tell of the certificates of a message, in TLS 1.3 each with extensions."""
    at = 4 + content[0] if long_form else 3
    while at + 3 <= len(content):
        length = int.from_bytes(content[at : at + 3])
        der = content[at + 3 : at + 3 + length]
        at += 3 + length
        if long_form:
            at += 2 + int.from_bytes(content[at : at + 2])
        found = x509.load_der_x509_certificate(der)
        yield f"Certificate: {found.subject.rfc4514_string()}"
        yield f"  Issuer: {found.issuer.rfc4514_string()}"
        yield f"  Valid until: {found.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
