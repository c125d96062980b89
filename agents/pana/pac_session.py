"""The PaC's end of a session: its table's conditions and actions, and its checks."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from agents.bootstrap.assignment import Assignment
from agents.core.machine import Address, Event, PeerError
from agents.core.record import replace
from agents.eap.lower import SUCCESS, EapPeerLike
from agents.pana.authentication import Authentication, Start
from agents.pana.config import PacConfig
from agents.pana.events import (
    AssignmentForetold,
    Authenticated,
    Failed,
    PingAnswered,
    Rejected,
    Started,
    Terminated,
    Updated,
)
from agents.pana.keys import SecurityAssociation, Suite
from agents.pana.mobility import agree, read_assignment, read_capability
from agents.pana.pac_table import PAC_TABLE, PacState
from agents.pana.session import PING_INTERVAL, Session
from agents.pana.states import Trigger, by_start
from agents.pana.terms import Device
from agents.pana.transactions import Received, Transactions
from agents.pana.wire import Avp, AvpName, Kind, Message, Result, TerminationCause

_ROWS = by_start(PAC_TABLE)


@dataclass(slots=True)
class PacAuthentication(Authentication):
    """One authentication at the PaC: EAP's response until it is sent, and what PAR[C] says."""

    response: bytes | None = None
    result: Result | None = None
    assignment: Assignment | None = None
    sealed: bytes | None = None


class PacSession(Session[PacState]):
    """The PaC's only session."""

    peer_role = "the PAA"
    record = PacAuthentication
    renewal = Trigger.REAUTH
    config: PacConfig
    authentication: PacAuthentication

    def __init__(
        self,
        paa: Address,
        eap: EapPeerLike,
        config: PacConfig,
        *,
        rng: random.Random,
        outbox: deque[tuple[bytes, Address]],
        events: deque[Event],
    ) -> None:
        transactions = Transactions(config.dialect, rng=rng, peer=paa, session=b"", outbox=outbox)
        super().__init__(_ROWS, PacState.INITIAL, config, transactions, rng=rng, events=events)
        self.device = config.terms.device
        self._eap = eap
        self._started = False
        self._par_seen = False
        self._moving = False
        self._last_heard = 0.0

    @classmethod
    @cache
    def conditions(cls) -> dict[str, Callable[[Any], bool]]:
        """Return the conditions of the PaC's table by their names."""
        return {
            **super().conditions(),
            "started": lambda self: self._started,
            "eap_piggyback": lambda self: self.config.piggyback,
            "eap_renewable": lambda self: self.config.renew_eap is not None,
            "PAR_SEEN": lambda self: self._par_seen,
            "PAR.RESULT_CODE==PANA_SUCCESS": cls._is_success,
            "update_message": lambda self: self.dialect.update_kind is Kind.UPDATE,
        }

    @classmethod
    @cache
    def actions(cls) -> dict[str, Callable[[Any], object]]:
        """Return the actions of the PaC's table by their names (RFC 5609 section 7.2)."""
        return {
            **super().actions(),
            "Tx:PCI[]": cls._send_initiation,
            "Tx:PAN[S](PRF-Algorithm,Integrity-Algorithm)": cls._answer_start,
            "Tx:PAN[S](EAP-Payload,PRF-Algorithm,Integrity-Algorithm)": cls._answer_start,
            "Tx:PAN[](Nonce?)": lambda self: self.answer(*self.nonce()),
            "Tx:PAN[](EAP-Payload,Nonce?)": cls._answer_eap,
            "Tx:PAR[](EAP-Payload)": cls._send_eap,
            "Tx:PAN[C](Key-Id?)": cls._answer_result,
            "Tx:PNR[A]": lambda self: self.transactions.request(Kind.REAUTH),
            "Tx:PUR[]": cls._send_update,
            "RtxTimerStart(PAN[S]?)": cls._repeat_start,
            "Authorize": cls._authorise,
        }

    # The owner's calls.

    def seek(self, now: float) -> None:
        """Look for the PAA, unless that has begun."""
        if not self._started:
            self.fire(Trigger.AUTH_USER, now)

    def update(self, device: Device | None, now: float) -> bool:
        """Tell the PAA from a new address; return whether that is possible now."""
        before, self.device = self.device, device or self.device
        self._moving = self.fire(Trigger.ADDRESS_CHANGED, now)
        if not self._moving:
            self.device = before
        return self._moving

    def terminate(self, now: float) -> bool:
        """Log out; return whether there is a session to leave."""
        self.termination = TerminationCause.LOGOUT
        self.cause = self.termination.name
        return self.fire(Trigger.TERMINATE, now)

    # Sending.

    def _answer_eap(self) -> None:
        self.answer(*self._eap_avp(), *self.nonce())

    def _send_eap(self) -> None:
        self.transactions.request(Kind.AUTH, *self._eap_avp())

    def _send_initiation(self) -> None:
        self._started = True
        self.transactions.initiation()
        self.events.append(Started(self.now))

    def _send_update(self) -> None:
        device = () if self.device is None else (self.device.to_avp(),)
        self.transactions.request(Kind.UPDATE, *device)

    def _answer_start(self) -> None:
        start = self.start
        avps = self.nonce() if start.nonce_kind is Kind.START else ()
        if (cookie := self.message.value(AvpName.COOKIE)) is not None:
            avps += (Avp(AvpName.COOKIE, cookie),)
        avps += self._eap_avp()
        if start.suite is not None:
            avps += self.dialect.start_choice(start.suite)
        if self.dialect.has_terms:
            avps += self.config.terms.start_avps()
        if start.capability:
            avps += (Avp.u32(AvpName.MOBILITY_CAPABILITY, start.capability),)
        self.start = replace(start, answer=self.answer(*avps))

    def _repeat_start(self) -> None:
        if self.dialect.repeats_initiation:
            return
        self.transactions.stop_timer()
        if self.dialect.is_stateless(self.message):
            self.transactions.repeat_answer(self.start.answer, self.message.sequence)
            self.start_timer()

    def _answer_result(self) -> None:
        key_id = self.message.number(AvpName.KEY_ID)
        avps: tuple[Avp, ...] = ()
        if self.dialect.has_terms and self._is_success():
            avps = self.config.terms.answer_avps(self.message, self.device)
        if self._eap.outcome == "success" and key_id is not None:
            avps += (Avp.u32(AvpName.KEY_ID, key_id),)
        self.answer(*avps)

    def _is_success(self) -> bool:
        code = self.message.number(AvpName.RESULT_CODE)
        return code == self.dialect.result_number(Result.SUCCESS)

    def _eap_avp(self) -> tuple[Avp, ...]:
        record = self.authentication
        packet, record.response = record.response, None
        return () if packet is None else (Avp(AvpName.EAP_PAYLOAD, packet),)

    # EAP.

    def restart_eap(self) -> None:
        """Take another EAP peer, unless this one has yet to be used."""
        if self._eap.outcome is not None and self.config.renew_eap is not None:
            self._eap = self.config.renew_eap()

    def pass_to_eap(self) -> None:
        """Let the EAP peer answer a request; what it made of PAR[C] is known already."""
        eap, message = self._eap, self.message
        if message.kind is Kind.RESULT:
            success = eap.outcome == "success"
            self.runner.raise_(Trigger.EAP_SUCCESS if success else Trigger.EAP_FAILURE)
            return
        response = eap.handle_request(message.value(AvpName.EAP_PAYLOAD) or b"")
        if response is not None:
            self.authentication.response = response
            sealed = message.value(AvpName.SEALED_ASSIGNMENT) if self.start.capability else None
            if sealed is not None:
                self.events.append(AssignmentForetold(self.now, self.number, sealed))
            self.runner.raise_(Trigger.EAP_RESPONSE)
            return
        self.cause = eap.reason or "the EAP peer discarded a request"
        failed = eap.outcome == "failure"
        self.runner.raise_(Trigger.EAP_FAILURE if failed else Trigger.EAP_DISCARD)

    # Timers.

    def start_timer(self) -> None:
        """Start the retransmission timer; PCI has its own parameters."""
        waiting = self.transactions.outstanding
        if waiting is not None and waiting.kind is Kind.INITIATION:
            self.transactions.start_timer(self.config.pci_timing, self.now)
        else:
            super().start_timer()

    def deadlines(self) -> tuple[float | None, ...]:
        """Return the deadlines of all timers, the liveness test's included."""
        return *super().deadlines(), self._test_at()

    def _test_at(self) -> float | None:
        """Return when the PAA is to be tested, None while it is not."""
        if not self.config.liveness or not self.is_open():
            return None
        return max(self._last_heard + self.config.liveness, self.last_ping + PING_INTERVAL)

    def handle_timeout(self, now: float) -> None:
        """Act on every deadline that is not after `now`."""
        super().handle_timeout(now)
        if (test_at := self._test_at()) is not None and test_at <= now:
            self.ping(now)

    # What the owner hears.

    def _authorise(self) -> None:
        record, keys = self.authentication, self._eap.keys
        self.events.append(
            Authenticated(
                self.now,
                self.number,
                record.lifetime,
                record.assignment,
                b"" if keys is None else keys.msk,
                record.sealed,
            )
        )
        self.confirmed()

    def alive(self) -> None:
        """Tell that the PAA has answered a ping, or confirmed the new address."""
        confirmed = Updated if self._moving else PingAnswered
        self._moving = False
        self.events.append(confirmed(self.now, self.number))

    def ended(self) -> None:
        """Tell how the session, or the authentication, has ended."""
        reason = self.cause
        if self.state in (PacState.WAIT_EAP_RESULT, PacState.WAIT_EAP_RESULT_CLOSE):
            result = self.authentication.result or Result.SUCCESS
            reason = self._eap.reason or result.name
            if result is not Result.SUCCESS:
                self.events.append(Rejected(self.now, result, reason))
                reason = TerminationCause.ADMINISTRATIVE.name
                if not self.authorised:
                    return
        if self.authorised:
            self.events.append(Terminated(self.now, self.number, None, reason))
        else:
            self.events.append(Failed(self.now, reason))

    # Receiving.

    def receive(self, received: Received) -> None:
        """Take a message, if it is of this session."""
        message, session = received.message, self.transactions.session
        if message.kind is not Kind.START and session not in (b"", message.session):
            raise PeerError(f"{self.dialect.label(message)} of another session")
        super().receive(received)

    def authenticate(self, received: Received) -> Received:
        """Return the message in clear; PAR[C] has to wait for its key."""
        return received if received.message.kind is Kind.RESULT else super().authenticate(received)

    def validate(self, received: Received) -> None:
        """Raise PeerError if the message is not what its state wants; else take what it tells."""
        message = received.message
        match message.kind, message.request:
            case Kind.START, True:
                self._take_start(received)
            case Kind.AUTH, True:
                self.check_nonce(message)
                self._par_seen = True
            case Kind.RESULT, True:
                self._take_result(received)
            case Kind.TERMINATION, True:
                cause = message.number(AvpName.TERMINATION_CAUSE)
                self.cause = TerminationCause.describe(cause)
        self._last_heard = self.now
        transactions = self.transactions
        transactions.session = transactions.session or message.session

    def _take_start(self, received: Received) -> None:
        """Take a start request: what an earlier one has settled is void."""
        message, dialect = received.message, self.dialect
        suite = dialect.select(message, self.config.supported)
        nonce_kind = Kind.AUTH if dialect.is_stateless(message) else dialect.nonce_kind
        if message.has(AvpName.NONCE) is not (nonce_kind is Kind.START):
            lack = "no" if nonce_kind is Kind.START else "a needless"
            raise PeerError(f"{dialect.label(message)} with {lack} Nonce")
        capability = agree(read_capability(message), self.config.mobility)
        self.transactions.session = message.session
        self.start = Start(nonce_kind, received.data, suite=suite, capability=capability)
        self.begin_authentication(start=True)

    def _take_result(self, received: Received) -> None:
        """Check PAR[C]; on the way let EAP conclude, for its MSK verifies AUTH."""
        message, dialect = received.message, self.dialect
        result = dialect.result(message.number(AvpName.RESULT_CODE) or 0)
        key_id = message.number(AvpName.KEY_ID)
        hidden = message.has(AvpName.ENCRYPTION_ENCAP)
        if result is Result.SUCCESS and key_id is None:
            raise PeerError("success without Key-Id")
        lacking = not message.has(AvpName.SESSION_LIFETIME) and not hidden
        if result is Result.SUCCESS and lacking and dialect.requires_lifetime:
            raise PeerError("success without Session-Lifetime")
        if key_id is None:
            self.transactions.check_auth(received, self.transactions.sa)
            self._conclude_eap(message)
            self._check_keyless(message)
            message = dialect.decrypt(message, self.transactions.sa)
        else:
            message = self._take_key(received, key_id, result)
        record, wanted = self.authentication, self.start.capability
        assignment = read_assignment(message)
        lifetime = message.number(AvpName.SESSION_LIFETIME)
        record.result = result
        record.lifetime = float("inf") if lifetime is None else float(lifetime)
        record.assignment = assignment if wanted else None
        record.sealed = message.value(AvpName.SEALED_ASSIGNMENT) if wanted else None

    def _check_keyless(self, message: Message) -> None:
        """Raise PeerError if nothing protects PAR[C] although EAP has made a key.

        RFC 5191 section 4.1: a refusal is protected too if there is an MSK.
        """
        if self.transactions.sa is None and (self._eap.keys or self._eap.early_keys):
            label = self.dialect.label(message)
            raise PeerError(f"{label} without Key-Id although EAP made a key")

    def _take_key(self, received: Received, key_id: int, result: Result) -> Message:
        """Take the new key if PAR[C] proves it; return the message in clear."""
        message, transactions = received.message, self.transactions
        suite = self.dialect.select(message, self.config.supported)
        if suite is not None and self.start.suite is not None:
            raise PeerError("algorithms named a second time")
        suite = suite or self.start.suite
        sa = self._new_sa(received, key_id, suite)
        if sa is None:
            return message
        message = self.dialect.decrypt(message, sa)
        self.start = replace(self.start, suite=suite)
        transactions.sa = sa
        if result is Result.SUCCESS and self.dialect.has_terms:
            transactions.session = transactions.session or message.session
            self.config.terms.check_result(message)
        return message

    def _new_sa(
        self, received: Received, key_id: int, suite: Suite | None
    ) -> SecurityAssociation | None:
        """Return the SA that protects PAR[C]; None if EAP has failed on this side."""
        transactions, message = self.transactions, received.message
        if transactions.sa is not None and transactions.sa.key_id == key_id:
            raise PeerError("PAR[C] with the Key-Id of the old key")
        packet = message.value(AvpName.EAP_PAYLOAD)
        if packet is not None and packet[0] != SUCCESS:
            # EAP hears what AUTH does not cover yet: success proves nothing, all else would end it.
            raise PeerError(f"{self.dialect.label(message)} with a key, and without EAP-Success")
        self._conclude_eap(message)
        if self._eap.outcome == "failure" and transactions.sa is None:
            return None
        if self._eap.outcome is None or self._eap.keys is None:
            raise PeerError("PAR[C] with a key before EAP has one")
        sa = self.derive(self._eap.keys.msk, key_id, suite, pac=True)
        transactions.check_auth(received, sa)
        return sa

    def _conclude_eap(self, message: Message) -> None:
        packet = message.value(AvpName.EAP_PAYLOAD)
        if packet is not None and self._eap.outcome is None:
            self._eap.handle_request(packet)
