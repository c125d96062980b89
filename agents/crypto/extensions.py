"""What a certificate's extensions say (RFC 5280 section 4.2), each read on its own.

The library's reader gives none of them if one has something rare, such as an X.400 name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv6Address
from typing import Annotated, Self

from cryptography import x509
from cryptography.hazmat import asn1

from agents.core.reader import Reader, WireError
from agents.core.record import Record

BOOLEAN, UTF8_STRING = 0x01, 0x0C
"""Tags of DER (X.690)."""

OTHER_NAME, RFC822_NAME, DNS_NAME, IP_ADDRESS = 0xA0, 0x81, 0x82, 0x87
"""Tags of a GeneralName; other kinds of name are passed over."""

KEY_USAGE, SUBJECT_ALTERNATIVE_NAME = "2.5.29.15", "2.5.29.17"
BASIC_CONSTRAINTS, EXTENDED_KEY_USAGE = "2.5.29.19", "2.5.29.37"
NAME_CONSTRAINTS = "2.5.29.30"
USER_PRINCIPAL_NAME = bytes.fromhex("2b060104018237140203")
"""Object identifiers as DER has them."""

DIGITAL_SIGNATURE, NON_REPUDIATION, CRL_SIGN = 0, 1, 6
"""Bits of the key usage."""


def _value(r: Reader) -> tuple[int, Reader]:
    """Read one value: its tag, and a reader over its contents."""
    tag, length = r.u8(), r.u8()
    if length == 0x80:
        raise WireError("a length that is not definite")
    if length > 0x80:
        length = int.from_bytes(r.take(length - 0x80))
    return tag, r.sub(length)


def _values(data: bytes) -> Iterator[tuple[int, Reader]]:
    """Yield the values of the one sequence that `data` is."""
    r = Reader(data)
    _, sequence = _value(r)
    r.finish()
    while sequence.remaining:
        yield _value(sequence)


@asn1.sequence
class _Extension:
    identifier: x509.ObjectIdentifier
    critical: Annotated[bool, asn1.Default(False)]
    value: bytes


@asn1.sequence
class _Signed:
    """TBSCertificate (section 4.1)."""

    version: Annotated[int, asn1.Explicit(0), asn1.Default(0)]
    serial: asn1.TLV
    signature: asn1.TLV
    issuer: asn1.TLV
    validity: asn1.TLV
    subject: asn1.TLV
    key: asn1.TLV
    issuer_id: Annotated[asn1.BitString | None, asn1.Implicit(1)]
    subject_id: Annotated[asn1.BitString | None, asn1.Implicit(2)]
    extensions: Annotated[list[_Extension] | None, asn1.Explicit(3)]


def extension_values(certificate: x509.Certificate) -> dict[str, bytes]:
    """Return the value of each extension by its object identifier; raises ValueError."""
    found: dict[str, bytes] = {}
    for extension in asn1.decode_der(_Signed, certificate.tbs_certificate_bytes).extensions or ():
        name = extension.identifier.dotted_string
        if name in found:
            raise WireError("an extension comes twice")
        found[name] = extension.value
    return found


def _bits(data: bytes) -> frozenset[int]:
    _, bits = _value(Reader(data))
    bits.u8()  # How many bits of the last octet are unused; DER has them zero.
    octets = bits.rest()
    return frozenset(
        8 * n + bit for n, octet in enumerate(octets) for bit in range(8) if octet & 0x80 >> bit
    )


class AlternativeNames(Record, frozen=True):
    """The names of a subjectAltName that count here."""

    mail: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    addresses: tuple[IPv6Address, ...] = ()
    principals: tuple[str, ...] = ()
    """User principal names, an otherName of Microsoft's."""

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read the extension's value; raises ValueError."""
        found: dict[int, list[bytes]] = {
            RFC822_NAME: [],
            DNS_NAME: [],
            IP_ADDRESS: [],
            OTHER_NAME: [],
        }
        for tag, name in _values(data):
            if tag in found:
                found[tag].append(name.rest())
        return cls(
            tuple(n.decode("ascii") for n in found[RFC822_NAME]),
            tuple(n.decode("ascii") for n in found[DNS_NAME]),
            tuple(IPv6Address(n) for n in found[IP_ADDRESS] if len(n) == 16),
            tuple(filter(None, map(_principal_name, found[OTHER_NAME]))),
        )


def _principal_name(data: bytes) -> str | None:
    r = Reader(data)
    if _value(r)[1].rest() != USER_PRINCIPAL_NAME:
        return None
    tag, name = _value(_value(r)[1])
    return name.rest().decode("utf-8") if tag == UTF8_STRING else None


class Extensions(Record, frozen=True):
    """What is None is not in the certificate."""

    is_ca: bool
    usage: frozenset[int] | None
    """The bits of the key usage that are set."""

    purposes: frozenset[bytes] | None
    """The object identifiers of the extended key usage."""

    names: AlternativeNames | None

    @property
    def may_sign_crls(self) -> bool:
        """Whether the key may sign lists of what is revoked (section 4.2.1.3)."""
        return self.usage is None or CRL_SIGN in self.usage

    @classmethod
    def decode(cls, raw: Mapping[str, bytes]) -> Self:
        """Read what `extension_values` returns; raises ValueError."""
        constraints = raw.get(BASIC_CONSTRAINTS)
        usage, purposes = raw.get(KEY_USAGE), raw.get(EXTENDED_KEY_USAGE)
        names = raw.get(SUBJECT_ALTERNATIVE_NAME)
        return cls(
            constraints is not None
            and any(tag == BOOLEAN and any(v.rest()) for tag, v in _values(constraints)),
            None if usage is None else _bits(usage),
            None if purposes is None else frozenset(v.rest() for _, v in _values(purposes)),
            None if names is None else AlternativeNames.decode(names),
        )
