"""IKE SAs, CHILD SAs and what is under way on them: records without behaviour."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto
from ipaddress import IPv6Address
from typing import TypeAlias

from agents.core.machine import Address, Retransmission
from agents.crypto.dh import KeyPair
from agents.eap.lower import EapPeerLike
from agents.ike.esp import EspPair
from agents.ike.identities import Identity
from agents.ike.psk import PskEntry
from agents.ike.selectors import Selectors
from agents.ikev2.config import Grant, IkeProposal
from agents.ikev2.grammar import Contents
from agents.ikev2.keys import IkeKeys
from agents.ikev2.sealing import Sealer
from agents.ikev2.wire import Message, Payload


@dataclass(eq=False, slots=True)
class Child:
    """A pair of ESP SAs and the IKE SA it belongs to; the selectors are the local host's."""

    owner: IkeSa
    selectors: Selectors
    pair: EspPair
    initiated: bool
    """Whether the local host began the exchange that has made it."""

    lowest_nonce: bytes
    """The lower of the two nonces of that exchange; it decides collisions (section 2.8.1)."""

    closing: bool = False
    """Whether either side is to delete it."""

    rekeying: bool = False
    rival: Child | None = None
    """What the peer has made to replace this one."""

    replaces: Child | None = None
    """What the peer has made this one for to replace; it is there until the peer deletes it."""

    @property
    def peer(self) -> IPv6Address:
        """The peer's address."""
        return self.owner.peer

    @property
    def spi(self) -> int:
        """The inbound SPI."""
        return self.pair.inbound.spi

    @property
    def spis(self) -> tuple[int, int]:
        """Inbound and outbound SPI."""
        return self.pair.inbound.spi, self.pair.outbound.spi


# What is to be done on an established IKE SA, one after the other.


@dataclass(frozen=True, slots=True)
class MakeChild:
    """Make a CHILD SA, or one that replaces another."""

    selectors: Selectors
    replaces: Child | None = None
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class RekeyIke:
    """Replace the IKE SA."""

    group: int | None = None
    """The group that the peer wants instead of the last one."""

    attempts: int = 0


@dataclass(frozen=True, slots=True)
class DeleteChildren:
    """Delete CHILD SAs."""

    children: tuple[Child, ...]
    reason: str
    refused: tuple[int, ...] = ()
    """Inbound SPIs of SAs that the peer has made and the local host has not."""


@dataclass(frozen=True, slots=True)
class DeleteIke:
    """Delete the IKE SA."""

    reason: str


@dataclass(frozen=True, slots=True)
class Probe:
    """Ask whether the peer lives."""


Task: TypeAlias = MakeChild | RekeyIke | DeleteChildren | DeleteIke | Probe


# What the request that is under way stands for.


@dataclass(frozen=True, slots=True)
class ChildRequested:
    """CREATE_CHILD_SA for a CHILD SA."""

    task: MakeChild
    spi: int
    nonce: bytes = field(repr=False)
    key_pair: KeyPair | None = field(repr=False)
    group: int | None


@dataclass(frozen=True, slots=True)
class RekeyRequested:
    """CREATE_CHILD_SA for a new IKE SA."""

    task: RekeyIke
    spi: bytes
    nonce: bytes = field(repr=False)
    key_pair: KeyPair = field(repr=False)
    group: int


@dataclass(frozen=True, slots=True)
class Initial:
    """IKE_SA_INIT or IKE_AUTH; the state of the IKE SA says more."""


Purpose: TypeAlias = Initial | ChildRequested | RekeyRequested | DeleteChildren | DeleteIke | Probe


@dataclass(slots=True)
class Request:
    """A request that awaits its response."""

    message_id: int
    exchange: int
    data: bytes
    purpose: Purpose
    retransmission: Retransmission


# States of an IKE SA.


@dataclass(frozen=True, slots=True)
class Transcript:
    """What IKE_SA_INIT leaves for AUTH: both messages and nonces, initiator's first."""

    messages: tuple[bytes, bytes]
    nonces: tuple[bytes, bytes] = field(repr=False)
    peer_hashes: frozenset[int]


@dataclass(frozen=True, slots=True)
class InitSent:
    """Initiator: IKE_SA_INIT is out."""

    nonce: bytes = field(repr=False)
    key_pair: KeyPair = field(repr=False)
    group: int
    cookie: bytes = b""
    attempts: int = 1
    refusals: int = 0


@dataclass(frozen=True, slots=True)
class HalfOpen:
    """Responder: IKE_SA_INIT is answered; keys are computed when IKE_AUTH comes."""

    proposal: IkeProposal
    transcript: Transcript
    key_pair: KeyPair = field(repr=False)
    public: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class AuthSent:
    """Initiator: IKE_AUTH is out, the peer is not authenticated yet."""

    transcript: Transcript
    psk: PskEntry | None
    spi: int
    """Of the CHILD SA to come."""


@dataclass(frozen=True, slots=True)
class EapRunning:
    """EAP goes on. Initiator: the responder is authenticated. Responder: the AAA decides."""

    transcript: Transcript
    identity: Identity
    name: str
    """The peer's identity, also as text."""

    spi: int = 0
    """Initiator: of the CHILD SA to come."""

    offer: Contents | None = None
    """Responder: the first IKE_AUTH request."""

    msk: bytes | None = field(default=None, repr=False)
    """Set when EAP has succeeded."""


@dataclass(frozen=True, slots=True)
class Established:
    """Both sides are authenticated."""


@dataclass(frozen=True, slots=True)
class Closed:
    """Gone; the last response is kept for duplicates of the last request."""


State: TypeAlias = InitSent | HalfOpen | AuthSent | EapRunning | Established | Closed


class Method(Enum):
    """How the initiator authenticates."""

    PSK = auto()
    CERTIFICATE = auto()
    EAP = auto()


@dataclass(frozen=True, slots=True)
class Intent:
    """What an initiator was asked for: selectors of the first CHILD SA, and how to authenticate."""

    selectors: Selectors
    method: Method
    psk: PskEntry | None = None
    eap: EapPeerLike | None = None
    remote_identity: str | None = None


@dataclass(eq=False, slots=True)
class IkeSa:
    """An IKE SA of either role with its exchanges."""

    peer: IPv6Address
    address: Address
    local: IPv6Address
    initiator: bool
    """Whether the local host is the original initiator, or began the rekeying that made it."""

    spi_i: bytes
    spi_r: bytes
    state: State
    intent: Intent | None = None
    proposal: IkeProposal | None = None
    keys: IkeKeys | None = None
    sealer: Sealer | None = None
    identity: str = ""
    method: str = ""
    grant: Grant | None = None
    authorised_until: float = math.inf
    children: dict[int, Child] = field(default_factory=dict)
    """By inbound SPI."""

    tasks: deque[Task] = field(default_factory=deque)
    request: Request | None = None
    next_id: int = 0
    """The message id of the local host's next request."""

    heard: Message | None = None
    """The peer's last request, and what was answered; empty while the answer is not ready."""

    answered: bytes = b""
    reply_to: Address | None = None
    """Where the peer's last request came from."""

    eap_prelude: list[Payload] = field(default_factory=list)
    """The responder's own proof, sent with the first EAP packet."""

    delayed: list[Task] = field(default_factory=list)
    """Tasks to try again soon."""

    lowest_nonce: bytes = b""
    rival: IkeSa | None = None
    """What the peer has made to replace this one while the local host rekeys it too."""

    predecessor: IkeSa | None = None
    """What this one is the rival of, until it is known which one takes over."""

    successor: IkeSa | None = None
    suspected_at: float = -math.inf
    """When the peer was last said, by whomever, not to know it."""

    hint: str = ""
    """What an unauthenticated notification has claimed."""

    @property
    def spi(self) -> bytes:
        """The SPI that the local host has chosen."""
        return self.spi_i if self.initiator else self.spi_r

    @property
    def spis(self) -> tuple[bytes, bytes]:
        """The initiator's and the responder's SPI."""
        return self.spi_i, self.spi_r

    @property
    def expected_id(self) -> int:
        """The message id of the peer's next request."""
        return self.heard.header.message_id + 1 if self.heard else 0

    @property
    def used(self) -> bool:
        """Whether the peer is known to have it: it has sent something over it, or made it last."""
        answered = self.next_id - (self.request is not None)
        return self.initiator or self.heard is not None or answered > 0

    @property
    def up(self) -> bool:
        """Whether it is established and neither closed nor being closed."""
        if not isinstance(self.state, Established) or self.successor is not None:
            return False
        return not self.ending

    @property
    def ending(self) -> bool:
        """Whether the local host is deleting it, or is about to."""
        return any(isinstance(t, DeleteIke) for t in (self.purpose, *self.tasks))

    @property
    def purpose(self) -> Purpose | None:
        """What the request under way stands for."""
        return self.request.purpose if self.request else None

    @property
    def wanted(self) -> list[Selectors]:
        """The CHILD SAs that were asked for, do not replace any, and are not up yet."""
        tasks: list[object] = [*self.tasks, *self.delayed]
        if isinstance(self.purpose, ChildRequested):
            tasks.insert(0, self.purpose.task)
        found = [t.selectors for t in tasks if isinstance(t, MakeChild) and t.replaces is None]
        if self.intent is not None and not isinstance(self.state, Established):
            found.insert(0, self.intent.selectors)
        return found
