"""A stand-in for public keys, which take most of what a simulated bootstrap costs this machine.

Flights of EAP-TLS are as long as OpenSSL's and say who sends them; keys come from both randoms, and
what is altered on the way is refused.
Diffie-Hellman's values are as long as a group's. Nobody is to be kept out here: what is checked is
that a name may do what it wants, not that who has it is who it is. What the real ones take of a
simulated processor is measured with them (agents.bench.services).
"""

from __future__ import annotations

import hashlib
import hmac
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from agents.core.machine import PeerError
from agents.core.record import Record
from agents.crypto import dh
from agents.crypto.certificates import Certificate
from agents.eap.tls import (
    EapKeys,
    Engine,
    NameCheck,
    TlsClientConfig,
    TlsConfig,
    TlsServerConfig,
)
from agents.eap.wire import Type

_ALERT = bytes((21, 3, 3, 0, 2, 2, 46))
_SUCCESS_HEADER = 5
_HANDSHAKE = bytes((22, 3, 3))
"""What the header of a record with handshake messages begins with (RFC 8446 section 5.1)."""

_CLIENT, _SERVER = 1, 2
"""The types of the first message: ClientHello, ServerHello."""

_RANDOM, _NAME = slice(6, 38), 38
"""Where a flight has the sender's random, and where its name begins."""

_DIGEST = 16
"""Octets at the end of a flight by which it is known to be whole."""


class Flights(Record, frozen=True):
    """The lengths of what TLS 1.3 sends in octets, and the octets around application data.

    `tickets` are what a server sends when it is content, whether anybody wants them or not.
    """

    hello: int
    server: int
    client: int
    tickets: int
    around: int


@lru_cache
def flights(ca: Path, server: Path, server_key: Path, client: Path, client_key: Path) -> Flights:
    """Return the lengths of a handshake between the holders of two certificates."""
    one = TlsClientConfig(ca, client, client_key).engine(server=False, check_name=lambda _: None)
    two = TlsServerConfig(ca, server, server_key).engine(server=True, check_name=lambda _: None)
    hello = one.feed(b"")
    answer = two.feed(hello)
    end = one.feed(answer)
    tickets = two.feed(end)
    if not two.finished:
        raise ValueError(f"no handshake to measure: {one.failure or two.failure}")
    return Flights(len(hello), len(answer), len(end), len(tickets), len(two.protect(b"\0")) - 1)


class _Names(Record, frozen=True):
    mail: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    principals: tuple[str, ...] = ()


class _Named(Record, frozen=True):
    """What a certificate would say of its holder."""

    names: _Names
    constrained: bool = False
    common_names: tuple[str, ...] = ()


class ModelEngine:
    """agents.eap.tls.Engine of one end, which has a name."""

    version = "1.3"

    def __init__(
        self,
        own: str,
        lengths: Flights,
        rng: random.Random,
        *,
        server: bool,
        check_name: NameCheck,
    ) -> None:
        self._own = own.encode()
        self._lengths = lengths
        self._random = rng.randbytes(32)
        self._server = server
        self._check_name = check_name
        self._shared = b""
        self.finished = False
        self.failure: str | None = None
        self.alert_received = False
        self.received = b""

    @property
    def certificate_refused(self) -> bool:
        """Whether the other end, which has proved who it is, refused this end's certificate."""
        return self.finished and self.failure is not None

    def feed(self, records: bytes) -> bytes:
        """Take a flight of the peer's; return the next one."""
        if self.failure is not None:
            return b""
        if records == _ALERT:
            self.failure, self.alert_received = "the other end refused", True
            return b""
        if self.finished:
            begin = self._lengths.tickets + _SUCCESS_HEADER
            self.received += records[begin : len(records) - self._after]
            return b""
        return self._serve(records) if self._server else self._ask(records)

    @property
    def _after(self) -> int:
        return self._lengths.around - _SUCCESS_HEADER

    def _ask(self, records: bytes) -> bytes:
        if not records:
            return self._flight(self._lengths.hello)
        if not _is_whole(records):
            return self._fail("altered on the way")
        self._shared = self._random + records[_RANDOM]
        return self._judge(_Names(domains=(_name(records),)), self._lengths.client)

    def _serve(self, records: bytes) -> bytes:
        if not _is_whole(records):
            return self._fail("altered on the way")
        if not self._shared:
            self._shared = records[_RANDOM] + self._random
            return self._flight(self._lengths.server)
        return self._judge(_Names(mail=(_name(records),)), self._lengths.tickets)

    def _fail(self, reason: str) -> bytes:
        self.failure = reason
        return _ALERT

    def _judge(self, names: _Names, answer: int) -> bytes:
        refusal = self._check_name(cast(Certificate, _Named(names)))
        if refusal is not None:
            return self._fail(refusal)
        self.finished = True
        return self._flight(answer) if answer else b""

    def _flight(self, length: int) -> bytes:
        header = _HANDSHAKE + (length - 5).to_bytes(2)
        kind = bytes((_SERVER if self._server else _CLIENT,))
        flight = (header + kind + self._random + self._own).ljust(length - _DIGEST, b"\0")
        return flight + _digest(flight)

    def protect(self, data: bytes) -> bytes:
        """Return as many octets as the records that would carry `data`."""
        return bytes(_SUCCESS_HEADER) + data + bytes(self._after)

    def keys(self) -> EapKeys:
        """Return keys of the right lengths, the same at both ends and nowhere else."""
        first, second = (hmac.digest(self._shared, label, "sha512") for label in (b"MSK", b"EMSK"))
        kind = bytes([Type.TLS])
        return EapKeys(first, second, kind + hashlib.sha512(self._shared).digest())


def _name(flight: bytes) -> str:
    return flight[_NAME : flight.index(0, _NAME)].decode()


def _digest(flight: bytes) -> bytes:
    return hashlib.blake2b(flight, digest_size=_DIGEST).digest()


def _is_whole(flight: bytes) -> bool:
    """Return whether nobody has altered a flight, which TLS knows at the latest at its end."""
    return len(flight) > _NAME + _DIGEST and flight[-_DIGEST:] == _digest(flight[:-_DIGEST])


@dataclass(frozen=True)
class _Model(TlsConfig):
    """What both ends' configurations have; the files are not read."""

    own: str = ""
    lengths: Any = None
    rng: Any = None

    def prepare(self) -> None:
        """Read nothing."""

    def engine(self, *, server: bool, check_name: NameCheck) -> Engine:
        """Return a session of the model."""
        return ModelEngine(self.own, self.lengths, self.rng, server=server, check_name=check_name)


@dataclass(frozen=True)
class ModelClientConfig(_Model, TlsClientConfig):
    """The EAP peer's side."""


@dataclass(frozen=True)
class ModelServerConfig(_Model, TlsServerConfig):
    """The EAP server's side."""


class _ModelKeyPair:
    def __init__(self, public: int, length: int, rng: random.Random) -> None:
        self.public = rng.randbytes(public)
        self._length = length

    def shared(self, peer: bytes) -> bytes:
        """Return octets that depend on both public values, as long as the group's secret."""
        if len(peer) != len(self.public):
            raise PeerError(f"a public value of {len(peer)} octets")
        octets = b"".join(sorted((self.public, peer)))
        return hashlib.shake_128(octets).digest(self._length)


class _ModelGroup(Record, frozen=True):
    """Stands for another group."""

    name: str
    length: int
    public: int

    def generate(self, rng: random.Random) -> dh.KeyPair:
        """Return a fresh key pair."""
        return _ModelKeyPair(self.public, self.length, rng)


@contextmanager
def without_diffie_hellman() -> Iterator[None]:
    """Have models in place of all groups meanwhile, in this process."""
    real, rng = dict(dh.GROUPS), random.Random(0)
    try:
        for number, group in real.items():
            length = len(group.generate(rng).public)
            dh.GROUPS[number] = _ModelGroup(group.name, group.length, length)
        yield
    finally:
        dh.GROUPS.update(real)
