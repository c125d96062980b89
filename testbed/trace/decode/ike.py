"""IKE messages of both versions (RFC 2408, 2409, 7296), opened with the keys of a run."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import IPv6Address

from cryptography import x509
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from testbed.trace.decode import ike_numbers as numbers
from testbed.trace.decode.eap import Conversations
from testbed.trace.decode.text import UNREADABLE, Lines, hexadecimal, named, text, within
from testbed.trace.dissect import EXCHANGES, INFORMATIONAL_V1, QUICK
from testbed.trace.keys import Ikev1Key, Ikev2Key, Key

_HEADER = 28
_SA, _KE = 1, 4  # Payloads of IKEv1.
_ENCRYPTED_V1, _SK, _EAP = 1, 46, 48
_BLOCK = 16
_HASHES = {1: hashes.MD5, 2: hashes.SHA1, 4: hashes.SHA256, 5: hashes.SHA384, 6: hashes.SHA512}
_HASH_ATTRIBUTE = 2
Payload = tuple[int, bytes]


@dataclass(slots=True)
class _Phase1:
    """What later messages of an IKEv1 SA are opened with: hash, public values, last blocks."""

    hash: type[hashes.HashAlgorithm] = hashes.SHA1
    public: list[bytes] = field(default_factory=list)
    last: bytes = b""
    exchanges: dict[int, bytes] = field(default_factory=dict)


class Ike:
    """Reads IKE messages in order; one that crosses several links, or comes again, is read once."""

    def __init__(self, keys: Iterable[Key], eap: Conversations) -> None:
        keys = list(keys)
        self._v1 = {k.initiator_cookie.lower(): k for k in keys if isinstance(k, Ikev1Key)}
        self._v2 = {(k.spi_i + k.spi_r).lower(): k for k in keys if isinstance(k, Ikev2Key)}
        self._eap = eap
        self._phases: dict[bytes, _Phase1] = {}
        self._read: dict[bytes, list[str]] = {}

    def lines(self, data: bytes) -> Lines:
        """Yield the fields of a message."""
        if data not in self._read:
            found: list[str] = []
            self._read[data] = found
            with suppress(*UNREADABLE):
                found.extend(self._header(data))
                found.extend(self._body(data))
        yield from self._read[data]

    @staticmethod
    def _header(data: bytes) -> Lines:
        version, exchange, flags, message_id = struct.unpack_from("!17xBBBI", data)
        yield f"IKEv{version >> 4} {named(EXCHANGES, exchange)}"
        yield f"  Initiator's {'cookie' if version >> 4 == 1 else 'SPI'}: {data[:8].hex()}"
        yield f"  Responder's {'cookie' if version >> 4 == 1 else 'SPI'}: {data[8:16].hex()}"
        names = numbers.FLAGS_V1 if version >> 4 == 1 else numbers.FLAGS_V2
        letters = [name for bit, name in names if flags & bit]
        yield f"  Flags: {', '.join(letters) or 'none'}"
        yield f"  Message ID: {message_id:#010x}"

    def _body(self, data: bytes) -> Lines:
        kind, version, exchange, flags, message_id, length = struct.unpack_from("!16xBBBBII", data)
        body = data[_HEADER:length]
        if version >> 4 == 1:
            if flags & _ENCRYPTED_V1:
                plain = self._open_v1(data[:8], exchange, message_id, body)
                if plain is None:
                    yield f"  Encrypted: {len(body)} octets"
                    return
                body = plain
                yield "  Encrypted, opened:"
                yield from within(within(_payloads_v1(kind, body)))
                return
            self._note(data[:8], kind, body)
            yield from within(_payloads_v1(kind, body))
            return
        for payload, value in _chain(kind, body):
            if payload != _SK:
                yield from within(self._payload_v2(data[:16], payload, value))
                continue
            opened = self._open_v2(data, value, initiator=bool(flags & 8))
            if opened is None:
                yield f"  Encrypted: {len(value)} octets"
                return
            yield "  Encrypted, opened:"
            for inner, content in _chain(_first_inside(kind, body), opened):
                yield from within(within(self._payload_v2(data[:16], inner, content)))

    # IKEv1

    def _note(self, cookie: bytes, kind: int, body: bytes) -> None:
        """Keep what phase 1 says in the clear: the hash, and the public values."""
        phase = self._phases.setdefault(cookie, _Phase1())
        for payload, value in _chain(kind, body):
            if payload == _SA:
                phase.hash = _hash_of(value)
            elif payload == _KE and value not in phase.public:
                phase.public.append(value)

    def _open_v1(self, cookie: bytes, exchange: int, message_id: int, body: bytes) -> bytes | None:
        """Return the payloads of an encrypted message (RFC 2409 appendix B)."""
        key, phase = self._v1.get(cookie.hex()), self._phases.get(cookie)
        if key is None or phase is None or len(phase.public) < 2 or len(body) % _BLOCK or not body:
            return None
        last = phase.last or _digest(phase.hash, b"".join(phase.public[:2]))[:_BLOCK]
        if exchange in (QUICK, INFORMATIONAL_V1):
            first = _digest(phase.hash, last + message_id.to_bytes(4))[:_BLOCK]
            iv = phase.exchanges.get(message_id, first)
            phase.exchanges[message_id] = body[-_BLOCK:]
        else:
            iv, phase.last = last, body[-_BLOCK:]
        return _cbc(bytes.fromhex(key.encryption_key), iv, body)

    # IKEv2

    def _open_v2(self, data: bytes, value: bytes, *, initiator: bool) -> bytes | None:
        """Return the payloads in an encrypted one (RFC 7296 section 3.14, RFC 5282)."""
        key = self._v2.get(data[:16].hex())
        if key is None:
            return None
        secret = bytes.fromhex(key.sk_ei if initiator else key.sk_er)
        if key.encryption.startswith("AES-GCM"):
            head = data[: len(data) - len(value)]
            try:
                plain = AESGCM(secret[:-4]).decrypt(secret[-4:] + value[:8], value[8:], head)
            except InvalidTag:
                return None
        elif key.encryption.startswith("AES-CBC"):
            tag = numbers.TAGS.get(key.integrity.split()[0], 12)
            plain = _cbc(secret, value[:_BLOCK], value[_BLOCK : len(value) - tag])
        else:
            return None
        return plain[: len(plain) - 1 - plain[-1]]

    def _payload_v2(self, spis: bytes, kind: int, value: bytes) -> Lines:
        if kind == _EAP:
            yield "EAP"
            yield from within(self._eap.lines(spis, value))
            return
        yield from _payload_v2(kind, value)


def _hash_of(sa: bytes) -> type[hashes.HashAlgorithm]:
    """Return the hash of the first transform of an SA payload."""
    attributes = dict(_attributes(sa[8:][8 + sa[14] + 8 :])) if len(sa) > 24 else {}
    return _HASHES.get(attributes.get(_HASH_ATTRIBUTE, 2), hashes.SHA1)


def _digest(kind: type[hashes.HashAlgorithm], data: bytes) -> bytes:
    made = hashes.Hash(kind())
    made.update(data)
    return made.finalize()


def _cbc(key: bytes, iv: bytes, data: bytes) -> bytes:
    opened = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()
    return opened.update(data) + opened.finalize()


def _chain(kind: int, body: bytes) -> Iterator[Payload]:
    """Yield the payloads of a chain by their types (RFC 2408 section 3.2, RFC 7296 section 3.2)."""
    while kind and len(body) >= 4:
        length = int.from_bytes(body[2:4])
        if not 4 <= length <= len(body):
            return
        yield kind, body[4:length]
        if kind == _SK:
            return
        kind, body = body[0], body[length:]


def _first_inside(kind: int, body: bytes) -> int:
    """Return the type of the first payload in the encrypted one."""
    while kind != _SK:
        kind, body = body[0], body[int.from_bytes(body[2:4]) :]
    return body[0]


def _attributes(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield types and values of attributes (RFC 2408 section 3.3)."""
    while len(data) >= 4:
        kind, value = struct.unpack_from("!HH", data)
        if kind & 0x8000:
            yield kind & 0x7FFF, value
            data = data[4:]
        else:
            yield kind, int.from_bytes(data[4 : 4 + value])
            data = data[4 + value :]


def _payloads_v1(kind: int, body: bytes) -> Lines:
    for payload, value in _chain(kind, body):
        name = numbers.PAYLOADS_V1.get(payload, f"Payload {payload}")
        match payload:
            case 1:
                yield name
                yield from within(_proposals_v1(value[8:]))
            case 5:
                yield f"{name}: {_identity(value[0], value[4:])}"
            case 6:
                yield f"{name}: {_certificate(value)}"
            case 11:
                kind_of = struct.unpack_from("!H", value, 6)[0]
                yield f"{name}: {named(numbers.NOTIFY_V1, kind_of)}"
            case 12:
                spis = value[8:]
                yield f"{name}: {named(numbers.PROTOCOLS, value[4])} {spis.hex()}"
            case _:
                yield f"{name}: {hexadecimal(value)}"


def _proposals_v1(data: bytes) -> Lines:
    for number, proposal in enumerate(_bare_chain(data), 1):
        protocol, spi_size, _ = proposal[1:4]
        spi = f", SPI {proposal[4 : 4 + spi_size].hex()}" if spi_size else ""
        yield f"Proposal {number}: {named(numbers.PROTOCOLS, protocol)}{spi}"
        for transform in _bare_chain(proposal[4 + spi_size :]):
            is_esp = protocol == 3
            table = numbers.ESP_TRANSFORMS if is_esp else numbers.IKE_TRANSFORMS
            yield f"  Transform: {named(table, transform[1])}"
            for kind, value in _attributes(transform[4:]):
                names, values = numbers.ATTRIBUTES[is_esp].get(kind, (f"Attribute {kind}", {}))
                yield f"    {names}: {named(values, value)}"


def _bare_chain(data: bytes) -> Iterator[bytes]:
    """Yield proposals or transforms: each says whether another follows, and its length."""
    while len(data) >= 4:
        length = int.from_bytes(data[2:4])
        if not 4 <= length <= len(data):
            return
        yield data[4:length]
        data = data[length:]


def _payload_v2(kind: int, value: bytes) -> Lines:
    name = numbers.PAYLOADS_V2.get(kind, f"Payload {kind}")
    match kind:
        case 33:
            yield name
            yield from within(_proposals_v2(value))
        case 34:
            group = struct.unpack_from("!H", value)[0]
            yield f"{name}: group {named(numbers.GROUPS, group)}, {len(value) - 4} octets"
        case 35 | 36:
            yield f"{name}: {_identity(value[0], value[4:])}"
        case 37:
            yield f"{name}: {_certificate(value)}"
        case 39:
            yield f"{name}: {named(numbers.AUTH_METHODS, value[0])}, {len(value) - 4} octets"
        case 41:
            size, kind_of = struct.unpack_from("!xBH", value)
            data = value[4 + size :]
            more = f", {hexadecimal(data)}" if data else ""
            yield f"{name}: {named(numbers.NOTIFY_V2, kind_of)}{more}"
        case 42:
            yield f"{name}: {named(numbers.PROTOCOLS_V2, value[0])} {value[4:].hex()}"
        case 44 | 45:
            yield name
            yield from within(_selectors(value))
        case 47:
            yield f"{name}: {named(numbers.CONFIGURATIONS, value[0])}"
            yield from within(_configuration(value[4:]))
        case _:
            yield f"{name}: {hexadecimal(value)}"


def _proposals_v2(data: bytes) -> Lines:
    for proposal in _bare_chain(data):
        number, protocol, spi_size, _ = proposal[:4]
        spi = f", SPI {proposal[4 : 4 + spi_size].hex()}" if spi_size else ""
        yield f"Proposal {number}: {named(numbers.PROTOCOLS_V2, protocol)}{spi}"
        for transform in _bare_chain(proposal[4 + spi_size :]):
            kind, number = transform[0], int.from_bytes(transform[2:4])
            title, names = numbers.TRANSFORMS_V2.get(kind, (f"Transform {kind}", {}))
            bits = "".join(f", {bits} bits" for at, bits in _attributes(transform[4:]) if at == 14)
            yield f"  {title}: {named(names, number)}{bits}"


def _selectors(value: bytes) -> Lines:
    at = 4
    for _ in range(value[0]):
        kind, protocol, length, low, high = struct.unpack_from("!BBHHH", value, at)
        ends = value[at + 8 : at + length]
        if kind == 8 and len(ends) == 32:
            first, last = IPv6Address(ends[:16]), IPv6Address(ends[16:])
            addresses = str(first) if first == last else f"{first} to {last}"
        else:
            addresses = hexadecimal(ends)
        yield f"Selector: {addresses}, protocol {protocol or 'any'}, {low} to {high}"
        at += length


def _configuration(data: bytes) -> Lines:
    while len(data) >= 4:
        kind, length = struct.unpack_from("!HH", data)
        value = data[4 : 4 + length]
        shown = str(IPv6Address(value[:16])) if len(value) in (16, 17) else hexadecimal(value)
        name = numbers.CONFIGURED.get(kind & 0x7FFF, f"Attribute {kind}")
        yield f"{name}: {shown or 'asked for'}"
        data = data[4 + length :]


def _identity(kind: int, value: bytes) -> str:
    name = numbers.IDENTITIES.get(kind, str(kind))
    if kind == 5 and len(value) == 16:
        return f"{name} {IPv6Address(value)}"
    if kind == 9:
        return f"{name}, {len(value)} octets"
    return f"{name} {text(value) if kind in (2, 3) else hexadecimal(value)}"


def _certificate(value: bytes) -> str:
    if value[0] != 4:
        return hexadecimal(value)
    return x509.load_der_x509_certificate(value[1:]).subject.rfc4514_string()
