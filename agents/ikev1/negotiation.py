"""The states of phase 1, and the messages that they are sent in (RFC 2409 section 5.4)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from typing import TypeAlias

from agents.core.record import Record, Secret
from agents.crypto import dh
from agents.ike.constants import Role
from agents.ike.identities import Identity
from agents.ike.psk import PskEntry, PskStore
from agents.ikev1.config import Config
from agents.ikev1.constants import ExchangeType, Flag, Mode
from agents.ikev1.keys import Keys, Transcript, encrypt
from agents.ikev1.proposals import IkeChoice
from agents.ikev1.wire import HEADER_LENGTH, Header, Payload, SecurityAssociation, encode_chain


class Proposed(Record, frozen=True):
    """Main mode initiator: message 1 is out."""

    offer: SecurityAssociation


class Answered(Record, frozen=True):
    """Main mode responder: message 2 is out."""

    choice: IkeChoice
    offer: bytes


class KeySent(Record, frozen=True):
    """Main mode initiator: message 3 is out."""

    choice: IkeChoice
    offer: bytes
    key_pair: Secret[dh.KeyPair]
    nonce: Secret[bytes]


class Exchanged(Record, frozen=True):
    """Main mode responder: message 4 is out; message 5 shows whose key the peer has."""

    choice: IkeChoice
    transcript: Transcript
    nonces: Secret[tuple[bytes, bytes]]
    shared: Secret[bytes]


class KeyAwaited(Record, frozen=True):
    """Aggressive mode responder: the owner has been asked for the key; `payloads` of message 1."""

    payloads: tuple[Payload, ...]


class AggressiveAnswered(Record, frozen=True):
    """Aggressive mode responder: message 2 is out; g^xy is computed when message 3 comes."""

    choice: IkeChoice
    transcript: Transcript
    nonces: Secret[tuple[bytes, bytes]]
    key_pair: Secret[dh.KeyPair]
    identity: bytes
    """Body of the initiator's ID payload."""


class Keyed(Record, frozen=True):
    """Keys are known; the peer's proof is awaited, or is what has come."""

    choice: IkeChoice
    transcript: Transcript
    keys: Keys
    iv: bytes


class AggressiveSent(Record, frozen=True):
    """Aggressive mode initiator: message 1 is out."""

    offer: SecurityAssociation
    identity: bytes
    key_pair: Secret[dh.KeyPair]
    nonce: Secret[bytes]


class Established(Record, frozen=True):
    """Both sides are authenticated."""

    keys: Keys
    last_block: bytes
    lifetime: float
    identity: str
    initial_contact: bool


State: TypeAlias = (
    Proposed
    | Answered
    | KeySent
    | Exchanged
    | Keyed
    | AggressiveSent
    | KeyAwaited
    | AggressiveAnswered
    | Established
)


@dataclass(slots=True)
class Negotiation:
    """One phase 1 negotiation of either role, and the ISAKMP SA that it becomes."""

    config: Config
    rng: random.Random
    local: IPv6Address
    peer: IPv6Address
    role: Role
    mode: Mode
    psks: PskStore
    key_pairs: dh.KeyPairs
    initiator_cookie: bytes
    responder_cookie: bytes
    entry: PskEntry | None = None
    """The peer's key; a responder in main mode knows it by message 5."""

    initial_contact: bool = False
    state: State = field(init=False)

    @property
    def exchange(self) -> ExchangeType:
        """The exchange type on the wire."""
        return self.mode.exchange


def local_identity(n: Negotiation) -> Identity:
    """Return the identity that the configuration gives, by default the local address."""
    name = n.config.identity
    return Identity.of(name) if name else Identity.of_address(n.local)


def encode_message(
    n: Negotiation, exchange: int, message_id: int, *, flags: int, first: int, body: bytes
) -> bytes:
    """Return header and body of a message of this SA."""
    header = Header(
        n.initiator_cookie,
        n.responder_cookie,
        first,
        exchange,
        flags,
        message_id,
        HEADER_LENGTH + len(body),
    )
    return header.encode() + body


def encode_plain(n: Negotiation, payloads: Sequence[Payload], exchange: int | None = None) -> bytes:
    """Return a message in clear with message id 0."""
    kind = n.exchange if exchange is None else exchange
    return encode_message(n, kind, 0, flags=0, first=payloads[0].type, body=encode_chain(payloads))


def encode_sealed(
    n: Negotiation, keys: Keys, iv: bytes, payloads: Sequence[Payload]
) -> tuple[bytes, bytes]:
    """Return an encrypted message of phase 1 and the next IV."""
    body, last = encrypt(keys.encryption, iv, encode_chain(payloads))
    return encode_message(
        n, n.exchange, 0, flags=Flag.ENCRYPTED, first=payloads[0].type, body=body
    ), last
