"""A Diameter node in its host: requests and what becomes of them, answers to those of others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from agents.core.host import Host, IPAddress, Streams
from agents.core.later import Later
from agents.core.machine import Address, Event
from agents.core.record import Record
from agents.diameter.config import NodeConfig
from agents.diameter.dictionary import APPLICATION_EAP
from agents.diameter.errors import DiameterError, ResultCode
from agents.diameter.events import (
    AnswerReceived,
    Close,
    Connect,
    ConnectionFailed,
    PeerUp,
    RequestFailed,
    RequestReceived,
    Send,
)
from agents.diameter.node import Node
from agents.diameter.wire import Message

Handler: TypeAlias = Callable[[Message], Message | Later[Message]]
Outcome: TypeAlias = Callable[[Message | Exception], None]


class _Wait(Record, frozen=True):
    """Who is to be told when a realm can be reached, and every so many seconds why not yet."""

    realm: str
    application: int
    then: Callable[[], None]
    late: Callable[[str], None]
    seconds: float


class DiameterService:
    """A Diameter node on the streams of its host.

    `handler` answers requests; it may raise DiameterError to refuse one. `on_event` is told every
    event of the node before what follows from it is sent. `listen` are addresses to listen on.
    """

    def __init__(
        self,
        host: Host,
        config: NodeConfig,
        *,
        handler: Handler | None = None,
        on_event: Callable[[Event], None] | None = None,
        listen: Sequence[Address] = (),
        request_timeout: float = 10.0,
    ) -> None:
        self._host = host
        self._config = config
        self._handler = handler
        self._on_event = on_event
        self._listen = listen
        self._request_timeout = request_timeout
        self._node = Node(config, rng=host.rng)
        self._endpoint = host.run(self._node, self._act, self._handle)
        self.streams: Streams | None = None
        self._outcomes: dict[int, Outcome] = {}
        self._last_failure = ""
        self._wait: _Wait | None = None
        self._deadline = host.timer(self._too_late)
        self._stopped: Callable[[], None] | None = None
        self._end = host.timer(self._finish_stopping)

    # For the node that owns it

    def start(self) -> None:
        """Listen and begin to connect; raises OSError if an address is not to be had."""
        self.streams = self._host.open_streams(self, self._listen)
        self._endpoint.call(self._node.start, self._host.now())

    def when_usable(
        self,
        realm: str,
        seconds: float,
        then: Callable[[], None],
        late: Callable[[str], None],
        application: int = APPLICATION_EAP,
    ) -> None:
        """Tell when requests for `realm` can be sent, and why not yet every so many seconds."""
        self._wait = _Wait(realm, application, then, late, seconds)
        self._deadline.start(seconds)
        self._look()

    def _look(self) -> None:
        wait = self._wait
        if wait and self._node.usable(wait.realm, wait.application):
            self._wait = None
            self._deadline.stop()
            wait.then()

    def _too_late(self) -> None:
        wait = self._wait
        if wait is None:
            return
        reason = f"no Diameter peer for realm {wait.realm!r} yet"
        if self._last_failure:
            reason += f": {self._last_failure}"
        self._deadline.start(wait.seconds)
        wait.late(reason)

    def submit(self, message: Message, outcome: Outcome, timeout: float | None = None) -> int:
        """Send a request; `outcome` is called once with the answer, DiameterError or TimeoutError.

        DiameterError is for an answer with the E bit, one that breaks its grammar (`answer` holds
        the former), and for a request that cannot be routed. `timeout` is in seconds. Returns the
        request's token for `withdraw`.
        """
        seconds = self._request_timeout if timeout is None else timeout
        return self._endpoint.call(self._submit, message, outcome, seconds)

    def _submit(self, message: Message, outcome: Outcome, seconds: float) -> int:
        token = self._node.request(message, self._host.now(), seconds)
        self._outcomes[token] = outcome
        return token

    def withdraw(self, token: int) -> None:
        """Forget a request that was submitted; its outcome is not called."""
        self._outcomes.pop(token, None)
        self._node.cancel(token)

    def stop(self, stopped: Callable[[], None]) -> None:
        """Disconnect from every peer (DPR), and tell when that is done: in seconds at most."""
        self._stopped = stopped
        self._deadline.stop()
        if self.streams:
            self.streams.stop_listening()
        self._end.start(self._config.timers.disconnect + 1.0)
        self._endpoint.call(self._node.stop, self._host.now())
        self._look_for_end()

    def _look_for_end(self) -> None:
        if self._stopped and self._node.stopped and (not self.streams or self.streams.idle):
            self._finish_stopping()

    def _finish_stopping(self) -> None:
        stopped, self._stopped = self._stopped, None
        self._end.stop()
        self._endpoint.close()
        if self.streams:
            self.streams.close()
        if stopped:
            stopped()

    # For the streams (agents.core.host.StreamUser)

    def accepted(self, source: IPAddress, local: IPAddress) -> int | None:
        """Number a connection from a host that may be a peer; refuse others."""
        return self._endpoint.call(self._node.handle_accepted, self._host.now(), source, local)

    def connected(self, number: int, local: IPAddress, names: frozenset[str] | None) -> None:
        """Tell the node that a connection is open."""
        now = self._host.now()
        self._endpoint.call(self._node.handle_connected, number, now, local, names)

    def secured(self, number: int, names: frozenset[str]) -> None:
        """Tell the node whose certificate the opener of a connection has shown."""
        self._endpoint.call(self._node.handle_secured, number, names)

    def received(self, number: int, data: bytes) -> None:
        """Hand octets to the node."""
        self._endpoint.call(self._node.handle_data, number, data, self._host.now())

    def closed(self, number: int, reason: str) -> None:
        """Tell the node that a connection is gone."""
        self._endpoint.call(self._node.handle_closed, number, self._host.now(), reason)
        self._look_for_end()

    def troubled(self, reason: str) -> None:
        """Tell that no connection can be accepted."""
        self._report(ConnectionFailed(self._host.now(), "", reason))

    # The node's events and actions

    def _handle(self, event: Event) -> None:
        self._report(event)
        match event:
            case RequestReceived(token=token, message=message):
                self._serve(token, message)
            case AnswerReceived(token=token, message=message):
                self._settle(token, message)
            case RequestFailed(token=token, reason=reason, error=error):
                self._settle(token, error or TimeoutError(reason))
            case PeerUp():
                self._look()

    def _report(self, event: Event) -> None:
        if isinstance(event, ConnectionFailed):
            self._last_failure = event.reason
        if self._on_event is not None:
            self._on_event(event)

    def _settle(self, token: int, outcome: Message | Exception) -> None:
        call = self._outcomes.pop(token, None)
        if call is not None:
            call(outcome)

    def _serve(self, token: int, message: Message) -> None:
        now = self._host.now()
        try:
            if self._handler is None:
                raise DiameterError("this node serves nothing", ResultCode.COMMAND_UNSUPPORTED)
            answer = self._handler(message)
        except DiameterError as error:
            self._node.reject(token, error, now)
        except Exception as error:  # A server outlives the bug that one request meets.
            self._host.report(error, "a Diameter request's handler failed")
            refusal = DiameterError("internal error", ResultCode.UNABLE_TO_COMPLY)
            self._node.reject(token, refusal, now)
        else:
            if isinstance(answer, Later):
                answer.then(lambda told: self._endpoint.call(self._answer, token, told))
            else:
                self._node.answer(token, answer, now)

    def _answer(self, token: int, answer: Message) -> None:
        self._node.answer(token, answer, self._host.now())

    def reaches(self, peer: str) -> bool:
        """Tell whether a peer is there, as far as the watchdog knows."""
        return self._node.reaches(peer)

    def _act(self, action: Any) -> None:
        streams = self.streams
        if streams is None:
            return
        match action:
            case Send(connection=number, data=data):
                streams.send(number, data)
            case Close(connection=number, reset=reset):
                streams.end(number, reset=reset)
                self._look_for_end()
            case Connect(connection=number, peer=peer, address=address):
                streams.connect(number, peer, address)
