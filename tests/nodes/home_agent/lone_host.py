"""A host without a network: its clock is set by hand, and what it sends is kept."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from ipaddress import IPv6Address
from typing import Any, NoReturn

from agents.core.host import Host, LinkTransport, Receive, Transport
from agents.core.machine import Address


class Kept:
    """A transport of any kind: `receive` is what is to get what comes in."""

    link_address = bytes(6)

    def __init__(self, receive: Callable[..., None]) -> None:
        self.receive = receive
        self.sent: deque[tuple[bytes, Any]] = deque()

    def send(self, data: bytes, destination: Any) -> None:
        """Keep it."""
        self.sent.append((data, destination))

    def close(self) -> None:
        """Do nothing."""


class LoneHost(Host):
    """Has `datagrams` by their local port, `mobility` headers, and a `link`."""

    def __init__(self) -> None:
        super().__init__(random.Random(1))
        self.clock = 0.0
        self.datagrams_at: dict[int, Kept] = {}
        self.mobility: Kept
        self.link: Kept

    def now(self) -> float:
        return self.clock

    def time_of_day(self, at: float) -> float:
        return 1e9 + at

    def wake_at(self, deadline: float) -> None:
        """Do nothing: `advance` looks for itself."""

    def advance(self, seconds: float) -> None:
        """Let time pass, from deadline to deadline."""
        until = self.clock + seconds
        while (deadline := self.next_timeout()) is not None and deadline <= until:
            self.clock = max(self.clock, deadline)
            self.handle_timeout(self.clock)
        self.clock = until

    def report(self, error: Exception, what: str) -> NoReturn:
        raise AssertionError(what) from error

    def open_datagrams(self, local: Address, receive: Receive, **_: object) -> Transport:
        self.datagrams_at[local[1]] = kept = Kept(receive)
        return kept

    def open_mobility_headers(self, _local: IPv6Address, receive: Receive) -> Transport:
        self.mobility = Kept(receive)
        return self.mobility

    def open_prefix_discovery(self, _local: IPv6Address, _kind: int, receive: Receive) -> Transport:
        return Kept(receive)

    def open_home_agent_discovery(
        self, _local: IPv6Address, _kind: int, receive: Receive, **_: object
    ) -> Transport:
        return Kept(receive)

    def open_link(self, _interface: str, receive: Callable[[bytes], None]) -> LinkTransport:
        self.link = Kept(receive)
        return self.link

    def _none_here(self, *_: object, **__: object) -> NoReturn:
        raise AssertionError("this host has none")

    attachment = open_streams = exchange = has_address = duid = _none_here
    watch_sas = watch_acquires = watch_routes = watch_refused = _none_here
