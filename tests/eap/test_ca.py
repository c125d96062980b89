from __future__ import annotations

import stat

from agents.eap.ca import CertificateAuthority, create


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
