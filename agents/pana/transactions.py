"""Requests and answers: sequence numbers, retransmission, duplicates (RFC 5191 section 5.2)."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass

from agents.core.machine import Address, PeerError, Retransmission, Timing
from agents.core.record import Record
from agents.core.timers import earliest
from agents.pana.dialect import Dialect
from agents.pana.errors import RefusedError
from agents.pana.grammar import Auth
from agents.pana.keys import SecurityAssociation
from agents.pana.places import Place, place
from agents.pana.wire import Avp, AvpName, Kind, Message

REPORT_INTERVAL = 1.0
"""Seconds between error reports at least; the draft's section 5.11 wants a limit, names none."""


class Received(Record, frozen=True):
    """A message with the octets it came in, where from, and the relay that carried it."""

    message: Message
    data: bytes
    source: Address
    relay: Address | None = None

    @property
    def place(self) -> Place:
        """Where it came from."""
        return place(self.source, self.relay)


@dataclass(slots=True)
class Outstanding:
    """The message that waits for its answer (PCI and a stateless PSA wait for a PAR)."""

    kind: Kind
    sequence: int
    data: bytes
    retransmission: Retransmission | None = None

    @property
    def deadline(self) -> float | None:
        """When it is to be sent again, in seconds."""
        return None if self.retransmission is None else self.retransmission.deadline

    def is_due(self, now: float) -> bool:
        """Return whether the deadline has come."""
        return self.deadline is not None and self.deadline <= now


class Transactions:
    """One request of this end at a time, the answers to the peer's, and where the peer is.

    They are authenticated by the PANA SA, as soon as there is one (RFC 5191 section 5.4).
    """

    def __init__(
        self,
        dialect: Dialect,
        *,
        rng: random.Random,
        peer: Address,
        session: bytes,
        outbox: deque[tuple[bytes, Address]],
        relay: Address | None = None,
    ) -> None:
        self.dialect = dialect
        self.peer = peer
        self.relay = relay
        self.claim: Received | None = None
        """The last message from another place, which has to answer before it is the peer's."""
        self.session = session
        self.outstanding: Outstanding | None = None
        self.retransmissions_left = False
        self.sa: SecurityAssociation | None = None
        self.proved = False
        """Whether the peer has shown that it has a key: what it has to say is protected since."""
        self._rng = rng
        self._outbox = outbox
        self.next_out: int | None = None
        """The next request's sequence number, None before there has been one."""
        self.next_in: int | None = None
        # An error report may be under way beside a request, so two answers may be asked for again.
        self._answered: deque[tuple[bytes, bytes]] = deque(maxlen=2)
        self._report: Outstanding | None = None
        self._silent_until = float("-inf")

    @property
    def place(self) -> Place:
        """Where the peer is."""
        return place(self.peer, self.relay)

    def move(self, received: Received) -> None:
        """Take the peer to be where a message came from."""
        self.peer, self.relay = received.source, received.relay

    # Sending.

    def _emit(self, data: bytes, destination: Address, relay: Address | None) -> None:
        if relay is not None:
            self._outbox.append((self.dialect.relay(destination, data), relay))
        else:
            self._outbox.append((data, destination))

    def _emit_request(self, data: bytes) -> None:
        """Send to where the peer claims to be, if it does, else to where it is."""
        if self.claim is not None:
            self._emit(data, self.claim.source, self.claim.relay)
        else:
            self._emit(data, self.peer, self.relay)

    def _new_request(self, kind: Kind, avps: tuple[Avp, ...], flags: int = 0) -> Outstanding:
        if self.next_out is None:
            self.next_out = self._rng.getrandbits(32)
        sequence = self.next_out
        self.next_out = (sequence + 1) % 2**32
        sa = None if kind is Kind.START else self.sa
        message = Message(kind, True, self.session, sequence, avps, flags)
        return Outstanding(kind, sequence, self.dialect.protect(message, sa))

    def request(self, kind: Kind, *avps: Avp) -> bytes:
        """Queue a new request; return its octets. Its timer is started apart."""
        outstanding = self._new_request(kind, avps)
        self._queue(outstanding)
        return outstanding.data

    def initiation(self, *avps: Avp) -> None:
        """Queue a PANA-Client-Initiation, sent again like a request until a PAR has come."""
        data = self.dialect.encode(Message(Kind.INITIATION, False, b"", 0, avps))
        self._queue(Outstanding(Kind.INITIATION, 0, data))

    def _queue(self, outstanding: Outstanding) -> None:
        self.outstanding = outstanding
        self._emit_request(outstanding.data)

    def answer(self, received: Received, *avps: Avp) -> bytes:
        """Queue the answer to a request and keep it for duplicates; return its octets."""
        request = received.message
        sa = None if request.kind is Kind.START else self.sa
        message = Message(request.kind, False, self.session, request.sequence, avps)
        data = self.dialect.protect(message, sa)
        if not self._is_hearsay(request):
            self._answered.append((received.data, data))
        self._emit(data, received.source, received.relay)
        return data

    def answer_again(self, received: Received) -> bool:
        """Answer a duplicate of a late request from the cache; return whether it is one.

        RFC 5191 section 5.2: a retransmission is the original packet, so equal octets tell.
        """
        for request, answer in self._answered:
            if request == received.data:
                self._emit(answer, received.source, received.relay)
                return True
        return False

    @property
    def has_answered(self) -> bool:
        """Whether an answer is cached that the peer may ask for again."""
        return bool(self._answered)

    def repeat_answer(self, data: bytes, sequence: int) -> None:
        """Let an answer be sent again like a request (the draft's section 4.3)."""
        self.outstanding = Outstanding(Kind.START, sequence, data)

    def resume(self, sequence: int, start_request: bytes) -> None:
        """Take up a session whose start request was sent without keeping any of this."""
        self.next_out = (sequence + 1) % 2**32
        self.outstanding = Outstanding(Kind.START, sequence, start_request)

    # Error reports.

    def report(self, error: RefusedError, received: Received, timing: Timing, now: float) -> None:
        """Queue an error message about a refused one, unless that has no right to it.

        It goes beside an outstanding request, else an answer that is refused could not be
        reported; the draft's section 5.2 has one request at a time.
        """
        message = received.message
        owed = (
            message.kind not in (Kind.ERROR, Kind.INITIATION, Kind.START)
            and message.session == self.session
            and (self.sa is None or self.sa.verify(received.data, message))
        )
        if not owed or self._report is not None or now < self._silent_until:
            return
        self._silent_until = now + REPORT_INTERVAL
        self._report = self._new_request(Kind.ERROR, error_avps(self.dialect, error))
        self._report.retransmission = Retransmission(timing, self._rng, now)
        self._emit(self._report.data, self.peer, self.relay)

    def report_answered(self, received: Received) -> bool:
        """Take the answer to an error report; return whether the message is that."""
        message, report = received.message, self._report
        answer = message.kind is Kind.ERROR and not message.request
        if not answer or report is None or report.sequence != message.sequence:
            return False
        self.check_auth(received, self.sa)
        self._report = None
        return True

    # Timers.

    def start_timer(self, timing: Timing, now: float) -> None:
        """Start the retransmission timer of the outstanding request."""
        if self.outstanding is not None:
            self.outstanding.retransmission = Retransmission(timing, self._rng, now)

    def stop_timer(self) -> None:
        """Give up waiting for an answer."""
        self.outstanding = None

    def halt_timer(self) -> None:
        """Send nothing again by itself; an answer is taken still."""
        if self.outstanding is not None:
            self.outstanding.retransmission = None

    def withdraw(self) -> None:
        """Give up a request that the peer has never got: the next one has its number."""
        if self.outstanding is not None:
            self.next_out = self.outstanding.sequence
            self.outstanding = None

    def stop_all(self) -> None:
        """Give up waiting for any answer: the session is over."""
        self.outstanding = self._report = None

    @property
    def deadline(self) -> float | None:
        """When something is to be sent again, in seconds."""
        request, report = self.outstanding, self._report
        return earliest(request.deadline if request else None, report.deadline if report else None)

    def expire(self, now: float) -> bool:
        """Return whether the request's timer has run out; see `retransmissions_left`.

        An error report is sent again here.
        """
        report, outstanding = self._report, self.outstanding
        if report is not None and report.retransmission is not None and report.is_due(now):
            if report.retransmission.expire(now):
                self._emit(report.data, self.peer, self.relay)
            else:
                self._report = None
        if outstanding is None or outstanding.retransmission is None:
            return False
        if not outstanding.is_due(now):
            return False
        self.retransmissions_left = outstanding.retransmission.expire(now)
        return True

    def retransmit(self) -> None:
        """Queue the outstanding request once more, to all places where the peer may be."""
        if self.outstanding is not None:
            self._emit(self.outstanding.data, self.peer, self.relay)
            if self.claim is not None:
                self._emit_request(self.outstanding.data)

    # Receiving.

    def check_sequence(self, message: Message) -> None:
        """Raise PeerError unless the sequence number is the expected one (RFC 5191 5.2)."""
        if message.kind is Kind.INITIATION:
            return
        if message.request:
            anew = message.kind is Kind.START or self.next_in is None
            expected = message.sequence if anew else self.next_in
        else:
            waiting = self.outstanding
            if waiting is None or waiting.kind is not message.kind:
                label = self.dialect.label(message)
                raise PeerError(f"{label} answers no outstanding request")
            expected = waiting.sequence
        if message.sequence != expected:
            raise PeerError(f"{self.dialect.label(message)} with a wrong sequence number")

    def check_auth(self, received: Received, sa: SecurityAssociation | None) -> None:
        """Raise PeerError unless AUTH is right under `sa`, or absent if there is none."""
        message = received.message
        rules = self.dialect.rules(message)
        auth, label = rules.auth, rules.label
        if auth is Auth.NEVER:
            return
        if sa is None:
            if message.has(AvpName.AUTH) and auth is not Auth.OPTIONAL:
                raise PeerError(f"{label} with AUTH before there is a PANA SA")
        elif not message.has(AvpName.AUTH):
            if auth is not Auth.OPTIONAL:
                raise PeerError(f"{label} without AUTH")
        elif not sa.verify(received.data, message):
            raise PeerError(f"{label} with a wrong AUTH")

    def is_protected(self, message: Message) -> bool:
        """Return whether a valid message is proved to be the peer's."""
        return self.sa is not None and message.has(AvpName.AUTH)

    def _is_hearsay(self, message: Message) -> bool:
        """Return whether a message may be anybody's, and must leave no trace for that."""
        error = message.kind is Kind.ERROR and message.request
        return error and self.proved and not self.is_protected(message)

    def accept(self, message: Message) -> None:
        """Note a valid message: its sequence number, or that the request has its answer."""
        if self._is_hearsay(message):
            return
        if message.request:
            self.next_in = (message.sequence + 1) % 2**32
        elif message.kind is not Kind.INITIATION:
            self.outstanding = None


def error_avps(dialect: Dialect, error: RefusedError) -> tuple[Avp, ...]:
    """Return Result-Code and Failed-AVP of an error message (the draft's section 7.14)."""
    return (Avp.u32(AvpName.RESULT_CODE, error.code or 0), *dialect.failed(*error.failed))
