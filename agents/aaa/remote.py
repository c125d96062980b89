"""EAP conversations that another server has, behind the home AAA server.

The other server authenticates; who gets in and what it is assigned is decided here. It answers by
a protocol that the owner knows, and later. It gives the MSK and keeps the EMSK.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

from agents.aaa.responses import failure
from agents.core.later import Later
from agents.core.reader import WireError
from agents.core.record import Record, Secret
from agents.eap.names import find_identity, is_anonymous
from agents.eap.server import MAXIMUM_IDENTITY, Authorise, Outcome
from agents.eap.tls import EapKeys
from agents.eap.wire import Code, Packet, TlsData, Type


class Question(Record, frozen=True):
    """An EAP response for the other server; `state` is what it said with its last request.

    Its packets may have `longest` octets.
    """

    packet: Secret[bytes]
    user_name: str
    state: tuple[bytes, ...]
    longest: int


class Reply(Record, frozen=True):
    """What the other server answers: its next request, success with the key, or failure.

    `name` is the one in the peer's certificate. `reason` says why it could not be asked.
    """

    kind: Literal["request", "success", "failure"]
    packet: Secret[bytes | None] = None
    state: tuple[bytes, ...] = ()
    msk: Secret[bytes] = b""
    name: str | None = None
    reason: str = ""


_KEY_LENGTH = 64
"""Octets of an MSK (RFC 5247 section 1.3)."""

Ask: TypeAlias = Callable[[Question], Later[tuple[Reply, float]]]
"""Asks the other server; the reply comes with its time."""

Step: TypeAlias = bytes | None
"""The next packet, as EapServer.handle_response returns it."""


class RemoteEapServer:
    """One EAP conversation of the other server, with what EapServer tells of its own.

    `longest` is the length of its packets in octets at most, `authorise` is asked about the name
    that is claimed and the one in the certificate.
    """

    early_keys: EapKeys | None = None
    discarded = ""

    def __init__(self, ask: Ask, *, longest: int, authorise: Authorise) -> None:
        self._ask = ask
        self._longest = longest
        self._authorise = authorise
        self._state: tuple[bytes, ...] = ()
        self._begins = True
        self.flights = 0
        self.identity: str | None = None
        self.peer_name: str | None = None
        self.outcome: Outcome | None = None
        self.reason = ""
        self.keys: EapKeys | None = None

    @property
    def verified(self) -> bool:
        """Whether the other server has verified that the peer is `peer_name`."""
        return self.outcome == "success"

    def start(self) -> bytes:
        """Return a request for the peer's identity."""
        return Packet(Code.REQUEST, 1, Type.IDENTITY).encode()

    def handle_response(self, packet: bytes) -> Step | Later[tuple[Step, float]]:
        """Return the next packet, later with its time; None if the response is discarded."""
        try:
            response = Packet.decode(packet)
            if response.code is not Code.RESPONSE:
                raise WireError(f"an EAP-{response.code.name.title()} was sent to the server")
            refusal = self._note(response)
        except (WireError, UnicodeDecodeError) as error:
            self.discarded = str(error)
            return None
        if refusal:
            return self._fail(failure(packet), refusal)
        later = Later[tuple[Step, float]]()
        question = Question(packet, self.identity or "", self._state, self._longest)

        def take(told: tuple[Reply, float]) -> None:
            reply, now = told
            later.settle((self._take(reply, packet), now))

        self._ask(question).then(take)
        return later

    def _note(self, response: Packet) -> str | None:
        """Take note of a name, or how far the peer has come; return why it is refused."""
        if response.type == Type.IDENTITY:
            name = response.data.decode()
            if not name or len(response.data) > MAXIMUM_IDENTITY or not name.isprintable():
                return f"an identity of {len(response.data)} octets that is not a name"
            self.identity = name
            return None if is_anonymous(name) else self._authorise(name)
        if response.type == Type.TLS and not (part := TlsData.decode(response.data)).is_empty:
            self.flights += self._begins
            self._begins = not part.more
        return None

    def _take(self, reply: Reply, response: bytes) -> bytes:
        self._state = reply.state
        packet = reply.packet or failure(response)
        if reply.kind == "request":
            return packet
        if reply.kind == "failure":
            return self._fail(packet, reply.reason or "the EAP server refuses the peer")
        if refusal := self._check(reply):
            return self._fail(failure(response), refusal)
        self.outcome, self.keys = "success", EapKeys(reply.msk, b"")
        return packet

    def _check(self, reply: Reply) -> str | None:
        """Bind the claimed identity to the certificate; return why that is not possible."""
        if len(reply.msk) != _KEY_LENGTH:
            return f"the EAP server gave a key of {len(reply.msk)} octets, not {_KEY_LENGTH}"
        names = (reply.name,) if reply.name else ()
        self.peer_name = find_identity(self.identity or "", names)
        if self.peer_name is None:
            return f"the certificate names {reply.name or 'nobody'}, not {self.identity}"
        return self._authorise(self.peer_name)

    def _fail(self, packet: bytes, reason: str) -> bytes:
        self.outcome, self.reason = "failure", reason
        return packet
