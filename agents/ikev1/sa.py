"""ISAKMP SAs, ESP SAs and quick modes: records, and the timers that they have."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum, auto
from ipaddress import IPv6Address
from typing import TypeAlias

from agents.core.machine import Address, PeerError, Retransmission
from agents.core.record import Record
from agents.ike import endpoint as ike
from agents.ike.constants import Role
from agents.ike.esp import EspPair
from agents.ike.selectors import Selectors
from agents.ikev1.config import Config
from agents.ikev1.constants import NotifyType
from agents.ikev1.negotiation import Established, Negotiation
from agents.ikev1.quick_mode import QuickMode, Sealer
from agents.ikev1.wire import Message


class Timer(Enum):
    """What a deadline is for."""

    RETRANSMIT = auto()
    GIVE_UP = auto()
    SA_EXPIRES = auto()
    QUICK_RETRANSMIT = auto()
    QUICK_GIVE_UP = auto()
    CHILD_REKEY = auto()
    CHILD_EXPIRES = auto()


TimerKey: TypeAlias = tuple[Timer, bytes, int]
"""The timer, the local cookie of its ISAKMP SA (or nothing), its message id or SPI (or 0)."""

FATAL_IN_PHASE1 = frozenset(
    {
        NotifyType.NO_PROPOSAL_CHOSEN,
        NotifyType.INVALID_KEY_INFORMATION,
        NotifyType.INVALID_ID_INFORMATION,
        NotifyType.AUTHENTICATION_FAILED,
    }
)
"""Errors that end a negotiation; others discard one message, which anybody may have sent."""


@dataclass(slots=True)
class QuickRecord:
    """A quick mode with what retransmission and duplicates need."""

    quick: QuickMode
    last_sent: bytes
    last_received: bytes = b""
    retransmission: Retransmission | None = None


@dataclass(slots=True, eq=False)
class IsakmpSa:
    """An ISAKMP SA, negotiated or established, with its exchanges."""

    n: Negotiation
    address: Address
    first_message: bytes = b""
    last_received: bytes = b""
    last_sent: bytes = b""
    retransmission: Retransmission | None = None
    pending: list[Selectors] = field(default_factory=list)
    early: Message | None = None
    """One quick mode request that came before phase 1 was complete."""

    held: Message | None = None
    """Message 5 of main mode, while the owner looks for the key."""

    was_asked: bool = False

    hint: str = ""
    """What an unauthenticated notification has claimed."""

    expires_at: float = math.inf
    quicks: dict[int, QuickRecord] = field(default_factory=dict)
    message_ids: set[int] = field(default_factory=set)

    @property
    def cookie(self) -> bytes:
        """The cookie that the local host has chosen."""
        n = self.n
        return n.initiator_cookie if n.role is Role.INITIATOR else n.responder_cookie

    @property
    def holder(self) -> str:
        """Whose key it is; empty while that is not known."""
        return self.n.entry.holder if self.n.entry else ""

    @property
    def sealer(self) -> Sealer | None:
        """What protects phase 2, once phase 1 is complete."""
        state = self.n.state
        return Sealer(self.n, state) if isinstance(state, Established) else None


class Child(Record, frozen=True, eq=False):
    """A pair of ESP SAs that is up; it is its holder's, wherever the peer is."""

    peer: IPv6Address
    holder: str
    selectors: Selectors
    pair: EspPair
    role: Role


class Endpoint(ike.Endpoint[Config, TimerKey]):
    """The local host, as all its exchanges see it."""

    def retransmission(self, now: float) -> Retransmission:
        """Return the deadlines of a message that is sent now."""
        return Retransmission(self.config.timing, self.rng, now)


def is_fatal(error: Exception) -> bool:
    """Return whether this error in phase 1 ends the negotiation."""
    return isinstance(error, PeerError) and error.code in FATAL_IN_PHASE1
