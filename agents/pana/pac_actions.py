"""What the PaC's table names: its conditions and actions (RFC 5609 sections 6 and 7)."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from math import isinf

from agents.bootstrap.assignment import Assignment
from agents.core.machine import Address, Event
from agents.eap.lower import EapPeerLike
from agents.pana.association import Association, Received, error_avps
from agents.pana.config import PacConfig
from agents.pana.errors import FATAL, ErrorCode, RefusedError
from agents.pana.events import (
    AssignmentForetold,
    Authenticated,
    ErrorReported,
    Failed,
    PingAnswered,
    Rejected,
    Started,
    Terminated,
    Updated,
)
from agents.pana.mobility import MobilityCapability
from agents.pana.pac_table import PAC_TABLE, PacState
from agents.pana.states import Runner, Trigger
from agents.pana.terms import Device
from agents.pana.wire import Avp, AvpName, Kind, Result, TerminationCause

_EARLIEST_REAUTH = 0.9
"""The part of its time at which a re-authentication may begin at the earliest."""


class PacActions:
    """The PaC's session and what its transitions do with it."""

    def __init__(
        self, paa: Address, eap: EapPeerLike, config: PacConfig, rng: random.Random
    ) -> None:
        self.outbox: deque[tuple[bytes, Address]] = deque()
        self.events: deque[Event] = deque()
        self._config = config
        self._dialect = config.dialect
        self._rng = rng
        self._eap = eap
        self._agreed = MobilityCapability(0)
        self._association = Association(
            config.dialect, rng=rng, peer=paa, session=b"", outbox=self.outbox
        )
        self._runner = Runner(PAC_TABLE, PacState.INITIAL, self._conditions(), self._actions())
        self._now = 0.0
        self._started = False
        self._par_seen = False
        self._authorised = False
        self._moving = False
        self._session_deadline: float | None = None
        self._lifetime_end = float("inf")
        self._reauth_at: float | None = None
        self._request: Received | None = None
        self._eap_used = False
        self._eap_response: bytes | None = None
        self._result: Result | None = None
        self._lifetime = 0.0
        self._assignment: Assignment | None = None
        self._sealed: bytes | None = None
        self._device: Device | None = config.terms.device
        self._error: RefusedError | None = None
        self._cause = ""

    @property
    def state(self) -> PacState:
        """The state of RFC 5609."""
        return self._runner.state

    def _conditions(self) -> dict[str, Callable[[], bool]]:
        config = self._config
        return {
            "started": lambda: self._started,
            "exist_avp(EAP-Payload)": lambda: self._has(AvpName.EAP_PAYLOAD),
            "eap_piggyback": lambda: config.piggyback,
            "eap_renewable": lambda: config.renew_eap is not None,
            "PAR_SEEN": lambda: self._par_seen,
            "PAR.RESULT_CODE==PANA_SUCCESS": self._is_success,
            "key_available": lambda: self._association.sa is not None,
            "update_message": lambda: self._dialect.update_kind is Kind.UPDATE,
            "PER_FATAL": self._is_fatal,
            "RTX_COUNTER<RTX_MAX_NUM": lambda: self._association.retransmissions_left,
        }

    def _actions(self) -> dict[str, Callable[[], object]]:
        association = self._association
        return {
            "Tx:PCI[]": self._send_initiation,
            "Tx:PAN[S](PRF-Algorithm,Integrity-Algorithm)": self._answer_start,
            "Tx:PAN[S](EAP-Payload,PRF-Algorithm,Integrity-Algorithm)": self._answer_start,
            "Tx:PAN[](Nonce?)": lambda: self._answer(*self._nonce()),
            "Tx:PAN[](EAP-Payload,Nonce?)": lambda: self._answer(*self._eap_avp(), *self._nonce()),
            "Tx:PAR[](EAP-Payload)": lambda: self._send(Kind.AUTH, *self._eap_avp()),
            "Tx:PAN[C](Key-Id?)": self._answer_result,
            "Tx:PNR[P]": lambda: self._send(Kind.PING),
            "Tx:PNR[A]": lambda: self._send(Kind.REAUTH),
            "Tx:PUR[]": self._send_update,
            "Tx:PTR[]": self._send_termination,
            "Tx:PER[]": self._send_error,
            "Tx:PNA[P]": self._answer,
            "Tx:PTA[]": self._answer,
            "Tx:PUA[]": self._answer,
            "Tx:PEA[]": self._answer_error,
            "EAP_Restart": self._restart_eap,
            "TxEAP": self._pass_to_eap,
            "RtxTimerStart": self._start_timer,
            "RtxTimerStart(PAN[S]?)": self._repeat_start,
            "RtxTimerStop": association.stop_timer,
            "Retransmit": association.retransmit,
            "NONCE_SENT=Unset": association.unset_nonce,
            "SessionTimerReStart(FAILED_SESS_TIMEOUT)": self._start_deadline,
            "SessionTimerReStart(LIFETIME_SESS_TIMEOUT)": self._start_lifetime,
            "SessionTimerStop": self._stop_session_timer,
            "Authorize": self._authorise,
            "Alive": self._alive,
            "Disconnect": self._disconnect,
        }

    # Conditions.

    def _has(self, name: AvpName) -> bool:
        return self._request is not None and self._request.message.has(name)

    def _is_success(self) -> bool:
        request = self._request
        if request is None:
            return False
        code = request.message.number(AvpName.RESULT_CODE)
        return code == self._dialect.result_number(Result.SUCCESS)

    def _is_fatal(self) -> bool:
        return self._request is not None and is_fatal(self._association, self._request)

    # Sending.

    def _send_initiation(self) -> None:
        self._started = True
        self._association.initiation()
        self.events.append(Started(self._now))

    def _send(self, kind: Kind, *avps: Avp) -> None:
        self._association.request(kind, *avps)

    def _send_update(self) -> None:
        self._send(Kind.UPDATE, *(() if self._device is None else (self._device.to_avp(),)))

    def _send_termination(self) -> None:
        self._send(Kind.TERMINATION, Avp.u32(AvpName.TERMINATION_CAUSE, TerminationCause.LOGOUT))

    def _send_error(self) -> None:
        if self._error is None:
            raise RuntimeError("an error message without an error")
        self._send(Kind.ERROR, *error_avps(self._dialect, self._error))

    def _answer(self, *avps: Avp) -> bytes:
        if self._request is None:
            raise RuntimeError("an answer without a request")
        return self._association.answer(self._request, *avps)

    def _answer_start(self) -> None:
        association, request = self._association, self._request
        avps: tuple[Avp, ...] = self._nonce() if association.nonce_kind is Kind.START else ()
        cookie = request.message.value(AvpName.COOKIE) if request else None
        if cookie is not None:
            avps += (Avp(AvpName.COOKIE, cookie),)
        avps += self._eap_avp()
        if association.suite is not None:
            avps += self._dialect.start_choice(association.suite)
        if self._dialect.has_terms:
            avps += self._config.terms.start_avps()
        if self._agreed:
            avps += (Avp.u32(AvpName.MOBILITY_CAPABILITY, self._agreed),)
        association.start_answer = self._answer(*avps)

    def _answer_result(self) -> None:
        message = self._request.message if self._request else None
        key_id = message.number(AvpName.KEY_ID) if message else None
        avps: tuple[Avp, ...] = ()
        if message is not None and self._dialect.has_terms and self._is_success():
            avps = self._config.terms.answer_avps(message, self._device)
        if self._eap.outcome == "success" and key_id is not None:
            avps += (Avp.u32(AvpName.KEY_ID, key_id),)
        self._answer(*avps)

    def _answer_error(self) -> None:
        message = self._request.message if self._request else None
        code = message.number(AvpName.RESULT_CODE) if message else None
        protected = message is not None and self._association.is_protected(message)
        reason = ErrorCode.describe(code)
        number = self._session_number()
        self.events.append(ErrorReported(self._now, number, code or 0, reason, protected))
        self._cause = f"the PAA reports {reason}"
        self._answer()

    def _nonce(self) -> tuple[Avp, ...]:
        return () if self._association.own_nonce else (self._association.new_nonce(),)

    def _eap_avp(self) -> tuple[Avp, ...]:
        packet, self._eap_response = self._eap_response, None
        return () if packet is None else (Avp(AvpName.EAP_PAYLOAD, packet),)

    # EAP.

    def _restart_eap(self) -> None:
        if self._eap_used and self._config.renew_eap is not None:
            self._eap = self._config.renew_eap()
        self._eap_used = True

    def _pass_to_eap(self) -> None:
        message = self._request.message if self._request else None
        if message is None or message.kind is Kind.RESULT:
            success = self._eap.outcome == "success"
            self._runner.raise_(Trigger.EAP_SUCCESS if success else Trigger.EAP_FAILURE)
            return
        self._eap_response = self._eap.handle_request(message.value(AvpName.EAP_PAYLOAD) or b"")
        if self._eap_response is not None:
            sealed = message.value(AvpName.SEALED_ASSIGNMENT) if self._agreed else None
            if sealed is not None:
                number = self._session_number()
                self.events.append(AssignmentForetold(self._now, number, sealed))
            self._runner.raise_(Trigger.EAP_RESPONSE)
            return
        self._cause = self._eap.reason or "the EAP peer discarded a request"
        failed = self._eap.outcome == "failure"
        self._runner.raise_(Trigger.EAP_FAILURE if failed else Trigger.EAP_DISCARD)

    # Timers.

    def _start_timer(self) -> None:
        waiting = self._association.outstanding
        initiation = waiting is not None and waiting.kind is Kind.INITIATION
        config = self._config
        timing = config.pci_timing if initiation else config.request_timing
        self._association.start_timer(timing, self._now)

    def _repeat_start(self) -> None:
        association, request = self._association, self._request
        if request is None or self._dialect.repeats_initiation:
            return
        association.stop_timer()
        if self._dialect.is_stateless(request.message):
            association.repeat_answer(association.start_answer, request.message.sequence)
            self._start_timer()

    def _start_deadline(self) -> None:
        self._session_deadline = min(self._now + self._config.auth_timeout, self._lifetime_end)

    def _start_lifetime(self) -> None:
        self._lifetime_end = self._now + self._lifetime
        self._session_deadline = None if isinf(self._lifetime_end) else self._lifetime_end
        part = self._config.reauth_at
        self._reauth_at = renewal_due(self._now, self._lifetime, part, self._rng)

    def _stop_session_timer(self) -> None:
        self._session_deadline = None

    # What the owner hears.

    def _session_number(self) -> int:
        return self._dialect.session_number(self._association.session)

    def _authorise(self) -> None:
        self._authorised = self._association.proved = True
        self._association.forget_nonces()
        keys = self._eap.keys
        self.events.append(
            Authenticated(
                self._now,
                self._session_number(),
                self._lifetime,
                self._assignment,
                b"" if keys is None else keys.msk,
                self._sealed,
            )
        )

    def _alive(self) -> None:
        confirmed = Updated if self._moving else PingAnswered
        self._moving = False
        self.events.append(confirmed(self._now, self._session_number()))

    def _disconnect(self) -> None:
        self._association.stop_all()
        self._stop_session_timer()
        reason = self._cause
        if self.state in (PacState.WAIT_EAP_RESULT, PacState.WAIT_EAP_RESULT_CLOSE):
            result = self._result or Result.SUCCESS
            reason = self._eap.reason or result.name
            if result is not Result.SUCCESS:
                self.events.append(Rejected(self._now, result, reason))
                reason = TerminationCause.ADMINISTRATIVE.name
                if not self._authorised:
                    return
        if self._authorised:
            self.events.append(Terminated(self._now, self._session_number(), None, reason))
        else:
            self.events.append(Failed(self._now, reason))


def renewal_due(now: float, lifetime: float, part: float, rng: random.Random) -> float | None:
    """Return when a session is to be renewed, after a part of its lifetime; None for never."""
    if not part or isinf(lifetime):
        return None
    return now + part * rng.uniform(_EARLIEST_REAUTH, 1.0) * lifetime


def is_fatal(association: Association, received: Received) -> bool:
    """Return whether an error message ends the session of who gets it."""
    code = received.message.number(AvpName.RESULT_CODE)
    return code in FATAL and association.is_protected(received.message)
