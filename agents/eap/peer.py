"""The EAP peer (RFC 4137 section 4) with EAP-TLS as its only method (RFC 5216, RFC 9190)."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from enum import Enum, auto
from functools import partial
from typing import Literal, TypeAlias

from agents.core.reader import WireError
from agents.core.record import Record
from agents.crypto.certificates import Certificate
from agents.eap.names import same_host, server_names
from agents.eap.tls import EapKeys, TlsClientConfig
from agents.eap.wire import (
    FIRST_METHOD,
    Code,
    Packet,
    Reassembly,
    TlsData,
    Type,
    fragment,
)

Outcome: TypeAlias = Literal["success", "failure"]

MAXIMUM_ROUNDS = 300
"""Requests answered in one conversation; then the peer gives up."""

PROTECTED_SUCCESS = b"\0"
"""TLS application data that announces success (RFC 9190 section 2.1.1)."""


class Decision(Enum):
    """What the method thinks of a Success or Failure to come (RFC 4137 section 4.2)."""

    FAIL = auto()
    COND_SUCC = auto()
    UNCOND_SUCC = auto()


def _refusal_of_name(wanted: Sequence[str], certificate: Certificate) -> str | None:
    names = server_names(certificate)
    if not wanted or any(same_host(a, b) for a in wanted for b in names):
        return None
    return (
        f"the server's certificate names {', '.join(names) or 'nobody'}, not {' or '.join(wanted)}"
    )


class TlsMethod:
    """The peer's side of one EAP-TLS conversation."""

    def __init__(self, config: TlsClientConfig, fragment_size: int) -> None:
        self._fragment_size = fragment_size
        # The session must not refer to this, or both would wait for the garbage collector.
        check_name = partial(_refusal_of_name, config.server_names)
        self._engine = config.engine(server=False, check_name=check_name)
        self._reassembly = Reassembly()
        self._pending: deque[TlsData] = deque()
        self._started = False
        self.decision = Decision.FAIL
        self.failure: str | None = None
        self.refused = False
        """Whether the server, which has proved who it is, refused the peer's certificate."""

        self.keys: EapKeys | None = None

    def process(self, part: TlsData) -> TlsData:
        """Return the answer to one EAP-TLS request; raises WireError if it does not fit."""
        if part.start:
            return self._start()
        if not self._started:
            raise WireError("EAP-TLS data before the start")
        if self._pending:
            if not part.is_empty:
                raise WireError("EAP-TLS data instead of an acknowledgement")
            return self._pending.popleft()
        message = self._reassembly.add(part)
        if message is None:
            return TlsData()
        return self._answer(message)

    def _start(self) -> TlsData:
        if self._started:
            raise WireError("EAP-TLS was started before")
        self._started = True
        return self._answer(b"")

    def _answer(self, message: bytes) -> TlsData:
        engine = self._engine
        records = engine.feed(message)
        self._judge()
        self._pending.extend(fragment(records, self._fragment_size))
        return self._pending.popleft()

    def _judge(self) -> None:
        engine = self._engine
        if engine.failure is not None:
            # A close after the protected success takes nothing back: it is no error alert.
            if self.decision is not Decision.UNCOND_SUCC:
                self.failure, self.decision = engine.failure, Decision.FAIL
                self.refused = engine.certificate_refused
        elif engine.finished:
            self.keys = self.keys or engine.keys()
            if engine.version == "1.2":
                self.decision = Decision.COND_SUCC
            elif engine.received == PROTECTED_SUCCESS:
                self.decision = Decision.UNCOND_SUCC
            if engine.received not in (b"", PROTECTED_SUCCESS):
                self.failure = "the server sent application data that EAP-TLS does not know"
                self.decision = Decision.FAIL


class _Answered(Record, frozen=True):
    """The last request and what was answered: lastId and lastRespData of RFC 4137."""

    identifier: int
    response: bytes


class EapPeer:
    """An EAP peer that answers requests and takes the outcome (RFC 4137 section 4).

    `reason` says why the conversation failed; `discarded` why the last packet was dropped.
    `fragment_size` is in octets of TLS data per packet. The identity is sent as it is given: who
    wants privacy gives one without a user, as RFC 9190 section 2.1.8 asks for.
    """

    def __init__(self, identity: str, tls: TlsClientConfig, *, fragment_size: int = 1000) -> None:
        if fragment_size < 1:
            raise ValueError(f"fragment_size is {fragment_size}, but must be at least 1")
        self._identity = identity
        self._tls = tls
        self._fragment_size = fragment_size
        self._answered: _Answered | None = None
        self._method: TlsMethod | None = None
        self._rounds = 0
        self.outcome: Outcome | None = None
        self.reason = ""
        self.discarded = ""
        self.notification = ""
        self.refused = False
        """Whether the server has refused the certificate, which will be the same next time."""

        self.keys: EapKeys | None = None
        self.early_keys: EapKeys | None = None
        """The keys from the moment when the server has announced success under protection.

        RFC 9190 section 2.5 makes them available there: only EAP-Success may follow, which itself
        proves nothing. They are good for what the EAP server says and for keys that it shares; who
        may use the network is still for `outcome` to tell. None with TLS 1.2, where the server's
        last message announces nothing and EAP-Failure may follow.
        """

    def handle_request(self, packet: bytes) -> bytes | None:
        """Return the response to a request, None if none is due (then see `outcome`)."""
        try:
            return self._handle(Packet.decode(packet))
        except WireError as error:
            self.discarded = str(error)
            return None

    def _handle(self, packet: Packet) -> bytes | None:
        match packet.code:
            case Code.REQUEST:
                return self._handle_request(packet)
            case Code.SUCCESS | Code.FAILURE:
                self._handle_result(packet)
            case Code.RESPONSE:
                self.discarded = "a response was sent to the peer"
        return None

    def _handle_request(self, packet: Packet) -> bytes | None:
        if self._answered is not None and packet.identifier == self._answered.identifier:
            return self._answered.response
        if self.outcome is not None:
            self.discarded = "a request after the end"
            return None
        self._rounds += 1
        if self._rounds > MAXIMUM_ROUNDS:
            self.reason = f"no result after {MAXIMUM_ROUNDS} requests"
            self._end("failure")
            return None
        kind, data = self._respond(packet)
        response = Packet(Code.RESPONSE, packet.identifier, kind, data).encode()
        self._answered = _Answered(packet.identifier, response)
        return response

    def _respond(self, packet: Packet) -> tuple[int, bytes]:
        """Return type and data of the response (the states of RFC 4137 from GET_METHOD on)."""
        match packet.type:
            case Type.NOTIFICATION:
                self.notification = packet.data.decode("utf-8", "replace")
                return Type.NOTIFICATION, b""
            case Type.IDENTITY if self._method is None:
                return Type.IDENTITY, self._identity.encode()
            case Type.TLS:
                return Type.TLS, self._respond_tls(TlsData.decode(packet.data)).encode()
            case int(kind) if self._method is None and kind >= FIRST_METHOD:
                return Type.NAK, bytes([Type.TLS])
            case kind:
                raise WireError(f"a request of type {kind} is not allowed here")

    def _respond_tls(self, part: TlsData) -> TlsData:
        if self._method is None:
            if not part.start:
                raise WireError("EAP-TLS data before the start")
            self._method = TlsMethod(self._tls, self._fragment_size)
        method = self._method
        answer = method.process(part)
        self.early_keys = method.keys if method.decision is Decision.UNCOND_SUCC else None
        if method.failure is not None:
            self.reason, self.refused = method.failure, method.refused
        return answer

    def _handle_result(self, packet: Packet) -> None:
        decision = self._method.decision if self._method else Decision.FAIL
        if self.outcome is not None:
            self.discarded = "a result after the end"
        elif self._answered is not None and packet.identifier != self._answered.identifier:
            self.discarded = f"a result for request {packet.identifier}, not the last one"
        elif packet.code is Code.SUCCESS and decision is not Decision.FAIL and self._method:
            self.keys = self._method.keys
            self._end("success")
        elif packet.code is Code.FAILURE and decision is not Decision.UNCOND_SUCC:
            self.reason = self.reason or "the server refused and gave no reason"
            self._end("failure")
        else:
            self.discarded = f"an unexpected EAP-{packet.code.name.title()}"

    def _end(self, outcome: Outcome) -> None:
        """Take note of the outcome; TLS is of no more use, and large."""
        self.outcome, self._method = outcome, None
