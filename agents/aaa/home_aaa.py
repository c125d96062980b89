"""The home AAA server: Diameter EAP requests in, answers with key, home agent and home address."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from agents.aaa.accounts import Accounts
from agents.aaa.admission import Admission
from agents.aaa.choice import Choice, Chooser
from agents.aaa.config import HomeAaaConfig
from agents.aaa.conversations import Conversation, Conversations
from agents.aaa.events import (
    HomeAgentPassedOver,
    LeaseNotStored,
    MobilityRefused,
    SubscriberAuthenticated,
    SubscriberRejected,
    SubscriberVerified,
    VerificationWithdrawn,
)
from agents.aaa.leases import Leases, StoreError
from agents.aaa.policy import Place
from agents.aaa.remote import Ask, RemoteEapServer
from agents.aaa.responses import failure, read_response, starts_tls
from agents.aaa.selection import Fleet
from agents.aaa.sessions import Sessions
from agents.aaa.subscribers import HomeAgent, Subscriber, Subscribers
from agents.aaa.unstored import Unstored
from agents.bootstrap.assignment import Wish
from agents.core.folding import ascii_lower
from agents.core.later import Later, after
from agents.core.machine import Event
from agents.core.quotas import NoRoomError
from agents.core.reader import WireError
from agents.core.record import replace
from agents.core.timers import earliest
from agents.diameter.accounting import AccountingRequest
from agents.diameter.dictionary import (
    ACCOUNTING_REALTIME_REQUIRED,
    ACCT_INTERIM_INTERVAL,
    APPLICATION_MIP6_IKE,
    AccountingRealtimeRequired,
    AuthRequestType,
    AuthSessionState,
    ReAuthRequestType,
)
from agents.diameter.eap import DiameterEapAnswer, DiameterEapRequest
from agents.diameter.errors import DiameterError, ResultCode
from agents.diameter.mobility import offered_home_agent, requested_wish
from agents.diameter.sessions import KeyAnswer, KeyRequest, SessionRequest
from agents.eap.server import EapServer
from agents.eap.tls import EapKeys
from agents.eap.wire import Type

MAXIMUM_INVALID = 5
"""EAP packets of one session that may be invalid (RFC 4072 section 2.4)."""

_EAP_TLS_HEADER = 10
"""Octets before the TLS data of an EAP-TLS packet at most (RFC 5216 section 3.1)."""

LEASE_MARGIN = 300.0
"""Seconds by which a lease outlasts the Session-Timeout of its answer.

Whoever gets the answer counts from then on: it may come a round of EAP later than the lease, and be
repeated for as long as a Diameter server knows duplicates (`DiameterTimers.duplicates`, 240 s).
"""

LEAST_LASTING = 30.0
"""Seconds for which it is worth while to be let in, if a lease lasts no longer; 0 would be ever."""


class HomeAaa:
    """Authenticates subscribers and assigns home agent and home address (RFC 4072, RFC 5447).

    What is assigned counts, and is told, from the next `commit` on, which its owner calls when it
    has been `pending` for a little while. `rng` chooses which conversation gives way. Raises
    TlsConfigError if a file cannot be used.
    """

    def __init__(
        self,
        subscribers: Subscribers,
        leases: Leases,
        config: HomeAaaConfig,
        *,
        rng: random.Random | None = None,
    ) -> None:
        config.tls.prepare()
        self._subscribers = subscribers
        peers = frozenset(map(ascii_lower, config.peers))
        self._agents = {
            ascii_lower(agent.host): agent
            for agent in subscribers.home_agents.values()
            if agent.host and ascii_lower(agent.host) in peers
        }
        """The home agents that are Diameter peers, by their hosts."""

        self._hosts = {agent.address: agent.host for agent in self._agents.values()}
        self.reaches: Callable[[str], bool] = lambda _: True
        """Tells whether a Diameter peer can be reached; its owner knows."""

        self.ask_eap_server: Ask | None = None
        """Asks another EAP server, if its owner has one that authenticates in this one's place."""

        self.fleet = Fleet(subscribers.home_agents.values(), config.selection, self._has_failed)
        lifetime = config.session_timeout + LEASE_MARGIN
        self._chooser = Chooser(subscribers, leases, lifetime, self.fleet)
        self._leases = leases
        self._unstored = Unstored(leases, self._lose)
        self.sessions = Sessions(
            config.origin_host,
            config.origin_realm,
            hosts=self._hosts.get,
            leases=leases,
            psk_source=config.psk_source,
            by_eap=frozenset(map(ascii_lower, config.home_agents)),
        )
        self.outbox = self.sessions.outbox
        self.accounts = Accounts() if config.accounting else None
        self._config = config
        self._home_agents = frozenset(map(ascii_lower, config.home_agents))
        self._conversations = Conversations(
            config.exchange_timeout, config.limits, rng or random.SystemRandom()
        )
        self.events: deque[Event] = deque()

    def _has_failed(self, agent: HomeAgent) -> bool:
        host = self._hosts.get(agent.address)
        return host is not None and not self.reaches(host)

    def next_timeout(self) -> float | None:
        """Return when the next conversation is given up or forgotten, or a session ends."""
        accounts = self.accounts.next_timeout() if self.accounts else None
        return earliest(self._conversations.next_timeout(), self.sessions.next_timeout(), accounts)

    def handle_timeout(self, now: float) -> None:
        """Forget every conversation and end every session whose deadline has come."""
        self._end_sessions(now)
        if self.accounts:
            self.accounts.handle_timeout(now)
            self.events += self._of_accounts(self.accounts)
        expired = self._conversations.expired(now)
        self._give_up(expired, "the conversation was not finished in time", now)

    @property
    def pending(self) -> bool:
        """Whether something waits for `commit`."""
        return self._leases.pending

    def commit(self, now: float) -> None:
        """Store what has been leased and released since the last time, and answer who waits for it.

        A subscriber whose lease cannot be stored is refused, or keeps what is stored of it.
        """
        self._unstored.commit(now)

    def _end_sessions(self, now: float) -> None:
        deadline = self.sessions.next_timeout()
        if deadline is not None and deadline <= now:
            self._settle(now)
            self.sessions.handle_timeout(now)
            self.events += self._of_sessions()

    def _settle(self, now: float) -> None:
        """Have nobody wait, before a session ends that somebody may wait to have prolonged."""
        if self._unstored:
            self.commit(now)

    def _as_stored(self, admission: Admission, reason: str) -> Choice:
        """Return what a subscriber keeps of an assignment that could not be stored."""
        choice = admission.choice
        home_address = choice.assignment.home_address if choice.assignment else None
        lasts = 0.0
        with suppress(StoreError):  # What cannot be read either is nobody's.
            lasts = self._leases.lasting(admission.identity, home_address) if home_address else 0.0
        if lasts <= 0:
            return Choice(problems=(reason,), unstored=reason)
        return replace(choice, unstored=reason, lasts=lasts)

    def _lose(self, session: Conversation, reason: str, now: float) -> None:
        """Take back what was to be assigned."""
        admission = session.admission
        if admission is not None and admission.choice.place is Place.HOME:
            session.admission = replace(admission, choice=self._as_stored(admission, reason))
            self.events.append(LeaseNotStored(now, admission.identity, reason))

    def _of_sessions(self) -> list[Event]:
        """Return what the sessions have told."""
        told = list(self.sessions.events)
        self.sessions.events.clear()
        return told

    def handle_key(self, request: KeyRequest, now: float) -> KeyAnswer | Later[KeyAnswer]:
        """Answer a home agent that asks for a key, or later (RFC 6738)."""
        self.hear_load(request.origin_host, request.load)
        self._end_sessions(now)
        answer = self.sessions.handle_key(request, now)
        self.events += self._of_sessions()
        return after(answer, partial(self._accounted_key, request, now))

    def _accounted_key(self, request: KeyRequest, now: float, answer: KeyAnswer) -> KeyAnswer:
        """Wait for a home agent's records of a session that it is given the key of."""
        if self.accounts is None or answer.identity is None or answer.lifetime is None:
            return answer
        client = ascii_lower(request.origin_host), request.session_id
        self.accounts.expect(client, answer.identity, answer.lifetime, now)
        return replace(answer, interim_interval=self._config.interim_interval or None)

    def handle_accounting(self, request: AccountingRequest, now: float) -> None:
        """Take a record of a session; raises DiameterError for one that does not count."""
        if self.accounts is None:
            raise DiameterError("nobody accounts here", ResultCode.APPLICATION_UNSUPPORTED)
        try:
            self.accounts.handle(request, now)
        finally:
            self.events += self._of_accounts(self.accounts)

    @staticmethod
    def _of_accounts(accounts: Accounts) -> list[Event]:
        told = list(accounts.events)
        accounts.events.clear()
        return told

    def handle_end(self, request: SessionRequest, now: float) -> ResultCode:
        """Take a client's word that its session is over (RFC 6733 section 8.4)."""
        self.hear_load(request.origin_host, request.load)
        self._settle(now)
        result = self.sessions.handle_end(request, now)
        self.events += self._of_sessions()
        return result

    def handle_restart(self, host: str, now: float) -> None:
        """Note that a client has lost its state: what it had begun, and had, is over."""
        name = ascii_lower(host)
        self._give_up(self._conversations.drop(name), f"{host} has been started again", now)
        self._settle(now)
        self.sessions.handle_restart(name, now)
        self.events += self._of_sessions()
        if self.accounts:
            self.accounts.handle_restart(name, now)
            self.events += self._of_accounts(self.accounts)

    def hear_load(self, host: str, load: int | None) -> None:
        """Note how many home addresses are in use at a home agent, if a peer is one and says so."""
        agent = self._agents.get(ascii_lower(host))
        if agent is not None and load is not None:
            self.fleet.tell(agent.name, load)

    def withdraw(self, identity: str, now: float) -> bool:
        """End a subscriber's session and lease; return whether there was either."""
        self._settle(now)
        ended = self.sessions.withdraw_subscriber(identity, now)
        self.events += self._of_sessions()
        return ended

    def reauthenticate(self, identity: str) -> bool:
        """Have a subscriber's NAS authenticate it anew; return whether there is one to be told."""
        return self.sessions.reauthenticate(identity)

    def handle(
        self, request: DiameterEapRequest, now: float
    ) -> DiameterEapAnswer | Later[DiameterEapAnswer]:
        """Return the answer to one request; a duplicate gets the answer that it got before."""
        self.handle_timeout(now)
        if request.application == APPLICATION_MIP6_IKE and not self._is_home_agent(request):
            text = f"{request.origin_host} is no home agent that mobile nodes authenticate at"
            return self._refuse(request, ResultCode.AUTHORIZATION_REJECTED, text)
        session = self._conversations.find(request)
        if session is None:
            return self._open(request, now)
        if session.unstored:
            self.commit(now)
        if session.answer is not None and request.eap_payload == session.payload:
            return session.answer
        if session.ended:
            return self._unknown_session(request)
        if session.asking:
            text = "the answer to the response before is still to come"
            return self._refuse(request, ResultCode.TOO_BUSY, text)
        session.note(request)
        return self._advance(session, request, now)

    def _is_home_agent(self, request: DiameterEapRequest) -> bool:
        return ascii_lower(request.origin_host) in self._home_agents

    def _open(
        self, request: DiameterEapRequest, now: float
    ) -> DiameterEapAnswer | Later[DiameterEapAnswer]:
        identity = request.user_name or ""
        if request.eap_payload:
            try:
                packet = read_response(request.eap_payload)
            except WireError as error:
                identity = identity or "unknown"
                self.events.append(SubscriberRejected(now, identity, str(error)))
                return self._refuse(request, ResultCode.AUTHENTICATION_REJECTED, str(error))
            if packet.type != Type.IDENTITY and not (self._config.pick_up and starts_tls(packet)):
                return self._unknown_session(request)
            if packet.type == Type.IDENTITY:
                identity = packet.data.decode(errors="replace")
        server = self._eap_server(request.framed_mtu)
        try:
            session, displaced = self._conversations.open(request, identity, server, now)
        except NoRoomError as error:
            return self._refuse(request, ResultCode.TOO_BUSY, f"too many conversations: {error}")
        self._give_way(displaced, now)
        session.note(request)
        if request.eap_payload:
            return self._advance(session, request, now)
        return self._continue(session, request, session.server.start(), now)

    def _eap_server(self, longest: int | None) -> EapServer | RemoteEapServer:
        """Return a server for one conversation, with packets of `longest` octets at most."""
        config, size = self._config, self._config.fragment_size
        if longest is not None:
            size = max(1, min(size, longest - _EAP_TLS_HEADER))
        if self.ask_eap_server is not None:
            longest = size + _EAP_TLS_HEADER
            return RemoteEapServer(self.ask_eap_server, longest=longest, authorise=self._authorise)
        return EapServer(
            config.tls, fragment_size=size, authorise=self._authorise, pick_up=config.pick_up
        )

    def _authorise(self, identity: str) -> str | None:
        return None if self._subscribers.find(identity) else f"{identity} is no subscriber"

    def _advance(
        self, session: Conversation, request: DiameterEapRequest, now: float
    ) -> DiameterEapAnswer | Later[DiameterEapAnswer]:
        given = session.server.handle_response(request.eap_payload)
        session.asking = isinstance(given, Later)
        told = given if isinstance(given, Later) else (given, now)
        return after(told, partial(self._go_on_with, session, request))

    def _go_on_with(
        self, session: Conversation, request: DiameterEapRequest, told: tuple[bytes | None, float]
    ) -> DiameterEapAnswer | Later[DiameterEapAnswer]:
        """Answer with what the EAP server says, and when."""
        packet, now = told
        session.asking = False
        if self._conversations.find(request) is not session:
            return self._unknown_session(request)  # It has given way meanwhile.
        match session.server.outcome:
            case _ if packet is None:
                return self._discard(session, request, now)
            case None:
                return self._continue(session, request, packet, now)
            case "success":
                if session.server.keys:
                    self._admit(session, request, session.server.keys, now)
                accept = partial(self._accept, session, request, packet)
                return self._unstored.answer(session, accept, now)
            case "failure":
                return self._end(session, request, now, packet, session.server.reason)

    def _continue(
        self, session: Conversation, request: DiameterEapRequest, packet: bytes, now: float
    ) -> DiameterEapAnswer | Later[DiameterEapAnswer]:
        session.request = packet
        self._give_way(self._conversations.advance(session), now)
        if self._config.early and session.server.early_keys:
            self._admit(session, request, session.server.early_keys, now)
        go_on = partial(self._go_on, session, request, packet)
        return self._unstored.answer(session, go_on, now)

    def _go_on(
        self, session: Conversation, request: DiameterEapRequest, packet: bytes, now: float
    ) -> DiameterEapAnswer:
        fields = self._verify(session, now) if self._config.early else {}
        answer = self._answer(request, ResultCode.MULTI_ROUND_AUTH, eap_payload=packet, **fields)
        return session.remember(request, answer)

    def _verify(self, session: Conversation, now: float) -> dict[str, object]:
        """Return what may be said about the home agent before the end, in fields of the answer."""
        admission = session.admission
        fields = admission.early_fields() if admission else None
        assignment = admission.choice.assignment if admission else None
        if admission is None or fields is None or assignment is None:
            return {}
        event = SubscriberVerified(
            now, admission.identity, assignment, session.care_of_address, admission.root
        )
        self.events.append(event)
        self.sessions.expect(event)
        return fields

    def _discard(
        self, session: Conversation, request: DiameterEapRequest, now: float
    ) -> DiameterEapAnswer:
        """Ask for another response to the same EAP request (RFC 4072 section 2.4)."""
        session.invalid += 1
        if session.invalid > MAXIMUM_INVALID or session.request is None:
            reason = f"invalid EAP packets, at last: {session.server.discarded}"
            return self._end(session, request, now, failure(request.eap_payload), reason)
        return self._answer(
            request,
            ResultCode.MULTI_ROUND_AUTH,
            reissued_payload=session.request,
            error_message=session.server.discarded,
        )

    def _admit(
        self, session: Conversation, request: DiameterEapRequest, keys: EapKeys, now: float
    ) -> None:
        """Decide, once, what a verified subscriber gets; nothing if it is none."""
        name = session.server.peer_name
        subscriber = self._subscribers.find(name) if name else None
        if session.admission is None and subscriber is not None:
            service = request.auth_request_type != AuthRequestType.AUTHENTICATE_ONLY
            wish = requested_wish(session.mobility) if service else None
            asking = self._agents.get(ascii_lower(request.origin_host))
            choice = self._choose(subscriber, session, wish, asking, now)
            session.admission = Admission(
                subscriber.identity,
                wish,
                choice,
                keys,
                self._config.protection,
                self._config.psk_source,
                not self._home_agents or self._is_home_agent(request),
            )
            session.unstored = choice.place is Place.HOME and not choice.unstored

    def _accept(
        self, session: Conversation, request: DiameterEapRequest, packet: bytes, now: float
    ) -> DiameterEapAnswer:
        keys, admission = session.server.keys, session.admission
        if admission is None or keys is None:
            reason = f"the certificate's name {session.server.peer_name} is no subscriber's"
            return self._end(session, request, now, failure(request.eap_payload), reason)
        choice, lasts = admission.choice, self._lasts(admission.choice)
        if choice.unstored and (choice.place is None or lasts < LEAST_LASTING):
            packet, reason = failure(request.eap_payload), f"no lease: {choice.unstored}"
            return self._end(session, request, now, packet, reason, ResultCode.OUT_OF_SPACE)
        asked = session.mobility.feature_vector is not None
        answer = self._answer(
            request,
            ResultCode.SUCCESS,
            eap_payload=packet,
            msk=keys.msk,
            session_timeout=lasts,
            **self._bound(request, lasts),
            user_name=admission.identity,
            feature_vector=admission.features() if asked else None,
            auth_session_state=self._kept_state(request),
            **self._accounted(session, lasts, now),
            **admission.final_fields(),
        )
        event = SubscriberAuthenticated(
            now,
            admission.identity,
            choice.assignment,
            session.care_of_address,
            keys.msk,
            admission.root,
            choice.place,
            session.key,
            request.origin_realm,
            None if choice.lasts is None else lasts,
            request.application,
        )
        self.events.append(event)
        if choice.place is Place.HOME:
            self.sessions.authorise(event, lasts)
        else:
            self.sessions.admit(event, lasts)
        self.events += self._of_sessions()
        self._conversations.end(session, now)
        return session.remember(request, answer)

    def _accounted(self, session: Conversation, lasts: float, now: float) -> dict[str, object]:
        """Wait for a session's records; return the answer's fields about them (RFC 6733 9.1)."""
        if self.accounts is None or session.admission is None:
            return {}
        self.accounts.expect(session.key, session.admission.identity, lasts, now)
        wanted = [ACCOUNTING_REALTIME_REQUIRED.avp(AccountingRealtimeRequired.GRANT_AND_LOSE)]
        if self._config.interim_interval:
            wanted.append(ACCT_INTERIM_INTERVAL.avp(self._config.interim_interval))
        return {"unknown": tuple(wanted)}

    @staticmethod
    def _kept_state(request: DiameterEapRequest) -> AuthSessionState:
        """Return whether the end of a session is to be told, which is as the NAS hints."""
        if request.auth_session_state == AuthSessionState.STATE_MAINTAINED:
            return AuthSessionState.STATE_MAINTAINED
        return AuthSessionState.NO_STATE_MAINTAINED

    def _lasts(self, choice: Choice) -> float:
        """Return for how many seconds a subscriber is let in: while its lease lasts, at most."""
        usual = self._config.session_timeout
        return usual if choice.lasts is None else min(usual, choice.lasts - LEASE_MARGIN)

    @staticmethod
    def _bound(request: DiameterEapRequest, lasts: float) -> dict[str, object]:
        """Return fields of the answer to a NAS that bounds its lifetime (RFC 6733 section 8.9)."""
        longest = request.authorization_lifetime
        if longest is None:
            return {}
        return {
            "authorization_lifetime": min(longest, lasts),
            "re_auth_request_type": ReAuthRequestType.AUTHORIZE_AUTHENTICATE,
        }

    def _choose(
        self,
        subscriber: Subscriber,
        session: Conversation,
        wish: Wish | None,
        asking: HomeAgent | None,
        now: float,
    ) -> Choice:
        """Return the choice, and tell why it is not a better one."""
        offer = offered_home_agent(session.mobility)
        settle = partial(self.commit, now)
        choice = self._chooser.choose(subscriber, wish, offer, asking, settle)
        if choice.unstored:
            self.events.append(LeaseNotStored(now, subscriber.identity, choice.unstored))
        elif choice.problems:
            kind = MobilityRefused if choice.place is None else HomeAgentPassedOver
            self.events.append(kind(now, subscriber.identity, "; ".join(choice.problems)))
        return choice

    def _end(
        self,
        session: Conversation,
        request: DiameterEapRequest,
        now: float,
        packet: bytes,
        reason: str,
        result_code: ResultCode = ResultCode.AUTHENTICATION_REJECTED,
    ) -> DiameterEapAnswer:
        self._reject(session, reason, now)
        self._conversations.end(session, now)
        answer = self._answer(
            request,
            result_code,
            eap_payload=packet,
            error_message=reason,
        )
        return session.remember(request, answer)

    def _give_way(self, displaced: list[Conversation], now: float) -> None:
        self._give_up(displaced, "the conversation gave way to a newer one", now)

    def _give_up(self, sessions: list[Conversation], reason: str, now: float) -> None:
        """Reject those that have not ended, nor would have if nobody had to wait."""
        for session in sessions:
            if session.unstored:
                self.commit(now)
            if not session.ended:
                self._reject(session, reason, now)

    def _reject(self, session: Conversation, reason: str, now: float) -> None:
        server, admission = session.server, session.admission
        identity = server.identity or server.peer_name or "unknown"
        self.events.append(SubscriberRejected(now, identity, reason))
        if admission and admission.choice.assignment and admission.early_fields():
            event = VerificationWithdrawn(
                now, admission.identity, admission.choice.assignment, admission.root
            )
            self.events.append(event)
            self.sessions.withdraw(event)
            self.events += self._of_sessions()

    def _unknown_session(self, request: DiameterEapRequest) -> DiameterEapAnswer:
        text = "no such conversation is open; start again"
        return self._refuse(request, ResultCode.UNKNOWN_SESSION_ID, text)

    def _refuse(
        self, request: DiameterEapRequest, result_code: ResultCode, text: str
    ) -> DiameterEapAnswer:
        """Return an answer with EAP-Failure to a request that belongs to no conversation."""
        packet = failure(request.eap_payload)
        return self._answer(request, result_code, eap_payload=packet, error_message=text)

    def _answer(
        self, request: DiameterEapRequest, result_code: ResultCode, **fields: object
    ) -> DiameterEapAnswer:
        return DiameterEapAnswer(
            session_id=request.session_id,
            result_code=result_code,
            origin_host=self._config.origin_host,
            origin_realm=self._config.origin_realm,
            auth_request_type=request.auth_request_type,
            application=request.application,
            **fields,  # type: ignore[arg-type]
        )
