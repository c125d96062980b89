"""One policy: whose certificate is taken, by an EAP-TLS server, an EAP-TLS peer, and IKEv2."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL import crypto

from agents.core.machine import PeerError
from agents.crypto.certificates import Certificate as Read
from agents.crypto.certificates import CertificateError, Purpose, check_path, verify
from agents.crypto.revocation import RevocationError, RevocationLists
from agents.eap.ca import Identity
from agents.eap.peer import EapPeer
from agents.eap.server import EapServer
from agents.eap.tls import TlsClientConfig, TlsConfigError, TlsServerConfig
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
    issue_crl,
    issue_leaf,
    pem,
    sign,
    tlv,
    usage,
    write,
)

NO_CA = "no CA that may issue certificates"
UNKNOWN = "of an unknown CA"
ROOT = issue_ca("root", None, usage("key_cert_sign", "crl_sign"))
GOOD = issue_leaf(ROOT)
NOW = datetime.now(UTC)


@dataclass(frozen=True)
class Shown:
    """What a peer shows: its own certificate, and those between it and the CA; who is trusted."""

    leaf: Identity
    between: tuple[Identity, ...] = ()
    trusted: Identity = ROOT
    crl: bytes | None = None
    """What is known to be withdrawn, in PEM; None: nobody asks."""


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


def withdrawn(*holders: Identity, by: Identity = ROOT, **more) -> bytes:
    """A CRL of a CA with these certificates on it."""
    return issue_crl(by, [holder.certificate for holder in holders], **more)


def listed(*crls: bytes, shown: Shown | None = None) -> Shown:
    return replace(shown or Shown(GOOD), crl=b"".join(crls))


LOWER = issue_ca("lower CA", ROOT, usage("key_cert_sign", "crl_sign"))
NOT_FOR_LISTS = issue_ca("no lists", ROOT, usage("key_cert_sign"))
SILENT = issue_ca("silent CA", ROOT)
OTHER = issue_leaf(ROOT)
UNKNOWN_EXTENSION = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0")
ON_HOLD = x509.CRLReason(x509.ReasonFlags.certificate_hold)
OF_CAS_ALONE = x509.IssuingDistributionPoint(None, None, False, True, None, False, False)

# RFC 5280 sections 5 and 6.3.
TAKEN |= {
    "not on the CRL": lambda: listed(withdrawn()),
    "another is on the CRL": lambda: listed(withdrawn(OTHER)),
    "a CRL with an extension that may be passed over": lambda: listed(
        withdrawn(extensions=[(UNKNOWN_EXTENSION, False)])
    ),
    "an entry with an extension that may be passed over": lambda: listed(
        withdrawn(OTHER, entry=[(ON_HOLD, False)])
    ),
    "CRLs of all of its issuers": lambda: listed(
        withdrawn(), withdrawn(by=LOWER), shown=below(LOWER)
    ),
    "a CRL of an issuer without key usage": lambda: listed(
        withdrawn(), withdrawn(by=SILENT), shown=below(SILENT)
    ),
    "on an older CRL than the newest": lambda: listed(
        withdrawn(), withdrawn(GOOD, validity=LONG_AGO)
    ),
    "on the CRL of another CA of the same name": lambda: listed(
        withdrawn(), withdrawn(GOOD, by=issue_ca("root"))
    ),
    "the CA that is trusted is on its own CRL": lambda: listed(withdrawn(ROOT)),
}
REFUSED |= {
    "revoked": (lambda: listed(withdrawn(OTHER, GOOD)), "refused: it was revoked on 20"),
    "held back for now": (
        lambda: listed(withdrawn(GOOD, entry=[(ON_HOLD, False)])),
        "it was revoked",
    ),
    "revoked since the older of two CRLs": (
        lambda: listed(withdrawn(GOOD), withdrawn(validity=LONG_AGO)),
        "it was revoked",
    ),
    "a lower CA that is revoked": (
        lambda: listed(withdrawn(LOWER), withdrawn(by=LOWER), shown=below(LOWER)),
        "certificate CN=lower CA refused: it was revoked",
    ),
    "no CRL of its issuer": (
        lambda: listed(withdrawn(by=LOWER)),
        "there is no CRL of its issuer",
    ),
    "no CRL of a lower CA": (
        lambda: listed(withdrawn(), shown=below(LOWER)),
        "certificate CN=leaf refused: there is no CRL of its issuer",
    ),
    "a CRL that another has signed": (
        lambda: listed(withdrawn(by=issue_ca("root"))),
        "there is no CRL of its issuer",
    ),
    "a CRL of an issuer that may not sign any": (
        lambda: listed(withdrawn(), withdrawn(by=NOT_FOR_LISTS), shown=below(NOT_FOR_LISTS)),
        "its issuer may not sign CRLs",
    ),
    "a CRL that is out of date": (
        lambda: listed(withdrawn(validity=LONG_AGO)),
        "the CRL of CN=root is out of date since 20",
    ),
    "a CRL that is not valid yet": (
        lambda: listed(withdrawn(validity=NOT_YET)),
        "the CRL of CN=root is not valid yet",
    ),
    "a CRL with a critical extension that nobody knows": (
        lambda: listed(withdrawn(extensions=[(UNKNOWN_EXTENSION, True)])),
        "the CRL of CN=root has a critical extension",
    ),
    "a CRL of changes alone": (
        lambda: listed(withdrawn(extensions=[(x509.DeltaCRLIndicator(1), True)])),
        "has a critical extension",
    ),
    "a CRL of some certificates alone": (
        lambda: listed(withdrawn(extensions=[(OF_CAS_ALONE, True)])),
        "has a critical extension",
    ),
    "an entry with a critical extension that nobody knows": (
        lambda: listed(withdrawn(OTHER, entry=[(UNKNOWN_EXTENSION, True)])),
        "has an entry with a critical extension",
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
    crl = write_crl(folder, shown)
    peer = TlsClientConfig(
        ca if client else trusted,
        ours.certificate,
        ours.key,
        server_names=(DOMAIN,),
        crl=None if client else crl,
    )
    server = TlsServerConfig(
        trusted if client else ca, theirs.certificate, theirs.key, crl=crl if client else None
    )
    run = Conversation(EapPeer(MAIL, peer), EapServer(server)).run()
    if run.server.outcome == "success":
        run.assert_success()
        return None
    run.assert_failure()
    judge, judged = (run.server, run.peer) if client else (run.peer, run.server)
    assert "refused with the TLS alert" in judged.reason
    return judge.reason


def write_crl(folder, shown: Shown):
    if shown.crl is None:
        return None
    (folder / "crl").write_bytes(shown.crl)
    return folder / "crl"


def by_ike(shown: Shown, folder) -> str | None:
    """Show it to IKEv2; return why it is refused."""
    chain = [i.certificate for i in (shown.leaf, *shown.between)]
    crl = write_crl(folder, shown)
    revocations = RevocationLists(crl) if crl else None
    try:
        verify_chain(Credentials((shown.trusted.certificate,), revocations=revocations), chain)
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
        check_path(path, purpose, None, NOW)
    small = issue_ca("root", key=ec.generate_private_key(ec.SECP192R1()))
    path = [openssl(c) for c in (issue_leaf(small), small)]
    with pytest.raises(CertificateError, match="CN=root refused: its key has only 192 bits"):
        check_path(path, purpose, None, NOW)


def test_weak_signatures_are_refused():
    sha1 = bytes.fromhex("300906072a8648ce3d0401")
    tbs = GOOD.certificate.tbs_certificate_bytes
    strong = bytes.fromhex("300a06082a8648ce3d040302")
    assert tbs.startswith(b"\x30\x81")
    inner = tlv(0x30, tbs[3:].replace(strong, sha1))
    weak = tlv(0x30, inner, sha1, tlv(3, b"\0" * 9))
    path = [crypto.load_certificate(crypto.FILETYPE_ASN1, weak), openssl(ROOT)]
    with pytest.raises(CertificateError, match="weak algorithm, sha1"):
        check_path(path, Purpose.IKE, None, NOW)


def test_the_time_is_the_callers():
    chain, trusted = [GOOD.certificate], [ROOT.certificate]
    end = GOOD.certificate.not_valid_after_utc
    assert verify(chain, trusted, Purpose.IKE, end).subject == "CN=leaf"
    with pytest.raises(CertificateError, match="expired on"):
        verify(chain, trusted, Purpose.IKE, end + timedelta(days=1))


def test_names_are_those_of_the_certificate():
    names = Read.of(GOOD.certificate).names
    assert (names.mail, names.domains, names.addresses) == ((MAIL,), (DOMAIN,), ())


# RFC 5280 section 5.1.2.5 demands nextUpdate.
def test_a_list_that_does_not_say_until_when_it_holds_is_of_no_use(tmp_path):
    tbs = x509.load_pem_x509_crl(withdrawn()).tbs_certlist_bytes
    shorter = tlv(0x30, tbs[3 if tbs[1] == 0x81 else 2 : tbs.rindex(b"\x17\x0d")])
    crl = x509.load_der_x509_crl(sign(shorter, ROOT.key))
    shown = listed(crl.public_bytes(Encoding.PEM))
    assert "does not say until when it holds" in by_ike(shown, tmp_path)


def test_a_list_is_read_again_when_it_has_changed(tmp_path):
    path, chain = tmp_path / "crl", [GOOD.certificate]
    path.write_bytes(withdrawn())
    known = Credentials((ROOT.certificate,), revocations=RevocationLists(path))
    assert verify_chain(known, chain).subject == "CN=leaf"
    path.write_bytes(withdrawn(GOOD))
    with pytest.raises(PeerError, match="it was revoked on"):
        verify_chain(known, chain)


@pytest.mark.parametrize("contents", [None, b"", b"no list", withdrawn()[:200]])
def test_without_a_list_that_can_be_read_nobody_is_taken(contents, tmp_path):
    path, chain = tmp_path / "crl", [GOOD.certificate]
    path.write_bytes(withdrawn())
    known = Credentials((ROOT.certificate,), revocations=RevocationLists(path))
    verify_chain(known, chain)
    if contents is None:
        path.unlink()
    else:
        path.write_bytes(contents)
    with pytest.raises(PeerError, match=f"{path}: "):
        verify_chain(known, chain)
    # A program does not begin with such a file.
    with pytest.raises(RevocationError):
        RevocationLists(path).read()
    good = write(tmp_path, GOOD, (), "good")
    (tmp_path / "root").write_bytes(pem([ROOT.certificate]))
    with pytest.raises(TlsConfigError, match=f"{path}: "):
        TlsServerConfig(tmp_path / "root", good.certificate, good.key, crl=path).prepare()
