"""Certificates that their issuers have withdrawn, by lists in a file (RFC 5280 sections 5, 6.3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPublicKeyTypes

from agents.core.record import Record
from agents.crypto.certificates import MIN_HASH_BITS, SHOWN, Certificate, CertificateError


class RevocationError(Exception):
    """A file of lists that cannot be read; the text names it."""


class _List(Record, frozen=True):
    """A list that can be read; `obstacle` is why it must not be used, empty if it may."""

    parsed: x509.CertificateRevocationList
    issuer: x509.Name
    begins: datetime
    ends: datetime | None
    revoked: dict[int, datetime]
    """When the certificate with each serial number was."""

    obstacle: str

    @classmethod
    def of(cls, parsed: x509.CertificateRevocationList) -> Self:
        """Read all that is asked of a list later: the library reads each part when it is wanted."""
        return cls(
            parsed,
            parsed.issuer,
            parsed.last_update_utc,
            parsed.next_update_utc,
            {entry.serial_number: entry.revocation_date_utc for entry in parsed},
            _obstacle(parsed),
        )


def _obstacle(parsed: x509.CertificateRevocationList) -> str:
    """Return what in a list nobody here understands though he must (sections 5.2 and 5.3).

    Delta lists, indirect ones and those of some certificates alone are marked so.
    """
    digest = parsed.signature_hash_algorithm
    if digest is not None and digest.digest_size * 8 < MIN_HASH_BITS:
        return f"is signed by a weak algorithm, {digest.name}"
    if any(extension.critical for extension in parsed.extensions):
        return "has a critical extension that is not known"
    if any(extension.critical for entry in parsed for extension in entry.extensions):
        return "has an entry with a critical extension that is not known"
    return ""


def _read(path: Path) -> tuple[_List, ...]:
    begin, end = b"-----BEGIN X509 CRL-----", b"-----END X509 CRL-----"
    found = []
    try:
        for part in path.read_bytes().split(begin)[1:]:
            parsed = x509.load_pem_x509_crl(begin + part.partition(end)[0] + end)
            found.append(_List.of(parsed))
    except OSError as error:
        raise RevocationError(f"{path}: the CRL cannot be read: {error.strerror}") from error
    except Exception as error:  # The library does not list what octets make it raise.
        raise RevocationError(f"{path}: the CRL cannot be read") from error
    if not found:
        raise RevocationError(f"{path}: there is no CRL in it")
    return tuple(found)


class RevocationLists:
    """The lists in a file in PEM, which is read again when it has changed.

    What cannot be told of a certificate counts as if it were withdrawn.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._lists: tuple[_List, ...] = ()

    def read(self) -> None:
        """Read the file if it has changed; raises RevocationError."""
        try:
            found = self._path.stat()
        except OSError as error:
            raise RevocationError(
                f"{self._path}: the CRL cannot be read: {error.strerror}"
            ) from error
        seen = found.st_ino, found.st_size, found.st_mtime_ns
        if seen != self._seen:
            self._lists = _read(self._path)
            self._seen = seen

    def check(self, path: Sequence[Certificate], at: datetime) -> None:
        """Raise CertificateError unless none of a path is withdrawn.

        The peer's comes first, whom we trust last; that one is not looked for.
        """
        try:
            self.read()
        except RevocationError as error:
            raise CertificateError(str(error)) from error
        for certificate, issuer in pairwise(path):
            self._check(certificate, issuer, at)

    def _check(self, certificate: Certificate, issuer: Certificate, at: datetime) -> None:
        found = self._newest(certificate, issuer)
        name = f"the CRL of {issuer.subject[:SHOWN]}"
        if found.obstacle:
            certificate.refuse(f"{name} {found.obstacle}")
        if at < found.begins:
            certificate.refuse(f"{name} is not valid yet")
        if found.ends is None:
            certificate.refuse(f"{name} does not say until when it holds")
        if at > found.ends:
            certificate.refuse(f"{name} is out of date since {found.ends:%Y-%m-%d %H:%M} UTC")
        revoked = found.revoked.get(certificate.parsed.serial_number)
        if revoked is not None:
            certificate.refuse(f"it was revoked on {revoked:%Y-%m-%d %H:%M} UTC")

    def _newest(self, certificate: Certificate, issuer: Certificate) -> _List:
        """Return the newest list that the issuer itself has signed, who must be allowed to."""
        if not issuer.extensions.may_sign_crls:
            certificate.refuse("its issuer may not sign CRLs")
        found = list(_signed_by(issuer, self._lists))
        if not found:
            certificate.refuse("there is no CRL of its issuer")
        return max(found, key=lambda one: one.begins)


def _signed_by(issuer: Certificate, lists: Iterable[_List]) -> Iterable[_List]:
    key: CertificateIssuerPublicKeyTypes = issuer.key  # type: ignore[assignment]  # It has signed.
    for one in lists:
        if one.issuer == issuer.parsed.subject and one.parsed.is_signature_valid(key):
            yield one
