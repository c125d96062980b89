"""The PANA authentication agent: many sessions on one port (RFC 5191, its draft 12)."""

from __future__ import annotations

import random
from collections import deque

from agents.bootstrap.assignment import Assignment
from agents.core.machine import Address, Discarded, Event, PeerError
from agents.core.reader import WireError
from agents.pana.config import PaaConfig
from agents.pana.paa_session import PaaSession
from agents.pana.paa_table import PaaState
from agents.pana.places import canonical, host_at, place
from agents.pana.rfc5191_wire import read_place
from agents.pana.session_table import SessionTable
from agents.pana.stateless import Tokens
from agents.pana.transactions import Received
from agents.pana.wire import AvpName, Kind, Result, TerminationCause


class Paa:
    """A PANA authentication agent; its EAP authenticator is the AAA behind the owner. A Machine.

    An EapResponse event is to be answered by `eap_request`, `accept`, `reject` or `eap_timeout`;
    if nothing comes, the authentication fails after the configured `auth_timeout`.
    """

    def __init__(self, config: PaaConfig, *, rng: random.Random) -> None:
        self.outbox: deque[tuple[bytes, Address]] = deque()
        self.events: deque[Event] = deque()
        self._config = config
        self._rng = rng
        self._dialect = config.dialect
        self.sessions = SessionTable(config, rng)
        self._tokens = Tokens(rng)
        self._relays = frozenset(map(canonical, config.relays))

    def may_pass(self, host: str) -> bool:
        """Return whether a session of this address has succeeded, or waits for the PaC's word.

        Anyone can open and fail a session in another's name, and a PaC that starts again has two
        for a while; so this, not one session's end, tells whether the filter is to be closed.
        """
        return any(session.admitted for session in self.sessions.at((canonical(host), None)))

    def awaiting(self, session_id: int) -> Address | None:
        """Return the address of the session's PaC, None unless the session awaits the AAA's word.

        The owner asks before it opens anything: a session may have moved or ended meanwhile.
        """
        session = self.sessions.get(session_id)
        waits = session is not None and session.state is PaaState.WAIT_EAP_MSG
        return session.pac if session is not None and waits else None

    def may_take(self, session_id: int, subscriber: str | None, now: float) -> bool:
        """Return whether a subscriber that the AAA lets in may have the address of its PaC.

        It may not while another subscriber holds the address, authenticated or moved there. Who
        has left without a word loses it: this asks for a sign of life (RFC 5191 section 5.7).
        Of more than `max_per_subscriber` sessions the one authenticated longest ago ends.
        """
        session = self.sessions.get(session_id)
        if session is None:
            return False
        for other in self.sessions.at(session.host):
            if other is session or not other.admitted or not other.proved_at:
                continue
            if other.subscriber not in (None, subscriber):
                self.ping(other.number, now)
                return False
        oldest = self.sessions.name(session, subscriber)
        if oldest is not None:
            self._replace(oldest, "replaced by a newer session", now)
        return True

    def _replace(self, session: PaaSession, cause: str, now: float) -> None:
        session.replace(cause, now)
        self.sessions.update(session, now)

    # The AAA's calls. A verdict that comes too late is an event, not an error.

    def eap_request(
        self, session_id: int, packet: bytes, now: float, *, sealed: bytes | None = None
    ) -> None:
        """Send the AAA's next EAP request to the PaC.

        `sealed` goes with it if the PaC has asked for a home agent: what the home AAA server tells
        the mobile node past the PAA before EAP's end.
        """
        session = self.sessions.get(session_id)
        taken = session is not None and session.eap_request(packet, now, sealed=sealed)
        self._verdict(taken, session_id, now)

    def accept(
        self,
        session_id: int,
        packet: bytes,
        msk: bytes,
        lifetime: float | None,
        assignment: Assignment | None,
        now: float,
        *,
        sealed: bytes | None = None,
    ) -> None:
        """Finish with success: `packet` is EAP-Success; the PaC gets HA and HoA if it asked.

        `sealed` is what the home AAA server tells the mobile node past the PAA.
        Without an MSK there can be no SA, and the PaC is rejected (RFC 5609 section 6.1).
        """
        session = self.sessions.get(session_id)
        taken = session is not None and session.accept(
            packet, msk, lifetime, assignment, now, sealed=sealed
        )
        self._verdict(taken, session_id, now)

    def reject(
        self, session_id: int, packet: bytes | None, code: int, now: float, *, msk: bytes = b""
    ) -> None:
        """Finish with failure: `packet` is EAP's last if there is one, `code` a Result but 0.

        Who has succeeded in EAP and is refused all the same has a key: `packet` is EAP-Success
        then, and `msk` protects the refusal (RFC 5191 section 4.1).
        """
        result = Result(code)
        if result is Result.SUCCESS:
            raise ValueError("a rejection needs a failing result")
        session = self.sessions.get(session_id)
        taken = session is not None and session.reject(packet, msk, result, now)
        self._verdict(taken, session_id, now)

    def eap_timeout(self, session_id: int, now: float) -> None:
        """Give up an authentication because the AAA does not answer (RFC 5609 section 8.2).

        RFC 5191 leaves the PaC to its deadline; the draft tells it.
        """
        session = self.sessions.get(session_id)
        self._verdict(session is not None and session.eap_timeout(now), session_id, now)

    def _verdict(self, taken: bool, session_id: int, now: float) -> None:
        if not taken:
            reason = f"session {session_id:#010x} waits for no EAP packet"
            self.events.append(Discarded(now, "AAA", reason))
        if (session := self.sessions.get(session_id)) is not None:
            self.sessions.update(session, now)

    # The owner's calls.

    def reauthenticate(self, session_id: int, now: float) -> bool:
        """Run EAP with the PaC again, if it is not under way; return whether it has access."""
        session = self.sessions.get(session_id)
        return self._done(session, session is not None and session.reauthenticate(now), now)

    def ping(self, session_id: int, now: float) -> bool:
        """Test that the PaC is there; return whether that is possible now."""
        session = self.sessions.get(session_id)
        return self._done(session, session is not None and session.ping(now), now)

    def terminate(
        self,
        session_id: int,
        now: float,
        cause: TerminationCause = TerminationCause.ADMINISTRATIVE,
    ) -> bool:
        """Revoke a session, if it is busy as soon as it is not; return whether it has access."""
        session = self.sessions.get(session_id)
        return self._done(session, session is not None and session.terminate(cause, now), now)

    def stop(self, now: float) -> None:
        """End every session; a PaC that has access is told so once, unless it is busy."""
        for session in tuple(self.sessions):
            session.terminate(TerminationCause.ADMINISTRATIVE, now)
            if session.state is not PaaState.SESS_TERM:
                session.replace("the PAA stops", now)
            self.sessions.update(session, now)

    def _done(self, session: PaaSession | None, done: bool, now: float) -> bool:
        if session is not None:
            self.sessions.update(session, now)
        return done

    # Timers.

    def next_timeout(self) -> float | None:
        """Return the earliest deadline of all sessions in seconds, None if no timer runs."""
        return self.sessions.next_timeout()

    def handle_timeout(self, now: float) -> None:
        """Act on every deadline that is not after `now`."""
        for session in self.sessions.due(now):
            session.handle_timeout(now)
            self.sessions.update(session, now)

    # Receiving.

    def handle_message(self, data: bytes, source: Address, now: float) -> None:
        """Take one datagram; what is not valid is dropped with an event."""
        try:
            message = self._dialect.decode(data)
            received = Received(message, data, source)
            if message.kind is Kind.RELAY:
                self._dialect.check(message)
                received = self._unwrap(received)
            self._receive(received, now)
        except (WireError, PeerError) as error:
            self.events.append(Discarded(now, source[0], str(error)))

    def _unwrap(self, outer: Received) -> Received:
        """Return the PaC's message out of a relay's (RFC 6345 section 2)."""
        if canonical(outer.source[0]) not in self._relays:
            raise PeerError("PRY from a host that is no relay")
        pac = read_place(outer.message.value(AvpName.PAC_INFORMATION) or b"")
        data = outer.message.value(AvpName.RELAYED_MESSAGE) or b""
        message = self._dialect.decode(data)
        if message.kind is Kind.RELAY:
            raise PeerError("PRY within PRY")
        return Received(message, data, pac, relay=outer.source)

    def _receive(self, received: Received, now: float) -> None:
        message = received.message
        if not self._config.serves(canonical(received.source[0])):
            raise PeerError("no PaC can have this address")
        if message.kind is Kind.INITIATION:
            self._dialect.check(message)
            self._open(received, now)
            return
        session = self._find(received) or self._resume(received, now)
        if session is None:
            raise PeerError(f"{self._dialect.label(message)} of an unknown session")
        try:
            session.handle(received, now)
        finally:
            self.sessions.update(session, now)

    def _find(self, received: Received) -> PaaSession | None:
        """Return the session of a message, by its source where the message names none."""
        message = received.message
        if not message.session:
            return self.sessions.half_open.get(received.place)
        session = self.sessions.get(self._dialect.session_number(message.session))
        if session is None or session.transactions.session != message.session:
            return None
        return session

    def _open(self, received: Received, now: float) -> None:
        """Begin a session; a PCI within a session's start is discarded (RFC 5191 4.1)."""
        source, relay = received.source, received.relay
        if self.sessions.half_open.get(received.place) is not None:
            raise PeerError("PCI of a PaC whose authentication is under way")
        if self.sessions.half_open.needs_proof(host_at(received.place)):
            self._open_stateless(source, relay, now)
            return
        session = self._new_session(self._new_number(), source, relay, now)
        session.handle(received, now)
        self.sessions.update(session, now)

    def _open_stateless(self, source: Address, relay: Address | None, now: float) -> None:
        """Answer a PCI and forget it."""
        others = self.sessions.at(host_at(place(source, relay)))
        for token in self._tokens.current(source, relay, now):
            session, _, data = self._config.stateless_start(token)
            number = self._dialect.session_number(session) if session else None
            taken = any(other.start.request == data for other in others)
            if number == 0 or number in self.sessions or taken:
                continue
            if relay is None:
                self.outbox.append((data, source))
            else:
                self.outbox.append((self._dialect.relay(source, data), relay))
            return
        raise PeerError("PCI of a PaC that has too many sessions")

    def _resume(self, received: Received, now: float) -> PaaSession | None:
        """Return the session that the answer to a stateless start begins, None if it does not."""
        message, source, relay = received.message, received.source, received.relay
        if message.kind is not Kind.START or message.request:
            return None
        self._dialect.check(message)
        others = self.sessions.at(host_at(received.place))
        if any(other.start.answer == received.data for other in others):
            raise PeerError(f"{self._dialect.label(message)} of a session that has begun")
        for token in self._tokens.valid(source, relay, now):
            if self._dialect.proves(message, token):
                octets, sequence, data = self._config.stateless_start(token)
                number = self._dialect.session_number(octets) if octets else self._new_number()
                session = self._new_session(number, source, relay, now)
                session.resume(sequence, data, now)
                return session
        return None

    def _new_session(
        self, number: int, source: Address, relay: Address | None, now: float
    ) -> PaaSession:
        other = self.sessions.half_open.make_room(place(source, relay), now)
        if other is not None:
            self._replace(other, "given up for a newer one", now)
        session = PaaSession(
            number,
            source,
            self._config,
            rng=self._rng,
            outbox=self.outbox,
            events=self.events,
            before_authorised=self._replace_others,
            is_free=self.sessions.is_free,
            relay=relay,
        )
        self.sessions.add(session, now)
        return session

    def _replace_others(self, session: PaaSession) -> None:
        """End the sessions that the PaC's address had before this one."""
        for other in self.sessions.at(session.host):
            if other is not session and (other.admitted or other.state is PaaState.LOST):
                self._replace(other, "replaced by a newer session", session.now)

    def _new_number(self) -> int:
        while (number := self._rng.getrandbits(32)) == 0 or number in self.sessions:
            pass
        return number
