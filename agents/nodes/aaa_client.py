"""The Diameter client of whoever passes EAP on: an access router, or a home agent."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from ipaddress import IPv6Address

from agents.core.eventlog import EventLog
from agents.core.host import Host
from agents.core.reader import WireError
from agents.diameter.authorisation import check_authorisation
from agents.diameter.eap import DiameterEapAnswer, DiameterEapRequest
from agents.diameter.errors import DiameterError, is_refusal
from agents.diameter.mobility import MobilityRequest
from agents.diameter.wire import Message
from agents.eap.server import MAXIMUM_IDENTITY
from agents.eap.wire import Code, Packet, Type
from agents.nodes.diameter import DiameterService
from agents.nodes.diameter_settings import AaaClientConfiguration, node_config

_CONNECTION_TIMEOUT = 30.0


@dataclass(slots=True)
class _Conversation:
    """What goes into every request of an EAP conversation.

    `server` and `state` are its last answer's Origin-Host and State AVPs, `user_name` what the
    mobile node calls itself.
    """

    session_id: str
    server: str | None = None
    state: tuple[bytes, ...] = ()
    user_name: str | None = None


class AaaClient:
    """Carries EAP to the home AAA server (RFC 4072 section 2).

    A conversation is one Diameter session, and has a key of the caller's. `epoch` is the time of
    day in seconds at the start, which goes into the names of sessions.
    """

    def __init__(
        self, configuration: AaaClientConfiguration, host: Host, log: EventLog, *, epoch: int
    ) -> None:
        self._identity = configuration.diameter_identity
        self._realm = configuration.diameter_realm
        self._home_realm = configuration.home_realm or configuration.home.realm
        self._service = DiameterService(
            host,
            node_config(
                self._identity,
                self._realm,
                [configuration.home],
                tls=configuration.diameter_tls is not None,
            ),
            on_event=log.child("diameter"),
            request_timeout=configuration.aaa_timeout,
        )
        self._epoch = epoch
        self._next = host.rng.getrandbits(32)
        self._conversations: dict[Hashable, _Conversation] = {}

    def start(self, connected: Callable[[], None], failed: Callable[[str], None]) -> None:
        """Connect to the home AAA server; tell when that is done, or that it cannot be."""
        self._service.start()
        self._service.when_usable(self._home_realm, _CONNECTION_TIMEOUT, connected, failed)

    def stop(self, stopped: Callable[[], None]) -> None:
        """Disconnect, and tell when that is done."""
        self._service.stop(stopped)

    def _conversation(self, key: Hashable) -> _Conversation:
        if key not in self._conversations:
            # RFC 6733 section 8.8: identity, high and low 32 bits.
            self._next += 1
            name = f"{self._identity};{self._epoch};{self._next & 0xFFFFFFFF}"
            self._conversations[key] = _Conversation(name)
        return self._conversations[key]

    def ask(
        self,
        key: Hashable,
        packet: bytes,
        answered: Callable[[DiameterEapAnswer | Exception], None],
        *,
        asked: MobilityRequest,
        care_of: IPv6Address,
        user_name: str | None = None,
    ) -> None:
        """Send an EAP response to the home realm, to the server that has the conversation.

        `answered` gets the answer, or DiameterError or TimeoutError; an answer that grants what
        cannot be kept here is an error too. Without a `user_name` it is EAP's identity.
        """
        conversation = self._conversation(key)
        conversation.user_name = user_name or _identity(packet) or conversation.user_name
        request = DiameterEapRequest(
            session_id=conversation.session_id,
            origin_host=self._identity,
            origin_realm=self._realm,
            destination_realm=self._home_realm,
            destination_host=conversation.server,
            eap_payload=packet,
            user_name=conversation.user_name,
            feature_vector=asked.feature_vector,
            hint=asked.hint,
            wish=asked.wish,
            care_of_address=care_of,
            state=conversation.state,
        )
        self._service.submit(
            request.to_message(), lambda outcome: answered(_checked(outcome, conversation))
        )

    def forget(self, key: Hashable) -> None:
        """Drop what is kept for a conversation, which may wait for an answer still."""
        self._conversations.pop(key, None)


def _checked(
    outcome: Message | Exception, conversation: _Conversation
) -> DiameterEapAnswer | Exception:
    """Return the answer, which the conversation goes on from, or why there is none to be used."""
    if isinstance(outcome, Exception):
        return outcome
    try:
        answer = DiameterEapAnswer.from_message(outcome)
        if not is_refusal(answer.result_code):
            check_authorisation(answer)
    except DiameterError as error:
        return error
    conversation.server, conversation.state = answer.origin_host, answer.state
    return answer


def _identity(packet: bytes) -> str | None:
    """Return the name in an EAP-Response/Identity (RFC 4072 section 2), None if there is none."""
    try:
        response = Packet.decode(packet)
        name = response.data.decode()
    except (WireError, UnicodeDecodeError):
        return None
    named = response.code is Code.RESPONSE and response.type == Type.IDENTITY
    is_name = 1 <= len(response.data) <= MAXIMUM_IDENTITY and name.isprintable()
    return name if named and is_name else None
