"""A small certificate authority for EAP-TLS (RFC 5216 section 5.3): files in one directory."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv6Address
from pathlib import Path
from typing import Literal, Self, TypeAlias
from urllib.parse import quote

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from agents.core.record import Record
from agents.crypto.certificates import Certificate, CertificateError
from agents.eap.names import peer_names, server_names

KeyType: TypeAlias = Literal["p256", "rsa2048"]
PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

CLOCK_SKEW = timedelta(days=1)
CA_LIFETIME = timedelta(days=3650)
LIFETIME = timedelta(days=825)
LIST_LIFETIME = timedelta(days=30)


class Validity(Record, frozen=True):
    """When a certificate holds."""

    not_before: datetime
    not_after: datetime

    @classmethod
    def from_now(cls, lifetime: timedelta) -> Self:
        """Start a day ago, so that clocks may differ."""
        now = datetime.now(UTC).replace(microsecond=0)
        return cls(now - CLOCK_SKEW, now + lifetime)


class Files(Record, frozen=True):
    """Where a certificate and its private key are."""

    certificate: Path
    key: Path


class Credentials(Record, frozen=True):
    """What `create` made: the CA, the server, and one pair of files for each identity."""

    ca: Path
    server: Files
    clients: dict[str, Files]


def generate_key(key_type: KeyType) -> PrivateKey:
    """Return a new private key."""
    match key_type:
        case "p256":
            return ec.generate_private_key(ec.SECP256R1())
        case "rsa2048":
            return rsa.generate_private_key(public_exponent=65537, key_size=2048)
        case _:
            raise ValueError(f"key type {key_type!r}: use 'p256' or 'rsa2048'")


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def read_certificates(path: Path) -> list[x509.Certificate]:
    """Read a file in PEM; raises OSError, or ValueError that names it if one cannot be used."""
    try:
        found = x509.load_pem_x509_certificates(path.read_bytes())
        for certificate in found:
            Certificate.of(certificate)
    except (ValueError, x509.InvalidVersion, CertificateError) as error:
        raise ValueError(f"{path}: no certificate that can be used: {error}") from error
    return found


class Identity(Record, frozen=True):
    """A certificate and its private key, in memory."""

    certificate: x509.Certificate
    key: PrivateKey

    def write(self, directory: Path, name: str) -> Files:
        """Write `name`.pem and `name`.key (mode 0600), each whole or not at all."""
        files = _files(directory, name)
        _write(
            files.key,
            self.key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
            0o600,
        )
        _write(files.certificate, self.certificate.public_bytes(serialization.Encoding.PEM), 0o644)
        return files

    @classmethod
    def read(cls, files: Files) -> Self:
        """Read a pair of files; raises OSError, or ValueError that names the file."""
        try:
            key = serialization.load_pem_private_key(files.key.read_bytes(), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise ValueError(f"{files.key}: no private key that can be used: {error}") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
            raise ValueError(f"{files.key}: neither an EC nor an RSA key")
        certificate = read_certificates(files.certificate)[0]
        if certificate.public_key() != key.public_key():
            raise ValueError(f"{files.key}: not the key of {files.certificate}")
        return cls(certificate, key)


class CertificateAuthority(Record, frozen=True):
    """Signs certificates for servers and clients, with keys of its own type."""

    identity: Identity
    key_type: KeyType = "p256"

    @classmethod
    def generate(
        cls, name: str = "EAP CA", key_type: KeyType = "p256", validity: Validity | None = None
    ) -> Self:
        """Make a CA that signs itself."""
        key = generate_key(key_type)
        usage = _key_usage(certificate_signing=True)
        certificate = (
            _builder(key, _name(name), _name(name), validity or Validity.from_now(CA_LIFETIME))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .sign(key, hashes.SHA256())
        )
        return cls(Identity(certificate, key), key_type)

    def issue_server(
        self,
        *names: str,
        addresses: Iterable[IPv6Address] = (),
        client: bool = False,
        validity: Validity | None = None,
        key: PrivateKey | None = None,
    ) -> Identity:
        """Issue for a server with DNS `names`, and with addresses where IKEv2 is to check those.

        With `client` it also serves as a TLS client: between Diameter peers either side connects.
        """
        known: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
        known += [x509.IPAddress(address) for address in addresses]
        alternatives = x509.SubjectAlternativeName(known)
        usages = [ExtendedKeyUsageOID.SERVER_AUTH]
        if client:
            usages.append(ExtendedKeyUsageOID.CLIENT_AUTH)
        return self._issue(names[0], alternatives, usages, validity, key)

    def issue_client(
        self, identity: str, *, validity: Validity | None = None, key: PrivateKey | None = None
    ) -> Identity:
        """Issue for a client whose NAI is in the subjectAltName, as an rfc822Name."""
        alternatives = x509.SubjectAlternativeName([x509.RFC822Name(identity)])
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
        return self._issue(identity, alternatives, usages, validity, key)

    def revoke(
        self, withdrawn: Iterable[x509.Certificate], validity: Validity | None = None
    ) -> x509.CertificateRevocationList:
        """Return the list of what was withdrawn, which holds for a month (RFC 5280 section 5)."""
        holds = validity or Validity.from_now(LIST_LIFETIME)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.identity.certificate.subject)
            .last_update(holds.not_before)
            .next_update(holds.not_after)
            .add_extension(x509.CRLNumber(int(holds.not_before.timestamp())), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.identity.key.public_key()),
                critical=False,
            )
        )
        for certificate in withdrawn:
            entry = x509.RevokedCertificateBuilder().serial_number(certificate.serial_number)
            builder = builder.add_revoked_certificate(
                entry.revocation_date(holds.not_before).build()
            )
        return builder.sign(self.identity.key, hashes.SHA256())

    def _issue(
        self,
        name: str,
        alternatives: x509.SubjectAlternativeName,
        usages: list[x509.ObjectIdentifier],
        validity: Validity | None,
        key: PrivateKey | None,
    ) -> Identity:
        key = key or generate_key(self.key_type)
        issuer = self.identity
        subject = _name(name[:64])  # The longest commonName that X.509 allows.
        certificate = (
            _builder(
                key, subject, issuer.certificate.subject, validity or Validity.from_now(LIFETIME)
            )
            .add_extension(alternatives, critical=False)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()),
                critical=False,
            )
            .sign(issuer.key, hashes.SHA256())
        )
        return Identity(certificate, key)


def _builder(
    key: PrivateKey, subject: x509.Name, issuer: x509.Name, validity: Validity
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(validity.not_before)
        .not_valid_after(validity.not_after)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _key_usage(*, certificate_signing: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certificate_signing,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certificate_signing,
        crl_sign=certificate_signing,
        encipher_only=False,
        decipher_only=False,
    )


def _files(directory: Path, name: str) -> Files:
    stem = quote(name, safe="@")
    return Files(directory / f"{stem}.pem", directory / f"{stem}.key")


def _write(path: Path, data: bytes, mode: int) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)  # What a power cut leaves of it is unreadable, and made anew.
    temporary.replace(path)


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Let one process at a time make files in `directory`."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def create(
    directory: Path,
    identities: Iterable[str],
    key_type: KeyType = "p256",
    *,
    server: str = "aaa.home.test",
) -> Credentials:
    """Make CA, server and client certificates in `directory`, and keep those that still serve.

    What is missing, unreadable, of another key type, of another CA, or expires within a month is
    made anew; with a new CA, everything is.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with _locked(directory):
        ca_files = _files(directory, "ca")
        authority = _kept_authority(ca_files, key_type)
        if authority is None:
            authority = CertificateAuthority.generate(key_type=key_type)
            authority.identity.write(directory, "ca")
        server_files = _files(directory, "server")
        if not _serves(authority, server_files, server):
            authority.issue_server(server).write(directory, "server")
        clients = {}
        for identity in identities:
            clients[identity] = _files(directory, identity)
            if not _serves(authority, clients[identity], identity):
                authority.issue_client(identity).write(directory, identity)
    return Credentials(ca_files.certificate, server_files, clients)


def _read(files: Files, key_type: KeyType) -> Identity | None:
    """Return what is in `files` if it is of this key type and holds for a month more."""
    try:
        identity = Identity.read(files)
    except (OSError, ValueError):
        return None
    wanted = ec.EllipticCurvePrivateKey if key_type == "p256" else rsa.RSAPrivateKey
    month_ahead = datetime.now(UTC) + timedelta(days=30)
    if (
        not isinstance(identity.key, wanted)
        or identity.certificate.not_valid_after_utc < month_ahead
    ):
        return None
    return identity


def _kept_authority(files: Files, key_type: KeyType) -> CertificateAuthority | None:
    identity = _read(files, key_type)
    return None if identity is None else CertificateAuthority(identity, key_type)


def _serves(authority: CertificateAuthority, files: Files, name: str) -> bool:
    identity = _read(files, authority.key_type)
    if identity is None:
        return False
    try:
        identity.certificate.verify_directly_issued_by(authority.identity.certificate)
    except (ValueError, TypeError, InvalidSignature):
        return False
    certificate = Certificate.of(identity.certificate)
    return name in peer_names(certificate) or name in server_names(certificate)
