"""The one policy by which others' certificates are trusted, in EAP-TLS and in IKEv2.

OpenSSL validates the path (RFC 5280 section 6), inside a TLS handshake or on its own; what a
certificate may be used for and how strong it has to be is checked here. cryptography's verifier
does not do: it stands outside the handshake, and it is for the web, where Ed25519 is forbidden.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from functools import cached_property, lru_cache
from typing import NoReturn, Protocol, Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import NameOID
from OpenSSL import crypto

from agents.crypto.extensions import (
    DIGITAL_SIGNATURE,
    NAME_CONSTRAINTS,
    NON_REPUDIATION,
    AlternativeNames,
    Extensions,
    extension_values,
)

MAX_CHAIN = 5
"""Certificates of a path below the one that is trusted, the peer's own included."""

SHOWN = 200
"""Characters of a name of a stranger's that go into a reason."""

MIN_RSA_BITS, MIN_EC_BITS, MIN_HASH_BITS = 2048, 224, 224
"""The least with a strength of 112 bits, which OpenSSL's security level 2 wants."""

ANY_PURPOSE = bytes.fromhex("551d2500")

PATH_FLAGS = crypto.X509StoreFlags.PARTIAL_CHAIN
"""Whoever is trusted ends the path, a root or not (RFC 5280 section 6.1.1 (d))."""

EXPIRED, TOO_LONG, INVALID_PURPOSE, INVALID_CA = 10, 22, 26, 79
VERIFY_ERRORS = {
    2: "it is of an unknown CA",
    7: "its signature is wrong",
    9: "it is not valid yet",
    EXPIRED: "it has expired",
    18: "it is signed by itself and not trusted",
    19: "it is of an unknown CA",
    20: "it is of an unknown CA",
    21: "it is of an unknown CA",
    TOO_LONG: "its path is too long",
    23: "it is revoked",
    24: "it is no CA that may issue certificates",
    25: "it allows no path as long as this",
    INVALID_PURPOSE: "it is not meant for this use",
    32: "its issuer may not sign certificates",
    34: "it has a critical extension that is not known",
    41: "one of its extensions is not valid",
    47: "its issuers do not permit its name",
    48: "its issuers exclude its name",
    66: "its key is too short",
    67: "its key is too short",
    68: "its signature is of a weak algorithm",
    INVALID_CA: "it is no CA that may issue certificates",
}
"""X509_V_ERR_* of OpenSSL in plain words, about the certificate where validation stopped."""


class CertificateError(Exception):
    """A certificate that cannot be read or is not trusted; the text says why."""


def _unreadable(error: Exception) -> CertificateError:
    match error:
        case x509.InvalidVersion(parsed_version=number):
            return CertificateError(f"a certificate is of X.509 version {number + 1} instead of 3")
        case UnsupportedAlgorithm():
            return CertificateError("a certificate's key or signature is of an unknown kind")
        case _:
            return CertificateError("a certificate cannot be read")


@contextmanager
def _reading() -> Iterator[None]:
    # For calls into the library alone, which does not list what a stranger's octets make it raise.
    try:
        yield
    except Exception as error:
        raise _unreadable(error) from error


class Purpose(Enum):
    """What a peer's certificate has to serve for: key usage and extended key usage, None for any.

    TLS signs with the key (RFC 8446 section 4.4.2.2) and looks at the purposes (RFC 5216 section
    5.3). IKE takes either bit for signatures and is told to ignore purposes (RFC 4945 sections
    5.1.3.2 and 5.1.3.12), so that certificates of TLS servers and clients serve too.
    """

    TLS_SERVER = ((DIGITAL_SIGNATURE,), "2b06010505070301")
    TLS_CLIENT = ((DIGITAL_SIGNATURE,), "2b06010505070302")
    IKE = ((DIGITAL_SIGNATURE, NON_REPUDIATION), None)


@dataclass(frozen=True)
class Certificate:
    """A certificate that can be read; its extensions are, once it has been in a path."""

    parsed: x509.Certificate
    subject: str
    """As RFC 4514 writes it."""

    key: CertificatePublicKeyTypes
    digest: hashes.HashAlgorithm | None
    """What its signature is made over, None where the algorithm of the signature says it."""

    not_after: datetime
    constrained: bool = False
    """Whether name constraints are in its path: names that they cannot govern count for nothing."""

    @classmethod
    def of(cls, certificate: x509.Certificate) -> Self:
        """Read all but the extensions; raises CertificateError."""
        with _reading():
            return cls(
                certificate,
                certificate.subject.rfc4514_string(),
                certificate.public_key(),
                certificate.signature_hash_algorithm,
                certificate.not_valid_after_utc,
            )

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read a certificate in DER; raises CertificateError."""
        with _reading():
            certificate = x509.load_der_x509_certificate(data)
        return cls.of(certificate)

    @cached_property
    def _extensions(self) -> dict[str, bytes]:
        try:
            return extension_values(self.parsed)
        except ValueError as error:
            raise _unreadable(error) from error

    @cached_property
    def extensions(self) -> Extensions:
        """What counts of its extensions; raises CertificateError at the first time alone."""
        try:
            return Extensions.decode(self._extensions)
        except ValueError as error:
            raise _unreadable(error) from error

    @property
    def constrains_names(self) -> bool:
        """Whether it has name constraints, which OpenSSL applies; raises CertificateError."""
        return NAME_CONSTRAINTS in self._extensions

    @property
    def subject_der(self) -> bytes:
        """The subject in DER; raises CertificateError."""
        with _reading():
            return self.parsed.subject.public_bytes()

    @property
    def common_names(self) -> tuple[str, ...]:
        """The subject's common names."""
        found = self.parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return tuple(str(attribute.value) for attribute in found)

    @property
    def names(self) -> AlternativeNames:
        """The subject's alternative names; there may be none."""
        return self.extensions.names or AlternativeNames()

    def refuse(self, why: str) -> NoReturn:
        """Raise CertificateError that names this certificate."""
        raise CertificateError(f"certificate {self.subject[:SHOWN]} refused: {why}")

    def refuse_by_code(self, code: int) -> NoReturn:
        """Raise CertificateError for one of OpenSSL's verification errors."""
        _ = self.extensions  # OpenSSL finds no issuer where these cannot be read.
        why = VERIFY_ERRORS.get(code, f"OpenSSL's verification error {code}")
        if code == EXPIRED:
            why += f" on {self.not_after:%Y-%m-%d %H:%M} UTC"
        self.refuse(why)

    def check_purpose(self, purpose: Purpose) -> None:
        """Raise CertificateError unless it may be used so."""
        usages, wanted = purpose.value
        usage, purposes = self.extensions.usage, self.extensions.purposes
        if usage is not None and usage.isdisjoint(usages):
            self.refuse("it is not meant for signatures (keyUsage)")
        if wanted is None or purposes is None or ANY_PURPOSE in purposes:
            return
        if bytes.fromhex(wanted) not in purposes:
            self.refuse("it is not meant for this use (extendedKeyUsage)")

    def check_key(self) -> None:
        """Raise CertificateError unless its key is of a known kind and strong enough."""
        match self.key:
            case rsa.RSAPublicKey(key_size=bits) if bits >= MIN_RSA_BITS:
                pass
            case ec.EllipticCurvePublicKey(key_size=bits) if bits >= MIN_EC_BITS:
                pass
            case ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey():
                pass
            case rsa.RSAPublicKey(key_size=bits) | ec.EllipticCurvePublicKey(key_size=bits):
                self.refuse(f"its key has only {bits} bits")
            case _:
                self.refuse("its key is none of RSA, EC, Ed25519 and Ed448")

    def check_signature(self) -> None:
        """Raise CertificateError if its signature is over a weak digest."""
        if self.digest is not None and self.digest.digest_size * 8 < MIN_HASH_BITS:
            self.refuse(f"its signature is of a weak algorithm, {self.digest.name}")


def from_openssl(certificate: crypto.X509) -> Certificate:
    """Read a certificate that OpenSSL has read already; raises CertificateError."""
    with _reading():
        der = crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)
    return _read(der)


@lru_cache(maxsize=256)
def _read(der: bytes) -> Certificate:
    # Each path ends in one of few, and a peer comes again. What is read is checked every time.
    return Certificate.decode(der)


class Revocations(Protocol):
    """What is known of certificates that were withdrawn."""

    def check(self, path: Sequence[Certificate], at: datetime) -> None:
        """Raise CertificateError unless none of a path, but the last, was by that time."""


def check_path(
    path: Sequence[crypto.X509], purpose: Purpose, revocations: Revocations | None, at: datetime
) -> Certificate:
    """Return the peer's certificate if its path, which OpenSSL has validated, is as it has to be.

    The peer's comes first, whom we trust last; raises CertificateError. Without `revocations`
    nothing is asked of them.
    """
    *read, trusted = map(from_openssl, path)
    peer = read[0] if read else trusted
    if len(read) > MAX_CHAIN:
        peer.refuse_by_code(TOO_LONG)
    for certificate in (*read, trusted):
        certificate.check_key()
    for certificate in read:
        certificate.check_signature()
    for issuer in read[1:]:
        if not issuer.extensions.is_ca:  # Key usage alone would do for OpenSSL.
            issuer.refuse_by_code(INVALID_CA)
    peer.check_purpose(purpose)  # This reads the extensions, whatever the purpose.
    if revocations is not None:
        revocations.check((*read, trusted), at)
    constrained = any(issuer.constrains_names for issuer in (*read[1:], trusted))
    return replace(peer, constrained=True) if constrained else peer


def verify(
    chain: Sequence[x509.Certificate],
    trusted: Sequence[x509.Certificate],
    purpose: Purpose,
    at: datetime,
    revocations: Revocations | None = None,
) -> Certificate:
    """Return the first of a peer's certificates if someone trusted stands behind it at that time.

    The others may lie between; raises CertificateError.
    """
    store = crypto.X509Store()
    store.set_time(at)
    store.set_flags(PATH_FLAGS)
    for anchor in trusted:
        store.add_cert(crypto.X509.from_cryptography(anchor))
    with _reading():
        own, *others = map(crypto.X509.from_cryptography, chain)
    try:
        path = crypto.X509StoreContext(store, own, others).get_verified_chain()
    except crypto.X509StoreContextError as error:
        from_openssl(error.certificate).refuse_by_code(error.errors[0])
    return check_path(path, purpose, revocations, at)
