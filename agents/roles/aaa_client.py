"""The Diameter client of whoever passes EAP on: an access router, or a home agent."""

from __future__ import annotations

import random
import time
from collections.abc import Hashable
from ipaddress import IPv6Address
from typing import Annotated

import msgspec

from agents.diameter.eap import DiameterEapAnswer, DiameterEapRequest
from agents.diameter.mobility import MobilityRequest
from agents.roles.diameter import DiameterPeer, diameter_files, node_config
from agents.roles.runtime import Configuration
from agents.roles.tls import TlsSettings
from agents.shell.eventlog import EventLog
from agents.shell.tcp import DiameterService

_CONNECTION_TIMEOUT = 30.0


class AaaClientConfiguration(Configuration, frozen=True, kw_only=True):
    """The base of the configurations with an AAA client; `aaa_timeout` in seconds.

    `home` is the home AAA server, or a relay on the way to it, trusted to relay for `home_realm`.
    """

    diameter_identity: str
    diameter_realm: str
    home: DiameterPeer
    home_realm: str | None = None
    diameter_tls: TlsSettings | None = None
    aaa_timeout: Annotated[float, msgspec.Meta(gt=0, le=86400)] = 10.0


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
        self._sessions: dict[Hashable, tuple[str, tuple[bytes, ...]]] = {}

    async def start(self) -> None:
        """Return when the home AAA server is connected; raises TimeoutError."""
        await self._service.start()
        await self._service.connected(self._home_realm, _CONNECTION_TIMEOUT)

    async def close(self) -> None:
        """Disconnect."""
        await self._service.close()

    def _session(self, key: Hashable) -> tuple[str, tuple[bytes, ...]]:
        """Return a conversation's Diameter session, and the State AVPs of its last answer."""
        if key not in self._sessions:
            # RFC 6733 section 8.8: identity, high and low 32 bits.
            self._next += 1
            name = f"{self._identity};{int(time.time())};{self._next & 0xFFFFFFFF}"
            self._sessions[key] = (name, ())
        return self._sessions[key]

    async def exchange(
        self,
        key: Hashable,
        packet: bytes,
        *,
        asked: MobilityRequest,
        care_of: IPv6Address,
        user_name: str | None = None,
    ) -> DiameterEapAnswer:
        """Send an EAP response to the home realm; return the answer to it.

        Raises DiameterError or TimeoutError.
        """
        session, state = self._session(key)
        request = DiameterEapRequest(
            session_id=session,
            origin_host=self._identity,
            origin_realm=self._realm,
            destination_realm=self._home_realm,
            eap_payload=packet,
            user_name=user_name,
            feature_vector=asked.feature_vector,
            hint=asked.hint,
            wish=asked.wish,
            care_of_address=care_of,
            state=state,
        )
        message = await self._service.request(request.to_message())
        answer = DiameterEapAnswer.from_message(message)
        if key in self._sessions:
            self._sessions[key] = (session, answer.state)
        return answer

    def forget(self, key: Hashable) -> None:
        """Drop what is kept for a conversation, which may wait for an answer still."""
        self._sessions.pop(key, None)
