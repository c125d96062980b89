"""The RADIUS client of an access router, in place of the Diameter client."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv6Address

from agents.core.eventlog import EventLog
from agents.core.host import Host
from agents.core.machine import Event
from agents.core.reader import WireError
from agents.core.record import Record, replace
from agents.diameter.accounting import AccountingRequest
from agents.diameter.authorisation import GrantError, check_authorisation
from agents.diameter.dictionary import AccountingRecordType, AuthSessionState
from agents.diameter.eap import DiameterEapAnswer, DiameterEapRequest
from agents.diameter.errors import DiameterError, ResultCode, is_refusal
from agents.diameter.mobility import MobilityRequest
from agents.nodes.aaa_client import claimed_identity
from agents.nodes.accounting import Confirmed
from agents.nodes.diameter_settings import AaaClientConfiguration
from agents.nodes.opening import Opening
from agents.nodes.radius_accounting import accounting_request
from agents.nodes.radius_eap import access_request, read_answer
from agents.nodes.radius_settings import RadiusServerSettings
from agents.radius import dictionary as d
from agents.radius.client import TIMING, RadiusClient
from agents.radius.events import AnswerReceived, RequestFailed
from agents.radius.wire import Attribute, Code, Packet

Outcome = Callable[[Packet | TimeoutError, float], None]
"""Is told, with the time, what has become of a request."""


class RadiusService:
    """A RADIUS client on a socket of its host, and who waits for the answers."""

    def __init__(
        self,
        host: Host,
        settings: RadiusServerSettings,
        secret: bytes,
        on_event: Callable[[Event], None],
        *,
        port: int,
        timeout: float,
    ) -> None:
        self._host = host
        self._on_event = on_event
        self._outcomes: dict[int, Outcome] = {}
        timing = replace(TIMING, duration=timeout)
        self._client = RadiusClient((settings.address, port), secret, rng=host.rng, timing=timing)
        self._endpoint = host.datagrams(self._client, (settings.source, 0), self._handle)

    def submit(self, code: Code, attributes: tuple[Attribute, ...], outcome: Outcome) -> None:
        """Send a request; `outcome` is called once. ValueError if it is too long for a packet."""
        self._endpoint.call(self._submit, code, attributes, outcome)

    def _submit(self, code: Code, attributes: tuple[Attribute, ...], outcome: Outcome) -> None:
        token = self._client.request(code, attributes, self._host.now())
        self._outcomes[token] = outcome

    def _handle(self, event: Event) -> None:
        self._on_event(event)
        match event:
            case AnswerReceived(token=token, packet=packet):
                self._outcomes.pop(token)(packet, event.at)
            case RequestFailed(token=token, reason=reason):
                self._outcomes.pop(token)(TimeoutError(reason), event.at)

    def close(self) -> None:
        """Close the socket; nobody is told anything any more."""
        self._endpoint.close()


@dataclass(slots=True)
class _Conversation:
    """An EAP conversation: its session, the last challenge's State, the mobile node's name."""

    session_id: str
    state: tuple[bytes, ...] = ()
    user_name: str | None = None


class _Granted(Record, frozen=True):
    """A session whose end the server wants to hear of, and what accounting says of it."""

    session_id: str
    attributes: tuple[Attribute, ...]


class RadiusAaaClient:
    """Carries EAP to the home AAA server, and accounts for sessions (RFC 3579, RFC 2866).

    What it is asked, and answers, are as AaaClient has them. `secret` is the one with the server.
    The server is told of a session's end by accounting in any case; whoever accounts for sessions
    (`accounting`) makes the records, and those of this class say no more than that.
    """

    def __init__(
        self,
        configuration: AaaClientConfiguration,
        settings: RadiusServerSettings,
        host: Host,
        log: EventLog,
        *,
        epoch: int,
        secret: bytes,
    ) -> None:
        self.identity = configuration.diameter_identity
        self.realm = configuration.diameter_realm
        self._server = configuration.home.host, configuration.home.realm
        self._accounts = configuration.accounting
        self._settings = settings
        self._timeout = configuration.aaa_timeout
        self._secret = secret
        self._host = host
        self._log = log
        self._epoch = epoch
        self._next = host.rng.getrandbits(32)
        self._services: tuple[RadiusService, RadiusService] | None = None
        self._opening = Opening(host, self._open, log)
        self._conversations: dict[Hashable, _Conversation] = {}
        self._granted: dict[Hashable, _Granted] = {}
        self._keys: dict[str, Hashable] = {}
        """The keys of what is granted, by the sessions' names."""

    def start(self, connected: Callable[[], None]) -> None:
        """Open the sockets, as soon as the address is to be had; tell when it is done."""
        self._opening.start(connected)

    def _open(self) -> None:
        """Open both sockets or none."""
        access = self._opened(self._settings.port)
        try:
            accounting = self._opened(self._settings.accounting_port)
        except OSError:
            access.close()
            raise
        self._services = access, accounting

    def _opened(self, port: int) -> RadiusService:
        return RadiusService(
            self._host,
            self._settings,
            self._secret,
            self._log.child("radius"),
            port=port,
            timeout=self._timeout,
        )

    def stop(self, stopped: Callable[[], None]) -> None:
        """Close the sockets, and tell when that is done."""
        self._opening.close()
        for service in self._services or ():
            service.close()
        stopped()

    def ask(
        self,
        key: Hashable,
        packet: bytes,
        answered: Callable[[DiameterEapAnswer | Exception], None],
        *,
        asked: MobilityRequest,
        care_of: IPv6Address,
        station: str | None = None,
    ) -> None:
        """Send an EAP response to the home AAA server.

        `answered` gets the answer, or DiameterError or TimeoutError; an answer that grants what
        cannot be kept here is an error too. `station` is the mobile node's MAC address where that
        is what is authorised.
        """
        if self._services is None:
            self._host.later(partial(answered, TimeoutError("no socket is open yet")))
            return
        conversation = self._conversations.get(key)
        if conversation is None:
            conversation = self._conversations[key] = _Conversation(self._new_session())
        conversation.user_name = claimed_identity(packet) or conversation.user_name
        request = DiameterEapRequest(
            session_id=conversation.session_id,
            origin_host=self.identity,
            origin_realm=self.realm,
            destination_realm=self._server[1],
            eap_payload=packet,
            user_name=conversation.user_name,
            feature_vector=asked.feature_vector,
            hint=asked.hint,
            wish=asked.wish,
            care_of_address=care_of,
            state=conversation.state,
            auth_session_state=AuthSessionState.STATE_MAINTAINED,
            calling_station=station,
        )

        def take(outcome: Packet | TimeoutError, _at: float) -> None:
            answer = self._checked(outcome, conversation)
            # What is granted and cannot be kept is accounted for too: its end is to be told.
            granted = answer.granted if isinstance(answer, GrantError) else answer
            if isinstance(granted, DiameterEapAnswer) and granted.result_code == ResultCode.SUCCESS:
                self._account(key, request, outcome)
            answered(answer)

        attributes = access_request(request, IPv6Address(self._settings.source))
        try:
            self._services[0].submit(Code.ACCESS_REQUEST, attributes, take)
        except ValueError as error:
            refusal = DiameterError(str(error), ResultCode.INVALID_AVP_VALUE)
            self._host.later(partial(answered, refusal))

    def _new_session(self) -> str:
        """Return an Acct-Session-Id that this host gives once (RFC 2866 section 5.5)."""
        self._next += 1
        return f"{self._epoch:08x}{self._next & 0xFFFFFFFF:08x}"

    def _checked(
        self, outcome: Packet | TimeoutError, conversation: _Conversation
    ) -> DiameterEapAnswer | Exception:
        """Return the answer, which the conversation goes on from, or why none is to be used."""
        if isinstance(outcome, TimeoutError):
            return outcome
        try:
            answer = read_answer(outcome, conversation.session_id, self._server)
            if not is_refusal(answer.result_code):
                check_authorisation(answer, accounts=self._accounts)
        except WireError as error:
            return DiameterError(str(error), ResultCode.INVALID_AVP_VALUE)
        except DiameterError as error:
            return error
        conversation.state = answer.state
        return answer

    def _account(
        self, key: Hashable, request: DiameterEapRequest, packet: Packet | TimeoutError
    ) -> None:
        """Tell that a session has begun, and that one before it is over; or leave that to others.

        What they do not tell the end of is told in end() still.
        """
        if not self._accounts:
            self.end(key)
        found = [
            d.NAS_IDENTIFIER.attribute(self.identity),
            d.NAS_IPV6_ADDRESS.attribute(IPv6Address(self._settings.source)),
            d.ACCT_SESSION_ID.attribute(request.session_id),
        ]
        if request.user_name is not None:
            found.append(d.USER_NAME.attribute(request.user_name))
        if request.care_of_address is not None:
            found.append(d.FRAMED_IPV6_ADDRESS.attribute(request.care_of_address))
        if isinstance(packet, Packet):
            found += [d.CLASS.attribute(v) for v in d.CLASS.values(packet.attributes)]
        if before := self._granted.get(key):
            del self._keys[before.session_id]
        self._granted[key] = _Granted(request.session_id, tuple(found))
        self._keys[request.session_id] = key
        if not self._accounts:
            self._send_accounting(d.AcctStatusType.START, tuple(found))

    def account(self, record: AccountingRequest, confirmed: Confirmed) -> None:
        """Send a record; `confirmed` hears in time what becomes of it."""
        is_last = record.record_type is AccountingRecordType.STOP
        if is_last and (key := self._keys.pop(record.session_id, None)) is not None:
            del self._granted[key]
        if self._services is None:
            confirmed(TimeoutError("no socket is open yet"))
            return

        def take(outcome: Packet | TimeoutError, _at: float) -> None:
            confirmed(outcome if isinstance(outcome, TimeoutError) else None)

        attributes = accounting_request(record, IPv6Address(self._settings.source))
        try:
            self._services[1].submit(Code.ACCOUNTING_REQUEST, attributes, take)
        except ValueError as error:
            confirmed(DiameterError(str(error), ResultCode.INVALID_AVP_VALUE))

    def forget(self, key: Hashable) -> None:
        """Drop what is kept for a conversation, which may wait for an answer still."""
        self._conversations.pop(key, None)

    def end(self, key: Hashable) -> None:
        """Tell the server that a session is over, unless its last record does."""
        if self._accounts:
            self._host.later(partial(self._end, key))
        else:
            self._end(key)

    def _end(self, key: Hashable) -> None:
        granted = self._granted.pop(key, None)
        if granted is not None:
            del self._keys[granted.session_id]
            cause = d.ACCT_TERMINATE_CAUSE.attribute(d.AcctTerminateCause.USER_REQUEST)
            self._send_accounting(d.AcctStatusType.STOP, (*granted.attributes, cause))

    def _send_accounting(self, status: d.AcctStatusType, found: tuple[Attribute, ...]) -> None:
        if self._services is not None:
            attributes = (d.ACCT_STATUS_TYPE.attribute(status), *found)
            self._services[1].submit(Code.ACCOUNTING_REQUEST, attributes, lambda *_: None)
