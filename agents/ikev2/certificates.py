"""Certificates in IKE_AUTH: chains, names, and requests (RFC 7296 sections 3.6 and 3.7)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from agents.core.folding import ascii_lower
from agents.core.machine import PeerError
from agents.crypto.certificates import (
    MAX_CHAIN,
    Certificate,
    CertificateError,
    Purpose,
    verify,
)
from agents.ike.constants import IdType
from agents.ike.identities import Identity
from agents.ikev2.config import Credentials
from agents.ikev2.constants import X509_SIGNATURE, NotifyType, PayloadType
from agents.ikev2.payloads import Tagged
from agents.ikev2.wire import Payload


def refused(reason: str) -> PeerError:
    """Return the error that ends an authentication."""
    return PeerError(reason, NotifyType.AUTHENTICATION_FAILED)


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except CertificateError as error:
        raise refused(str(error)) from error


def cert_payloads(credentials: Credentials) -> list[Payload]:
    """Return the host's own certificate first, then those between it and the CA."""
    own = () if credentials.certificate is None else (credentials.certificate,)
    return [
        Payload(PayloadType.CERT, Tagged(X509_SIGNATURE, c.public_bytes(Encoding.DER)).encode())
        for c in (*own, *credentials.intermediates)
    ]


def request_payloads(credentials: Credentials) -> list[Payload]:
    """Return a request for certificates of the CAs that are trusted, if there are any."""
    if not credentials.trusted:
        return []
    hashes = b"".join(_key_hash(ca) for ca in credentials.trusted)
    return [Payload(PayloadType.CERT_REQUEST, Tagged(X509_SIGNATURE, hashes).encode())]


def _key_hash(ca: x509.Certificate) -> bytes:
    info = ca.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha1(info, usedforsecurity=False).digest()


def decode_certificates(bodies: Sequence[bytes]) -> list[x509.Certificate]:
    """Return the X.509 certificates of CERT payloads; those of other encodings are left out."""
    payloads = [Tagged.decode(body) for body in bodies[:MAX_CHAIN]]
    with _refusing():
        return [Certificate.decode(p.data).parsed for p in payloads if p.encoding == X509_SIGNATURE]


def verify_chain(credentials: Credentials, chain: Sequence[x509.Certificate]) -> Certificate:
    """Return the peer's certificate if a trusted CA stands behind it; raises PeerError."""
    if not chain:
        raise refused("the peer sent no certificate")
    if not credentials.trusted:
        raise refused("no CA is trusted here")
    with _refusing():
        return verify(
            chain,
            credentials.trusted,
            Purpose.IKE,
            credentials.clock(),
            credentials.revocations,
        )


def names(certificate: Certificate) -> frozenset[str]:
    """Return what a certificate names: subject, mail and domain names, IPv6 addresses.

    Domain names, and those of mail addresses, are in lower case.
    """
    known = certificate.names
    return frozenset(
        (
            certificate.subject,
            *map(_canonical, known.mail + known.domains),
            *map(str, known.addresses),
        )
    )


def _canonical(name: str) -> str:
    user, at, domain = name.rpartition("@")
    return user + at + ascii_lower(domain)


def identity_of(text: str) -> Identity:
    """Return the identity that a text means, which may be a distinguished name (RFC 4514) too."""
    if "=" in text:
        name = x509.Name.from_rfc4514_string(text)
        return Identity(IdType.DER_ASN1_DN, name.public_bytes())
    return Identity.of(text)


def named(certificate: Certificate, identity: Identity) -> str | None:
    """Return an identity as text, domains in lower case, if the certificate bears it out."""
    if identity.type == IdType.DER_ASN1_DN:
        with _refusing():
            if identity.data == certificate.subject_der:
                return certificate.subject
        return None
    name = _canonical(identity.text)
    return name if name in names(certificate) else None


def owns(credentials: Credentials, identity: Identity) -> bool:
    """Return whether the host's own certificate names an identity."""
    own = credentials.certificate
    with _refusing():
        return own is not None and named(Certificate.of(own), identity) is not None


def is_named(certificate: Certificate, name: str) -> bool:
    """Return whether a certificate names an identity that is given as text."""
    return bool({name, _canonical(name)} & names(certificate))
