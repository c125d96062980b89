"""What each end keeps of a session: sequence numbers, one request, the last answer, the SA."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass

from agents.machine import Address, PeerError, Retransmission, Timing
from agents.pana.dialect import Dialect
from agents.pana.grammar import Protection
from agents.pana.keys import KeyMaterial, SecurityAssociation, Suite
from agents.pana.wire import Avp, AvpName, Kind, Message

NONCE_LENGTH = 20
"""Octets; RFC 5191 section 8.5 has 20 as the maximum, and half of SHA2-256's key is 16."""


@dataclass(frozen=True, slots=True)
class Received:
    """A message with the octets it came in and where from."""

    message: Message
    data: bytes
    source: Address


@dataclass(slots=True)
class Outstanding:
    """The request that waits for its answer (PCI too, which waits for a PAR)."""

    kind: Kind
    sequence: int
    data: bytes
    retransmission: Retransmission | None = None


class Association:
    """Session attributes of RFC 5191 section 5.3 and the rules of section 5.2 about them."""

    def __init__(
        self,
        dialect: Dialect,
        *,
        rng: random.Random,
        peer: Address,
        session: bytes,
        outbox: deque[tuple[bytes, Address]],
    ) -> None:
        self.dialect = dialect
        self.peer = peer
        self.session = session
        self.outstanding: Outstanding | None = None
        self.retransmissions_left = False
        self.start_request = b""
        self.start_answer = b""
        self.own_nonce = b""
        self.peer_nonce = b""
        self.suite: Suite | None = None
        self.sa: SecurityAssociation | None = None
        self._rng = rng
        self._outbox = outbox
        self._next_out: int | None = None
        self._next_in: int | None = None
        self._answered: tuple[bytes, bytes] | None = None

    # Sending.

    def request(self, kind: Kind, *avps: Avp) -> bytes:
        """Queue a new request; return its octets. Its timer is started apart."""
        if self._next_out is None:
            self._next_out = self._rng.getrandbits(32)
        sequence = self._next_out
        self._next_out = (sequence + 1) % 2**32
        sa = None if kind is Kind.START else self.sa
        data = self.dialect.seal(Message(kind, True, self.session, sequence, avps), sa)
        self._queue(Outstanding(kind, sequence, data))
        return data

    def initiation(self, *avps: Avp) -> None:
        """Queue a PANA-Client-Initiation, sent again like a request until a PAR has come."""
        data = self.dialect.encode(Message(Kind.INITIATION, False, b"", 0, avps))
        self._queue(Outstanding(Kind.INITIATION, 0, data))

    def _queue(self, outstanding: Outstanding) -> None:
        self.outstanding = outstanding
        self._outbox.append((outstanding.data, self.peer))

    def answer(self, received: Received, *avps: Avp) -> bytes:
        """Queue the answer to a request and keep it for duplicates; return its octets."""
        request = received.message
        sa = None if request.kind is Kind.START else self.sa
        message = Message(request.kind, False, self.session, request.sequence, avps)
        data = self.dialect.seal(message, sa)
        self._answered = (received.data, data)
        self._outbox.append((data, received.source))
        return data

    def answer_again(self, data: bytes, source: Address) -> bool:
        """Answer a duplicate of the last request from the cache; return whether it is one.

        RFC 5191 section 5.2: a retransmission is the original packet, so equal octets tell.
        """
        if self._answered is None or self._answered[0] != data:
            return False
        self._outbox.append((self._answered[1], source))
        return True

    @property
    def has_answered(self) -> bool:
        """Whether an answer is cached that the peer may ask for again."""
        return self._answered is not None

    # Timers.

    def start_timer(self, timing: Timing, now: float) -> None:
        """Start the retransmission timer of the outstanding request."""
        if self.outstanding is not None:
            self.outstanding.retransmission = Retransmission(timing, self._rng, now)

    def stop_timer(self) -> None:
        """Give up waiting for an answer."""
        self.outstanding = None

    @property
    def deadline(self) -> float | None:
        """When the outstanding request is to be sent again, in seconds."""
        if self.outstanding is None or self.outstanding.retransmission is None:
            return None
        return self.outstanding.retransmission.deadline

    def expire(self, now: float) -> bool:
        """Return whether the retransmission timer has run out; see `retransmissions_left`."""
        if (deadline := self.deadline) is None or deadline > now:
            return False
        if self.outstanding is not None and self.outstanding.retransmission is not None:
            self.retransmissions_left = self.outstanding.retransmission.expire(now)
        return True

    def retransmit(self) -> None:
        """Queue the outstanding request once more."""
        if self.outstanding is not None:
            self._outbox.append((self.outstanding.data, self.peer))

    # Receiving.

    def check_sequence(self, message: Message) -> None:
        """Raise PeerError unless the sequence number is the expected one (RFC 5191 5.2)."""
        label = self.dialect.label(message)
        if message.kind is Kind.INITIATION:
            return
        if not message.request:
            waiting = self.outstanding
            if waiting is None or waiting.kind is not message.kind:
                raise PeerError(f"{label} answers no outstanding request")
            if waiting.sequence != message.sequence:
                raise PeerError(f"{label} with a wrong sequence number")
        elif message.kind is not Kind.START and self._next_in not in (None, message.sequence):
            raise PeerError(f"{label} with a wrong sequence number")

    def check_auth(self, received: Received, sa: SecurityAssociation | None) -> None:
        """Raise PeerError unless AUTH is right under `sa`, or absent if there is none."""
        message = received.message
        label = self.dialect.label(message)
        if self.dialect.rules(message).protection is Protection.NEVER:
            return
        if sa is None:
            if message.has(AvpName.AUTH):
                raise PeerError(f"{label} with AUTH before there is a PANA SA")
        elif not message.has(AvpName.AUTH):
            raise PeerError(f"{label} without AUTH")
        elif not sa.verify(received.data, message):
            raise PeerError(f"{label} with a wrong AUTH")

    def accept(self, message: Message) -> None:
        """Note a valid message: its sequence number, or that the request has its answer."""
        if message.request:
            self._next_in = (message.sequence + 1) % 2**32
        elif message.kind is not Kind.INITIATION:
            self.outstanding = None

    # Keys.

    def new_nonce(self) -> Avp:
        """Pick this side's nonce for the coming key."""
        self.own_nonce = self._rng.randbytes(NONCE_LENGTH)
        return Avp(AvpName.NONCE, self.own_nonce)

    def forget_nonces(self) -> None:
        """Begin another authentication: NONCE_SENT=Unset."""
        self.own_nonce = self.peer_nonce = b""

    def check_nonce(self, message: Message) -> None:
        """Raise PeerError unless the first exchange has a nonce and others have none.

        RFC 5191 section 4.1.
        """
        if message.kind is not self.dialect.nonce_kind:
            return
        if message.has(AvpName.NONCE) is bool(self.peer_nonce):
            lack = "a second" if self.peer_nonce else "no"
            raise PeerError(f"{self.dialect.label(message)} with {lack} Nonce")

    def derive(self, msk: bytes, key_id: int, *, pac: bool) -> SecurityAssociation:
        """Return the SA that the MSK gives; `pac` tells which nonce is whose."""
        if self.suite is None or not (self.own_nonce and self.peer_nonce):
            raise PeerError("a key before algorithms and nonces are exchanged")
        nonces = (self.own_nonce, self.peer_nonce)
        pac_nonce, paa_nonce = nonces if pac else nonces[::-1]
        return self.dialect.derive(
            KeyMaterial(
                msk,
                self.start_request,
                self.start_answer,
                pac_nonce,
                paa_nonce,
                self.session,
                key_id,
                self.suite,
            )
        )
