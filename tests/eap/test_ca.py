from __future__ import annotations

import re
import stat
from ssl import DER_cert_to_PEM_cert

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)

from agents.eap.ca import CertificateAuthority, Identity, create, read_certificates
from tests.pki import sign


def test_create_keeps_what_still_serves(tmp_path):
    first = create(tmp_path, ["mn@home.test"])
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    again = create(tmp_path, ["mn@home.test", "mn/2@home.test"])
    assert {path: path.read_bytes() for path in before} == before
    assert again.clients["mn@home.test"] == first.clients["mn@home.test"]
    assert again.clients["mn/2@home.test"].key.parent == tmp_path
    assert len(list(tmp_path.iterdir())) == 8
    for path in tmp_path.glob("*.key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_create_makes_anew_what_does_not_serve(tmp_path):
    files = create(tmp_path, ["a@home.test"]).clients["a@home.test"]
    old = files.certificate.read_bytes()
    files.key.write_text("broken")
    create(tmp_path, ["a@home.test"])
    assert files.certificate.read_bytes() != old
    ca = (tmp_path / "ca.pem").read_bytes()
    CertificateAuthority.generate().issue_client("a@home.test").write(tmp_path, "a@home.test")
    create(tmp_path, ["a@home.test"])
    assert (tmp_path / "ca.pem").read_bytes() == ca
    create(tmp_path, ["a@home.test"], "rsa2048")
    assert (tmp_path / "ca.pem").read_bytes() != ca


def test_own_files_that_cannot_be_used_are_named(tmp_path):
    identity = CertificateAuthority.generate().issue_server("aaa.home.test")
    tbs = identity.certificate.tbs_certificate_bytes
    version_4 = sign(tbs.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x03"), identity.key)
    locked = identity.key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )
    certificate, key = identity.write(tmp_path, "good").certificate, tmp_path / "good.key"
    for place, content in (
        (certificate, b"nothing"),
        (certificate, DER_cert_to_PEM_cert(version_4).encode()),
        (key, b"nothing"),
        (key, locked),
    ):
        files = identity.write(tmp_path, "good")
        place.write_bytes(content)
        with pytest.raises(ValueError, match=re.escape(str(place))):
            Identity.read(files)
    issuing = create(tmp_path / "all", ["a@home.test"])
    issuing.ca.write_text(DER_cert_to_PEM_cert(version_4))
    create(tmp_path / "all", ["a@home.test"])
    assert read_certificates(issuing.ca)[0].subject.rfc4514_string() == "CN=EAP CA"
