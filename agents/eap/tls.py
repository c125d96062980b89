"""TLS without sockets for EAP-TLS: configuration, handshake in memory, exported keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from cryptography.hazmat.bindings.openssl.binding import Binding
from OpenSSL import SSL, crypto

from agents.core.record import Record, Secret
from agents.crypto.certificates import (
    INVALID_PURPOSE,
    MAX_CHAIN,
    PATH_FLAGS,
    Certificate,
    CertificateError,
    Purpose,
    Revocations,
    check_path,
    from_openssl,
)
from agents.crypto.revocation import RevocationError, RevocationLists
from agents.eap.alerts import CLOSURES, FATAL, OF_CERTIFICATES, alert_name
from agents.eap.wire import Type

TlsVersion: TypeAlias = Literal["1.2", "1.3"]
NameCheck: TypeAlias = Callable[[Certificate], str | None]
"""Returns why the name in the peer's verified certificate is refused, None if it is not."""

VERSIONS: dict[str, int] = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}

NO_AUTO_CHAIN = 0x8
"""SSL_MODE_NO_AUTO_CHAIN: send what is in the certificate file, never the root of the CA file."""

GROUPS = b"P-256:X25519:P-384:P-521"
"""Key exchange in order of preference; the client sends a key share of the first alone.

OpenSSL's own choice begins with a hybrid so large that it costs two more EAP rounds. A certificate
with an EC key needs its curve among them (RFC 8422 section 5.1.1).
"""


class Engine(Protocol):
    """One TLS session in memory: records in, records out.

    After a failure `failure` says why, and what `feed` returned holds the alert to send.
    """

    finished: bool
    failure: str | None
    alert_received: bool
    received: bytes

    @property
    def version(self) -> str:
        """The negotiated version, "1.2" or "1.3"."""

    @property
    def certificate_refused(self) -> bool:
        """Whether the other end, which has proved who it is, refused this end's certificate."""

    def feed(self, records: bytes) -> bytes:
        """Take TLS records of the peer, none at the client's start; return those to send."""

    def protect(self, data: bytes) -> bytes:
        """Return the records that carry `data`, and what was waiting before it."""

    def keys(self) -> EapKeys:
        """Return MSK, EMSK and Session-Id (RFC 5216 section 2.3, RFC 9190 section 2.3)."""


class TlsConfigError(ValueError):
    """A certificate, key or CA file that cannot be used; the text names the file."""


class EapKeys(Record, frozen=True):
    """What EAP-TLS exports (RFC 5216, RFC 9190, both section 2.3): two keys of 64 octets."""

    msk: Secret[bytes]
    emsk: Secret[bytes]
    session_id: bytes = b""


@dataclass(frozen=True)
class TlsConfig:
    """Files and versions that both ends have; `keylog` gets a line of NSS key log per secret.

    With `crl` the peer's certificate has to be known as not withdrawn (RFC 5216 section 5.4).
    The TLS context is built once, at first use, and shared by all sessions.
    """

    ca: Path
    certificate: Path
    key: Path
    minimum_version: TlsVersion = "1.2"
    maximum_version: TlsVersion = "1.3"
    keylog: Callable[[str], None] | None = field(default=None, repr=False, compare=False)
    crl: Path | None = None
    clock: Callable[[], datetime] = field(default=lambda: datetime.now(UTC), compare=False)

    @cached_property
    def context(self) -> SSL.Context:
        """The TLS context; raises TlsConfigError if a file cannot be used."""
        context = SSL.Context(SSL.TLS_METHOD)
        minimum, maximum = VERSIONS[self.minimum_version], VERSIONS[self.maximum_version]
        if minimum > maximum:
            raise TlsConfigError(
                f"TLS: the minimum version {self.minimum_version} is above the maximum "
                f"{self.maximum_version}"
            )
        context.set_min_proto_version(minimum)
        context.set_max_proto_version(maximum)
        context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_TICKET | SSL.OP_NO_RENEGOTIATION)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_mode(NO_AUTO_CHAIN)
        _set_groups(context)
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _verify)
        context.set_verify_depth(MAX_CHAIN - 1)
        context.set_info_callback(_note_alert)
        self._load_files(context)
        if self.keylog is not None:
            keylog = self.keylog
            context.set_keylog_callback(lambda _, line: keylog(line.decode("ascii")))
        return context

    def engine(self, *, server: bool, check_name: NameCheck) -> Engine:
        """Return a new TLS session, which asks `check_name` about the peer's certificate."""
        purpose = Purpose.TLS_CLIENT if server else Purpose.TLS_SERVER
        judge = Judge(purpose, check_name, self.revocations, self.clock)
        return TlsEngine(self.context, judge, server=server)

    @cached_property
    def revocations(self) -> RevocationLists | None:
        """What is known of certificates that were withdrawn; raises TlsConfigError."""
        if self.crl is None:
            return None
        lists = RevocationLists(self.crl)
        try:
            lists.read()
        except RevocationError as error:
            raise TlsConfigError(str(error)) from error
        return lists

    def prepare(self) -> None:
        """Read the files now, so that a bad one shows at the start and no session waits."""
        _ = self.context, self.revocations

    def _load_files(self, context: SSL.Context) -> None:
        steps: tuple[tuple[str, Path, Callable[[], None]], ...] = (
            ("CA", self.ca, lambda: context.load_verify_locations(str(self.ca))),
            (
                "certificate",
                self.certificate,
                lambda: context.use_certificate_chain_file(str(self.certificate)),
            ),
            ("private key", self.key, lambda: context.use_privatekey_file(str(self.key))),
            ("private key", self.key, context.check_privatekey),
        )
        for what, path, load in steps:
            if not path.is_file():
                raise TlsConfigError(f"{path}: there is no such {what} file")
            try:
                load()
            except SSL.Error as error:
                raise TlsConfigError(
                    f"{path}: cannot be used as {what}: {_reason(error)}"
                ) from error
        store = context.get_cert_store()
        if store is not None:
            store.set_flags(PATH_FLAGS)


@dataclass(frozen=True)
class TlsClientConfig(TlsConfig):
    """The EAP peer's side; a server name must be one of `server_names` if any are given."""

    server_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class TlsServerConfig(TlsConfig):
    """The EAP server's side; `match_identity`: the certificate must name the EAP identity."""

    match_identity: bool = True


def _set_groups(context: SSL.Context) -> None:
    # PyOpenSSL has a call for one curve only.
    if Binding().lib.SSL_CTX_set1_curves_list(context._context, GROUPS) != 1:
        raise TlsConfigError(f"TLS: OpenSSL does not know the groups {GROUPS.decode()}")


@dataclass(frozen=True, slots=True)
class Judge:
    """How a session judges the peer's certificate, at the time that `clock` tells."""

    purpose: Purpose
    check_name: NameCheck
    revocations: Revocations | None
    clock: Callable[[], datetime]

    def refusal(self, path: Sequence[crypto.X509]) -> str | None:
        """Return why a path is refused that OpenSSL has validated; raises CertificateError."""
        return self.check_name(check_path(path, self.purpose, self.revocations, self.clock()))


@dataclass(slots=True)
class _Session:
    """What OpenSSL's callbacks learn in one session."""

    judge: Judge
    path: dict[int, crypto.X509] = field(default_factory=dict)
    """The peer's certificates by depth, its own at 0."""

    refusal: str | None = None
    """Why its certificate is refused."""

    alert: int | None = None
    """The peer's alert, if that is fatal and was not answered with one."""


def _verify(
    connection: SSL.Connection, certificate: crypto.X509, error: int, depth: int, ok: int
) -> bool:
    """Take OpenSSL's verdict on one certificate of the path, from the CA down to the peer's.

    This raises nothing: PyOpenSSL would raise it in any session of the same context.
    """
    session: _Session = connection.get_app_data()
    try:
        session.path[depth] = certificate
        if error == INVALID_PURPOSE:  # OpenSSL does not know anyExtendedKeyUsage.
            if not depth:
                from_openssl(certificate).check_purpose(session.judge.purpose)
        elif not ok:
            from_openssl(certificate).refuse_by_code(error)
        elif not depth:
            session.refusal = session.judge.refusal(
                [session.path[depth] for depth in sorted(session.path)]
            )
    except CertificateError as problem:
        session.refusal = str(problem)
    return session.refusal is None


def _note_alert(connection: SSL.Connection, where: int, value: int) -> None:
    if where == SSL.SSL_CB_WRITE_ALERT:
        connection.get_app_data().alert = None  # What ends the session now is of this end.
    elif where == SSL.SSL_CB_READ_ALERT:
        level, code = value >> 8, value & 0xFF
        strict = connection.get_protocol_version() == SSL.TLS1_3_VERSION
        if level == FATAL or (strict and code not in CLOSURES):
            connection.get_app_data().alert = code


def _reason(error: SSL.Error) -> str:
    """Return OpenSSL's own words: a list of (library, function, reason), or (number, text)."""
    match error.args:
        case [[*entries]]:
            words = "; ".join(str(entry[2]) for entry in entries)
        case [*_, text]:
            words = str(text)
        case _:
            words = ""
    return words or "an unspecified TLS error"


_BIO_READ = 16384


class TlsEngine:
    """OpenSSL's session in memory (Engine)."""

    def __init__(self, context: SSL.Context, judge: Judge, *, server: bool) -> None:
        self._connection = SSL.Connection(context, None)
        self._session = _Session(judge)
        self._connection.set_app_data(self._session)
        if server:
            self._connection.set_accept_state()
        else:
            self._connection.set_connect_state()
        self.finished = False
        self.failure: str | None = None
        self.alert_received = False
        self.received = b""

    @property
    def version(self) -> str:
        """The negotiated version, "1.2" or "1.3"."""
        return self._connection.get_protocol_version_name().removeprefix("TLSv")

    def feed(self, records: bytes) -> bytes:
        """Take TLS records of the peer, none at the client's start; return those to send."""
        if self.failure is not None:
            return b""
        if records:
            self._connection.bio_write(records)
        try:
            self._advance()
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            self.failure, self.alert_received = "the other end closed the TLS session", True
        except SSL.Error as error:
            self._fail(error)
        return self._drain()

    def _advance(self) -> None:
        if not self.finished:
            self._connection.do_handshake()
            self.finished = True
        while True:
            self.received += self._connection.recv(1024)

    @property
    def certificate_refused(self) -> bool:
        """Whether the other end, which has proved who it is, refused this end's certificate.

        A client knows that in TLS 1.3 alone: in 1.2 the alert comes in clear.
        """
        return self.finished and self._session.alert in OF_CERTIFICATES

    def _fail(self, error: SSL.Error) -> None:
        session = self._session
        if session.alert is not None:
            self.alert_received = True
            self.failure = f"the other end refused with the TLS alert: {alert_name(session.alert)}"
        else:
            self.failure = session.refusal or f"the TLS handshake failed: {_reason(error)}"

    def _drain(self) -> bytes:
        records, part = b"", None
        while part is None or len(part) == _BIO_READ:  # After less than that it is empty.
            try:
                part = self._connection.bio_read(_BIO_READ)
            except SSL.WantReadError:
                break
            records += part
        return records

    def protect(self, data: bytes) -> bytes:
        """Return the records that carry `data`, and what was waiting before it."""
        self._connection.send(data)
        return self._drain()

    def keys(self) -> EapKeys:
        """Return MSK, EMSK and Session-Id (RFC 5216 section 2.3, RFC 9190 section 2.3).

        All 128 octets are asked for at once: TLS 1.3 exports other keys for other lengths.
        """
        connection, kind = self._connection, bytes([Type.TLS])
        if self.version == "1.2":
            material = connection.export_keying_material(b"client EAP encryption", 128)
            method_id = b"".join(
                (connection.client_random() or b"", connection.server_random() or b"")
            )
        else:
            material = connection.export_keying_material(
                b"EXPORTER_EAP_TLS_Key_Material", 128, kind
            )
            method_id = connection.export_keying_material(b"EXPORTER_EAP_TLS_Method-Id", 64, kind)
        return EapKeys(material[:64], material[64:], kind + method_id)
