"""IKE SAs and CHILD SAs: a record for each state, which holds what is known in that state."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto
from ipaddress import IPv6Address
from typing import TypeAlias

import msgspec

from agents.core.machine import Address, Retransmission
from agents.core.record import Record, Secret
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


class Installed(Record, frozen=True):
    """In use, and nothing is to become of it yet."""


class Rekeying(Record, frozen=True):
    """The local host has asked for what replaces it."""


class Rekeyed(Record, frozen=True):
    """The peer has made what replaces it, and is to delete it."""

    by: Child


class Deleting(Record, frozen=True):
    """Either side is deleting it, or is about to."""


@dataclass(eq=False, slots=True)
class Child:
    """A pair of ESP SAs and the IKE SA it belongs to; the selectors are the local host's."""

    owner: IkeSa
    selectors: Selectors
    pair: EspPair
    initiated: bool
    """Whether the local host began the exchange that has made it."""

    state: Installed | Rekeying | Rekeyed | Deleting = field(default_factory=Installed)

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


class Intent(Record, frozen=True):
    """What an initiator was asked for: selectors of the first CHILD SA, and how to authenticate."""

    selectors: Selectors
    method: Method
    psk: PskEntry | None = None
    eap: EapPeerLike | None = None
    remote_identity: str | None = None


class Transcript(Record, frozen=True):
    """What IKE_SA_INIT leaves for AUTH: both messages and nonces, initiator's first."""

    messages: tuple[bytes, bytes]
    nonces: Secret[tuple[bytes, bytes]]
    peer_hashes: frozenset[int]


class Keymat(Record, frozen=True):
    """What protects the messages of an IKE SA from IKE_AUTH on."""

    proposal: IkeProposal
    keys: IkeKeys
    sealer: Sealer


class InitSent(Record, frozen=True):
    """Initiator: IKE_SA_INIT is out."""

    intent: Intent
    nonce: Secret[bytes]
    key_pair: Secret[KeyPair]
    group: int
    cookie: bytes = b""
    attempts: int = 1
    refusals: int = 0
    hint: str = ""
    """What an unauthenticated notification has claimed."""


class AuthSent(Record, frozen=True):
    """Initiator: IKE_AUTH is out, the peer is not authenticated yet."""

    intent: Intent
    transcript: Transcript
    keymat: Keymat
    spi: int
    """Of the CHILD SA to come."""

    hint: str = ""
    """What an unauthenticated notification has claimed."""


class EapRunning(Record, frozen=True):
    """Initiator: the responder is authenticated and goes on with EAP."""

    intent: Intent
    transcript: Transcript
    keymat: Keymat
    spi: int
    identity: Identity
    name: str
    """The peer's identity as text."""


class MskSent(Record, frozen=True):
    """Initiator: EAP has succeeded; the proof of its key is out, the responder's is awaited."""

    intent: Intent
    transcript: Transcript
    keymat: Keymat
    spi: int
    identity: Identity
    name: str
    msk: Secret[bytes]


# The responder's.


class HalfOpen(Record, frozen=True):
    """Responder: IKE_SA_INIT is answered; keys are computed when IKE_AUTH comes."""

    transcript: Transcript
    proposal: IkeProposal
    key_pair: Secret[KeyPair]
    public: Secret[bytes]


class AuthAwaited(Record, frozen=True):
    """Responder: keys are known, but no authentic IKE_AUTH has come yet."""

    transcript: Transcript
    keymat: Keymat


class KeyAwaited(Record, frozen=True):
    """Responder: the owner has been asked for the pre-shared key of whom the peer claims to be."""

    transcript: Transcript
    keymat: Keymat
    offer: Contents
    """The first IKE_AUTH request."""


class EapRelayed(Record, frozen=True):
    """Responder: EAP goes on between the initiator and the AAA."""

    transcript: Transcript
    keymat: Keymat
    offer: Contents
    """The first IKE_AUTH request."""

    claimed: Identity
    prelude: tuple[Payload, ...]
    """The responder's own proof, sent with the first EAP packet."""


class EapAccepted(Record, frozen=True):
    """Responder: EAP-Success is out; the initiator has to prove that it has the MSK."""

    transcript: Transcript
    keymat: Keymat
    offer: Contents
    claimed: Identity
    identity: str
    """Whom the AAA has authenticated."""

    msk: Secret[bytes]
    grant: Grant | None
    authorised_until: float


# Both roles'.


class Established(Record, frozen=True):
    """Both sides are authenticated."""

    keymat: Keymat
    identity: str
    """The peer's identity."""

    method: str
    grant: Grant | None = None
    authorised_until: float = math.inf
    reauthenticate_at: float = math.inf
    """When the local host, if it is the original initiator, authenticates anew (RFC 4478)."""

    children: dict[int, Child] = msgspec.field(default_factory=dict)
    """By inbound SPI."""


class Replaced(Established, frozen=True, kw_only=True):
    """Its successor has its CHILD SAs; whoever has made that one is to delete this one."""

    successor: IkeSa

    @classmethod
    def of(cls, state: Established, successor: IkeSa) -> Replaced:
        """Return the state after this one."""
        same = {name: getattr(state, name) for name in Established.__struct_fields__}
        return cls(**same, successor=successor)


class Closed(Record, frozen=True):
    """Gone; the last response is kept for duplicates of the last request."""

    identity: str


Initiating: TypeAlias = InitSent | AuthSent | EapRunning | MskSent
Responding: TypeAlias = HalfOpen | AuthAwaited | KeyAwaited | EapRelayed | EapAccepted
State: TypeAlias = Initiating | Responding | Established | Closed


class Request(Record, frozen=True):
    """A request that awaits its response."""

    message_id: int
    exchange: int
    data: bytes
    purpose: Purpose
    retransmission: Retransmission


class Served(Record, frozen=True):
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

    is_left: bool = False
    """Whether another one is to be made in its place: the local host has moved, or it ends soon.

    That it is back at `local` does not matter.
    """

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
