"""Certificates and CRLs of a trusted CA, in which everything but the signature may be wrong."""

from __future__ import annotations

from datetime import UTC, datetime

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from agents.crypto.certificates import Certificate, CertificateError, Purpose, verify
from agents.eap.ca import CertificateAuthority
from agents.eap.names import peer_names, server_names
from agents.ike.identities import Identity
from agents.ikev2.certificates import named
from agents.ikev2.certificates import names as ike_names
from tests.bad_bytes import layouts
from tests.bad_bytes.decoders import WRONG
from tests.bad_bytes.target import Target
from tests.pki import tlv

ECDSA_WITH_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")


def certificates() -> Target:
    """Certificates of a trusted CA, in which everything but the signature may be wrong."""
    from tests.pki import DOMAIN, MAIL

    ca = CertificateAuthority.generate()
    at = datetime.now(UTC)

    def take(tbs):
        der = _signed(tbs, ca.identity.key)
        parsed = Certificate.decode(der)
        _ = parsed.extensions
        certificate = verify([parsed.parsed], [ca.identity.certificate], Purpose.IKE, at)
        peer_names(certificate)
        server_names(certificate)
        ike_names(certificate)
        named(certificate, Identity(9, certificate.subject_der))

    leaves = [ca.issue_client(MAIL), ca.issue_server(DOMAIN), ca.identity]
    seeds = [leaf.certificate.tbs_certificate_bytes for leaf in leaves]
    return Target(take, seeds, (CertificateError, *WRONG), (layouts.DER,))


def _signed(tbs: bytes, key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return what is signed always in the same way, so that nothing new is remembered of it."""
    signature = key.sign(tbs, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
    return tlv(0x30, tbs, ECDSA_WITH_SHA256, tlv(0x03, b"\0", signature))


def revocations() -> Target:
    import tempfile
    from base64 import encodebytes
    from pathlib import Path

    from cryptography.x509 import load_pem_x509_crl

    from agents.crypto.revocation import RevocationError, RevocationLists
    from tests.pki import issue_crl

    ca = CertificateAuthority.generate()
    leaf = Certificate.of(ca.issue_client("mn@home.test").certificate)
    path = (leaf, Certificate.of(ca.identity.certificate))
    folder = tempfile.TemporaryDirectory()
    file = Path(folder.name) / "crl.pem"
    at = datetime.now(UTC)

    def take(tbs, held=folder):  # noqa: ARG001
        der = _signed(tbs, ca.identity.key)
        begin, end = b"-----BEGIN X509 CRL-----\n", b"-----END X509 CRL-----\n"
        file.write_bytes(begin + encodebytes(der) + end)
        lists = RevocationLists(file)
        lists.read()
        lists.check(path, at)

    seeds = [
        load_pem_x509_crl(issue_crl(ca.identity, revoked)).tbs_certlist_bytes
        for revoked in ([], [leaf.parsed])
    ]
    return Target(take, seeds, (CertificateError, RevocationError), (layouts.DER,))


ALL = {"certificates": certificates, "revocations": revocations}
