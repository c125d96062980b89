"""The pure cryptography of a bootstrap: what the same library calls cost on their own.

Which calls a bootstrap makes is counted while one runs, by the interpreter's own hook for calls of
C functions; nobody has to keep a list up to date. The floor is what as many such calls cost, made
by loops that do nothing else:

- a TLS handshake of both ends over memory, with certificates of the same kind, which each end
  validates by OpenSSL alone; the server's protected word of success (RFC 9190 section 2.5), and the
  export of EAP's keys and of its Session-Id, at both ends;
- keys for Diffie-Hellman and shared secrets, with the public values as they are sent; signatures,
  their verification, and that of paths of certificates; HMACs, hashes and ciphers over messages of
  a usual length;
- reading a peer's certificate: by OpenSSL, which validates its path, and for its key.

Not in it: reading certificates and keys from files, which is done at the start of a program; what
agents.crypto.certificates looks at in a certificate besides; OpenSSL's calls back, those of the TLS
handshake among them; all of Python's own.
"""

from __future__ import annotations

import hashlib
import hmac
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.bindings.openssl.binding import Binding
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV
from OpenSSL import SSL, crypto

from agents.crypto import dh
from agents.crypto.ciphers import aes_cbc_encrypt
from agents.eap import ca
from agents.eap.server import PROTECTED_SUCCESS
from agents.eap.tls import TlsClientConfig, TlsConfig, TlsServerConfig

Call: TypeAlias = tuple[str, str]
"""A C function's owner, a type or module (NoneType if it has none), and its name."""

_MESSAGE = bytes(192)
_IDENTITY = "mn@home.test"
_RANDOM = random.SystemRandom()


@contextmanager
def counted() -> Iterator[Counter[Call]]:
    """Count the calls of C functions; what runs meanwhile is slowed down."""
    calls: Counter[Call] = Counter()

    def note(_frame: FrameType, event: str, function: object) -> None:
        if event == "c_call":
            owner = getattr(function, "__self__", None)
            name = getattr(owner, "__name__", type(owner).__name__).rpartition(".")[2]
            calls[name, getattr(function, "__name__", "")] += 1

    sys.setprofile(note)
    try:
        yield calls
    finally:
        sys.setprofile(None)


class Floor:
    """The calls that count as cryptography, each made on its own."""

    def __init__(self, folder: Path) -> None:
        made = ca.create(folder, [_IDENTITY])
        client = made.clients[_IDENTITY]
        self._client = _context(TlsClientConfig(made.ca, client.certificate, client.key))
        self._server = _context(TlsServerConfig(made.ca, made.server.certificate, made.server.key))
        self._anchor, certificate = (
            crypto.load_certificate(crypto.FILETYPE_PEM, path.read_bytes())
            for path in (made.ca, made.server.certificate)
        )
        self._peers = crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)
        elliptic = ec.generate_private_key(ec.SECP256R1())
        modp, ecp, montgomery = (
            dh.generate(group, _RANDOM) for group in (dh.MODP2048, dh.ECP256, dh.CURVE25519)
        )
        algorithm = ec.ECDSA(hashes.SHA256())
        signature, public = elliptic.sign(_MESSAGE, algorithm), elliptic.public_key()
        gcm, siv, nonce = AESGCM(bytes(16)), AESSIV(bytes(64)), bytes(12)
        by_gcm, by_siv = gcm.encrypt(nonce, _MESSAGE, None), siv.encrypt(_MESSAGE, None)
        self._calls: dict[Call, Callable[[], object]] = {
            ("lib", "SSL_set_accept_state"): self._shake_hands,
            ("lib", "X509_verify_cert"): self._verify_path,
            ("DHPrivateKey", "exchange"): lambda: modp.shared(modp.public),
            ("NoneType", "from_private_bytes"): lambda: dh.generate(dh.CURVE25519, _RANDOM),
            ("X25519PrivateKey", "exchange"): lambda: montgomery.shared(montgomery.public),
            ("NoneType", "derive_private_key"): lambda: dh.generate(dh.ECP256, _RANDOM),
            ("ECPrivateKey", "exchange"): lambda: ecp.shared(ecp.public),
            ("NoneType", "load_der_x509_certificate"): self._read_certificate,
            ("ECPrivateKey", "sign"): lambda: elliptic.sign(_MESSAGE, algorithm),
            ("ECPublicKey", "verify"): lambda: public.verify(signature, _MESSAGE, algorithm),
            ("_hashlib", "hmac_digest"): lambda: hmac.digest(_MESSAGE[:32], _MESSAGE, "sha256"),
            ("HASH", "digest"): lambda: hashlib.new("sha256", _MESSAGE).digest(),
            ("CipherContext", "finalize"): lambda: aes_cbc_encrypt(
                _MESSAGE[:16], _MESSAGE[:16], _MESSAGE
            ),
            ("AESGCM", "encrypt"): lambda: gcm.encrypt(nonce, _MESSAGE, None),
            ("AESGCM", "decrypt"): lambda: gcm.decrypt(nonce, by_gcm, None),
            ("AESSIV", "encrypt"): lambda: siv.encrypt(_MESSAGE, None),
            ("AESSIV", "decrypt"): lambda: siv.decrypt(by_siv, None),
        }

    def run(self, calls: Mapping[Call, int]) -> None:
        """Make those of the calls that are cryptography, as often as they were counted."""
        for call, function in self._calls.items():
            for _ in range(calls.get(call, 0)):
                function()

    def _shake_hands(self) -> None:
        client, server = SSL.Connection(self._client, None), SSL.Connection(self._server, None)
        client.set_connect_state()
        server.set_accept_state()
        ends = [(client, server), (server, client)]
        while ends:
            here, there = ends.pop(0)
            try:
                here.do_handshake()
            except SSL.WantReadError:
                ends.append((here, there))
            with suppress(SSL.WantReadError):
                there.bio_write(here.bio_read(16384))
        server.send(PROTECTED_SUCCESS)
        client.bio_write(server.bio_read(16384))
        client.recv(1024)
        for end in (client, server):
            end.export_keying_material(b"EXPORTER_EAP_TLS_Key_Material", 128, b"\x0d")
            end.export_keying_material(b"EXPORTER_EAP_TLS_Method-Id", 64, b"\x0d")

    def _verify_path(self) -> None:
        store = crypto.X509Store()
        store.add_cert(self._anchor)
        read = crypto.load_certificate(crypto.FILETYPE_ASN1, self._peers)
        crypto.X509StoreContext(store, read).verify_certificate()

    def _read_certificate(self) -> None:
        x509.load_der_x509_certificate(self._peers).public_key()


def _context(config: TlsConfig) -> SSL.Context:
    context = config.context
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, None)
    library = Binding()  # PyOpenSSL has no call for no callback.
    library.lib.SSL_CTX_set_info_callback(context._context, library.ffi.NULL)
    return context
