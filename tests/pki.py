"""Certificates as others may make them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding

from agents.eap.ca import Files, Identity, Validity

MAIL, DOMAIN = "mn@home.test", "aaa.home.test"
NAMES = (x509.RFC822Name(MAIL), x509.DNSName(DOMAIN))
USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)
VALID = Validity.from_now(timedelta(days=9))
LONG_AGO = Validity(datetime.now(UTC) - timedelta(days=30), datetime.now(UTC) - timedelta(days=2))
NOT_YET = Validity(datetime.now(UTC) + timedelta(days=2), datetime.now(UTC) + timedelta(days=9))


def usage(*names: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{name: name in names for name in USAGES})


def issue(
    name: str,
    issuer: Identity | None = None,
    *extensions: x509.ExtensionType | tuple[x509.ExtensionType, bool],
    key: Any = None,
    validity: Validity = VALID,
) -> Identity:
    """Issue a certificate with just these extensions (and whether they are critical)."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(validity.not_before)
        .not_valid_after(validity.not_after)
    )
    for extension in extensions:
        value, critical = extension if isinstance(extension, tuple) else (extension, False)
        builder = builder.add_extension(value, critical)
    signer = issuer.key if issuer else key
    edwards = isinstance(signer, ed25519.Ed25519PrivateKey)
    return Identity(builder.sign(signer, None if edwards else hashes.SHA256()), key)


def issue_ca(
    name: str, issuer: Identity | None = None, *extensions: x509.ExtensionType, **more: Any
) -> Identity:
    """Issue a CA's certificate; basic constraints are added unless some are given."""
    if not any(isinstance(e, x509.BasicConstraints) for e in extensions):
        extensions = (x509.BasicConstraints(True, more.pop("path_length", None)), *extensions)
    return issue(name, issuer, *((e, True) for e in extensions), **more)


def issue_leaf(issuer: Identity | None, *extensions: Any, **more: Any) -> Identity:
    """Issue for somebody who is mobile node and AAA server alike."""
    if not any(_is_names(e) for e in extensions):
        extensions = (x509.SubjectAlternativeName(NAMES), *extensions)
    return issue("leaf", issuer, *extensions, **more)


def _is_names(extension: x509.ExtensionType) -> bool:
    return getattr(extension, "oid", None) == x509.SubjectAlternativeName.oid


def pem(certificates: Iterable[x509.Certificate]) -> bytes:
    return b"".join(c.public_bytes(Encoding.PEM) for c in certificates)


def write(folder: Path, holder: Identity, between: Sequence[Identity], name: str) -> Files:
    """Write a certificate, those between it and its CA behind it, and its key."""
    files = holder.write(folder, name)
    files.certificate.write_bytes(pem(i.certificate for i in (holder, *between)))
    return files


def issue_crl(
    issuer: Identity,
    revoked: Iterable[x509.Certificate],
    *,
    validity: Validity = VALID,
    extensions: Iterable[tuple[x509.ExtensionType, bool]] = (),
    entry: Iterable[tuple[x509.ExtensionType, bool]] = (),
) -> bytes:
    """Return a CRL in PEM, each of whose entries has the extensions of `entry`."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(validity.not_before)
        .next_update(validity.not_after)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    for certificate in revoked:
        one = (
            x509.RevokedCertificateBuilder()
            .serial_number(certificate.serial_number)
            .revocation_date(validity.not_before)
        )
        for extension, critical in entry:
            one = one.add_extension(extension, critical)
        builder = builder.add_revoked_certificate(one.build())
    return builder.sign(issuer.key, hashes.SHA256()).public_bytes(Encoding.PEM)


def tlv(tag: int, *contents: bytes) -> bytes:
    """Return a value in DER."""
    data = b"".join(contents)
    length = len(data).to_bytes((len(data).bit_length() + 7) // 8)
    head = bytes([len(data)]) if len(data) < 0x80 else bytes([0x80 + len(length)]) + length
    return bytes([tag]) + head + data


def sign(tbs: bytes, key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a certificate of which the part to be signed may be anything (P-256, SHA-256)."""
    algorithm = bytes.fromhex("300a06082a8648ce3d040302")
    signature = key.sign(tbs, ec.ECDSA(hashes.SHA256()))
    return tlv(0x30, tbs, algorithm, tlv(0x03, b"\0", signature))
