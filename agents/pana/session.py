"""One end of a PANA session: what PaC and PAA have in common (RFC 5609 section 6)."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from functools import cache
from math import isinf
from typing import Any, ClassVar, Generic

from agents.core.machine import Event, PeerError
from agents.core.record import replace
from agents.core.timers import earliest
from agents.pana.authentication import NONCE_LENGTH, Authentication, Start
from agents.pana.config import SessionConfig
from agents.pana.errors import FATAL, ErrorCode, RefusedError
from agents.pana.events import ErrorReported, Notified
from agents.pana.keys import KeyMaterial, SecurityAssociation, Suite
from agents.pana.states import RECEIVED, Rows, Runner, S, Trigger
from agents.pana.terms import Device, notification
from agents.pana.transactions import Received, Transactions, error_avps
from agents.pana.wire import Avp, AvpName, Kind, Message, TerminationCause

PING_INTERVAL = 1.0
"""Seconds between liveness tests at least; RFC 5191 section 4.2 wants a limit, names none."""

EARLIEST_REAUTH = 0.9
"""The part of its time at which a re-authentication may begin at the earliest."""


class Session(ABC, Generic[S]):
    """The attributes of RFC 5191 section 5.3, and the rows, timers and checks of both ends.

    The two ends derive from it; what they use has no underscore.
    """

    peer_role: ClassVar[str]
    """The peer's role, as its events call it."""
    record: ClassVar[type[Authentication]]
    renewal: ClassVar[Trigger]
    """What the timer of re-authentication triggers."""

    def __init__(
        self,
        rows: Rows[S],
        initial: S,
        config: SessionConfig,
        transactions: Transactions,
        *,
        rng: random.Random,
        events: deque[Event],
    ) -> None:
        self.config = config
        self.dialect = config.dialect
        self.transactions = transactions
        self.rng = rng
        self.events = events
        self.now = 0.0
        self.received: Received | None = None
        self.start = Start(config.dialect.nonce_kind)
        self.authentication = self.record()
        self.authorised = False
        self.device: Device | None = None
        self.session_timer: float | None = None
        self.lifetime_end: float | None = None
        self.reauth_at: float | None = None
        self.last_ping = float("-inf")
        self.termination = TerminationCause.ADMINISTRATIVE
        self.error: RefusedError | None = None
        self.cause = ""
        self.runner = Runner(rows, initial, self, self.conditions(), self.actions())

    @property
    def state(self) -> S:
        """The state of RFC 5609."""
        return self.runner.state

    @property
    def number(self) -> int:
        """The session identifier as events have it."""
        return self.dialect.session_number(self.transactions.session)

    @property
    def message(self) -> Message:
        """The message that the present transition is about."""
        return self._last_received().message

    def _last_received(self) -> Received:
        if self.received is None:
            raise RuntimeError("this transition needs a message")
        return self.received

    # What the tables name.

    @classmethod
    @cache
    def conditions(cls) -> dict[str, Callable[[Any], bool]]:
        """Return the conditions of both tables by their names."""
        return {
            "exist_avp(EAP-Payload)": lambda self: self.message.has(AvpName.EAP_PAYLOAD),
            "key_available": lambda self: self.transactions.sa is not None,
            "PER_FATAL": cls._is_fatal,
            "RTX_COUNTER<RTX_MAX_NUM": lambda self: self.transactions.retransmissions_left,
        }

    @classmethod
    @cache
    def actions(cls) -> dict[str, Callable[[Any], object]]:
        """Return the actions of both tables by their names (RFC 5609 section 6.1)."""
        return {
            "Tx:PNR[P]": lambda self: self.transactions.request(Kind.PING),
            "Tx:PTR[]": cls._send_termination,
            "Tx:PER[]": cls._send_error,
            "Tx:PNA[P]": cls.answer,
            "Tx:PTA[]": cls.answer,
            "Tx:PUA[]": cls.answer,
            "Tx:PEA[]": cls._answer_error,
            "EAP_Restart": cls.restart_eap,
            "TxEAP": cls.pass_to_eap,
            "RtxTimerStart": cls.start_timer,
            "RtxTimerStop": lambda self: self.transactions.stop_timer(),
            "Retransmit": lambda self: self.transactions.retransmit(),
            "NONCE_SENT=Unset": cls.begin_authentication,
            "SessionTimerReStart(FAILED_SESS_TIMEOUT)": cls._start_deadline,
            "SessionTimerReStart(LIFETIME_SESS_TIMEOUT)": cls._start_lifetime,
            "SessionTimerStop": cls._stop_session_timer,
            "Alive": cls.alive,
            "Disconnect": cls._disconnect,
        }

    @abstractmethod
    def restart_eap(self) -> None:
        """Begin EAP anew."""

    @abstractmethod
    def pass_to_eap(self) -> None:
        """Hand the message's EAP packet on."""

    @abstractmethod
    def alive(self) -> None:
        """Tell the owner that the peer has answered a ping."""

    @abstractmethod
    def ended(self) -> None:
        """Tell the owner that the session is over."""

    def fire(self, trigger: Trigger, now: float) -> bool:
        """Let an event variable move the session; return whether it does."""
        self.now = now
        return self.runner.fire(trigger)

    def ping(self, now: float) -> bool:
        """Test that the peer still has the session; return whether that is possible now."""
        if now < self.last_ping + PING_INTERVAL or not self.fire(Trigger.PANA_PING, now):
            return False
        self.last_ping = now
        return True

    # Sending.

    def answer(self, *avps: Avp) -> bytes:
        """Answer the request that has just come."""
        return self.transactions.answer(self._last_received(), *avps)

    def _send_termination(self) -> None:
        cause = Avp.u32(AvpName.TERMINATION_CAUSE, self.termination)
        self.transactions.request(Kind.TERMINATION, cause)

    def _send_error(self) -> None:
        if self.error is None:
            raise RuntimeError("an error message without an error")
        self.transactions.request(Kind.ERROR, *error_avps(self.dialect, self.error))

    def _answer_error(self) -> None:
        code = self.message.number(AvpName.RESULT_CODE)
        protected = self.transactions.is_protected(self.message)
        reason = ErrorCode.describe(code)
        self.events.append(ErrorReported(self.now, self.number, code or 0, reason, protected))
        self.cause = f"{self.peer_role} reports {reason}"
        self.answer()

    def _is_fatal(self) -> bool:
        """Return whether an error message ends the session of who gets it."""
        code = self.message.number(AvpName.RESULT_CODE)
        return code in FATAL and self.transactions.is_protected(self.message)

    # Timers.

    def start_timer(self) -> None:
        """Start the retransmission timer (RFC 5191 section 9)."""
        self.transactions.start_timer(self.config.request_timing, self.now)

    def _start_deadline(self) -> None:
        """Give the authentication its deadline; it does not outlast a lifetime granted before."""
        self.session_timer = self.now + self.config.auth_timeout
        if self.lifetime_end is not None:
            self.session_timer = min(self.session_timer, self.lifetime_end)
        self.reauth_at = None

    def _start_lifetime(self) -> None:
        lifetime, part = self.authentication.lifetime, self.config.reauth_at
        self.lifetime_end = self.now + lifetime
        self.session_timer = self.reauth_at = None
        if not isinf(lifetime):
            self.session_timer = self.lifetime_end
            if part:
                wait = part * self.rng.uniform(EARLIEST_REAUTH, 1.0) * lifetime
                self.reauth_at = self.now + wait

    def _stop_session_timer(self) -> None:
        self.session_timer = self.reauth_at = None

    def has_lifetime_left(self) -> bool:
        """Return whether a lifetime was granted that has not passed."""
        return self.lifetime_end is not None and self.now < self.lifetime_end

    def is_open(self) -> bool:
        """Return whether the session is open, and nothing is under way."""
        return self.state.name == "OPEN"

    def deadlines(self) -> tuple[float | None, ...]:
        """Return the deadlines of all timers."""
        reauth_at = self.reauth_at
        if reauth_at is not None and not self.is_open():
            reauth_at = None
        return self.transactions.deadline, self.session_timer, reauth_at

    def next_timeout(self) -> float | None:
        """Return the earliest deadline in seconds, None if no timer runs."""
        return earliest(*self.deadlines())

    def handle_timeout(self, now: float) -> None:
        """Retransmit, authenticate again, or end what has no time left."""
        self.now = now
        if self.session_timer is not None and self.session_timer <= now:
            self.termination = TerminationCause.SESSION_TIMEOUT
            if self.state.name != "WAIT_PEA":
                over = self.lifetime_end is not None and not self.has_lifetime_left()
                self.cause = self.termination.name if over else self._late("deadline")
            self.runner.fire(Trigger.SESS_TIMEOUT)
        if self.transactions.expire(now):
            keeps_cause = self.state.name in ("SESS_TERM", "WAIT_PEA")
            if not self.transactions.retransmissions_left and not keeps_cause:
                self.cause = self._late("last retransmission")
            self.runner.fire(Trigger.RTX_TIMEOUT)
        if self.reauth_at is not None and self.reauth_at <= now and self.is_open():
            self.runner.fire(self.renewal)

    def awaited(self) -> str:
        """Return who has not answered."""
        return self.peer_role

    def _late(self, what: str) -> str:
        whom, state = self.awaited(), self.state.value
        return f"the {what} passed without an answer from {whom} in state {state}"

    def _disconnect(self) -> None:
        self.transactions.stop_all()
        self._stop_session_timer()
        self.ended()

    # Receiving.

    def handle(self, received: Received, now: float) -> None:
        """Take a message of this session; PeerError if it is not valid."""
        self.now = now
        try:
            self.dialect.check(received.message)
            self.receive(received)
        except RefusedError as error:
            self._refuse(error, received)
            raise

    def receive(self, received: Received) -> None:
        """Check a message and run its row of the table, or answer a duplicate again."""
        transactions = self.transactions
        if received.message.request and transactions.answer_again(received):
            return
        if transactions.report_answered(received):
            return
        transactions.check_sequence(received.message)
        received = self.authenticate(received)
        if not self.admit(received):
            return
        message = received.message
        previous, self.received = self.received, received
        try:
            row = self.runner.find(RECEIVED[message.kind, message.request])
            if row is None:
                label = self.dialect.label(message)
                raise PeerError(f"{label} is not expected in state {self.state.value}")
            self.validate(received)
        except PeerError:
            self.received = previous
            raise
        transactions.accept(message)
        if (notified := notification(message)) is not None:
            self.events.append(Notified(self.now, self.number, *notified))
        self.runner.run(row)
        # Not before: a row that begins an authentication is the one that this nonce is for.
        if (nonce := message.value(AvpName.NONCE)) is not None:
            self.authentication.peer_nonce = nonce

    def authenticate(self, received: Received) -> Received:
        """Return the message with encrypted AVPs in clear; PeerError if its AUTH is wrong."""
        message, sa = received.message, self.transactions.sa
        self.transactions.check_auth(received, sa)
        if not message.has(AvpName.ENCRYPTION_ENCAP):
            return received
        return replace(received, message=self.dialect.decrypt(message, sa))

    def admit(self, received: Received) -> bool:  # noqa: ARG002
        """Return whether an authentic message is to be looked at now."""
        return True

    @abstractmethod
    def validate(self, received: Received) -> None:
        """Raise PeerError if the message is not what its state wants; else take what it tells."""

    def _refuse(self, error: RefusedError, received: Received) -> None:
        """Report an error where the dialect has a message for it, and end the session if told."""
        silent = self.state.name in ("INITIAL", "WAIT_PEA", "CLOSED")
        if silent or not self.dialect.reports_errors:
            return
        if error.fatal:
            self.error, self.cause = error, str(error)
            self.runner.fire(Trigger.REFUSED)
        else:
            self.transactions.report(error, received, self.config.request_timing, self.now)

    # Keys.

    def begin_authentication(self, *, start: bool = False) -> None:
        """Make ready for an authentication: nothing of the one before is left.

        A dialect may have one pair of nonces for good, the one of the latest `start`.
        """
        before, self.authentication = self.authentication, self.record()
        if not self.dialect.fresh_nonces and not start:
            self.authentication.own_nonce = before.own_nonce
            self.authentication.peer_nonce = before.peer_nonce

    def nonce(self) -> tuple[Avp, ...]:
        """Return this end's nonce, nothing if it was sent before."""
        if self.authentication.own_nonce:
            return ()
        self.authentication.own_nonce = self.rng.randbytes(NONCE_LENGTH)
        return (Avp(AvpName.NONCE, self.authentication.own_nonce),)

    def check_nonce(self, message: Message) -> None:
        """Raise PeerError unless one exchange has a nonce and others have none.

        RFC 5191 section 4.1; the draft's section 4.3.
        """
        due = message.kind is self.start.nonce_kind and not self.authentication.peer_nonce
        if message.has(AvpName.NONCE) is not due:
            lack = "no" if due else "a second"
            raise PeerError(f"{self.dialect.label(message)} with {lack} Nonce")

    def derive(
        self, msk: bytes, key_id: int, suite: Suite | None, *, pac: bool
    ) -> SecurityAssociation:
        """Return the PANA SA that the MSK gives; `pac` tells which nonce is whose."""
        nonces = (self.authentication.own_nonce, self.authentication.peer_nonce)
        if suite is None or not all(nonces):
            raise PeerError("a key before algorithms and nonces are exchanged")
        pac_nonce, paa_nonce = nonces if pac else nonces[::-1]
        return self.dialect.derive(
            KeyMaterial(
                msk,
                self.start.request,
                self.start.answer,
                pac_nonce,
                paa_nonce,
                self.transactions.session,
                key_id,
                suite,
                is_pac=pac,
            )
        )

    def confirmed(self) -> None:
        """Note that an authentication has succeeded at both ends."""
        self.authorised = self.transactions.proved = True
        self.begin_authentication()
