"""The certificates of IKEv2, read from their files."""

from __future__ import annotations

from pathlib import Path

from agents.core.configuration import ConfigurationError
from agents.crypto.revocation import RevocationError, RevocationLists
from agents.eap.ca import Files, Identity, read_certificates
from agents.ikev2.config import Credentials
from agents.nodes.tls import TlsSettings


def read_credentials(tls: TlsSettings | None, *, own: bool) -> Credentials:
    """Return whom to trust and, if `own`, the certificate to show and those up to the CA."""
    if tls is None:
        return Credentials()
    try:
        trusted = tuple(read_certificates(Path(tls.ca)))
        revocations = RevocationLists(Path(tls.crl)) if tls.crl else None
        if revocations:
            revocations.read()
        if not own:
            return Credentials(trusted, revocations=revocations)
        pair = Identity.read(Files(Path(tls.certificate), Path(tls.key)))
        _, *between = read_certificates(Path(tls.certificate))
    except (OSError, ValueError, RevocationError) as error:
        raise ConfigurationError(f"IKEv2's certificates: {error}") from None
    return Credentials(trusted, pair.certificate, pair.key, tuple(between), revocations=revocations)
