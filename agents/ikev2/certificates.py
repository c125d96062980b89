"""Certificates in IKE_AUTH: chains, names, and requests (RFC 7296 sections 3.6 and 3.7)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from ipaddress import IPv6Address

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from agents.folding import ascii_lower
from agents.ikev2.config import Credentials
from agents.ikev2.constants import X509_SIGNATURE, IdType, NotifyType, PayloadType
from agents.ikev2.identities import Identity
from agents.ikev2.payloads import Tagged
from agents.ikev2.wire import Payload
from agents.machine import PeerError

MAX_CHAIN = 5
SHOWN = 200
"""Characters of a peer's name, or of what is said of it, that go into a reason."""

_UNREADABLE = (ValueError, x509.InvalidVersion)
KEY_HASH_LENGTH = 20


def refused(reason: str) -> PeerError:
    """Return the error that ends an authentication."""
    return PeerError(reason, NotifyType.AUTHENTICATION_FAILED)


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
    found = []
    for body in bodies[:MAX_CHAIN]:
        cert = Tagged.decode(body)
        if cert.encoding == X509_SIGNATURE:
            found.append(_read(cert.data))
    return found


def _read(data: bytes) -> x509.Certificate:
    try:
        certificate = x509.load_der_x509_certificate(data)
        certificate.subject.rfc4514_string()  # Parsed only when it is asked for.
    except _UNREADABLE as error:
        raise refused("a certificate cannot be read") from error
    return certificate


def _is_ca(_: Policy, __: x509.Certificate, constraints: x509.BasicConstraints | None) -> None:
    if constraints is None or not constraints.ca:
        raise ValueError("an issuer is no CA")


def verify_chain(credentials: Credentials, chain: Sequence[x509.Certificate]) -> x509.Certificate:
    """Return the peer's certificate if a trusted CA stands behind it (RFC 5280 section 6).

    What extended key usage says does not matter: certificates for IKE, TLS servers and clients
    serve alike (RFC 4945 section 5.1.3.12); the name decides.
    """
    if not chain:
        raise refused("the peer sent no certificate")
    if not credentials.trusted:
        raise refused("no CA is trusted here")
    issuers = ExtensionPolicy.permit_all().require_present(
        x509.BasicConstraints, Criticality.AGNOSTIC, _is_ca
    )
    verifier = (
        PolicyBuilder()
        .store(Store(list(credentials.trusted)))
        .time(credentials.clock())
        .max_chain_depth(MAX_CHAIN)
        .extension_policies(ca_policy=issuers, ee_policy=ExtensionPolicy.permit_all())
        .build_client_verifier()
    )
    try:
        verifier.verify(chain[0], list(chain[1:]))
    except (VerificationError, *_UNREADABLE) as error:
        subject, why = chain[0].subject.rfc4514_string()[:SHOWN], str(error)[:SHOWN]
        raise refused(f"certificate {subject} refused: {why}") from error
    return chain[0]


def names(certificate: x509.Certificate) -> frozenset[str]:
    """Return what a certificate names: subject, mail and domain names, IPv6 addresses.

    Domain names, and those of mail addresses, are in lower case.
    """
    found = {certificate.subject.rfc4514_string()}
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, ValueError):
        return frozenset(found)
    alternatives = extension.value
    found.update(_canonical(n) for n in alternatives.get_values_for_type(x509.RFC822Name))
    found.update(_canonical(n) for n in alternatives.get_values_for_type(x509.DNSName))
    for address in alternatives.get_values_for_type(x509.IPAddress):
        if isinstance(address, IPv6Address):
            found.add(str(address))
    return frozenset(found)


def _canonical(name: str) -> str:
    user, at, domain = name.rpartition("@")
    return user + at + ascii_lower(domain)


def named(certificate: x509.Certificate, identity: Identity) -> str | None:
    """Return an identity as text, domains in lower case, if the certificate bears it out."""
    if identity.type == IdType.DER_ASN1_DN:
        if identity.data == certificate.subject.public_bytes():
            return certificate.subject.rfc4514_string()
        return None
    name = _canonical(identity.text)
    return name if name in names(certificate) else None


def is_named(certificate: x509.Certificate, name: str) -> bool:
    """Return whether a certificate names an identity that is given as text."""
    return bool({name, _canonical(name)} & names(certificate))
