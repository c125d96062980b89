"""The PANA authentication agent: many sessions on one port (RFC 5191)."""

from __future__ import annotations

import random
from collections import deque

from agents.bootstrap import Assignment
from agents.machine import Address, Discarded, Event, PeerError, Timing
from agents.pana.association import Received
from agents.pana.dialect import Dialect
from agents.pana.keys import DEFAULT_ALGORITHMS, Algorithms
from agents.pana.mobility import MobilityCapability
from agents.pana.paa_session import PaaSession, PaaSettings
from agents.pana.paa_table import PaaState
from agents.pana.pac import PING_INTERVAL, REQUEST_TIMING
from agents.pana.rfc5191 import RFC5191
from agents.pana.states import Trigger
from agents.pana.wire import Kind, Message, Result, TerminationCause
from agents.wire import WireError

LINGER = 60.0
"""Seconds for which a closed session still answers duplicates of the PaC's last request."""


class Paa:
    """A PANA authentication agent; its EAP authenticator is the AAA behind the owner. A Machine.

    An EapResponse event is to be answered by `eap_request`, `accept` or `reject`; if nothing
    comes, the authentication fails after `auth_timeout` seconds. `session_lifetime` in seconds
    bounds what the AAA grants. `optimized` puts EAP-Request/Identity into the start request.
    """

    def __init__(
        self,
        *,
        rng: random.Random,
        mobility: MobilityCapability | bool = True,
        session_lifetime: float = 3600.0,
        dialect: Dialect = RFC5191,
        algorithms: Algorithms = DEFAULT_ALGORITHMS,
        request_timing: Timing = REQUEST_TIMING,
        auth_timeout: float = 30.0,
        max_half_open: int = 256,
        optimized: bool = False,
    ) -> None:
        self.outbox: deque[tuple[bytes, Address]] = deque()
        self.events: deque[Event] = deque()
        self._rng = rng
        self._dialect = dialect
        self._settings = PaaSettings(
            dialect=dialect,
            mobility=MobilityCapability(int(mobility)),
            algorithms=algorithms,
            session_lifetime=session_lifetime,
            auth_timeout=auth_timeout,
            request_timing=request_timing,
            ping_interval=PING_INTERVAL,
            optimized=optimized,
        )
        self._max_half_open = max_half_open
        self._sessions: dict[int, PaaSession] = {}
        self._half_open: dict[Address, PaaSession] = {}
        self._lingering: dict[int, float] = {}

    def state(self, session_id: int) -> PaaState | None:
        """Return the session's state of RFC 5609, None if there is no such session."""
        session = self._sessions.get(session_id)
        return None if session is None else session.state

    def may_pass(self, host: str) -> bool:
        """Return whether a session of this address has succeeded, or waits for the PaC's word.

        Anyone can open and fail a session in another's name, and a PaC that starts again has two
        for a while; so this, not one session's end, tells whether the filter is to be closed.
        """
        return any(
            session.pac[0] == host
            and (session.authorised or session.state is PaaState.WAIT_SUCC_PAN)
            for session in self._sessions.values()
        )

    # The AAA's calls. A verdict that comes too late is an event, not an error.

    def eap_request(self, session_id: int, packet: bytes, now: float) -> None:
        """Send the AAA's next EAP request to the PaC."""
        session = self._sessions.get(session_id)
        self._verdict(session is not None and session.eap_request(packet, now), session_id, now)

    def accept(
        self,
        session_id: int,
        packet: bytes,
        msk: bytes,
        lifetime: float | None,
        assignment: Assignment | None,
        now: float,
    ) -> None:
        """Finish with success: `packet` is EAP-Success; the PaC gets HA and HoA if it asked.

        Without an MSK there can be no SA, and the PaC is rejected (RFC 5609 section 6.1).
        """
        session = self._sessions.get(session_id)
        taken = session is not None and session.accept(packet, msk, lifetime, assignment, now)
        self._verdict(taken, session_id, now)

    def reject(self, session_id: int, packet: bytes | None, code: int, now: float) -> None:
        """Finish with failure: `packet` is EAP-Failure if there is one, `code` a Result but 0."""
        result = Result(code)
        if result is Result.SUCCESS:
            raise ValueError("a rejection needs a failing result")
        session = self._sessions.get(session_id)
        self._verdict(session is not None and session.reject(packet, result, now), session_id, now)

    def _verdict(self, taken: bool, session_id: int, now: float) -> None:
        if not taken:
            reason = f"session {session_id:#010x} waits for no EAP packet"
            self.events.append(Discarded(now, "AAA", reason))
        if (session := self._sessions.get(session_id)) is not None:
            self._tidy(session, now)

    # The owner's calls.

    def reauthenticate(self, session_id: int, now: float) -> bool:
        """Run EAP with the PaC again; return whether the session is open."""
        session = self._sessions.get(session_id)
        return session is not None and session.fire(Trigger.REAUTH, now)

    def ping(self, session_id: int, now: float) -> bool:
        """Test that the PaC is there; return whether that is possible now."""
        session = self._sessions.get(session_id)
        return session is not None and session.ping(now)

    def terminate(
        self,
        session_id: int,
        now: float,
        cause: TerminationCause = TerminationCause.ADMINISTRATIVE,
    ) -> bool:
        """Revoke a session; return whether it is open."""
        session = self._sessions.get(session_id)
        return session is not None and session.terminate(cause, now)

    # Timers.

    def next_timeout(self) -> float | None:
        """Return the earliest deadline of all sessions in seconds, None if no timer runs."""
        deadlines = [t for s in self._sessions.values() if (t := s.next_timeout()) is not None]
        return min((*deadlines, *self._lingering.values()), default=None)

    def handle_timeout(self, now: float) -> None:
        """Act on every deadline that is not after `now`."""
        for session in tuple(self._sessions.values()):
            session.handle_timeout(now)
            self._tidy(session, now)

    def _tidy(self, session: PaaSession, now: float) -> None:
        """Note what became of a session; forget a closed one, if it has answered, a while later."""
        number, opener = session.number, session.opener
        if not is_half_open(session) and self._half_open.get(opener) is session:
            del self._half_open[opener]
        if session.state is PaaState.CLOSED and number not in self._lingering:
            self._lingering[number] = now + (LINGER if session.association.has_answered else 0.0)
        if self._lingering.get(number, now + 1) <= now:
            del self._sessions[number], self._lingering[number]

    # Receiving.

    def handle_message(self, data: bytes, source: Address, now: float) -> None:
        """Take one datagram; what is not valid is dropped with an event."""
        try:
            message = self._dialect.decode(data)
            self._dialect.check(message)
            received = Received(message, data, source)
            if message.kind is Kind.INITIATION:
                self._open(received, now)
            else:
                session = self._find(message, source)
                session.handle(received, now)
                self._tidy(session, now)
        except (WireError, PeerError) as error:
            self.events.append(Discarded(now, source[0], str(error)))

    def _find(self, message: Message, source: Address) -> PaaSession:
        """Return the session of a message, by source where a message names none."""
        if message.session:
            session = self._sessions.get(self._dialect.session_number(message.session))
        else:
            session = self._half_open.get(source)
        if session is None:
            raise PeerError(f"{self._dialect.label(message)} of an unknown session")
        return session

    def _open(self, received: Received, now: float) -> None:
        """Begin a session; a PCI within a session's start is discarded (RFC 5191 4.1)."""
        source = received.source
        if source in self._half_open:
            raise PeerError("PCI of a PaC whose authentication is under way")
        if len(self._half_open) >= self._max_half_open:
            raise PeerError(f"{self._max_half_open} authentications are under way already")
        session = PaaSession(
            self._new_number(),
            source,
            self._settings,
            rng=self._rng,
            outbox=self.outbox,
            events=self.events,
            before_authorised=self._replace_others,
        )
        self._sessions[session.number] = session
        self._half_open[source] = session
        session.handle(received, now)

    def _replace_others(self, session: PaaSession) -> None:
        """End the sessions that the PaC's address had before this one."""
        for other in tuple(self._sessions.values()):
            if other is not session and other.authorised and other.pac[0] == session.pac[0]:
                other.replace(session.now)
                self._tidy(other, session.now)

    def _new_number(self) -> int:
        while (number := self._rng.getrandbits(32)) == 0 or number in self._sessions:
            pass
        return number


def is_half_open(session: PaaSession) -> bool:
    """Return whether the session is neither authorised nor closed."""
    return not session.authorised and session.state is not PaaState.CLOSED
