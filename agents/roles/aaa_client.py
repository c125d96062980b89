"""The Diameter client of whoever passes EAP on: an access router, or a home agent."""

from __future__ import annotations

import random
import time
from collections.abc import Hashable
from ipaddress import IPv6Address

from agents.diameter.eap import DiameterEapAnswer, DiameterEapRequest
from agents.diameter.mobility import MobilityRequest
from agents.shell.tcp import DiameterService


class AaaClient:
    """Carries EAP to the home AAA server (RFC 4072 section 2), a Diameter session a conversation.

    Conversations have keys of the caller's.
    """

    def __init__(
        self, service: DiameterService, *, identity: str, realm: str, home_realm: str
    ) -> None:
        self._service = service
        self._identity = identity
        self._realm = realm
        self._home_realm = home_realm
        self._next = random.SystemRandom().getrandbits(32)
        self._sessions: dict[Hashable, tuple[str, tuple[bytes, ...]]] = {}

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
        self._sessions[key] = (session, answer.state)
        return answer

    def forget(self, key: Hashable) -> None:
        """Drop what is kept for a conversation."""
        self._sessions.pop(key, None)
