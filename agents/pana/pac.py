"""The PANA client (RFC 5191), driven by the table of RFC 5609 section 7."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from ipaddress import IPv6Address

from agents.bootstrap import Assignment
from agents.machine import Address, Discarded, Event, PeerError, Timing
from agents.pana.association import Association, Received
from agents.pana.dialect import Dialect
from agents.pana.eap import EapPeerLike
from agents.pana.events import (
    Authenticated,
    Failed,
    PingAnswered,
    Rejected,
    Started,
    Terminated,
)
from agents.pana.keys import DEFAULT_ALGORITHMS, Algorithms, SecurityAssociation, Suite
from agents.pana.mobility import (
    MobilityCapability,
    agree,
    read_assignment,
    read_capability,
)
from agents.pana.pac_table import PAC_TABLE, PacState
from agents.pana.rfc5191 import RFC5191
from agents.pana.states import RECEIVED, Runner, Trigger
from agents.pana.wire import Avp, AvpName, Kind, Message, Result, TerminationCause
from agents.wire import WireError

PCI_TIMING = Timing(initial=1.0, maximum=120.0)
REQUEST_TIMING = Timing(initial=1.0, maximum=30.0, count=10)
"""RFC 5191 section 9.1."""

PING_INTERVAL = 1.0
"""Seconds between liveness tests at least; RFC 5191 section 4.2 wants a limit, names none."""

ESTABLISHED = (
    PacState.OPEN,
    PacState.WAIT_PNA_REAUTH,
    PacState.WAIT_PNA_PING,
    PacState.SESS_TERM,
)


class Pac:
    """A PANA client: one session with one PAA, from PCI to termination. A Machine.

    `piggyback` puts EAP responses into PAN, else they go in requests of the client's own.
    `renew_eap` gives the EAP peer of a re-authentication; without it there is none.
    `auth_timeout` is the deadline of an authentication in seconds.
    """

    def __init__(
        self,
        paa: Address,
        eap: EapPeerLike,
        *,
        rng: random.Random,
        mobility: MobilityCapability | bool = True,
        dialect: Dialect = RFC5191,
        algorithms: Algorithms = DEFAULT_ALGORITHMS,
        piggyback: bool = True,
        renew_eap: Callable[[], EapPeerLike] | None = None,
        pci_timing: Timing = PCI_TIMING,
        request_timing: Timing = REQUEST_TIMING,
        auth_timeout: float = 30.0,
    ) -> None:
        self.outbox: deque[tuple[bytes, Address]] = deque()
        self.events: deque[Event] = deque()
        self._paa = paa
        self._eap = eap
        self._renew_eap = renew_eap
        self._wanted = MobilityCapability(int(mobility))
        self._agreed = MobilityCapability(0)
        self._dialect = dialect
        self._algorithms = algorithms
        self._piggyback = piggyback
        self._pci_timing = pci_timing
        self._request_timing = request_timing
        self._auth_timeout = auth_timeout
        self._association = Association(dialect, rng=rng, peer=paa, session=b"", outbox=self.outbox)
        self._runner = Runner(PAC_TABLE, PacState.INITIAL, self._conditions(), self._actions())
        self._now = 0.0
        self._started = False
        self._par_seen = False
        self._authorised = False
        self._session_deadline: float | None = None
        self._last_ping = float("-inf")
        self._request: Received | None = None
        self._eap_used = False
        self._eap_response: bytes | None = None
        self._result: Result | None = None
        self._lifetime = 0.0
        self._assignment: Assignment | None = None
        self._cause = ""

    @property
    def state(self) -> PacState:
        """The state of RFC 5609."""
        return self._runner.state

    # The owner's calls.

    def start(self, now: float) -> None:
        """Look for the PAA: send PCI until it answers."""
        if not self._started:
            self._fire(Trigger.AUTH_USER, now)

    def reauthenticate(self, now: float) -> bool:
        """Run EAP again for a new key and lifetime; return whether that is possible now."""
        if self._renew_eap is None:
            raise ValueError("re-authentication needs renew_eap")
        return self._fire(Trigger.REAUTH, now)

    def ping(self, now: float) -> bool:
        """Test that the PAA still has the session; return whether that is possible now."""
        if now < self._last_ping + PING_INTERVAL or not self._fire(Trigger.PANA_PING, now):
            return False
        self._last_ping = now
        return True

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
        deadlines = (self._association.deadline, self._session_deadline)
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def handle_timeout(self, now: float) -> None:
        """Retransmit, or end a session or an authentication whose time is up."""
        if self._session_deadline is not None and self._session_deadline <= now:
            over = self.state in ESTABLISHED
            self._cause = TerminationCause.SESSION_TIMEOUT.name if over else self._late("deadline")
            self._fire(Trigger.SESS_TIMEOUT, now)
        if self._association.expire(now):
            if not self._association.retransmissions_left and self.state is not PacState.SESS_TERM:
                self._cause = self._late("last retransmission")
            self._fire(Trigger.RTX_TIMEOUT, now)

    def _late(self, what: str) -> str:
        return f"the {what} passed without an answer from the PAA in state {self.state.value}"

    # Receiving.

    def handle_message(self, data: bytes, source: Address, now: float) -> None:
        """Take one datagram; what is not valid is dropped with an event."""
        self._now = now
        try:
            self._receive(data, source)
        except (WireError, PeerError) as error:
            self.events.append(Discarded(now, source[0], str(error)))

    def _receive(self, data: bytes, source: Address) -> None:
        association = self._association
        if source[1] != self._paa[1] or canonical(source[0]) != canonical(self._paa[0]):
            raise PeerError("not from the PAA")
        message = self._dialect.decode(data)
        self._dialect.check(message)
        if message.request and association.answer_again(data, source):
            return
        received = Received(message, data, source)
        if message.kind is not Kind.START and association.session not in (b"", message.session):
            raise PeerError(f"{self._dialect.label(message)} of another session")
        association.check_sequence(message)
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
        association.session = association.session or message.session
        self._runner.run(row)

    def _validate(self, received: Received) -> None:
        """Raise PeerError if the message is not what its state wants; else take what it tells."""
        message, association = received.message, self._association
        match message.kind, message.request:
            case Kind.START, True:
                suite = self._algorithms.choose(*self._dialect.algorithms(message))
                association.check_nonce(message)
                self._begin(message, received.data, suite)
            case Kind.AUTH, True:
                association.check_auth(received, association.sa)
                association.check_nonce(message)
                self._par_seen = True
            case Kind.RESULT, True:
                self._validate_result(received)
            case _:
                association.check_auth(received, association.sa)
        if message.kind is Kind.TERMINATION and message.request:
            self._cause = TerminationCause.describe(message.number(AvpName.TERMINATION_CAUSE))
        association.peer_nonce = message.value(AvpName.NONCE) or association.peer_nonce

    def _begin(self, message: Message, data: bytes, suite: Suite) -> None:
        association = self._association
        association.session = message.session
        association.start_request = data
        association.suite = suite
        self._agreed = agree(read_capability(message), self._wanted)

    def _validate_result(self, received: Received) -> None:
        """Check PAR[C]; on the way let EAP conclude, for its MSK verifies AUTH."""
        message, association = received.message, self._association
        result = self._dialect.result(message.number(AvpName.RESULT_CODE) or 0)
        lifetime = message.number(AvpName.SESSION_LIFETIME)
        key_id = message.number(AvpName.KEY_ID)
        assignment = read_assignment(message)
        if result is Result.SUCCESS and (lifetime is None or key_id is None):
            raise PeerError("success without Session-Lifetime or Key-Id")
        if key_id is None:
            association.check_auth(received, association.sa)
            self._conclude_eap(message)
        else:
            sa = self._new_sa(received, key_id)
            association.sa = sa or association.sa
        self._result, self._lifetime = result, float(lifetime or 0)
        self._assignment = assignment if self._agreed else None

    def _new_sa(self, received: Received, key_id: int) -> SecurityAssociation | None:
        """Return the SA that protects PAR[C]; None if EAP has failed on this side."""
        association = self._association
        if association.sa is not None and association.sa.key_id == key_id:
            raise PeerError("PAR[C] with the Key-Id of the old key")
        self._conclude_eap(received.message)
        if self._eap.outcome == "failure" and association.sa is None:
            return None
        if self._eap.outcome is None or self._eap.keys is None:
            raise PeerError("PAR[C] with a key before EAP has one")
        sa = association.derive(self._eap.keys.msk, key_id, pac=True)
        association.check_auth(received, sa)
        return sa

    def _conclude_eap(self, message: Message) -> None:
        packet = message.value(AvpName.EAP_PAYLOAD)
        if packet is not None and self._eap.outcome is None:
            self._eap.handle_request(packet)

    # Conditions and actions of the table.

    def _conditions(self) -> dict[str, Callable[[], bool]]:
        return {
            "started": lambda: self._started,
            "exist_avp(EAP-Payload)": lambda: self._has(AvpName.EAP_PAYLOAD),
            "eap_piggyback": lambda: self._piggyback,
            "eap_renewable": lambda: self._renew_eap is not None,
            "PAR_SEEN": lambda: self._par_seen,
            "PAR.RESULT_CODE==PANA_SUCCESS": self._is_success,
            "key_available": lambda: self._association.sa is not None,
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
            "Tx:PTR[]": self._send_termination,
            "Tx:PNA[P]": self._answer,
            "Tx:PTA[]": self._answer,
            "EAP_Restart": self._restart_eap,
            "TxEAP": self._pass_to_eap,
            "RtxTimerStart": self._start_timer,
            "RtxTimerStop": association.stop_timer,
            "Retransmit": association.retransmit,
            "NONCE_SENT=Unset": self._unset_nonce,
            "SessionTimerReStart(FAILED_SESS_TIMEOUT)": self._start_deadline,
            "SessionTimerReStart(LIFETIME_SESS_TIMEOUT)": self._start_lifetime,
            "SessionTimerStop": self._stop_session_timer,
            "Authorize": self._authorise,
            "Alive": self._alive,
            "Disconnect": self._disconnect,
        }

    def _has(self, name: AvpName) -> bool:
        return self._request is not None and self._request.message.has(name)

    def _is_success(self) -> bool:
        request = self._request
        if request is None:
            return False
        code = request.message.number(AvpName.RESULT_CODE)
        return code == self._dialect.result_number(Result.SUCCESS)

    def _send_initiation(self) -> None:
        self._started = True
        self._association.initiation()
        self.events.append(Started(self._now))

    def _send(self, kind: Kind, *avps: Avp) -> None:
        self._association.request(kind, *avps)

    def _send_termination(self) -> None:
        self._send(Kind.TERMINATION, Avp.u32(AvpName.TERMINATION_CAUSE, TerminationCause.LOGOUT))

    def _answer(self, *avps: Avp) -> bytes:
        if self._request is None:
            raise RuntimeError("an answer without a request")
        return self._association.answer(self._request, *avps)

    def _answer_start(self) -> None:
        suite = self._association.suite
        if suite is None:
            raise RuntimeError("a start answer before the algorithms are chosen")
        avps = self._dialect.offer(Algorithms((suite.prf,), (suite.integrity,)))
        if self._agreed:
            avps = (*avps, Avp.u32(AvpName.MOBILITY_CAPABILITY, self._agreed))
        nonce = self._nonce() if self._dialect.nonce_kind is Kind.START else ()
        self._association.start_answer = self._answer(*nonce, *self._eap_avp(), *avps)

    def _answer_result(self) -> None:
        key_id = self._request.message.number(AvpName.KEY_ID) if self._request else None
        signed = self._eap.outcome == "success" and key_id is not None
        self._answer(*((Avp.u32(AvpName.KEY_ID, key_id),) if signed and key_id else ()))

    def _nonce(self) -> tuple[Avp, ...]:
        return () if self._association.own_nonce else (self._association.new_nonce(),)

    def _eap_avp(self) -> tuple[Avp, ...]:
        packet, self._eap_response = self._eap_response, None
        return () if packet is None else (Avp(AvpName.EAP_PAYLOAD, packet),)

    def _restart_eap(self) -> None:
        if self._eap_used and self._renew_eap is not None:
            self._eap = self._renew_eap()
        self._eap_used = True

    def _pass_to_eap(self) -> None:
        message = self._request.message if self._request else None
        if message is None or message.kind is Kind.RESULT:
            success = self._eap.outcome == "success"
            self._runner.raise_(Trigger.EAP_SUCCESS if success else Trigger.EAP_FAILURE)
            return
        self._eap_response = self._eap.handle_request(message.value(AvpName.EAP_PAYLOAD) or b"")
        if self._eap_response is not None:
            self._runner.raise_(Trigger.EAP_RESPONSE)
            return
        self._cause = self._eap.reason or "the EAP peer discarded a request"
        failed = self._eap.outcome == "failure"
        self._runner.raise_(Trigger.EAP_FAILURE if failed else Trigger.EAP_DISCARD)

    def _start_timer(self) -> None:
        waiting = self._association.outstanding
        initiation = waiting is not None and waiting.kind is Kind.INITIATION
        timing = self._pci_timing if initiation else self._request_timing
        self._association.start_timer(timing, self._now)

    def _unset_nonce(self) -> None:
        self._association.own_nonce = b""

    def _start_deadline(self) -> None:
        self._session_deadline = self._now + self._auth_timeout

    def _start_lifetime(self) -> None:
        self._session_deadline = self._now + self._lifetime

    def _stop_session_timer(self) -> None:
        self._session_deadline = None

    def _session_number(self) -> int:
        return self._dialect.session_number(self._association.session)

    def _authorise(self) -> None:
        self._authorised = True
        self._association.forget_nonces()
        keys = self._eap.keys
        self.events.append(
            Authenticated(
                self._now,
                self._session_number(),
                self._lifetime,
                self._assignment,
                b"" if keys is None else keys.msk,
            )
        )

    def _alive(self) -> None:
        self.events.append(PingAnswered(self._now, self._session_number()))

    def _disconnect(self) -> None:
        self._association.stop_timer()
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


def canonical(host: str) -> IPv6Address:
    """Return a host's address without its zone."""
    return IPv6Address(host.partition("%")[0])
