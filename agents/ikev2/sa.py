"""IKE SAs and CHILD SAs: a record for each state, which holds what is known in that state."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field, fields
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
from agents.ikev2.tasks import ChildRequested, CreateChild, DeleteIke, Purpose, Task
from agents.ikev2.wire import Message, Payload

# States of a CHILD SA.


@dataclass(frozen=True, slots=True)
class Installed:
    """In use, and nothing is to become of it yet."""


@dataclass(frozen=True, slots=True)
class Rekeying:
    """The local host has asked for what replaces it."""


@dataclass(frozen=True, slots=True)
class Rekeyed:
    """The peer has made what replaces it, and is to delete it."""

    by: Child


@dataclass(frozen=True, slots=True)
class Deleting:
    """Either side is deleting it, or is about to."""


@dataclass(eq=False, slots=True)
class Child:
    """A pair of ESP SAs and the IKE SA it belongs to; the selectors are the local host's."""

    owner: IkeSa
    selectors: Selectors
    pair: EspPair
    initiated: bool
    """Whether the local host began the exchange that has made it."""

    state: Installed | Rekeying | Rekeyed | Deleting = Installed()

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


# States of an IKE SA: first the initiator's.


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


@dataclass(frozen=True, slots=True)
class Transcript:
    """What IKE_SA_INIT leaves for AUTH: both messages and nonces, initiator's first."""

    messages: tuple[bytes, bytes]
    nonces: tuple[bytes, bytes] = field(repr=False)
    peer_hashes: frozenset[int]


@dataclass(frozen=True, slots=True)
class Keymat:
    """What protects the messages of an IKE SA from IKE_AUTH on."""

    proposal: IkeProposal
    keys: IkeKeys
    sealer: Sealer


@dataclass(frozen=True, slots=True)
class InitSent:
    """Initiator: IKE_SA_INIT is out."""

    intent: Intent
    nonce: bytes = field(repr=False)
    key_pair: KeyPair = field(repr=False)
    group: int
    cookie: bytes = b""
    attempts: int = 1
    refusals: int = 0
    hint: str = ""
    """What an unauthenticated notification has claimed."""


@dataclass(frozen=True, slots=True)
class AuthSent:
    """Initiator: IKE_AUTH is out, the peer is not authenticated yet."""

    intent: Intent
    transcript: Transcript
    keymat: Keymat
    spi: int
    """Of the CHILD SA to come."""

    hint: str = ""
    """What an unauthenticated notification has claimed."""


@dataclass(frozen=True, slots=True)
class EapRunning:
    """Initiator: the responder is authenticated and goes on with EAP."""

    intent: Intent
    transcript: Transcript
    keymat: Keymat
    spi: int
    identity: Identity
    name: str
    """The peer's identity as text."""


@dataclass(frozen=True, slots=True)
class MskSent:
    """Initiator: EAP has succeeded; the proof of its key is out, the responder's is awaited."""

    intent: Intent
    transcript: Transcript
    keymat: Keymat
    spi: int
    identity: Identity
    name: str
    msk: bytes = field(repr=False)


# The responder's.


@dataclass(frozen=True, slots=True)
class HalfOpen:
    """Responder: IKE_SA_INIT is answered; keys are computed when IKE_AUTH comes."""

    transcript: Transcript
    proposal: IkeProposal
    key_pair: KeyPair = field(repr=False)
    public: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class AuthAwaited:
    """Responder: keys are known, but no authentic IKE_AUTH has come yet."""

    transcript: Transcript
    keymat: Keymat


@dataclass(frozen=True, slots=True)
class EapRelayed:
    """Responder: EAP goes on between the initiator and the AAA."""

    transcript: Transcript
    keymat: Keymat
    offer: Contents
    """The first IKE_AUTH request."""

    claimed: Identity
    prelude: tuple[Payload, ...]
    """The responder's own proof, sent with the first EAP packet."""


@dataclass(frozen=True, slots=True)
class EapAccepted:
    """Responder: EAP-Success is out; the initiator has to prove that it has the MSK."""

    transcript: Transcript
    keymat: Keymat
    offer: Contents
    claimed: Identity
    identity: str
    """Whom the AAA has authenticated."""

    msk: bytes = field(repr=False)
    grant: Grant | None
    authorised_until: float


# Both roles'.


@dataclass(frozen=True, slots=True)
class Established:
    """Both sides are authenticated."""

    keymat: Keymat
    identity: str
    """The peer's identity."""

    method: str
    grant: Grant | None = None
    authorised_until: float = math.inf
    children: dict[int, Child] = field(default_factory=dict)
    """By inbound SPI."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaced(Established):
    """Its successor has its CHILD SAs; whoever has made that one is to delete this one."""

    successor: IkeSa

    @classmethod
    def of(cls, state: Established, successor: IkeSa) -> Replaced:
        """Return the state after this one."""
        same = {f.name: getattr(state, f.name) for f in fields(Established)}
        return cls(**same, successor=successor)


@dataclass(frozen=True, slots=True)
class Closed:
    """Gone; the last response is kept for duplicates of the last request."""

    identity: str


Initiating: TypeAlias = InitSent | AuthSent | EapRunning | MskSent
Responding: TypeAlias = HalfOpen | AuthAwaited | EapRelayed | EapAccepted
State: TypeAlias = Initiating | Responding | Established | Closed


@dataclass(frozen=True, slots=True)
class Request:
    """A request that awaits its response."""

    message_id: int
    exchange: int
    data: bytes
    purpose: Purpose
    retransmission: Retransmission


@dataclass(frozen=True, slots=True)
class Served:
    """The peer's last request, where it came from, and what was answered."""

    message: Message
    source: Address
    response: bytes = b""
    """Empty while it is not ready."""


@dataclass(slots=True)
class Window:
    """One exchange at a time in each direction (section 2.3)."""

    request: Request | None = None
    next_id: int = 0
    """The message ID of the local host's next request."""

    served: Served | None = None
    suspected_at: float = -math.inf
    """When the peer was last said, by whomever, not to know the IKE SA."""

    @property
    def expected_id(self) -> int:
        """The message ID of the peer's next request."""
        return self.served.message.header.message_id + 1 if self.served else 0

    @property
    def heard(self) -> bool:
        """Whether the peer has sent a request or a response."""
        return self.served is not None or self.next_id > (self.request is not None)


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
    window: Window = field(default_factory=Window)
    tasks: deque[Task] = field(default_factory=deque)
    delayed: list[Task] = field(default_factory=list)
    """Tasks to try again soon."""

    @property
    def spi(self) -> bytes:
        """The SPI that the local host has chosen."""
        return self.spi_i if self.initiator else self.spi_r

    @property
    def spis(self) -> tuple[bytes, bytes]:
        """The initiator's and the responder's SPI."""
        return self.spi_i, self.spi_r

    @property
    def keymat(self) -> Keymat | None:
        """What protects its messages, None if nothing does."""
        return None if isinstance(self.state, InitSent | HalfOpen | Closed) else self.state.keymat

    @property
    def identity(self) -> str:
        """Whom the peer has been found to be, empty if that is not known."""
        match self.state:
            case EapAccepted() | Established() | Closed() as state:
                return state.identity
            case _:
                return ""

    @property
    def established(self) -> Established:
        """The state of an IKE SA that is established; ValueError in another one."""
        if not isinstance(self.state, Established):
            raise ValueError("the IKE SA is not established")
        return self.state

    @property
    def children(self) -> dict[int, Child]:
        """Its CHILD SAs by inbound SPI."""
        return self.state.children if isinstance(self.state, Established) else {}

    @property
    def up(self) -> bool:
        """Whether it is established and neither replaced nor being closed."""
        replaced = isinstance(self.state, Replaced)
        return isinstance(self.state, Established) and not replaced and not self.ending

    @property
    def ending(self) -> bool:
        """Whether the local host is deleting it, or is about to."""
        return any(isinstance(t, DeleteIke) for t in (self.purpose, *self.tasks))

    @property
    def purpose(self) -> Purpose | None:
        """What the request under way stands for."""
        return self.window.request.purpose if self.window.request else None

    @property
    def wanted(self) -> list[Selectors]:
        """The CHILD SAs that were asked for, do not replace any, and are not up yet."""
        tasks: list[Task] = [*self.tasks, *self.delayed]
        if isinstance(self.purpose, ChildRequested):
            tasks.insert(0, self.purpose.task)
        found = [t.selectors for t in tasks if isinstance(t, CreateChild)]
        if isinstance(self.state, Initiating):
            found.insert(0, self.state.intent.selectors)
        return found
