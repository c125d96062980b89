"""TLS between Diameter peers: one side's files, the other's names (RFC 6733 section 13.1)."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

from agents.core.record import Record
from agents.nodes.tls import TlsSettings

_KEY_LOG = "tls.keys"


class TlsFiles(Record, frozen=True):
    """PEM files for mutual authentication; the certificate's DNS name is the Origin-Host.

    `keylog` is where the secrets for Wireshark are appended, `crl` has what CAs have withdrawn.
    """

    certificate: Path
    key: Path
    authority: Path
    keylog: Path | None = None
    crl: Path | None = None

    @classmethod
    def of(cls, settings: TlsSettings | None, keys: str | None = None) -> TlsFiles | None:
        """Return the files of a configuration; secrets for Wireshark go to the folder `keys`."""
        if settings is None:
            return None
        key_log = Path(keys) / _KEY_LOG if keys else None
        crl = Path(settings.crl) if settings.crl else None
        return cls(Path(settings.certificate), Path(settings.key), Path(settings.ca), key_log, crl)

    def context(self, *, server: bool) -> ssl.SSLContext:
        """Return a context for one side; raises ValueError naming the file that is no good."""
        protocol = ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT
        context = ssl.SSLContext(protocol)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(self.authority)
        except OSError as error:
            raise ValueError(f"{self.authority}: no CA certificate: {error}") from error
        if self.crl is not None:
            try:
                context.load_verify_locations(self.crl)
            except OSError as error:
                raise ValueError(f"{self.crl}: no CRL: {error}") from error
            context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_CHAIN
        try:
            context.load_cert_chain(self.certificate, self.key)
        except OSError as error:
            both = f"{self.certificate}, {self.key}"
            raise ValueError(f"{both}: no certificate with its key: {error}") from error
        if self.keylog is not None:
            context.keylog_filename = str(self.keylog)
        return context


def certified_names(transport: asyncio.Transport) -> frozenset[str] | None:
    """Return the DNS names in the other end's certificate, None without TLS."""
    certificate = transport.get_extra_info("peercert")
    if certificate is None:
        return None
    return frozenset(
        value for kind, value in certificate.get("subjectAltName", ()) if kind == "DNS"
    )
