"""Diameter nodes joined by streams on a virtual clock."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeVar

from agents.core.machine import Address, Event
from agents.diameter.events import Close, Connect, RequestReceived, Send
from agents.diameter.node import Node
from agents.diameter.wire import Message
from tests.diameter.samples import LOCAL

E = TypeVar("E", bound=Event)


@dataclass
class Host:
    node: Node
    handler: Callable[[Message], Message] | None = None
    events: list[Event] = field(default_factory=list)

    def seen(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]


End = tuple[str, int]


class Network:
    """Carries octets between nodes; an address is the name of the node that listens there.

    What goes to a host in `deaf` is lost, connections to a host in `refusing` are refused. `sent`
    has (time, sender, octets) of every write; `sliced` delivers octet by octet.
    """

    def __init__(self, *, delay: float = 0.001, sliced: bool = False) -> None:
        self.now = 0.0
        self.sent: list[tuple[float, str, bytes]] = []
        self.hosts: dict[str, Host] = {}
        self.deaf: set[str] = set()
        self.refusing: set[str] = set()
        self._delay = delay
        self._sliced = sliced
        self._pairs: dict[End, End] = {}
        self._queue: list[tuple[float, int, Callable[[], Any], str]] = []
        self._order = count()
        self._era = 0

    def add(self, node: Node, handler: Callable[[Message], Message] | None = None) -> Host:
        host = self.hosts[node.config.host] = Host(node, handler)
        return host

    def messages(self, sender: str) -> list[Message]:
        return [Message.decode(data) for _, name, data in self.sent if name == sender]

    def _later(self, name: str, call: Callable[[], Any]) -> None:
        heapq.heappush(self._queue, (self.now + self._delay, next(self._order), call, name))

    def settle(self) -> None:
        for name, host in self.hosts.items():
            node = host.node
            while node.events or node.outbox:
                while node.events:
                    event = node.events.popleft()
                    host.events.append(event)
                    if isinstance(event, RequestReceived) and host.handler is not None:
                        node.answer(event.token, host.handler(event.message), self.now)
                while node.outbox:
                    self._act(name, node.outbox.popleft())

    def _act(self, name: str, action: Connect | Send | Close) -> None:
        match action:
            case Connect(connection=number, address=address):
                self._connect((name, number), address)
            case Send(connection=number, data=data):
                self.sent.append((self.now, name, data))
                for piece in [bytes([b]) for b in data] if self._sliced else [data]:
                    self._deliver((name, number), piece)
            case Close(connection=number):
                other = self._pairs.pop((name, number), None)
                if other is not None and name not in self.deaf:
                    self._pairs.pop(other, None)
                    self._later(
                        other[0],
                        lambda: self.hosts[other[0]].node.handle_closed(other[1], self.now),
                    )

    def _connect(self, end: End, address: Address) -> None:
        name, number = end
        node, target = self.hosts[name].node, address[0]

        def refuse() -> None:
            node.handle_closed(number, self.now, "refused")

        def accept() -> None:
            accepted = self.hosts[target].node.handle_accepted(self.now, LOCAL, LOCAL)
            if accepted is None:
                self._later(name, refuse)
                return
            other = (target, accepted)
            self._pairs[end], self._pairs[other] = other, end
            self._later(name, lambda: node.handle_connected(number, self.now, LOCAL))

        if target in self.deaf:
            return
        if target in self.refusing or target not in self.hosts:
            self._later(name, refuse)
        else:
            self._later(target, accept)

    def _deliver(self, end: End, data: bytes) -> None:
        other, era = self._pairs.get(end), self._era

        def arrive() -> None:
            if other is not None and other[0] not in self.deaf and era == self._era:
                self.hosts[other[0]].node.handle_data(other[1], data, self.now)

        self._later(end[0], arrive)

    def inject(self, name: str, data: bytes) -> None:
        """Let `name` receive octets on its newest connection."""
        number = max(number for host, number in self._pairs if host == name)
        self.hosts[name].node.handle_data(number, data, self.now)
        self.settle()

    def cut(self, only: str | None = None) -> None:
        """Break every connection, or those of one host; both ends notice at once."""
        ends = [e for e, other in self._pairs.items() if only in (None, e[0], other[0])]
        self._pairs = {e: other for e, other in self._pairs.items() if e not in ends}
        self._era += only is None
        for name, number in ends:
            self.hosts[name].node.handle_closed(number, self.now, "reset")
        self.settle()

    def start(self) -> None:
        for host in self.hosts.values():
            host.node.start(self.now)
        self.run(1.0)

    def run(self, seconds: float) -> None:
        """Let `seconds` pass."""
        until = self.now + seconds
        self.settle()
        while True:
            deadlines = [h.node.next_timeout() for h in self.hosts.values()]
            times = [t for t in deadlines if t is not None]
            if self._queue:
                times.append(self._queue[0][0])
            if not times or min(times) > until:
                self.now = until
                return
            self.now = max(self.now, min(times))
            if self._queue and self._queue[0][0] <= self.now:
                _, _, call, _ = heapq.heappop(self._queue)
                call()
            else:
                for host in self.hosts.values():
                    deadline = host.node.next_timeout()
                    if deadline is not None and deadline <= self.now:
                        host.node.handle_timeout(self.now)
            self.settle()
