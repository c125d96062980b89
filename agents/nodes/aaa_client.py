"""The Diameter client of whoever passes EAP on: an access router, or a home agent."""

from __future__ import annotations

import random
import time
from collections.abc import Hashable
from dataclasses import dataclass
from ipaddress import IPv6Address

from agents.core.eventlog import EventLog
from agents.core.reader import WireError
from agents.diameter.authorisation import check_authorisation
from agents.diameter.eap import DiameterEapAnswer, DiameterEapRequest
from agents.diameter.errors import is_refusal
from agents.diameter.mobility import MobilityRequest
from agents.eap.server import MAXIMUM_IDENTITY
from agents.eap.wire import Code, Packet, Type
from agents.nodes.diameter import AaaClientConfiguration, diameter_files, node_config
from agents.shell.tcp import DiameterService

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
    """Carries EAP to the home AAA server (RFC 4072 section 2), a Diameter session a conversation.

    Conversations have keys of the caller's. TLS's secrets go to the folder `keys`, if given.
    """

    def __init__(
        self, configuration: AaaClientConfiguration, log: EventLog, keys: str | None = None
    ) -> None:
        self._identity = configuration.diameter_identity
        self._realm = configuration.diameter_realm
        self._home_realm = configuration.home_realm or configuration.home.realm
        self._service = DiameterService(
            node_config(self._identity, self._realm, [configuration.home]),
            on_event=log.child("diameter"),
            tls=diameter_files(configuration.diameter_tls, keys),
            request_timeout=configuration.aaa_timeout,
        )
        self._next = random.SystemRandom().getrandbits(32)
        self._conversations: dict[Hashable, _Conversation] = {}

    async def start(self) -> None:
        """Return when the home AAA server is connected; raises TimeoutError."""
        await self._service.start()
        await self._service.connected(self._home_realm, _CONNECTION_TIMEOUT)

    async def close(self) -> None:
        """Disconnect."""
        await self._service.close()

    def _conversation(self, key: Hashable) -> _Conversation:
        if key not in self._conversations:
            # RFC 6733 section 8.8: identity, high and low 32 bits.
            self._next += 1
            name = f"{self._identity};{int(time.time())};{self._next & 0xFFFFFFFF}"
            self._conversations[key] = _Conversation(name)
        return self._conversations[key]

    async def exchange(
        self,
        key: Hashable,
        packet: bytes,
        *,
        asked: MobilityRequest,
        care_of: IPv6Address,
        user_name: str | None = None,
    ) -> DiameterEapAnswer:
        """Send an EAP response to the home realm, to the server that has the conversation.

        Returns the answer, or raises DiameterError or TimeoutError; an answer that grants what
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
        message = await self._service.request(request.to_message())
        answer = DiameterEapAnswer.from_message(message)
        if not is_refusal(answer.result_code):
            check_authorisation(answer)
        conversation.server, conversation.state = answer.origin_host, answer.state
        return answer

    def forget(self, key: Hashable) -> None:
        """Drop what is kept for a conversation, which may wait for an answer still."""
        self._conversations.pop(key, None)


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
