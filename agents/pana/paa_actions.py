"""What the PAA's table names: its conditions and actions (RFC 5609 sections 6 and 8)."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from agents.bootstrap.assignment import Assignment
from agents.core.machine import Address, Event
from agents.pana.association import Association, Received, error_avps
from agents.pana.config import PaaConfig
from agents.pana.errors import ErrorCode, RefusedError
from agents.pana.events import (
    Authorised,
    EapResponse,
    ErrorReported,
    Failed,
    PingAnswered,
    Terminated,
)
from agents.pana.mobility import MobilityCapability, assignment_avps
from agents.pana.paa_table import PAA_TABLE, PaaState
from agents.pana.pac_actions import is_fatal, renewal_due
from agents.pana.places import Host, host_at, place
from agents.pana.states import Runner, Trigger
from agents.pana.terms import Device
from agents.pana.wire import Avp, AvpName, Kind, Result, TerminationCause


@dataclass(frozen=True, slots=True)
class Verdict:
    """The AAA's decision that the final request will carry."""

    result: Result
    packet: bytes | None
    lifetime: int = 0
    assignment: Assignment | None = None
    sealed: bytes | None = field(default=None, repr=False)


class PaaActions:
    """The PAA's end of one session and what its transitions do with it."""

    def __init__(
        self,
        number: int,
        pac: Address,
        config: PaaConfig,
        *,
        rng: random.Random,
        outbox: deque[tuple[bytes, Address]],
        events: deque[Event],
        before_authorised: Callable[[int], None],
        is_free: Callable[[int, Host], bool],
        relay: Address | None = None,
    ) -> None:
        self.number = number
        self.opener = place(pac, relay)
        self.proved_at: Host | None = None
        self.authorised = False
        self.responses = 0
        """EAP responses that the PaC has sent."""
        self.now = 0.0
        self._config = config
        self._rng = rng
        self._events = events
        self._before_authorised = before_authorised
        self._is_free = is_free
        self.association = Association(
            config.dialect,
            rng=rng,
            peer=pac,
            session=config.dialect.session_octets(number),
            outbox=outbox,
            relay=relay,
        )
        self._runner = Runner(PAA_TABLE, PaaState.INITIAL, self._conditions(), self._actions())
        self._deadline: float | None = None
        self._lifetime_end: float | None = None
        self._reauth_at: float | None = None
        self._received: Received | None = None
        self._optimized = config.optimized
        self._eap_packet = b""
        self._foretold: bytes | None = None
        self._capability = MobilityCapability(0)
        self._isp: str | None = None
        self._device: Device | None = None
        self._key_id = 0
        self._msk = b""
        self._verdict: Verdict | None = None
        self._error: RefusedError | None = None
        self._cause = ""
        self._termination = TerminationCause.ADMINISTRATIVE
        self._terminated = False

    @property
    def state(self) -> PaaState:
        """The state of RFC 5609."""
        return self._runner.state

    @property
    def pac(self) -> Address:
        """The PaC's current address."""
        return self.association.peer

    @property
    def host(self) -> Host:
        """The host that the PaC is on."""
        return host_at(self.association.place)

    @property
    def admitted(self) -> bool:
        """Whether the PaC's packets may pass: it is authorised, or has only to confirm that."""
        return self.authorised or self.state is PaaState.WAIT_SUCC_PAN

    def _conditions(self) -> dict[str, Callable[[], bool]]:
        association = self.association
        return {
            "OPTIMIZED_INIT": lambda: self._optimized,
            "exist_avp(EAP-Payload)": self._has_eap,
            "Authorize": lambda: bool(self._msk),
            "NONCE_AWAITED": lambda: bool(association.own_nonce and not association.peer_nonce),
            "key_available": lambda: association.sa is not None,
            "error_message": lambda: self._config.dialect.reports_errors,
            "LIFETIME_LEFT": self._has_lifetime_left,
            "REQUEST_OUT": lambda: association.outstanding is not None,
            "announce_timeout": lambda: self._config.announce_timeout,
            "PER_FATAL": self._is_fatal,
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
            "Tx:PER[]": self._send_error,
            "Tx:PAN[]": self._answer,
            "Tx:PNA[A]": self._answer,
            "Tx:PNA[P]": self._answer,
            "Tx:PTA[]": self._answer,
            "Tx:PUA[]": self._answer,
            "Tx:PEA[]": self._answer_error,
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
            "Deauthorise": self._deauthorise,
            "Lose": self._lose,
            "Withdraw": association.withdraw,
            "Alive": self._alive,
            "Disconnect": self._disconnect,
        }

    # Conditions.

    def _has_eap(self) -> bool:
        return self._received is not None and self._received.message.has(AvpName.EAP_PAYLOAD)

    def _is_fatal(self) -> bool:
        return self._received is not None and is_fatal(self.association, self._received)

    def _has_lifetime_left(self) -> bool:
        return self._lifetime_end is not None and self.now < self._lifetime_end

    # Sending.

    def _send(self, kind: Kind, *avps: Avp) -> bytes:
        return self.association.request(kind, *avps)

    def _send_start(self) -> None:
        config = self._config
        avps: list[Avp] = []
        if self.association.nonce_kind is Kind.START:
            avps.append(self.association.new_nonce())
        if self._optimized:
            avps.append(Avp(AvpName.EAP_PAYLOAD, self._eap_packet))
        self.association.start_request = self._send(Kind.START, *avps, *config.start_avps())

    def _send_eap(self) -> None:
        avps = [Avp(AvpName.EAP_PAYLOAD, self._eap_packet)]
        if not self.association.own_nonce:
            avps.append(self.association.new_nonce())
        if self._foretold is not None:
            avps.append(Avp(AvpName.SEALED_ASSIGNMENT, self._foretold))
        self._send(Kind.AUTH, *avps)

    def _send_result(self) -> None:
        verdict, dialect = self._verdict, self._config.dialect
        if verdict is None:
            raise RuntimeError("a final request without a verdict")
        avps = [Avp.u32(AvpName.RESULT_CODE, dialect.result_number(verdict.result))]
        if verdict.packet is not None:
            avps.append(Avp(AvpName.EAP_PAYLOAD, verdict.packet))
        if self._msk:
            avps += self._take_key()
        if verdict.result is Result.SUCCESS:
            avps.append(Avp.u32(AvpName.SESSION_LIFETIME, verdict.lifetime))
            if dialect.has_terms:
                avps += self._config.terms.result_avps()
        if verdict.assignment is not None:
            avps += assignment_avps(verdict.assignment)
        if verdict.sealed is not None:
            avps.append(Avp(AvpName.SEALED_ASSIGNMENT, verdict.sealed))
        self._send(Kind.RESULT, *avps)

    def _take_key(self) -> tuple[Avp, ...]:
        """Derive the new key; return the AVPs that name it and, the first time, its algorithms."""
        association, first = self.association, self.association.sa is None
        self._key_id += 1
        suite = association.suite
        association.sa = association.derive(self._msk, self._key_id, suite, pac=False)
        key_id = Avp.u32(AvpName.KEY_ID, self._key_id)
        if suite is None or not first:
            return (key_id,)
        return (key_id, *self._config.dialect.result_choice(suite))

    def _send_termination(self) -> None:
        self._send(Kind.TERMINATION, Avp.u32(AvpName.TERMINATION_CAUSE, self._termination))

    def _send_error(self) -> None:
        if self._error is None:
            raise RuntimeError("an error message without an error")
        self._send(Kind.ERROR, *error_avps(self._config.dialect, self._error))

    def _answer(self) -> None:
        if self._received is None:
            raise RuntimeError("an answer without a request")
        self.association.answer(self._received)

    def _answer_error(self) -> None:
        message = self._received.message if self._received else None
        code = message.number(AvpName.RESULT_CODE) if message else None
        protected = message is not None and self.association.is_protected(message)
        reason = ErrorCode.describe(code)
        self._events.append(ErrorReported(self.now, self.number, code or 0, reason, protected))
        self._cause = f"the PaC reports {reason}"
        self._answer()

    # EAP.

    def _restart_eap(self) -> None:
        self._eap_packet = self._config.first_request(self._rng.getrandbits(8))
        self._foretold = None
        self._runner.raise_(Trigger.EAP_REQUEST)

    def _pass_to_aaa(self) -> None:
        self.responses += 1
        message = self._received.message if self._received else None
        packet = message.value(AvpName.EAP_PAYLOAD) if message else None
        self._events.append(
            EapResponse(
                self.now,
                self.number,
                self.pac,
                MobilityCapability.MOBILE_IPV6 in self._capability,
                self._capability,
                packet or b"",
                self._isp,
            )
        )

    # Timers.

    def _start_timer(self) -> None:
        self.association.start_timer(self._config.request_timing, self.now)

    def _start_deadline(self) -> None:
        self._deadline = self.now + self._config.auth_timeout
        if self._lifetime_end is not None:
            self._deadline = min(self._deadline, self._lifetime_end)
        self._reauth_at = None

    def _start_lifetime(self) -> None:
        lifetime = self._verdict.lifetime if self._verdict else 0
        self._deadline = self._lifetime_end = self.now + lifetime
        self._reauth_at = renewal_due(self.now, lifetime, self._config.reauth_at, self._rng)

    def _stop_session_timer(self) -> None:
        self._deadline = self._reauth_at = None

    # What the owner hears.

    def _authorise(self) -> None:
        if not self.authorised:
            self._before_authorised(self.number)
        self.authorised = True
        self.proved_at = self.host
        self.association.proved = True
        self.association.forget_nonces()
        device = None if self._device is None else str(self._device)
        self._events.append(Authorised(self.now, self.number, self.pac, device))

    def _deauthorise(self) -> None:
        if self.authorised:
            self.authorised, self._terminated = False, True
            self._events.append(Terminated(self.now, self.number, self.pac, self._cause))

    def _alive(self) -> None:
        self._events.append(PingAnswered(self.now, self.number))

    def _disconnect(self) -> None:
        self.association.stop_all()
        self._stop_session_timer()
        self._end_access()

    def _lose(self) -> None:
        self.association.halt_timer()
        self._deadline, self._reauth_at = self._lifetime_end, None
        self._end_access()

    def _end_access(self) -> None:
        self._deauthorise()
        if not self._terminated:
            self._terminated = True
            self._events.append(Failed(self.now, self._cause, self.number, self.pac))
