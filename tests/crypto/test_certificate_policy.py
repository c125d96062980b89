"""One policy: whose certificate is taken, by an EAP-TLS server, an EAP-TLS peer, and IKEv2."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL import crypto

from agents.core.machine import PeerError
from agents.crypto.certificates import Certificate as Read
from agents.crypto.certificates import CertificateError, Purpose, check_path, verify
from agents.eap.ca import Identity
from agents.eap.peer import EapPeer
from agents.eap.server import EapServer
from agents.eap.tls import TlsClientConfig, TlsServerConfig
from agents.ikev2 import Credentials
from agents.ikev2.certificates import verify_chain
from tests.eap.conversation import Conversation
from tests.pki import (
    DOMAIN,
    LONG_AGO,
    MAIL,
    NOT_YET,
    issue,
    issue_ca,
    issue_leaf,
    pem,
    tlv,
    usage,
    write,
)

NO_CA = "no CA that may issue certificates"
UNKNOWN = "of an unknown CA"
ROOT = issue_ca("root", None, usage("key_cert_sign", "crl_sign"))
GOOD = issue_leaf(ROOT)


@dataclass(frozen=True)
class Shown:
    """What a peer shows: its own certificate, and those between it and the CA; who is trusted."""

    leaf: Identity
    between: tuple[Identity, ...] = ()
    trusted: Identity = ROOT


def below(*cas: Identity) -> Shown:
    """A leaf that the last of these CAs, each below the one before, has issued."""
    return Shown(issue_leaf(cas[-1]), tuple(reversed(cas)))


def purposes(*wanted: x509.ObjectIdentifier) -> Shown:
    return Shown(issue_leaf(ROOT, x509.ExtendedKeyUsage(wanted)))


def lower(*extensions: x509.ExtensionType, **more) -> Identity:
    return issue_ca("lower CA", ROOT, *extensions, **more)


def row(length: int) -> Shown:
    cas = [ROOT]
    for number in range(length):
        cas.append(issue_ca(f"CA {number}", cas[-1]))
    return below(*cas[1:])


def alternative(*names: bytes) -> x509.UnrecognizedExtension:
    mail = tlv(0x81, MAIL.encode()) + tlv(0x82, DOMAIN.encode())
    return x509.UnrecognizedExtension(
        x509.SubjectAlternativeName.oid, tlv(0x30, *names, mail, *names)
    )


def under_ed25519() -> Shown:
    root = issue_ca("root", key=ed25519.Ed25519PrivateKey.generate())
    return Shown(issue_leaf(root), trusted=root)


def under_a_lower_ca() -> Shown:
    ca = lower(usage("key_cert_sign"))
    return Shown(issue_leaf(ca), trusted=ca)


def constrained(domain: str) -> Shown:
    return below(lower(x509.NameConstraints([x509.DNSName(domain)], None)))


TAKEN: dict[str, Callable[[], Shown]] = {
    "nothing but names": lambda: Shown(GOOD),
    "for signatures": lambda: Shown(issue_leaf(ROOT, usage("digital_signature"))),
    "any purpose": lambda: purposes(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE),
    "one purpose among others": lambda: purposes(
        ExtendedKeyUsageOID.EMAIL_PROTECTION,
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.CLIENT_AUTH,
    ),
    "a lower CA": lambda: below(lower(usage("key_cert_sign"))),
    "a lower CA without key usage": lambda: below(lower()),
    "a lower CA that is for something else": lambda: below(
        lower(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]))
    ),
    "five certificates": lambda: row(4),
    "a lower CA is trusted, its root unknown": under_a_lower_ca,
    "the CA itself is sent too": lambda: Shown(GOOD, (ROOT,)),
    "a CA with an Ed25519 key": under_ed25519,
    "a key on P-384": lambda: Shown(issue_leaf(ROOT, key=ec.generate_private_key(ec.SECP384R1()))),
    "a permitted name": lambda: constrained("home.test"),
    "an EDIPartyName": lambda: Shown(
        issue_leaf(ROOT, alternative(bytes.fromhex("a505a1030c0178")))
    ),
    "an X.400 address": lambda: Shown(issue_leaf(ROOT, alternative(bytes.fromhex("a3023000")))),
    "a name that is another kind of otherName": lambda: Shown(
        issue_leaf(ROOT, alternative(tlv(0xA0, tlv(0x06, b"\x2a\x03"), tlv(0xA0, b"\x05\0"))))
    ),
}

REFUSED: dict[str, tuple[Callable[[], Shown], str]] = {
    "another CA": (lambda: Shown(issue_leaf(issue_ca("root"))), "refused: "),
    "its CA is not sent": (lambda: Shown(issue_leaf(lower())), UNKNOWN),
    "signed by itself": (lambda: Shown(issue_leaf(None)), "signed by itself"),
    "expired": (lambda: Shown(issue_leaf(ROOT, validity=LONG_AGO)), "has expired on 20"),
    "not valid yet": (lambda: Shown(issue_leaf(ROOT, validity=NOT_YET)), "not valid yet"),
    "an expired lower CA": (
        lambda: below(lower(validity=LONG_AGO)),
        "certificate CN=lower CA refused: it has expired",
    ),
    "an issuer that may not sign certificates": (
        lambda: below(lower(usage("digital_signature"))),
        NO_CA,
    ),
    "an issuer that is no CA": (lambda: below(lower(x509.BasicConstraints(False, None))), NO_CA),
    "an issuer that says nothing": (lambda: below(issue("no CA", ROOT)), NO_CA),
    "an issuer by its key usage alone": (
        lambda: below(issue("no CA", ROOT, (usage("key_cert_sign"), True))),
        NO_CA,
    ),
    "a CA below one that allows none": (
        lambda: below(first := lower(path_length=0), issue_ca("lowest CA", first)),
        "allows no path as long",
    ),
    "six certificates": (lambda: row(5), "path is too long"),
    "a key that is for encryption": (
        lambda: Shown(issue_leaf(ROOT, usage("key_encipherment", "key_agreement"))),
        "not meant for signatures",
    ),
    "a critical extension that nobody knows": (
        lambda: Shown(
            issue_leaf(
                ROOT, (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0"), True)
            )
        ),
        "critical extension",
    ),
    "a name that its CA may not give": (lambda: constrained("other.test"), "do not permit"),
    "a mail address that is not ASCII": (
        lambda: Shown(issue_leaf(ROOT, alternative(tlv(0x81, "mñ@home.test".encode())))),
        "cannot be read",
    ),
}


def by_eap_server(shown: Shown, folder) -> str | None:
    """Show it to an EAP server as a client's; return why it is refused."""
    return _converse(shown, folder, client=True)


def by_eap_peer(shown: Shown, folder) -> str | None:
    """Show it to an EAP peer as a server's; return why it is refused."""
    return _converse(shown, folder, client=False)


def _converse(shown: Shown, folder, *, client: bool) -> str | None:
    (folder / "trusted").write_bytes(pem([shown.trusted.certificate]))
    (folder / "root").write_bytes(pem([ROOT.certificate]))
    mine = write(folder, shown.leaf, shown.between, "shown")
    good = write(folder, GOOD, (), "good")
    ca, trusted = folder / "root", folder / "trusted"
    ours, theirs = (mine, good) if client else (good, mine)
    peer = TlsClientConfig(
        ca if client else trusted, ours.certificate, ours.key, server_names=(DOMAIN,)
    )
    server = TlsServerConfig(trusted if client else ca, theirs.certificate, theirs.key)
    run = Conversation(EapPeer(MAIL, peer), EapServer(server)).run()
    if run.server.outcome == "success":
        run.assert_success()
        return None
    run.assert_failure()
    judge, judged = (run.server, run.peer) if client else (run.peer, run.server)
    assert "refused with the TLS alert" in judged.reason
    return judge.reason


def by_ike(shown: Shown, _) -> str | None:
    """Show it to IKEv2; return why it is refused."""
    chain = [i.certificate for i in (shown.leaf, *shown.between)]
    try:
        verify_chain(Credentials((shown.trusted.certificate,)), chain)
    except PeerError as error:
        return str(error)
    return None


JUDGES = pytest.mark.parametrize("judge", [by_eap_server, by_eap_peer, by_ike])


@JUDGES
@pytest.mark.parametrize("case", TAKEN)
def test_what_is_taken(judge, case, tmp_path):
    assert judge(TAKEN[case](), tmp_path) is None


@JUDGES
@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(judge, case, tmp_path):
    shown, reason = REFUSED[case]
    assert reason in judge(shown(), tmp_path)


# RFC 5216 section 5.3; RFC 4945 section 5.1.3.12.
def test_purposes_count_for_tls_and_not_for_ike(tmp_path):
    client = purposes(ExtendedKeyUsageOID.CLIENT_AUTH)
    server = purposes(ExtendedKeyUsageOID.SERVER_AUTH)
    assert by_eap_server(client, tmp_path) is by_eap_peer(server, tmp_path) is None
    assert "not meant for this use" in by_eap_server(server, tmp_path)
    assert "not meant for this use" in by_eap_peer(client, tmp_path)
    assert by_ike(client, tmp_path) is by_ike(server, tmp_path) is None


# RFC 4945 section 5.1.3.2 takes either bit; TLS wants digitalSignature (RFC 8446 section 4.4.2.2).
def test_non_repudiation_is_for_ike_alone(tmp_path):
    shown = Shown(issue_leaf(ROOT, usage("content_commitment")))
    assert by_ike(shown, tmp_path) is None
    assert "not meant for" in by_eap_server(shown, tmp_path)
    assert "not meant for" in by_eap_peer(shown, tmp_path)


def principal(name: str) -> x509.OtherName:
    kind = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
    return x509.OtherName(kind, tlv(0x0C, name.encode()))


# RFC 5280 section 4.2.1.10 knows constraints neither for common names nor for these otherNames.
@pytest.mark.parametrize(
    "names", [(), (x509.SubjectAlternativeName([principal(MAIL)]),)], ids=["common", "principal"]
)
@pytest.mark.parametrize("in_root", [False, True])
def test_a_ca_that_may_give_certain_names_only_gives_no_others(names, in_root, tmp_path):
    bound = x509.NameConstraints([x509.RFC822Name("other.test")], None)
    root = issue_ca("root", None, *((bound,) if in_root else ()))
    ca = issue_ca("lower CA", root, *(() if in_root else (bound,)))
    free = Shown(issue(MAIL, ROOT, *names))
    assert by_eap_server(free, tmp_path) is None
    shown = Shown(issue(MAIL, ca, *names), (ca,), root)
    assert f"names nobody, not {MAIL}" in by_eap_server(shown, tmp_path)


def test_what_it_may_give_counts(tmp_path):
    home = lower(x509.NameConstraints([x509.RFC822Name("home.test")], None))
    assert by_eap_server(Shown(issue_leaf(home), (home,)), tmp_path) is None
    other = lower(x509.NameConstraints([x509.RFC822Name("other.test")], None))
    assert "do not permit" in by_eap_server(Shown(issue_leaf(other), (other,)), tmp_path)


def openssl(holder: Identity) -> crypto.X509:
    return crypto.X509.from_cryptography(holder.certificate)


# An end of EAP-TLS does not load a weak certificate of its own, so that none can be shown.
@pytest.mark.parametrize("purpose", Purpose)
def test_weak_keys_are_refused(purpose):
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    path = [openssl(c) for c in (issue_leaf(ROOT, key=weak), ROOT)]
    with pytest.raises(CertificateError, match="its key has only 1024 bits"):
        check_path(path, purpose)
    small = issue_ca("root", key=ec.generate_private_key(ec.SECP192R1()))
    path = [openssl(c) for c in (issue_leaf(small), small)]
    with pytest.raises(CertificateError, match="CN=root refused: its key has only 192 bits"):
        check_path(path, purpose)


def test_weak_signatures_are_refused():
    sha1 = bytes.fromhex("300906072a8648ce3d0401")
    tbs = GOOD.certificate.tbs_certificate_bytes
    strong = bytes.fromhex("300a06082a8648ce3d040302")
    assert tbs.startswith(b"\x30\x81")
    inner = tlv(0x30, tbs[3:].replace(strong, sha1))
    weak = tlv(0x30, inner, sha1, tlv(3, b"\0" * 9))
    path = [crypto.load_certificate(crypto.FILETYPE_ASN1, weak), openssl(ROOT)]
    with pytest.raises(CertificateError, match="weak algorithm, sha1"):
        check_path(path, Purpose.IKE)


def test_the_time_is_the_callers():
    chain, trusted = [GOOD.certificate], [ROOT.certificate]
    end = GOOD.certificate.not_valid_after_utc
    assert verify(chain, trusted, Purpose.IKE, end).subject == "CN=leaf"
    with pytest.raises(CertificateError, match="expired on"):
        verify(chain, trusted, Purpose.IKE, end + timedelta(days=1))


def test_names_are_those_of_the_certificate():
    names = Read.of(GOOD.certificate).names
    assert (names.mail, names.domains, names.addresses) == ((MAIL,), (DOMAIN,), ())
