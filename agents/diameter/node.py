"""A Diameter node without I/O: its connections, peers and deadlines (RFC 6733).

The owner calls a method, handles `events`, carries out `outbox` in order, and arms one timer for
`next_timeout()`. Connections have numbers: ours are named by a Connect action, incoming ones get
theirs from `handle_accepted`.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass

from agents.core.folding import ascii_lower
from agents.core.machine import Discarded, Event
from agents.core.reader import WireError
from agents.core.record import replace
from agents.core.timers import earliest
from agents.diameter import dictionary as d
from agents.diameter.capabilities import (
    Link,
    accept_request,
    capabilities_answer,
    error_answer,
)
from agents.diameter.config import NodeConfig, PeerConfig
from agents.diameter.connections import Connections, Identifiers
from agents.diameter.errors import DiameterError
from agents.diameter.events import (
    Action,
    Close,
    ConnectionFailed,
    PeerDown,
    PeerSuspect,
    PeerUp,
    Send,
)
from agents.diameter.incoming import MAXIMUM_FIRST_MESSAGE, Newcomers
from agents.diameter.peer import Peer
from agents.diameter.requests import Requests
from agents.diameter.routing import Routing, usable
from agents.diameter.states import State
from agents.diameter.values import IPAddress
from agents.diameter.watchdog import WatchdogState
from agents.diameter.wire import BadMessageError, Message, message_length

_REPORT_INTERVAL = 1.0
"""Seconds between two reports of refused connections: whoever knocks must not fill the log."""


@dataclass(slots=True)
class _Stream:
    """The receiving side of one connection."""

    link: Link | None = None
    peer: Peer | None = None
    buffer: bytes = b""


class Node:
    """A Diameter client, server or relay on any number of connections."""

    def __init__(self, config: NodeConfig, *, rng: random.Random) -> None:
        self.config = config
        self.outbox: deque[Action] = deque()
        self.events: deque[Event] = deque()
        self._rng = rng
        self._identifiers = Identifiers(rng)
        self._streams: dict[int, _Stream] = {}
        self._last_connection = 0
        self._stopping = False
        self._peer_events: deque[Event] = deque()
        self._peers: dict[str, Peer] = {}
        self._routing = Routing(config, self._peers)
        self._requests = Requests(
            config, self._peers, self._routing, self._identifiers, self.events
        )
        self._newcomers = Newcomers(config)
        self._next_report = 0.0
        self._configured = frozenset(ascii_lower(peer.host) for peer in config.peers)
        for peer in config.peers:
            self._add_peer(peer)

    # State

    @property
    def stopped(self) -> bool:
        """Whether every connection is closed after `stop`."""
        return self._stopping and not self._streams

    def state(self, peer: str) -> State:
        """Return the state of a peer; KeyError if it is not known."""
        return self._peers[ascii_lower(peer)].state

    def reaches(self, peer: str) -> bool:
        """Tell whether a peer is there, as far as the watchdog knows."""
        known = self._peers.get(ascii_lower(peer))
        if known is None or known.connection is None:
            return False
        return known.watchdog.state is not WatchdogState.SUSPECT

    def usable(self, realm: str, application: int = d.APPLICATION_EAP) -> bool:
        """Tell whether a request for `realm` would be sent at once."""
        return bool(usable(self._routing.peers_of(realm), application))

    def next_timeout(self) -> float | None:
        """Return the earliest deadline, or None if no timer runs."""
        peers = [peer.next_timeout() for peer in self._peers.values()]
        return earliest(self._newcomers.next_timeout(), self._requests.next_timeout(), *peers)

    # Owner's calls

    def start(self, now: float) -> None:
        """Connect to every peer whose address is known."""
        self._stopping = False
        for peer in self._peers.values():
            peer.start(now)

    def stop(self, now: float, cause: int = d.DisconnectCause.REBOOTING) -> None:
        """Send DPR to every peer and end; requests of our own without an answer fail."""
        self._stopping = True
        self._requests.give_up(now)
        for connection, stream in tuple(self._streams.items()):
            if stream.peer is None:
                self._release(connection, reset=True)
        for peer in self._peers.values():
            peer.stop(cause, now)
        self._settle(now)

    def request(self, message: Message, now: float, timeout: float) -> int:
        """Send a request by its Destination-Host and -Realm; return the token of its outcome.

        AnswerReceived or RequestFailed follows within `timeout` seconds. Until then the request
        waits for a peer to come up and moves to another one if its peer fails.
        """
        return self._requests.request(message, now, timeout)

    def cancel(self, token: int) -> None:
        """Forget a request; its answer will be discarded."""
        self._requests.cancel(token)

    def answer(self, token: int, message: Message, now: float) -> None:
        """Answer a received request; identifiers, P bit and Proxy-Info come from the request."""
        self._requests.answer(token, message, now)

    def reject(self, token: int, error: DiameterError, now: float) -> None:
        """Answer a received request with an error (RFC 6733 section 7.2)."""
        self._requests.reject(token, error, now)

    # Transport

    def handle_accepted(self, now: float, source: IPAddress, local: IPAddress) -> int | None:
        """Take an incoming connection; return its number, None if it is to be closed at once.

        With TLS `handle_secured` follows when that is established.
        """
        if self._stopping:
            return None
        if not self._newcomers.admits(source):
            self._report_refusal(source, now)
            return None
        connection = self._allocate(None)
        for oldest in self._newcomers.enter(connection, source, now):
            self._abort(oldest, self._streams[oldest], "newer connections took its place", now)
        names = frozenset[str]() if self.config.tls else None
        self._streams[connection].link = Link(connection, local, names, source)
        return connection

    def handle_secured(self, connection: int, names: frozenset[str]) -> None:
        """Note that TLS is established; `names` are those in the other end's certificate."""
        stream = self._streams.get(connection)
        if stream is not None and stream.link is not None:
            stream.link = replace(stream.link, names=names)

    def handle_connected(
        self, connection: int, now: float, local: IPAddress, names: frozenset[str] | None = None
    ) -> None:
        """Note that a connection is established, TLS included, that a Connect asked for."""
        stream = self._streams.get(connection)
        if stream is not None and stream.peer is not None:
            stream.link = Link(connection, local, names)
            stream.peer.connected(stream.link, now)
            self._settle(now)

    def handle_closed(self, connection: int, now: float, reason: str = "closed") -> None:
        """Note that a connection could not be established or was closed by the other end."""
        stream = self._streams.pop(connection, None)
        self._newcomers.leave(connection)
        if stream is None:
            return
        if stream.peer is not None:
            stream.peer.disconnected(connection, reason, now)
        else:
            self.events.append(ConnectionFailed(now, "", reason))
        self._settle(now)

    def handle_data(self, connection: int, data: bytes, now: float) -> None:
        """Take octets of a connection."""
        stream = self._streams.get(connection)
        if stream is None:
            return
        stream.buffer += data
        try:
            while len(stream.buffer) >= 4 and self._streams.get(connection) is stream:
                length = message_length(stream.buffer[:4], self._maximum(stream))
                if len(stream.buffer) < length:
                    break
                whole, stream.buffer = stream.buffer[:length], stream.buffer[length:]
                self._handle_bytes(connection, stream, whole, now)
                self._settle(now)
        except WireError as error:
            self._abort(connection, stream, f"no Diameter: {error}", now)
            self._settle(now)

    def handle_timeout(self, now: float) -> None:
        """Act on every deadline that is not after `now`."""
        for connection in self._newcomers.expired(now):
            self._abort(connection, self._streams[connection], "no CER came", now)
        for peer in self._peers.values():
            peer.expire(now)
        self._settle(now)
        self._requests.expire(now)

    # Connections

    def _add_peer(self, config: PeerConfig) -> Peer:
        connections = Connections(
            self._identifiers, lambda: self._allocate(peer), self._release, self.outbox
        )
        peer = Peer(
            config, self.config, rng=self._rng, connections=connections, told=self._peer_events
        )
        self._peers[ascii_lower(config.host)] = peer
        return peer

    def _allocate(self, peer: Peer | None) -> int:
        self._last_connection += 1
        self._streams[self._last_connection] = _Stream(peer=peer)
        return self._last_connection

    def _release(self, connection: int, *, reset: bool = False) -> None:
        """Close a connection unless the other end did."""
        self._newcomers.leave(connection)
        if self._streams.pop(connection, None) is not None:
            self.outbox.append(Close(connection, reset))

    def _maximum(self, stream: _Stream) -> int:
        """Return how long a message may be; nobody's CER is long."""
        maximum = self.config.maximum_message
        return maximum if stream.peer is not None else min(maximum, MAXIMUM_FIRST_MESSAGE)

    def _report_refusal(self, source: IPAddress, now: float) -> None:
        if now >= self._next_report:
            self._next_report = now + _REPORT_INTERVAL
            self.events.append(ConnectionFailed(now, "", f"no peer connects from {source}"))

    def _abort(
        self, connection: int, stream: _Stream, reason: str, now: float, *, reset: bool = True
    ) -> None:
        """End a connection for what the other end did."""
        self._release(connection, reset=reset)
        if stream.peer is not None:
            stream.peer.disconnected(connection, reason, now)
        else:
            self.events.append(ConnectionFailed(now, "", reason))

    def _settle(self, now: float) -> None:
        """Hand on what the peers report, and move requests as they come and go."""
        while self._peer_events:
            event = self._peer_events.popleft()
            self.events.append(event)
            match event:
                case PeerUp(peer=host):
                    self._hear_capabilities(host, now)
                    self._requests.peer_changed(now)
                case ConnectionFailed(peer=host):
                    self._requests.peer_failed(host, now)
                case PeerDown(peer=host) | PeerSuspect(peer=host):
                    lost = isinstance(event, PeerDown)
                    self._requests.failover(self._peers[ascii_lower(host)], now, lost=lost)
        if len(self._peers) > len(self._configured):
            self._forget_strangers()

    def _hear_capabilities(self, host: str, now: float) -> None:
        known = self._peers[ascii_lower(host)].capabilities
        if known is not None:
            self._requests.hear(host, known.origin_state_id, now)

    def _forget_strangers(self) -> None:
        for host in [h for h, p in self._peers.items() if p.state is State.CLOSED]:
            if host not in self._configured:
                del self._peers[host]

    def _handle_bytes(self, connection: int, stream: _Stream, data: bytes, now: float) -> None:
        try:
            message = Message.decode(data)
        except BadMessageError as error:
            self._handle_bad(connection, stream, error, now)
            return
        peer = stream.peer
        if peer is None:
            self._handle_first(connection, stream, message, now)
            return
        rest = peer.handle_message(connection, message, now)
        if rest is not None and rest.request:
            self._requests.handle_request(peer, connection, rest, now)
        elif rest is not None:
            self._requests.handle_answer(peer, rest, now)

    def _handle_bad(
        self, connection: int, stream: _Stream, error: BadMessageError, now: float
    ) -> None:
        peer = stream.peer
        refusal = DiameterError(str(error), error.code, failed=error.failed)
        if peer is None:
            self._handle_first(connection, stream, error.message, now, refusal)
            return
        if connection != peer.connection:
            self._abort(connection, stream, str(error), now)
            return
        if error.message.request:
            peer.send(error_answer(self.config, error.message, refusal))
        self.events.append(Discarded(now, peer.config.host, str(error)))

    def _handle_first(
        self,
        connection: int,
        stream: _Stream,
        message: Message,
        now: float,
        refusal: DiameterError | None = None,
    ) -> None:
        """Take what must be the CER of an incoming connection (section 5.6.1)."""
        link = stream.link
        is_cer = message.command == d.Command.CAPABILITIES_EXCHANGE and message.request
        if link is None or not is_cer:
            self._abort(connection, stream, "the first message is no CER", now)
            return
        try:
            if refusal is not None:
                raise refusal
            found = accept_request(self.config, link, message)
        except DiameterError as error:
            answer = capabilities_answer(self.config, link.local, message, error)
            self.outbox.append(Send(connection, answer.encode()))
            self._abort(connection, stream, f"refused a CER: {error}", now, reset=False)
            return
        peer = self._peers.get(ascii_lower(found.host))
        if peer is None:
            peer = self._add_peer(PeerConfig(found.host, found.realm))
        stream.peer = peer
        self._newcomers.leave(connection)
        peer.accepted(link, message, found, now)
