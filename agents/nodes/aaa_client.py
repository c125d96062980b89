"""The Diameter client of whoever passes EAP on: an access router, or a home agent."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv6Address

from agents.core.eventlog import EventLog
from agents.core.host import Host
from agents.core.machine import Event
from agents.core.reader import WireError
from agents.core.record import Record
from agents.diameter.accounting import AccountingRequest
from agents.diameter.authorisation import GrantError, check_authorisation
from agents.diameter.config import same_identity
from agents.diameter.dictionary import (
    ACCT_INTERIM_INTERVAL,
    APPLICATION_ACCOUNTING,
    APPLICATION_EAP,
    APPLICATION_MIP6_IKE,
    ERROR_MESSAGE,
    RESULT_CODE,
    AuthSessionState,
    Command,
)
from agents.diameter.eap import DiameterEapAnswer, DiameterEapRequest
from agents.diameter.errors import DiameterError, ResultCode, is_refusal, result_name
from agents.diameter.events import PeerUp, Restarted
from agents.diameter.mobility import MobilityRequest
from agents.diameter.sessions import SessionRequest, session_answer
from agents.diameter.wire import Message
from agents.eap.server import MAXIMUM_IDENTITY
from agents.eap.wire import Code, Packet, Type
from agents.nodes.accounting import Confirmed
from agents.nodes.diameter import DiameterService, Handler, Outcome
from agents.nodes.diameter_settings import AaaClientConfiguration, node_config

_CONNECTION_TIMEOUT = 30.0

_REALM = re.compile("[0-9A-Za-z._-]{1,255}")
"""A realm that Diameter can name (RFC 6733 section 4.3.1): that of an NAI may have any letters."""

_MOST_UNTOLD = 4096
"""Ends of sessions that are kept for servers that are not there."""

_LOW = re.compile("[0-9]{1,10}")
"""The last part of a Session-Id."""


@dataclass(slots=True)
class _Conversation:
    """What goes into every request of an EAP conversation.

    `server` and `state` are its last answer's Origin-Host and State AVPs, `user_name` what the
    mobile node calls itself, `realm` that of its first name.
    """

    session_id: str
    realm: str | None = None
    server: str | None = None
    state: tuple[bytes, ...] = ()
    user_name: str | None = None


class _Granted(Record, frozen=True):
    """A session whose end the server that granted it wants to hear of."""

    session_id: str
    server: str
    realm: str


class AaaClient:
    """Carries EAP to the home AAA server (RFC 4072 section 2), and tells it when sessions end.

    That is one of the user's realm (RFC 4072 section 2.2), and the same one all through a
    conversation, which has its state. A conversation is one Diameter session, and has a key of the
    caller's. `epoch` is the time of day in seconds at the start, which goes into the names of
    sessions. `handler` answers what the server asks, `application` is what it has to serve.
    """

    def __init__(
        self,
        configuration: AaaClientConfiguration,
        host: Host,
        log: EventLog,
        *,
        epoch: int,
        handler: Handler | None = None,
        application: int = APPLICATION_EAP,
    ) -> None:
        self.identity = configuration.diameter_identity
        self.realm = configuration.diameter_realm
        self.home_realm = configuration.home_realm or configuration.home.realm
        self._application = application
        self._accounts = configuration.accounting
        self._host = host
        self._log = log
        self._log_event = log.child("diameter")
        self.servers = tuple(
            peer.host
            for peer in configuration.all_peers
            if same_identity(peer.realm, self.home_realm)
        )
        """The servers of the home realm that are peers, in the order in which they are asked."""

        self._service = DiameterService(
            host,
            node_config(
                self.identity,
                self.realm,
                configuration.all_peers,
                tls=configuration.diameter_tls is not None,
                applications=(application, *((APPLICATION_ACCOUNTING,) * self._accounts)),
                watchdog=configuration.diameter_watchdog,
                routes=configuration.routes,
                epoch=epoch,
            ),
            handler=handler,
            on_event=self._hear,
            request_timeout=configuration.aaa_timeout,
        )
        self._epoch = epoch
        self._first = host.rng.getrandbits(32)
        self._sessions = 0
        self._conversations: dict[Hashable, _Conversation] = {}
        self._granted: dict[Hashable, _Granted] = {}
        self._untold: dict[str, _Granted] = {}
        """The sessions that are over, of which their servers could not be told."""

    def start(self, connected: Callable[[], None]) -> None:
        """Connect to the home AAA server, however long that takes; tell when it is done."""
        self._service.start()
        self._service.when_usable(
            self.home_realm,
            _CONNECTION_TIMEOUT,
            connected,
            lambda reason: self._log.write("NotReadyYet", reason=reason),
            self._application,
        )

    def stop(self, stopped: Callable[[], None]) -> None:
        """Disconnect, and tell when that is done."""
        self._service.stop(stopped)

    def _hear(self, event: Event) -> None:
        """Forget what a server has granted that has lost its state: it would not know the end.

        To one that is there again what it could not be told is said once more.
        """
        self._log_event(event)
        match event:
            case Restarted(origin=server):
                for key in [k for k, one in self._granted.items() if _is_of(one, server)]:
                    del self._granted[key]
                for session_id in [k for k, one in self._untold.items() if _is_of(one, server)]:
                    del self._untold[session_id]
            case PeerUp(peer=server):
                for session_id in [k for k, one in self._untold.items() if _is_of(one, server)]:
                    one = self._untold.pop(session_id)
                    self.terminate(session_id, server=one.server, realm=one.realm)
            case _:
                pass

    def _conversation(self, key: Hashable) -> _Conversation:
        if key not in self._conversations:
            self._conversations[key] = _Conversation(self.new_session())
        return self._conversations[key]

    def new_session(self) -> str:
        """Return a Session-Id: identity, high and low 32 bits (RFC 6733 section 8.8)."""
        self._sessions += 1
        return self._session_id(self._first + self._sessions)

    def _session_id(self, low: int) -> str:
        return f"{self.identity};{self._epoch};{low & 0xFFFFFFFF}"

    def session_number(self, session_id: str) -> int | None:
        """Return which of this client's sessions it is, from 1 on, None if it is none of them."""
        low = session_id.rpartition(";")[2]
        if not _LOW.fullmatch(low) or self._session_id(int(low)) != session_id:
            return None
        number = (int(low) - self._first) & 0xFFFFFFFF
        return number if 1 <= number <= self._sessions else None

    def submit(self, message: Message, outcome: Outcome) -> int:
        """Send a request to the home realm; `outcome` hears in time what becomes of it."""
        return self._service.submit(message, outcome)

    def reaches(self, server: str) -> bool:
        """Tell whether a server that is a peer is there, as far as the watchdog knows."""
        return self._service.reaches(server)

    def withdraw(self, token: int) -> None:
        """Forget a request that was submitted; its outcome is not called."""
        self._service.withdraw(token)

    def ask(
        self,
        key: Hashable,
        packet: bytes,
        answered: Callable[[DiameterEapAnswer | Exception], None],
        *,
        asked: MobilityRequest,
        care_of: IPv6Address | None = None,
        station: str | None = None,
        user_name: str | None = None,
    ) -> None:
        """Send an EAP response to the home realm, to the server that has the conversation.

        `answered` gets the answer, or DiameterError or TimeoutError; an answer that grants what
        cannot be kept here is an error too. Without a `user_name` it is EAP's identity. The realm
        is EAP's, for which IKE may have another name. `station` is the mobile node's MAC address
        where that is what is authorised.
        """
        conversation, claimed = self._conversation(key), claimed_identity(packet)
        conversation.user_name = user_name or claimed or conversation.user_name
        if conversation.realm is None:
            conversation.realm = realm_of(claimed or conversation.user_name) or self.home_realm
        realm = conversation.realm
        if not _REALM.fullmatch(realm):
            refusal = DiameterError(f"{realm!r} is no realm", ResultCode.REALM_NOT_SERVED)
            self._host.later(partial(answered, refusal))
            return
        if self._application == APPLICATION_MIP6_IKE and conversation.server is not None:
            asked = MobilityRequest()  # The first request alone has it (RFC 5778 section 5.1.1).
        request = DiameterEapRequest(
            session_id=conversation.session_id,
            origin_host=self.identity,
            origin_realm=self.realm,
            destination_realm=realm,
            destination_host=conversation.server,
            eap_payload=packet,
            user_name=conversation.user_name,
            feature_vector=asked.feature_vector,
            hint=asked.hint,
            wish=asked.wish,
            care_of_address=care_of,
            state=conversation.state,
            auth_session_state=AuthSessionState.STATE_MAINTAINED,
            application=self._application,
            calling_station=station,
        )

        def take(outcome: Message | Exception) -> None:
            answer = _checked(outcome, conversation, accounts=self._accounts)
            # What is granted and cannot be kept is to be ended too (RFC 6733 section 8.1).
            granted = answer.granted if isinstance(answer, GrantError) else answer
            if isinstance(granted, DiameterEapAnswer) and granted.result_code == ResultCode.SUCCESS:
                self._note(key, conversation, granted, realm)
            answered(answer)

        self._service.submit(request.to_message(), take)

    def _note(
        self, key: Hashable, conversation: _Conversation, answer: DiameterEapAnswer, realm: str
    ) -> None:
        """Know whether the server wants to hear of the session's end; one before it counts no more.

        The server knows that too, by the authentication; another one is told.
        """
        before = self._granted.pop(key, None)
        if before is not None and not same_identity(before.server, answer.origin_host):
            self.terminate(before.session_id, server=before.server, realm=before.realm)
        if answer.auth_session_state == AuthSessionState.STATE_MAINTAINED:
            self._granted[key] = _Granted(conversation.session_id, answer.origin_host, realm)

    def forget(self, key: Hashable) -> None:
        """Drop what is kept for a conversation, which may wait for an answer still."""
        self._conversations.pop(key, None)

    def abandon(self, session_id: str, server: str) -> Hashable | None:
        """Forget the conversation that has a Session-Id, as its server wants; return its key."""
        for key, one in self._conversations.items():
            if one.session_id == session_id and one.server and same_identity(one.server, server):
                self.forget(key)
                return key
        return None

    def end(self, key: Hashable) -> None:
        """Tell the server that a session is over, if it wants to hear of that."""
        granted = self._granted.pop(key, None)
        if granted is not None:
            self.terminate(granted.session_id, server=granted.server, realm=granted.realm)

    def key_of(self, request: SessionRequest) -> Hashable | None:
        """Return the key of the session that the server means, None if it has no say in any.

        The answer that grants it may not have come yet.
        """
        for known in (self._granted, self._conversations):
            for key, one in known.items():
                if _is_meant(one.session_id, one.server, request):
                    return key
        return None

    def serve(
        self,
        message: Message,
        orders: Collection[int],
        obey: Callable[[SessionRequest], ResultCode],
    ) -> Message:
        """Answer the server, which may give these orders about a session; DiameterError if not."""
        if message.command not in orders:
            raise DiameterError("this is a client", ResultCode.COMMAND_UNSUPPORTED)
        result = obey(SessionRequest.from_message(message))
        return session_answer(message, result, self.identity, self.realm)

    def account(self, record: AccountingRequest, confirmed: Confirmed) -> None:
        """Send a record; `confirmed` hears in time what becomes of it."""

        def take(outcome: Message | Exception) -> None:
            confirmed(_read_confirmation(outcome))

        self._service.submit(record.to_message(), take)

    def terminate(
        self,
        session_id: str,
        load: int | None = None,
        *,
        server: str | None = None,
        realm: str | None = None,
    ) -> None:
        """Send a Session-Termination-Request to the `server` that has the session, if known.

        It is told when it can be reached again, if it is a peer: a session that it takes to go on
        would have a key that counts no more. Where the server has ordered the end its answer goes
        first (RFC 6733 section 8.1).
        """
        request = SessionRequest(
            command=Command.SESSION_TERMINATION,
            session_id=session_id,
            application=self._application,
            origin_host=self.identity,
            origin_realm=self.realm,
            destination_realm=realm or self.home_realm,
            destination_host=server,
            load=load,
        )
        message = request.to_message()

        def told(outcome: Message | Exception) -> None:
            undelivered = isinstance(outcome, TimeoutError) or (
                isinstance(outcome, DiameterError) and outcome.code == ResultCode.UNABLE_TO_DELIVER
            )
            if server is not None and undelivered and len(self._untold) < _MOST_UNTOLD:
                granted = _Granted(session_id, server, request.destination_realm)
                self._untold[session_id] = granted

        def send() -> None:
            self._service.submit(message, told)

        self._host.later(send)


def realm_of(name: str | None) -> str | None:
    """Return the realm of a network access identifier (RFC 7542), None if it has none."""
    _, at, realm = (name or "").rpartition("@")
    return realm if at and realm else None


def _is_of(granted: _Granted, server: str) -> bool:
    return same_identity(granted.server, server)


def _is_meant(session_id: str, server: str | None, request: SessionRequest) -> bool:
    """Return whether a request is about a session of the server that it comes from."""
    is_its = server is not None and same_identity(server, request.origin_host)
    return is_its and session_id == request.session_id


def _read_confirmation(outcome: Message | Exception) -> int | Exception | None:
    """Return the interval that the server names for interim records, or why it has no record."""
    if isinstance(outcome, Exception):
        return outcome
    try:
        code = RESULT_CODE.need(outcome.avps)
        if is_refusal(code):
            text = ERROR_MESSAGE.find(outcome.avps)
            return DiameterError(f"{result_name(code)}: {text or 'no reason given'}", code)
        return ACCT_INTERIM_INTERVAL.find(outcome.avps)
    except DiameterError as error:
        return error


def _checked(
    outcome: Message | Exception, conversation: _Conversation, *, accounts: bool
) -> DiameterEapAnswer | Exception:
    """Return the answer, which the conversation goes on from, or why there is none to be used."""
    if isinstance(outcome, Exception):
        return outcome
    try:
        answer = DiameterEapAnswer.from_message(outcome)
        if not is_refusal(answer.result_code):
            check_authorisation(answer, accounts=accounts)
    except DiameterError as error:
        return error
    conversation.server, conversation.state = answer.origin_host, answer.state
    return answer


def claimed_identity(packet: bytes) -> str | None:
    """Return the name in an EAP-Response/Identity (RFC 4072 section 2), None if there is none."""
    try:
        response = Packet.decode(packet)
        name = response.data.decode()
    except (WireError, UnicodeDecodeError):
        return None
    named = response.code is Code.RESPONSE and response.type == Type.IDENTITY
    is_name = 1 <= len(response.data) <= MAXIMUM_IDENTITY and name.isprintable()
    return name if named and is_name else None
