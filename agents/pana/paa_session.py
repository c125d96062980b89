"""The PAA's end of a session: its table's conditions and actions, and its checks."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from agents.bootstrap.assignment import Assignment
from agents.core.machine import Address, Event, PeerError
from agents.core.record import Record, Secret, replace
from agents.pana.authentication import Authentication, Start
from agents.pana.config import PaaConfig
from agents.pana.errors import ErrorCode, RefusedError
from agents.pana.events import (
    AddressChanged,
    Authorised,
    EapResponse,
    Failed,
    PingAnswered,
    Terminated,
)
from agents.pana.mobility import MobilityCapability, agree, assignment_avps, read_capability
from agents.pana.paa_table import PAA_TABLE, PaaState
from agents.pana.places import Host, canonical, host_at, place
from agents.pana.relocation import Relocation
from agents.pana.session import Session
from agents.pana.states import Trigger, by_start
from agents.pana.terms import Device, providers
from agents.pana.transactions import Received, Transactions
from agents.pana.wire import Avp, AvpName, Kind, Message, Result, TerminationCause

_ROWS = by_start(PAA_TABLE)


class Verdict(Record, frozen=True):
    """The AAA's decision that the final request will carry."""

    result: Result
    packet: bytes | None
    assignment: Assignment | None = None
    sealed: Secret[bytes | None] = None


@dataclass(slots=True)
class PaaAuthentication(Authentication):
    """One authentication at the PAA: EAP's request, and what the AAA has decided.

    `responses` counts the EAP responses that the PaC has sent.
    """

    eap_packet: bytes = b""
    foretold: bytes | None = None
    responses: int = 0
    verdict: Verdict | None = None
    msk: bytes = field(default=b"", repr=False)


class PaaSession(Session[PaaState]):
    """The PAA's end of the session `number` with one PaC."""

    peer_role = "the PaC"
    record = PaaAuthentication
    renewal = Trigger.REAUTH_TIMEOUT
    config: PaaConfig
    authentication: PaaAuthentication

    def __init__(
        self,
        number: int,
        pac: Address,
        config: PaaConfig,
        *,
        rng: random.Random,
        outbox: deque[tuple[bytes, Address]],
        events: deque[Event],
        before_authorised: Callable[[PaaSession], None],
        is_free: Callable[[int, Host], bool],
        relay: Address | None = None,
    ) -> None:
        session = config.dialect.session_octets(number)
        transactions = Transactions(
            config.dialect, rng=rng, peer=pac, session=session, outbox=outbox, relay=relay
        )
        super().__init__(_ROWS, PaaState.INITIAL, config, transactions, rng=rng, events=events)
        self.opener = place(pac, relay)
        self.proved_at: Host | None = None
        self.subscriber: str | None = None
        self._before_authorised = before_authorised
        self._relocation = Relocation(transactions, lambda host: is_free(number, host), self._probe)
        self._optimized = config.optimized
        self._key_id = 0
        self._terminated = False
        self._revoked: TerminationCause | None = None
        self._due_again = False

    @property
    def pac(self) -> Address:
        """The PaC's current address."""
        return self.transactions.peer

    @property
    def host(self) -> Host:
        """The host that the PaC is on."""
        return host_at(self.transactions.place)

    @property
    def admitted(self) -> bool:
        """Whether the PaC's packets may pass: it is authorised, or has only to confirm that."""
        return self.authorised or self.state is PaaState.WAIT_SUCC_PAN

    @classmethod
    @cache
    def conditions(cls) -> dict[str, Callable[[Any], bool]]:
        """Return the conditions of the PAA's table by their names."""
        return {
            **super().conditions(),
            "OPTIMIZED_INIT": lambda self: self._optimized,
            "Authorize": lambda self: bool(self.authentication.msk),
            "NONCE_AWAITED": cls._awaits_nonce,
            "error_message": lambda self: self.dialect.reports_errors,
            "LIFETIME_LEFT": cls.has_lifetime_left,
            "REQUEST_OUT": lambda self: self.transactions.outstanding is not None,
        }

    @classmethod
    @cache
    def actions(cls) -> dict[str, Callable[[Any], object]]:
        """Return the actions of the PAA's table by their names (RFC 5609 section 8.2)."""
        return {
            **super().actions(),
            "Tx:PAR[S](PRF-Algorithm,Integrity-Algorithm)": cls._send_start,
            "Tx:PAR[S](EAP-Payload,PRF-Algorithm,Integrity-Algorithm)": cls._send_start,
            "Tx:PAR[](EAP-Payload,Nonce?)": cls._send_eap,
            "Tx:PAR[C](EAP-Payload?,Key-Id?)": cls._send_result,
            "Tx:PAN[]": cls.answer,
            "Tx:PNA[A]": cls.answer,
            "Authorised": cls._authorise,
            "Deauthorise": cls._deauthorise,
            "Lose": cls._lose,
            "Withdraw": lambda self: self.transactions.withdraw(),
        }

    # The AAA's calls.

    def eap_request(self, packet: bytes, now: float, *, sealed: bytes | None = None) -> bool:
        """Send an EAP request; return whether one is due."""
        self.authentication.eap_packet = packet
        self.authentication.foretold = sealed if self.start.capability else None
        return self.fire(Trigger.EAP_REQUEST, now)

    def eap_timeout(self, now: float) -> bool:
        """End an authentication that the AAA does not go on with; return whether there is one."""
        self.cause = "the AAA server cannot be reached"
        self.error = RefusedError(self.cause, ErrorCode.UNABLE_TO_DELIVER)
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
        record, bound = self.authentication, self.config.session_lifetime
        self._take_msk(msk)
        if record.msk:
            wanted = (assignment, sealed) if self.start.capability else (None, None)
            record.verdict = Verdict(Result.SUCCESS, packet, *wanted)
            record.lifetime = max(1, int(min(bound, bound if lifetime is None else lifetime)))
        else:
            record.verdict = Verdict(Result.AUTHORIZATION_REJECTED, packet)
            self.cause = "no key: no MSK from the AAA, or no nonces yet"
        return self.fire(Trigger.EAP_SUCCESS, now)

    def reject(self, packet: bytes | None, msk: bytes, result: Result, now: float) -> bool:
        """Send the failing final request; return whether a verdict is due."""
        if self.state not in (PaaState.WAIT_EAP_MSG, PaaState.WAIT_PAN_OR_PAR):
            return False
        self.authentication.verdict = Verdict(result, packet)
        self.cause = result.name
        self._take_msk(msk)
        return self.fire(Trigger.EAP_FAILURE, now)

    def _take_msk(self, msk: bytes) -> None:
        """Take the AAA's key; without nonces none can be made of it."""
        record = self.authentication
        record.msk = msk if record.own_nonce and record.peer_nonce else b""

    # The owner's calls.

    def resume(self, sequence: int, start_request: bytes, now: float) -> None:
        """Begin with a start request that was sent without state; its answer comes next.

        That request had no EAP payload, whatever the others have.
        """
        self.transactions.resume(sequence, start_request)
        self.start = Start(Kind.AUTH, start_request)
        self._optimized = False
        self.session_timer = now + self.config.auth_timeout

    def terminate(self, cause: TerminationCause, now: float) -> bool:
        """Revoke the session, at once or when it is open again; return whether it has access."""
        if not self.admitted or self.state is PaaState.SESS_TERM:
            return False
        self.now, self._revoked = now, cause
        self._catch_up()
        return True

    def reauthenticate(self, now: float) -> bool:
        """Run EAP again, after a ping that is under way; return whether the PaC has access."""
        if not self.admitted or self.state is PaaState.SESS_TERM:
            return False
        self.now, self._due_again = now, True
        self._catch_up()
        return True

    def _catch_up(self) -> None:
        """Do what the owner wants of a session that was busy; an authentication is one anew."""
        if self.state is not PaaState.WAIT_PNA_PING and not self.is_open():
            self._due_again = False
        if self._revoked is not None and self.is_open():
            self.termination, self.cause = self._revoked, self._revoked.name
            self.runner.fire(Trigger.TERMINATE)
        elif self._due_again and self.is_open():
            self._due_again = False
            self.runner.fire(Trigger.REAUTH)

    def replace(self, cause: str, now: float) -> None:
        """Drop the session without a word, for another."""
        self.cause = cause
        self.fire(Trigger.REPLACED, now)

    # Sending.

    def _send_start(self) -> None:
        avps = self.nonce() if self.start.nonce_kind is Kind.START else ()
        if self._optimized:
            avps += (Avp(AvpName.EAP_PAYLOAD, self.authentication.eap_packet),)
        request = self.transactions.request(Kind.START, *avps, *self.config.start_avps())
        self.start = replace(self.start, request=request)

    def _send_eap(self) -> None:
        record = self.authentication
        avps = (Avp(AvpName.EAP_PAYLOAD, record.eap_packet), *self.nonce())
        if record.foretold is not None:
            avps += (Avp(AvpName.SEALED_ASSIGNMENT, record.foretold),)
        self.transactions.request(Kind.AUTH, *avps)

    def _send_result(self) -> None:
        record, dialect = self.authentication, self.dialect
        verdict = record.verdict
        if verdict is None:
            raise RuntimeError("a final request without a verdict")
        avps = [Avp.u32(AvpName.RESULT_CODE, dialect.result_number(verdict.result))]
        if verdict.packet is not None:
            avps.append(Avp(AvpName.EAP_PAYLOAD, verdict.packet))
        if record.msk:
            avps += self._take_key(record.msk)
        if verdict.result is Result.SUCCESS:
            avps.append(Avp.u32(AvpName.SESSION_LIFETIME, int(record.lifetime)))
            if dialect.has_terms:
                avps += self.config.terms.result_avps()
        if verdict.assignment is not None:
            avps += assignment_avps(verdict.assignment)
        if verdict.sealed is not None:
            avps.append(Avp(AvpName.SEALED_ASSIGNMENT, verdict.sealed))
        self.transactions.request(Kind.RESULT, *avps)

    def _take_key(self, msk: bytes) -> tuple[Avp, ...]:
        """Derive the new key; return the AVPs that name it and, the first time, its algorithms."""
        first, suite = self.transactions.sa is None, self.start.suite
        self._key_id += 1
        self.transactions.sa = self.derive(msk, self._key_id, suite, pac=False)
        key_id = Avp.u32(AvpName.KEY_ID, self._key_id)
        if suite is None or not first:
            return (key_id,)
        return (key_id, *self.dialect.result_choice(suite))

    # EAP.

    def restart_eap(self) -> None:
        """Make the first EAP request; the AAA makes those that follow."""
        self.authentication.eap_packet = self.config.first_request(self.rng.getrandbits(8))
        self.runner.raise_(Trigger.EAP_REQUEST)

    def pass_to_eap(self) -> None:
        """Let the owner ask the AAA."""
        self.authentication.responses += 1
        capability = self.start.capability
        self.events.append(
            EapResponse(
                self.now,
                self.number,
                self.pac,
                MobilityCapability.MOBILE_IPV6 in capability,
                capability,
                self.message.value(AvpName.EAP_PAYLOAD) or b"",
                self.start.isp,
            )
        )

    # What the owner hears.

    def awaited(self) -> str:
        """Return who has not answered."""
        return "the AAA" if self.state is PaaState.WAIT_EAP_MSG else self.peer_role

    def _authorise(self) -> None:
        if not self.authorised:
            self._before_authorised(self)
        self.confirmed()
        self.proved_at = self.host
        device = None if self.device is None else str(self.device)
        self.events.append(Authorised(self.now, self.number, self.pac, device))

    def _deauthorise(self) -> None:
        if self.authorised:
            self.authorised, self._terminated = False, True
            self.events.append(Terminated(self.now, self.number, self.pac, self.cause))

    def alive(self) -> None:
        """Tell that the PaC has answered a ping."""
        self.events.append(PingAnswered(self.now, self.number))

    def _lose(self) -> None:
        self.transactions.halt_timer()
        self.session_timer, self.reauth_at = self.lifetime_end, None
        self.ended()

    def ended(self) -> None:
        """Tell that the access, or the authentication, has ended."""
        self._deauthorise()
        if not self._terminated:
            self._terminated = True
            self.events.append(Failed(self.now, self.cause, self.number, self.pac))

    # Receiving.

    def receive(self, received: Received) -> None:
        """Take a message, then one that has waited for it."""
        super().receive(received)
        self._catch_up()
        if (held := self._relocation.release()) is not None:
            self.receive(held)

    def admit(self, received: Received) -> bool:
        """Return whether an authentic message is to be looked at now."""
        message = received.message
        heard = message.request and self.transactions.is_protected(message)
        if self.state is PaaState.LOST and heard and message.kind is not Kind.TERMINATION:
            self.runner.fire(Trigger.PAC_HEARD)
            return False
        old = self.pac
        admitted = self._relocation.admit(received, admitted=self.admitted)
        if canonical(old[0]) != canonical(self.pac[0]):
            self.events.append(AddressChanged(self.now, self.number, self.pac, old))
        return admitted

    def _probe(self) -> bool:
        """Let a new place answer a request; return whether that is a ping."""
        self.runner.fire(Trigger.ADDRESS_CHANGED)
        return self.state is PaaState.WAIT_PNA_PING

    def validate(self, received: Received) -> None:
        """Raise PeerError if the message is not what its state wants; else take what it tells."""
        message = received.message
        match message.kind, message.request:
            case Kind.START, False:
                self._take_start(received)
            case Kind.AUTH, False:
                self.check_nonce(message)
            case Kind.AUTH, True if message.has(AvpName.NONCE):
                raise PeerError("a Nonce in the PaC's own request")
            case Kind.RESULT, False:
                self._check_result(message)
            case Kind.UPDATE, True if (value := message.value(AvpName.DEVICE_ID)) is not None:
                self.device = Device.from_value(value)
            case Kind.TERMINATION, True:
                number = message.number(AvpName.TERMINATION_CAUSE)
                self.cause = TerminationCause.describe(number)

    def _awaits_nonce(self) -> bool:
        return bool(self.authentication.own_nonce and not self.authentication.peer_nonce)

    def _take_start(self, received: Received) -> None:
        message = received.message
        suite = self.dialect.selected(message, self.config.supported)
        self.check_nonce(message)
        isps = providers(message, AvpName.ISP_INFORMATION)
        self.start = replace(
            self.start,
            answer=received.data,
            suite=suite,
            capability=agree(self.config.mobility, read_capability(message)),
            isp=isps[0].name if isps else None,
        )

    def _check_result(self, message: Message) -> None:
        record = self.authentication
        if message.number(AvpName.KEY_ID) != (self._key_id if record.msk else None):
            raise PeerError("the final answer's Key-Id is not the request's")
        successful = record.verdict is not None and record.verdict.result is Result.SUCCESS
        if successful and self.dialect.has_terms:
            self.device = self.config.terms.check_answer(message)
