"""The EAP server (RFC 4137 sections 5 and 6): Identity, then EAP-TLS (RFC 5216, RFC 9190)."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from functools import partial
from typing import Literal, TypeAlias

from agents.core.reader import WireError
from agents.crypto.certificates import Certificate
from agents.eap.names import find_identity, is_anonymous, peer_names
from agents.eap.tls import EapKeys, Engine, TlsServerConfig
from agents.eap.wire import Code, Packet, Reassembly, TlsData, Type, fragment

Outcome: TypeAlias = Literal["success", "failure"]
Authorise: TypeAlias = Callable[[str], str | None]
"""Returns why an identity is refused, None if it is not."""

MAXIMUM_ROUNDS = 300
"""Requests sent in one conversation; then the server gives up."""

MAXIMUM_IDENTITY = 253
"""The longest identity in octets (RFC 7542 section 2.3)."""

PROTECTED_SUCCESS = b"\0"
"""TLS application data that announces success (RFC 9190 section 2.1.1)."""


class State(Enum):
    """What the server waits for."""

    INITIALIZE = auto()
    IDENTITY = auto()
    HANDSHAKE = auto()
    CONFIRMATION = auto()  # of the server's last TLS message, by an empty response
    ALERT_SEEN = auto()  # any response to the server's alert
    END = auto()


class EapServer:
    """One EAP conversation seen by the server; the lower layer retransmits requests.

    `identity` is what the peer claims, None if nothing, as it may (RFC 3748 section 5.1);
    `peer_name` is what its verified certificate says: only that may be trusted. `authorise` is
    asked about the claim, unless that is anonymous, and about the name in the certificate.
    `identifier` is the last EAP identifier already used with this peer, `fragment_size` in octets
    of TLS data per packet. With `pick_up` the authenticator may have sent the start of EAP-TLS
    itself (RFC 4137 section 6.2, PICK_UP_METHOD); nothing is claimed then. Where nothing is, the
    certificate alone says who the peer is. `flights` is how many flights of TLS messages the peer
    has begun, none once TLS has failed: ClientHello, certificate. `reason` says why the
    conversation failed, `discarded` why the last response was dropped.
    """

    def __init__(
        self,
        tls: TlsServerConfig,
        *,
        identity: str | None = None,
        fragment_size: int = 1000,
        authorise: Authorise | None = None,
        identifier: int = 0,
        pick_up: bool = False,
    ) -> None:
        if fragment_size < 1:
            raise ValueError(f"fragment_size is {fragment_size}, but must be at least 1")
        self._config = tls
        tls.prepare()
        self._fragment_size = fragment_size
        self._authorise = authorise or (lambda _: None)
        self._identifier = identifier
        self._pick_up = pick_up
        self._state = State.INITIALIZE
        self._engine: Engine | None = None
        self._reassembly = Reassembly()
        self._pending: deque[TlsData] = deque()
        self._rounds = 0
        self.flights = 0
        self.identity = identity
        self.peer_name: str | None = None
        self.outcome: Outcome | None = None
        self.reason = ""
        self.discarded = ""
        self.keys: EapKeys | None = None

    def start(self) -> bytes:
        """Return the first request: Identity if that is unknown, else the start of EAP-TLS."""
        if self._state is not State.INITIALIZE:
            raise RuntimeError("the conversation has been started before")
        if self.identity is None:
            self._state = State.IDENTITY
            return self._request(Type.IDENTITY, b"")
        return self._propose()

    def handle_response(self, packet: bytes) -> bytes | None:
        """Return the next request, Success or Failure; None if the packet is discarded.

        Without `start`, a response to an Identity request of the authenticator's is picked up
        (RFC 4137 section 6.2), and with `pick_up` one to its start of EAP-TLS.
        """
        try:
            return self._handle(Packet.decode(packet))
        except WireError as error:
            self.discarded = str(error)
            return None

    @property
    def early_keys(self) -> EapKeys | None:
        """The keys once the protected success has been sent (RFC 9190 section 2.5); see EapPeer."""
        sent = self._state is State.CONFIRMATION and not self._pending
        return self._tls().keys() if sent and self._tls().version == "1.3" else None

    @property
    def verified(self) -> bool:
        """Whether TLS has verified that the peer is `peer_name`."""
        return self._state is State.CONFIRMATION or self.outcome == "success"

    def _tls(self) -> Engine:
        """Return the TLS session; there is none before a peer has sent TLS data."""
        if self._engine is None:
            # Without a reference of its own, what nobody ends waits for no garbage collector.
            check_name = partial(EapServer._check_name, weakref.proxy(self))
            self._engine = self._config.engine(server=True, check_name=check_name)
        return self._engine

    def _handle(self, packet: Packet) -> bytes:
        if packet.code is not Code.RESPONSE:
            raise WireError(f"an EAP-{packet.code.name.title()} was sent to the server")
        if self._state is State.END:
            raise WireError("a response after the end")
        if self._state is State.INITIALIZE:
            if self._pick_up and packet.type in (Type.TLS, Type.NAK):
                self._state = State.HANDSHAKE
            elif packet.type != Type.IDENTITY:
                raise WireError("a response to no request")
            self._identifier = packet.identifier
        elif packet.identifier != self._identifier:
            raise WireError(f"response {packet.identifier} to request {self._identifier}")
        match self._state, packet.type:
            case ((State.INITIALIZE | State.IDENTITY), Type.IDENTITY):
                return self._handle_identity(packet.data)
            case ((State.INITIALIZE | State.IDENTITY), _):
                raise WireError(f"a response of type {packet.type} to an Identity request")
            case _, Type.TLS:
                return self._handle_tls(TlsData.decode(packet.data))
            case State.HANDSHAKE, Type.NAK if not self.flights:
                wanted = ", ".join(str(n) for n in packet.data if n) or "none"
                return self._fail(f"the peer does not want EAP-TLS, but the methods: {wanted}")
            case _:
                raise WireError(f"a response of type {packet.type} to an EAP-TLS request")

    def _handle_identity(self, data: bytes) -> bytes:
        try:
            identity = data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise WireError("the identity is not UTF-8") from error
        if len(data) > MAXIMUM_IDENTITY or not identity.isprintable():
            raise WireError(f"an identity of {len(data)} octets that is not a name")
        if identity and self.identity not in (None, identity):
            return self._fail(f"the peer is {identity}, not {self.identity}")
        self.identity = identity or self.identity
        return self._propose()

    def _propose(self) -> bytes:
        claim = self.identity
        if claim and not is_anonymous(claim) and (refusal := self._authorise(claim)):
            return self._fail(refusal)
        self._state = State.HANDSHAKE
        return self._request(Type.TLS, TlsData(start=True).encode())

    def _handle_tls(self, part: TlsData) -> bytes:
        if self._state is State.ALERT_SEEN and not self._pending:
            return self._fail(self.reason)
        if self._pending:
            if not part.is_empty:
                raise WireError("EAP-TLS data instead of an acknowledgement")
            return self._send_fragment()
        if self._state is State.CONFIRMATION and part.is_empty:
            return self._succeed()
        if part.is_empty:
            raise WireError("an empty EAP-TLS response where TLS data is due")
        begins = self._reassembly.is_empty
        message = self._reassembly.add(part)
        self.flights += begins
        if message is None:
            return self._request(Type.TLS, TlsData().encode())
        return self._advance(message)

    def _advance(self, message: bytes) -> bytes:
        engine = self._tls()
        records = engine.feed(message)
        if engine.failure is None and engine.received:
            return self._fail("the peer sent application data, which EAP-TLS does not know")
        if engine.failure is not None:
            if engine.alert_received or not records:
                return self._fail(engine.failure)
            self.reason, self._state = engine.failure, State.ALERT_SEEN
            self.flights = 0
        elif self._state is State.CONFIRMATION:
            return self._fail("the peer sent TLS data where an empty response is due")
        elif engine.finished:
            if engine.version == "1.3":
                records += engine.protect(PROTECTED_SUCCESS)
            self._state = State.CONFIRMATION
        self._pending.extend(fragment(records, self._fragment_size))
        return self._send_fragment()

    def _send_fragment(self) -> bytes:
        return self._request(Type.TLS, self._pending.popleft().encode())

    def _check_name(self, certificate: Certificate) -> str | None:
        """Bind the claimed identity to the certificate, stricter than RFC 5216 section 2.2.

        The RFC lets the two differ and forbids to trust the claim; a subscriber that is assigned
        a home address by name must prove that name.
        """
        names = peer_names(certificate)
        claimed = self.identity or ""
        name = find_identity(claimed, names)
        unclaimed = self.identity is None and bool(names)
        if name is None and self._config.match_identity and not unclaimed:
            return f"the certificate names {', '.join(names) or 'nobody'}, not {claimed}"
        name = name or (names[0] if names else None)
        if name is not None and (refusal := self._authorise(name)):
            return refusal
        self.peer_name = name
        return None

    def _request(self, kind: Type, data: bytes) -> bytes:
        self._rounds += 1
        if self._rounds > MAXIMUM_ROUNDS:
            return self._fail(f"no result after {MAXIMUM_ROUNDS} requests")
        self._identifier = (self._identifier + 1) % 256
        return Packet(Code.REQUEST, self._identifier, kind, data).encode()

    def _succeed(self) -> bytes:
        self._state, self.outcome = State.END, "success"
        self.keys = self._tls().keys()
        self._engine = None
        return Packet(Code.SUCCESS, self._identifier).encode()

    def _fail(self, reason: str) -> bytes:
        self._state, self.outcome, self.reason = State.END, "failure", reason
        self._engine = None
        return Packet(Code.FAILURE, self._identifier).encode()
