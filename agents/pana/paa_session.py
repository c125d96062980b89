"""One session of the PAA (RFC 5191), driven by the table of RFC 5609 section 8."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from agents.bootstrap import Assignment
from agents.machine import Address, Event, PeerError, Timing
from agents.pana.association import Association, Received
from agents.pana.dialect import Dialect
from agents.pana.eap import identity_request
from agents.pana.events import (
    AddressChanged,
    Authorised,
    EapResponse,
    Failed,
    PingAnswered,
    Terminated,
)
from agents.pana.keys import Algorithms
from agents.pana.mobility import MobilityCapability, agree, assignment_avps, read_capability
from agents.pana.paa_table import PAA_TABLE, PaaState
from agents.pana.states import RECEIVED, Runner, Trigger
from agents.pana.wire import Avp, AvpName, Kind, Message, Result, TerminationCause

ESTABLISHED = (PaaState.OPEN, PaaState.WAIT_PNA_PING, PaaState.SESS_TERM)


@dataclass(frozen=True, slots=True)
class PaaSettings:
    """What all sessions of a PAA share; times in seconds."""

    dialect: Dialect
    mobility: MobilityCapability
    algorithms: Algorithms
    session_lifetime: float
    auth_timeout: float
    request_timing: Timing
    ping_interval: float
    optimized: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """The AAA's decision that the final request will carry."""

    result: Result
    packet: bytes | None
    lifetime: int = 0
    assignment: Assignment | None = None


class PaaSession:
    """The PAA's end of the session `number` with one PaC."""

    def __init__(
        self,
        number: int,
        pac: Address,
        settings: PaaSettings,
        *,
        rng: random.Random,
        outbox: deque[tuple[bytes, Address]],
        events: deque[Event],
        before_authorised: Callable[[PaaSession], None],
    ) -> None:
        self.number = number
        self.opener = pac
        self.authorised = False
        self.now = 0.0
        self._settings = settings
        self._rng = rng
        self._events = events
        self._before_authorised = before_authorised
        self.association = Association(
            settings.dialect,
            rng=rng,
            peer=pac,
            session=settings.dialect.session_octets(number),
            outbox=outbox,
        )
        self._runner = Runner(PAA_TABLE, PaaState.INITIAL, self._conditions(), self._actions())
        self._deadline: float | None = None
        self._last_ping = float("-inf")
        self._received: Received | None = None
        self._eap_packet = b""
        self._capability = MobilityCapability(0)
        self._key_id = 0
        self._msk = b""
        self._verdict: Verdict | None = None
        self._cause = ""
        self._termination = TerminationCause.ADMINISTRATIVE

    @property
    def state(self) -> PaaState:
        """The state of RFC 5609."""
        return self._runner.state

    @property
    def pac(self) -> Address:
        """The PaC's current address."""
        return self.association.peer

    def fire(self, trigger: Trigger, now: float) -> bool:
        """Let the owner's event variable move the session; return whether it does."""
        self.now = now
        return self._runner.fire(trigger)

    # The AAA's calls.

    def eap_request(self, packet: bytes, now: float) -> bool:
        """Send an EAP request; return whether one is due."""
        self._eap_packet = packet
        return self.fire(Trigger.EAP_REQUEST, now)

    def accept(
        self,
        packet: bytes,
        msk: bytes,
        lifetime: float | None,
        assignment: Assignment | None,
        now: float,
    ) -> bool:
        """Send the successful final request; return whether a verdict is due."""
        if self.state is not PaaState.WAIT_EAP_MSG:
            return False
        association = self.association
        msk = msk if association.own_nonce and association.peer_nonce else b""
        bound = self._settings.session_lifetime
        seconds = max(1, int(min(bound, bound if lifetime is None else lifetime)))
        if msk:
            wanted = assignment if self._capability else None
            self._verdict = Verdict(Result.SUCCESS, packet, seconds, wanted)
        else:
            self._verdict = Verdict(Result.AUTHORIZATION_REJECTED, packet)
            self._cause = "no key: no MSK from the AAA, or no nonces yet"
        self._msk = msk
        return self.fire(Trigger.EAP_SUCCESS, now)

    def reject(self, packet: bytes | None, result: Result, now: float) -> bool:
        """Send the failing final request; return whether a verdict is due."""
        if self.state not in (PaaState.WAIT_EAP_MSG, PaaState.WAIT_PAN_OR_PAR):
            return False
        self._verdict = Verdict(result, packet)
        self._cause = result.name
        self._msk = b""
        return self.fire(Trigger.EAP_FAILURE, now)

    # The owner's calls.

    def ping(self, now: float) -> bool:
        """Test that the PaC is there; return whether that is possible now."""
        if now < self._last_ping + self._settings.ping_interval:
            return False
        if not self.fire(Trigger.PANA_PING, now):
            return False
        self._last_ping = now
        return True

    def terminate(self, cause: TerminationCause, now: float) -> bool:
        """Revoke the session; return whether it is open."""
        if self.state is not PaaState.OPEN:
            return False
        self._termination = cause
        self._cause = cause.name
        return self.fire(Trigger.TERMINATE, now)

    def replace(self, now: float) -> None:
        """Drop the session without a word: its PaC has opened another."""
        self._cause = "replaced by a newer session"
        self.fire(Trigger.REPLACED, now)

    # Timers.

    def next_timeout(self) -> float | None:
        """Return the earliest deadline in seconds, None if no timer runs."""
        deadlines = (self.association.deadline, self._deadline)
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def handle_timeout(self, now: float) -> None:
        """Retransmit, or end a session or an authentication whose time is up."""
        if self._deadline is not None and self._deadline <= now:
            over = self.state in ESTABLISHED
            self._cause = TerminationCause.SESSION_TIMEOUT.name if over else self._late("deadline")
            self.fire(Trigger.SESS_TIMEOUT, now)
        if self.association.expire(now):
            left = self.association.retransmissions_left
            if not left and self.state is not PaaState.SESS_TERM:
                self._cause = self._late("last retransmission")
            self.fire(Trigger.RTX_TIMEOUT, now)

    def _late(self, what: str) -> str:
        whom = "the AAA" if self.state is PaaState.WAIT_EAP_MSG else "the PaC"
        return f"the {what} passed without an answer from {whom} in state {self.state.value}"

    # Receiving.

    def handle(self, received: Received, now: float) -> None:
        """Take a message of this session; PeerError if it is not valid."""
        self.now = now
        message, association = received.message, self.association
        if message.request and association.answer_again(received.data, received.source):
            return
        association.check_sequence(message)
        previous, self._received = self._received, received
        try:
            row = self._runner.find(RECEIVED[message.kind, message.request])
            if row is None:
                label = self._settings.dialect.label(message)
                raise PeerError(f"{label} is not expected in state {self.state.value}")
            self._validate(received)
        except PeerError:
            self._received = previous
            raise
        association.accept(message)
        self._runner.run(row)

    def _validate(self, received: Received) -> None:
        """Raise PeerError if the message is not what its state wants; else take what it tells."""
        message, association = received.message, self.association
        dialect = self._settings.dialect
        association.check_auth(received, association.sa)
        if received.source != association.peer and association.sa is None:
            raise PeerError(f"{dialect.label(message)} from another address than the PaC's")
        match message.kind, message.request:
            case Kind.START, False:
                prfs, integrities = dialect.algorithms(message)
                association.suite = self._settings.algorithms.choose(prfs, integrities)
                association.check_nonce(message)
                association.start_answer = received.data
                self._capability = agree(self._settings.mobility, read_capability(message))
            case Kind.AUTH, False:
                association.check_nonce(message)
            case Kind.AUTH, True if message.has(AvpName.NONCE):
                raise PeerError("a Nonce in the PaC's own request")
            case Kind.RESULT, False:
                self._check_key_id(message)
            case Kind.TERMINATION, True:
                number = message.number(AvpName.TERMINATION_CAUSE)
                self._cause = TerminationCause.describe(number)
        association.peer_nonce = message.value(AvpName.NONCE) or association.peer_nonce
        if received.source != association.peer:
            self._move(received.source)

    def _check_key_id(self, message: Message) -> None:
        sent = self._key_id if self._msk else None
        if message.number(AvpName.KEY_ID) != sent:
            raise PeerError("the final answer's Key-Id is not the request's")

    def _move(self, source: Address) -> None:
        old, self.association.peer = self.association.peer, source
        if self.authorised:
            self._events.append(AddressChanged(self.now, self.number, source, old))

    # Conditions and actions of the table.

    def _conditions(self) -> dict[str, Callable[[], bool]]:
        association = self.association
        return {
            "OPTIMIZED_INIT": lambda: self._settings.optimized,
            "exist_avp(EAP-Payload)": self._has_eap,
            "Authorize": lambda: bool(self._msk),
            "NONCE_AWAITED": lambda: bool(association.own_nonce and not association.peer_nonce),
            "key_available": lambda: association.sa is not None,
            "RTX_COUNTER<RTX_MAX_NUM": lambda: association.retransmissions_left,
        }

    def _actions(self) -> dict[str, Callable[[], object]]:
        association = self.association
        return {
            "Tx:PAR[S](PRF-Algorithm,Integrity-Algorithm)": self._send_start,
            "Tx:PAR[S](EAP-Payload,PRF-Algorithm,Integrity-Algorithm)": self._send_start,
            "Tx:PAR[](EAP-Payload,Nonce?)": self._send_eap,
            "Tx:PAR[C](EAP-Payload?,Key-Id?)": self._send_result,
            "Tx:PNR[P]": lambda: self._send(Kind.PING),
            "Tx:PTR[]": self._send_termination,
            "Tx:PAN[]": self._answer,
            "Tx:PNA[A]": self._answer,
            "Tx:PNA[P]": self._answer,
            "Tx:PTA[]": self._answer,
            "EAP_Restart": self._restart_eap,
            "TxEAP": self._pass_to_aaa,
            "RtxTimerStart": self._start_timer,
            "RtxTimerStop": association.stop_timer,
            "Retransmit": association.retransmit,
            "NONCE_SENT=Unset": association.forget_nonces,
            "SessionTimerReStart(FAILED_SESS_TIMEOUT)": self._start_deadline,
            "SessionTimerReStart(LIFETIME_SESS_TIMEOUT)": self._start_lifetime,
            "SessionTimerStop": self._stop_session_timer,
            "Authorised": self._authorise,
            "Alive": self._alive,
            "Disconnect": self._disconnect,
        }

    def _has_eap(self) -> bool:
        return self._received is not None and self._received.message.has(AvpName.EAP_PAYLOAD)

    def _send(self, kind: Kind, *avps: Avp) -> bytes:
        return self.association.request(kind, *avps)

    def _send_start(self) -> None:
        settings = self._settings
        avps: list[Avp] = []
        if settings.dialect.nonce_kind is Kind.START:
            avps.append(self.association.new_nonce())
        if settings.optimized:
            avps.append(Avp(AvpName.EAP_PAYLOAD, self._eap_packet))
        avps += settings.dialect.offer(settings.algorithms)
        if settings.mobility:
            avps.append(Avp.u32(AvpName.MOBILITY_CAPABILITY, settings.mobility))
        self.association.start_request = self._send(Kind.START, *avps)

    def _send_eap(self) -> None:
        avps = [Avp(AvpName.EAP_PAYLOAD, self._eap_packet)]
        if not self.association.own_nonce:
            avps.append(self.association.new_nonce())
        self._send(Kind.AUTH, *avps)

    def _send_result(self) -> None:
        verdict, association = self._verdict, self.association
        if verdict is None:
            raise RuntimeError("a final request without a verdict")
        number = self._settings.dialect.result_number(verdict.result)
        avps = [Avp.u32(AvpName.RESULT_CODE, number)]
        if verdict.packet is not None:
            avps.append(Avp(AvpName.EAP_PAYLOAD, verdict.packet))
        if self._msk:
            self._key_id += 1
            association.sa = association.derive(self._msk, self._key_id, pac=False)
            avps.append(Avp.u32(AvpName.KEY_ID, self._key_id))
        if verdict.result is Result.SUCCESS:
            avps.append(Avp.u32(AvpName.SESSION_LIFETIME, verdict.lifetime))
        if verdict.assignment is not None:
            avps += assignment_avps(verdict.assignment)
        self._send(Kind.RESULT, *avps)

    def _send_termination(self) -> None:
        self._send(Kind.TERMINATION, Avp.u32(AvpName.TERMINATION_CAUSE, self._termination))

    def _answer(self) -> None:
        if self._received is None:
            raise RuntimeError("an answer without a request")
        self.association.answer(self._received)

    def _restart_eap(self) -> None:
        self._eap_packet = identity_request(self._rng.getrandbits(8))
        self._runner.raise_(Trigger.EAP_REQUEST)

    def _pass_to_aaa(self) -> None:
        message = self._received.message if self._received else None
        packet = message.value(AvpName.EAP_PAYLOAD) if message else None
        mobile = MobilityCapability.MOBILE_IPV6 in self._capability
        self._events.append(
            EapResponse(self.now, self.number, self.pac, mobile, self._capability, packet or b"")
        )

    def _start_timer(self) -> None:
        self.association.start_timer(self._settings.request_timing, self.now)

    def _start_deadline(self) -> None:
        self._deadline = self.now + self._settings.auth_timeout

    def _start_lifetime(self) -> None:
        self._deadline = self.now + (self._verdict.lifetime if self._verdict else 0)

    def _stop_session_timer(self) -> None:
        self._deadline = None

    def _authorise(self) -> None:
        if not self.authorised:
            self._before_authorised(self)
        self.authorised = True
        self.association.forget_nonces()
        self._events.append(Authorised(self.now, self.number, self.pac))

    def _alive(self) -> None:
        self._events.append(PingAnswered(self.now, self.number))

    def _disconnect(self) -> None:
        self.association.stop_timer()
        self._stop_session_timer()
        if self.authorised:
            self.authorised = False
            self._events.append(Terminated(self.now, self.number, self.pac, self._cause))
        else:
            self._events.append(Failed(self.now, self._cause, self.number, self.pac))
