"""The PANA client (RFC 5191, draft-ietf-pana-pana-12), driven by the table of RFC 5609."""

from __future__ import annotations

import random
from dataclasses import replace

from agents.core.machine import Address, Discarded, PeerError
from agents.core.reader import WireError
from agents.eap.lower import SUCCESS, EapPeerLike
from agents.pana.association import Received
from agents.pana.config import PacConfig
from agents.pana.errors import RefusedError
from agents.pana.events import Notified
from agents.pana.keys import SecurityAssociation, Suite
from agents.pana.mobility import agree, read_assignment, read_capability
from agents.pana.pac_actions import PacActions
from agents.pana.pac_table import PacState
from agents.pana.places import canonical
from agents.pana.states import RECEIVED, Trigger
from agents.pana.terms import Device, notification
from agents.pana.wire import AvpName, Kind, Message, Result, TerminationCause

PING_INTERVAL = 1.0
"""Seconds between liveness tests at least; RFC 5191 section 4.2 wants a limit, names none."""

ESTABLISHED = (
    PacState.OPEN,
    PacState.WAIT_PNA_REAUTH,
    PacState.WAIT_PNA_PING,
    PacState.WAIT_PUA,
    PacState.SESS_TERM,
)


class Pac(PacActions):
    """A PANA client: one session with one PAA, from PCI to termination. A Machine."""

    def __init__(
        self, paa: Address, eap: EapPeerLike, config: PacConfig, *, rng: random.Random
    ) -> None:
        super().__init__(paa, eap, config, rng)
        self._paa = paa
        self._last_ping = float("-inf")
        self._last_heard = 0.0

    # The owner's calls.

    def start(self, now: float) -> None:
        """Look for the PAA: send PCI until it answers."""
        if not self._started:
            self._fire(Trigger.AUTH_USER, now)

    def reauthenticate(self, now: float) -> bool:
        """Run EAP again for a new key and lifetime; return whether that is possible now."""
        if self._config.renew_eap is None:
            raise ValueError("re-authentication needs renew_eap")
        return self._fire(Trigger.REAUTH, now)

    def ping(self, now: float) -> bool:
        """Test that the PAA still has the session; return whether that is possible now."""
        if now < self._last_ping + PING_INTERVAL or not self._fire(Trigger.PANA_PING, now):
            return False
        self._last_ping = now
        return True

    def update(self, now: float, device: Device | None = None) -> bool:
        """Tell the PAA from this host's new address; return whether that is possible now.

        The owner must send from the new address already. `device` replaces the device identifier.
        The PAA's confirmation is an Updated event.
        """
        before, self._device = self._device, device or self._device
        self._moving = self._fire(Trigger.ADDRESS_CHANGED, now)
        if not self._moving:
            self._device = before
        return self._moving

    def terminate(self, now: float) -> bool:
        """Log out; return whether there is a session to leave."""
        self._cause = TerminationCause.LOGOUT.name
        return self._fire(Trigger.TERMINATE, now)

    def _fire(self, trigger: Trigger, now: float) -> bool:
        self._now = now
        return self._runner.fire(trigger)

    # Timers.

    def next_timeout(self) -> float | None:
        """Return the earliest deadline in seconds, None if no timer runs."""
        deadlines = (
            self._association.deadline,
            self._session_deadline,
            self._renew_at(),
            self._test_at(),
        )
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def handle_timeout(self, now: float) -> None:
        """Retransmit, renew a session, or end one or an authentication whose time is up."""
        if self._session_deadline is not None and self._session_deadline <= now:
            over = self.state in ESTABLISHED
            if self.state is not PacState.WAIT_PEA:
                timeout = TerminationCause.SESSION_TIMEOUT.name
                self._cause = timeout if over else self._late("deadline")
            self._fire(Trigger.SESS_TIMEOUT, now)
        if self._association.expire(now):
            keeps_cause = self.state in (PacState.SESS_TERM, PacState.WAIT_PEA)
            if not self._association.retransmissions_left and not keeps_cause:
                self._cause = self._late("last retransmission")
            self._fire(Trigger.RTX_TIMEOUT, now)
        if (renew_at := self._renew_at()) is not None and renew_at <= now:
            self._fire(Trigger.REAUTH, now)
        if (test_at := self._test_at()) is not None and test_at <= now:
            self.ping(now)

    def _renew_at(self) -> float | None:
        """Return when the session is to be renewed, None while it cannot be."""
        return self._reauth_at if self.state is PacState.OPEN else None

    def _test_at(self) -> float | None:
        """Return when the PAA is to be tested, None while it is not."""
        if not self._config.liveness or self.state is not PacState.OPEN:
            return None
        return max(self._last_heard + self._config.liveness, self._last_ping + PING_INTERVAL)

    def _late(self, what: str) -> str:
        return f"the {what} passed without an answer from the PAA in state {self.state.value}"

    # Receiving.

    def handle_message(self, data: bytes, source: Address, now: float) -> None:
        """Take one datagram; what is not valid is dropped with an event."""
        self._now = now
        received: Received | None = None
        try:
            if source[1] != self._paa[1] or canonical(source[0]) != canonical(self._paa[0]):
                raise PeerError("not from the PAA")
            received = Received(self._dialect.decode(data), data, source)
            self._receive(received)
        except (WireError, PeerError) as error:
            self.events.append(Discarded(now, source[0], str(error)))
            if isinstance(error, RefusedError) and received is not None:
                self._refuse(error, received)

    def _receive(self, received: Received) -> None:
        message, association = received.message, self._association
        self._dialect.check(message)
        if message.request and association.answer_again(received):
            return
        if message.kind is not Kind.START and association.session not in (b"", message.session):
            raise PeerError(f"{self._dialect.label(message)} of another session")
        if association.report_answered(received):
            return
        association.check_sequence(message)
        received = self._opened(received)
        message = received.message
        previous, self._request = self._request, received if message.request else self._request
        try:
            row = self._runner.find(RECEIVED[message.kind, message.request])
            if row is None:
                label = self._dialect.label(message)
                raise PeerError(f"{label} is not expected in state {self.state.value}")
            self._validate(received)
        except PeerError:
            self._request = previous
            raise
        association.accept(message)
        self._last_heard = self._now
        association.session = association.session or message.session
        if (notified := notification(message)) is not None:
            self.events.append(Notified(self._now, self._session_number(), *notified))
        self._runner.run(row)

    def _opened(self, received: Received) -> Received:
        """Return the message with encrypted AVPs in clear; PAR[C] has to wait for its key."""
        message, sa = received.message, self._association.sa
        if message.kind is Kind.RESULT or not message.has(AvpName.ENCRYPTION_ENCAP):
            return received
        self._association.check_auth(received, sa)
        return replace(received, message=self._dialect.reveal(message, sa))

    def _refuse(self, error: RefusedError, received: Received) -> None:
        """Report an error where the dialect has a message for it, and end the session if told."""
        if not self._dialect.reports_errors or self.state in (
            PacState.INITIAL,
            PacState.WAIT_PEA,
            PacState.CLOSED,
        ):
            return
        if error.fatal:
            self._error, self._cause = error, str(error)
            self._runner.fire(Trigger.REFUSED)
        else:
            timing = self._config.request_timing
            self._association.report(error, received, timing, self._now)

    def _validate(self, received: Received) -> None:
        """Raise PeerError if the message is not what its state wants; else take what it tells."""
        message, association = received.message, self._association
        match message.kind, message.request:
            case Kind.START, True:
                self._begin(received)
            case Kind.AUTH, True:
                association.check_auth(received, association.sa)
                association.check_nonce(message, association.nonce_kind)
                self._par_seen = True
            case Kind.RESULT, True:
                self._validate_result(received)
            case _:
                association.check_auth(received, association.sa)
        if message.kind is Kind.TERMINATION and message.request:
            self._cause = TerminationCause.describe(message.number(AvpName.TERMINATION_CAUSE))
        association.peer_nonce = message.value(AvpName.NONCE) or association.peer_nonce

    def _begin(self, received: Received) -> None:
        message, association = received.message, self._association
        suite = self._dialect.select(message, self._config.supported)
        stateless = self._dialect.is_stateless(message)
        nonce_kind = Kind.AUTH if stateless else self._dialect.nonce_kind
        if message.has(AvpName.NONCE) is not (nonce_kind is Kind.START):
            lack = "no" if nonce_kind is Kind.START else "a needless"
            raise PeerError(f"{self._dialect.label(message)} with {lack} Nonce")
        association.start_over(received, nonce_kind)
        association.suite = suite
        self._agreed = agree(read_capability(message), self._config.mobility)

    def _validate_result(self, received: Received) -> None:
        """Check PAR[C]; on the way let EAP conclude, for its MSK verifies AUTH."""
        message, association = received.message, self._association
        dialect = self._dialect
        result = dialect.result(message.number(AvpName.RESULT_CODE) or 0)
        lifetime = message.number(AvpName.SESSION_LIFETIME)
        key_id = message.number(AvpName.KEY_ID)
        hidden = message.has(AvpName.ENCRYPTION_ENCAP)
        if result is Result.SUCCESS and key_id is None:
            raise PeerError("success without Key-Id")
        lacking = lifetime is None and dialect.requires_lifetime and not hidden
        if result is Result.SUCCESS and lacking:
            raise PeerError("success without Session-Lifetime")
        if key_id is None:
            association.check_auth(received, association.sa)
            self._conclude_eap(message)
            self._check_keyless(message)
            message = dialect.reveal(message, association.sa)
        else:
            message = self._take_key(received, key_id, result)
        assignment = read_assignment(message)
        lifetime = message.number(AvpName.SESSION_LIFETIME)
        self._result = result
        self._lifetime = float("inf") if lifetime is None else float(lifetime)
        self._assignment = assignment if self._agreed else None
        self._sealed = message.value(AvpName.SEALED_ASSIGNMENT) if self._agreed else None

    def _check_keyless(self, message: Message) -> None:
        """Raise PeerError if nothing protects PAR[C] although EAP has made a key.

        RFC 5191 section 4.1: a refusal is protected too if there is an MSK.
        """
        eap = self._eap
        if self._association.sa is None and (eap.keys or eap.early_keys):
            raise PeerError(
                f"{self._dialect.label(message)} without Key-Id although EAP made a key"
            )

    def _take_key(self, received: Received, key_id: int, result: Result) -> Message:
        """Take the new key if PAR[C] proves it; return the message in clear."""
        message, association = received.message, self._association
        suite = self._dialect.select(message, self._config.supported)
        if suite is not None and association.suite is not None:
            raise PeerError("algorithms named a second time")
        sa = self._new_sa(received, key_id, suite or association.suite)
        if sa is None:
            return message
        message = self._dialect.reveal(message, sa)
        association.suite = suite or association.suite
        association.sa = sa
        if result is Result.SUCCESS and self._dialect.has_terms:
            association.session = association.session or message.session
            self._config.terms.check_result(message)
        return message

    def _new_sa(
        self, received: Received, key_id: int, suite: Suite | None
    ) -> SecurityAssociation | None:
        """Return the SA that protects PAR[C]; None if EAP has failed on this side."""
        association = self._association
        if association.sa is not None and association.sa.key_id == key_id:
            raise PeerError("PAR[C] with the Key-Id of the old key")
        packet = received.message.value(AvpName.EAP_PAYLOAD)
        if packet is not None and packet[0] != SUCCESS:
            # EAP hears what AUTH does not cover yet: success proves nothing, all else would end it.
            label = self._dialect.label(received.message)
            raise PeerError(f"{label} with a key, and without EAP-Success")
        self._conclude_eap(received.message)
        if self._eap.outcome == "failure" and association.sa is None:
            return None
        if self._eap.outcome is None or self._eap.keys is None:
            raise PeerError("PAR[C] with a key before EAP has one")
        sa = association.derive(self._eap.keys.msk, key_id, suite, pac=True)
        association.check_auth(received, sa)
        return sa

    def _conclude_eap(self, message: Message) -> None:
        packet = message.value(AvpName.EAP_PAYLOAD)
        if packet is not None and self._eap.outcome is None:
            self._eap.handle_request(packet)
