"""One session of the PAA: calls, timers and messages, and the checks these must pass."""

from __future__ import annotations

from dataclasses import replace

from agents.bootstrap.assignment import Assignment
from agents.core.machine import PeerError
from agents.pana.association import Received
from agents.pana.errors import ErrorCode, RefusedError
from agents.pana.events import AddressChanged, Notified
from agents.pana.mobility import agree, read_capability
from agents.pana.paa_actions import PaaActions, Verdict
from agents.pana.paa_table import PaaState
from agents.pana.places import host_at
from agents.pana.states import RECEIVED, Trigger
from agents.pana.terms import Device, notification, providers
from agents.pana.wire import AvpName, Kind, Message, Result, TerminationCause

ESTABLISHED = (PaaState.OPEN, PaaState.WAIT_PNA_PING, PaaState.LOST, PaaState.SESS_TERM)

PING_INTERVAL = 1.0
"""Seconds between liveness tests at least; RFC 5191 section 4.2 wants a limit, names none."""

REAUTH_RETRY = 1.0
"""Seconds after which a re-authentication that came at a wrong moment is tried again."""


class PaaSession(PaaActions):
    """The PAA's end of the session `number` with one PaC."""

    _last_ping = float("-inf")
    _held: Received | None = None
    _revoked: TerminationCause | None = None
    subscriber: str | None = None

    def fire(self, trigger: Trigger, now: float) -> bool:
        """Let the owner's event variable move the session; return whether it does."""
        self.now = now
        return self._runner.fire(trigger)

    def resume(self, sequence: int, start_request: bytes, now: float) -> None:
        """Begin with a start request that was sent without state; its answer comes next.

        That request had no EAP payload, whatever the others have.
        """
        self.now = now
        self.association.resume(sequence, start_request)
        self._optimized = False
        self._start_deadline()

    # The AAA's calls.

    def eap_request(self, packet: bytes, now: float, *, sealed: bytes | None = None) -> bool:
        """Send an EAP request; return whether one is due."""
        self._eap_packet = packet
        self._foretold = sealed if self._capability else None
        return self.fire(Trigger.EAP_REQUEST, now)

    def eap_timeout(self, now: float) -> bool:
        """End an authentication that the AAA does not go on with; return whether there is one."""
        reason = "the AAA server cannot be reached"
        self._error = RefusedError(reason, ErrorCode.UNABLE_TO_DELIVER)
        self._cause = reason
        return self.fire(Trigger.EAP_TIMEOUT, now)

    def accept(
        self,
        packet: bytes,
        msk: bytes,
        lifetime: float | None,
        assignment: Assignment | None,
        now: float,
        *,
        sealed: bytes | None = None,
    ) -> bool:
        """Send the successful final request; return whether a verdict is due."""
        if self.state is not PaaState.WAIT_EAP_MSG:
            return False
        self._take_msk(msk)
        bound = self._config.session_lifetime
        seconds = max(1, int(min(bound, bound if lifetime is None else lifetime)))
        if self._msk:
            wanted = (assignment, sealed) if self._capability else (None, None)
            self._verdict = Verdict(Result.SUCCESS, packet, seconds, *wanted)
        else:
            self._verdict = Verdict(Result.AUTHORIZATION_REJECTED, packet)
            self._cause = "no key: no MSK from the AAA, or no nonces yet"
        return self.fire(Trigger.EAP_SUCCESS, now)

    def _take_msk(self, msk: bytes) -> None:
        """Take the AAA's key; without nonces none can be made of it."""
        association = self.association
        self._msk = msk if association.own_nonce and association.peer_nonce else b""

    def reject(self, packet: bytes | None, msk: bytes, result: Result, now: float) -> bool:
        """Send the failing final request; return whether a verdict is due."""
        if self.state not in (PaaState.WAIT_EAP_MSG, PaaState.WAIT_PAN_OR_PAR):
            return False
        self._verdict = Verdict(result, packet)
        self._cause = result.name
        self._take_msk(msk)
        return self.fire(Trigger.EAP_FAILURE, now)

    # The owner's calls.

    def ping(self, now: float) -> bool:
        """Test that the PaC is there; return whether that is possible now."""
        if now < self._last_ping + PING_INTERVAL:
            return False
        if not self.fire(Trigger.PANA_PING, now):
            return False
        self._last_ping = now
        return True

    def terminate(self, cause: TerminationCause, now: float) -> bool:
        """Revoke the session, at once or when it is open again; return whether it has access."""
        if not self.admitted or self.state is PaaState.SESS_TERM:
            return False
        self.now, self._revoked = now, cause
        self._end_if_revoked()
        return True

    def _end_if_revoked(self) -> None:
        if self._revoked is not None and self.state is PaaState.OPEN:
            self._termination, self._cause = self._revoked, self._revoked.name
            self._runner.fire(Trigger.TERMINATE)

    def replace(self, cause: str, now: float) -> None:
        """Drop the session without a word, for another."""
        self._cause = cause
        self.fire(Trigger.REPLACED, now)

    # Timers.

    def next_timeout(self) -> float | None:
        """Return the earliest deadline in seconds, None if no timer runs."""
        deadlines = (self.association.deadline, self._deadline, self._reauth_at)
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def handle_timeout(self, now: float) -> None:
        """Retransmit, re-authenticate, or end what has no time left."""
        if self._deadline is not None and self._deadline <= now:
            self.now = now
            granted = self._lifetime_end is not None
            over = self.state in ESTABLISHED or (granted and not self._has_lifetime_left())
            if self.state is not PaaState.WAIT_PEA:
                timeout = TerminationCause.SESSION_TIMEOUT.name
                self._cause = timeout if over else self._late("deadline")
            self._termination = TerminationCause.SESSION_TIMEOUT
            self.fire(Trigger.SESS_TIMEOUT, now)
        if self._reauth_at is not None and self._reauth_at <= now:
            self._reauth_at = now + REAUTH_RETRY
            self.fire(Trigger.REAUTH_TIMEOUT, now)
        if self.association.expire(now):
            left = self.association.retransmissions_left
            if not left and self.state not in (PaaState.SESS_TERM, PaaState.WAIT_PEA):
                self._cause = self._late("last retransmission")
            self.fire(Trigger.RTX_TIMEOUT, now)

    def _late(self, what: str) -> str:
        whom = "the AAA" if self.state is PaaState.WAIT_EAP_MSG else "the PaC"
        return f"the {what} passed without an answer from {whom} in state {self.state.value}"

    # Receiving.

    def handle(self, received: Received, now: float) -> None:
        """Take a message of this session; PeerError if it is not valid."""
        self.now = now
        try:
            self._config.dialect.check(received.message)
            self._handle(received)
        except RefusedError as error:
            self._refuse(error, received)
            raise

    def _handle(self, received: Received) -> None:
        association = self.association
        if received.message.request and association.answer_again(received):
            return
        if association.report_answered(received):
            return
        association.check_sequence(received.message)
        received = self._opened(received)
        message = received.message
        association.check_auth(received, association.sa)
        heard = message.request and association.is_protected(message)
        if self.state is PaaState.LOST and heard and message.kind is not Kind.TERMINATION:
            self._runner.fire(Trigger.PAC_HEARD)
            return
        if not self._is_at_home(received) and not self._may_come_from_there(received):
            return
        previous, self._received = self._received, received
        try:
            row = self._runner.find(RECEIVED[message.kind, message.request])
            if row is None:
                label = self._config.dialect.label(message)
                raise PeerError(f"{label} is not expected in state {self.state.value}")
            self._validate(received)
        except PeerError:
            self._received = previous
            raise
        association.accept(message)
        if (notified := notification(message)) is not None:
            self._events.append(Notified(self.now, self.number, *notified))
        self._runner.run(row)
        self._end_if_revoked()
        held, self._held = self._held, None if association.claim is None else self._held
        if held is not None and held.place == association.place:
            self._handle(held)

    def _opened(self, received: Received) -> Received:
        """Return the message with encrypted AVPs in clear."""
        message, sa = received.message, self.association.sa
        if not message.has(AvpName.ENCRYPTION_ENCAP):
            return received
        self.association.check_auth(received, sa)
        return replace(received, message=self._config.dialect.reveal(message, sa))

    def _refuse(self, error: RefusedError, received: Received) -> None:
        """Report an error where the dialect has a message for it, and end the session if told."""
        if not self._config.dialect.reports_errors or self.state in (
            PaaState.INITIAL,
            PaaState.WAIT_PEA,
            PaaState.CLOSED,
        ):
            return
        if error.fatal:
            self._error, self._cause = error, str(error)
            self._runner.fire(Trigger.REFUSED)
        else:
            timing = self._config.request_timing
            self.association.report(error, received, timing, self.now)

    def _validate(self, received: Received) -> None:
        """Raise PeerError if the message is not what its state wants; else take what it tells."""
        message, association = received.message, self.association
        match message.kind, message.request:
            case Kind.START, False:
                self._take_start(received)
            case Kind.AUTH, False:
                association.check_nonce(message, association.nonce_kind)
            case Kind.AUTH, True if message.has(AvpName.NONCE):
                raise PeerError("a Nonce in the PaC's own request")
            case Kind.RESULT, False:
                self._check_result(message)
            case Kind.UPDATE, True if (value := message.value(AvpName.DEVICE_ID)) is not None:
                self._device = Device.from_value(value)
            case Kind.TERMINATION, True:
                number = message.number(AvpName.TERMINATION_CAUSE)
                self._cause = TerminationCause.describe(number)
        association.peer_nonce = message.value(AvpName.NONCE) or association.peer_nonce

    def _take_start(self, received: Received) -> None:
        message, association = received.message, self.association
        suite = self._config.dialect.selected(message, self._config.supported)
        association.check_nonce(message, association.nonce_kind)
        isps = providers(message, AvpName.ISP_INFORMATION)
        association.suite = suite
        association.start_answer = received.data
        self._isp = isps[0].name if isps else None
        self._capability = agree(self._config.mobility, read_capability(message))

    def _check_result(self, message: Message) -> None:
        sent = self._key_id if self._msk else None
        if message.number(AvpName.KEY_ID) != sent:
            raise PeerError("the final answer's Key-Id is not the request's")
        successful = self._verdict is not None and self._verdict.result is Result.SUCCESS
        if successful and self._config.dialect.has_terms:
            self._device = self._config.terms.check_answer(message)

    # Where the PaC is.

    def _is_at_home(self, received: Received) -> bool:
        """Return whether a message comes from where the PaC is; an answer ends other claims."""
        association = self.association
        if received.place != association.place:
            return False
        if not received.message.request:
            association.claim = None
        return True

    def _may_come_from_there(self, received: Received) -> bool:
        """Return whether a message from another place than the PaC's is to be taken now.

        RFC 5191 section 5.6 moves the session to where a valid message comes from. But a source
        is easily forged, and a message repeated by another; so the place has to answer a request
        first, and the message waits. Who is at an address that another session holds is not heard.
        To end the session the PaC need not be anywhere.
        """
        message, association = received.message, self.association
        label = self._config.dialect.label(message)
        if not self._may_move(message):
            raise PeerError(f"{label} from another address than the PaC's")
        if message.kind is Kind.TERMINATION:
            return True
        if not self._is_free(self.number, host_at(received.place)):
            association.claim = None
            raise PeerError(f"{label} from an address that another session holds")
        claim = association.claim
        if not message.request and claim is not None and claim.place == received.place:
            self._move(received)
            return True
        association.claim = received
        self._runner.fire(Trigger.ADDRESS_CHANGED)
        if not message.request:
            raise PeerError(f"{label} from a new address, which has to answer itself")
        if self.state is not PaaState.WAIT_PNA_PING:
            return True  # In a re-authentication the PaC waits for this answer before it goes on.
        self._held = received
        return False

    def _may_move(self, message: Message) -> bool:
        """Return whether a message may come from a new address.

        RFC 5191 section 5.6 lets every message with a right AUTH; the draft only PUR (5.8), and
        then the answer that proves it.
        """
        if not self.admitted or not self.association.is_protected(message):
            return False
        proof = not message.request and self.association.claim is not None
        return proof or self._config.dialect.update_kind in (Kind.PING, message.kind)

    def _move(self, received: Received) -> None:
        association = self.association
        old, (was, _, _) = association.peer, association.place
        association.claim = None
        association.move(received)
        if was != association.place[0]:
            self._events.append(AddressChanged(self.now, self.number, received.source, old))
