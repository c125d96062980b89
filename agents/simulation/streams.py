"""Streams of simulated programs (agents.core.host.Streams), over simulated TCP.

There is no TLS: where Diameter is to be protected, its round trips and octets are too few here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from ipaddress import IPv6Address
from typing import TypeAlias

from agents.core.host import StreamUser
from agents.core.machine import Address
from agents.simulation.tcp import Stream, Tcp

Serve: TypeAlias = Callable[[int, bytes, Callable[[], None]], None]
"""Lets a program do, in its turn, what octets at a port of its own call for."""


class SimulatedStreams:
    """agents.core.host.Streams on a simulated stack."""

    def __init__(self, tcp: Tcp, user: StreamUser, listen: Sequence[Address], serve: Serve) -> None:
        self._tcp = tcp
        self._user = user
        self._serve = serve
        self._streams: dict[int, Stream] = {}
        self._numbers: dict[Stream, int] = {}
        self.is_open = True
        self._listen = tuple(listen)
        for address in self._listen:
            if not tcp.stack.owns(IPv6Address(address[0])):
                raise OSError(99, "Cannot assign requested address")
            if address in tcp.listeners:
                raise OSError(98, "Address already in use")
        tcp.listeners.update(dict.fromkeys(self._listen, self))

    # What the program does

    def connect(self, number: int, name: str, address: Address) -> None:  # noqa: ARG002
        """Open a stream to a host."""
        self._keep(number, self._tcp.stack.world.carry(self._tcp.connect, address, self))

    def _keep(self, number: int, stream: Stream) -> None:
        self._streams[number] = stream
        self._numbers[stream] = number

    def send(self, number: int, data: bytes) -> None:
        """Send octets, if the stream is still there."""
        if stream := self._streams.get(number):
            if tally := self._tcp.stack.world.tally:
                tally.messages["Diameter"] += 1
            self._tcp.stack.world.carry(stream.send, data)

    def end(self, number: int, *, reset: bool = False) -> None:
        """End a stream after what was sent before, or by RST."""
        stream = self._streams.pop(number, None)
        if stream is None:
            return
        del self._numbers[stream]
        self._tcp.stack.world.carry(stream.reset if reset else stream.end)

    def stop_listening(self) -> None:
        """Accept no more."""
        for address in self._listen:
            if self._tcp.listeners.get(address) is self:
                del self._tcp.listeners[address]

    @property
    def idle(self) -> bool:
        """Whether no stream is open any more."""
        return not self._streams

    def close(self) -> None:
        """Accept no more, and end what is open, as the kernel does when a program dies."""
        self.is_open = False
        self.stop_listening()
        for number in tuple(self._streams):
            self.end(number)
        for stream in [s for s in self._tcp.streams.values() if s.user is self]:
            stream.reset()  # It was not accepted yet.

    # What it is told, in its turn

    def opened(self, stream: Stream) -> None:
        """Tell the user that a stream is open."""
        self._serve(stream.here[1], b"", partial(self._opened, stream))

    def _opened(self, stream: Stream) -> None:
        number = self._numbers.get(stream)
        if number is not None:
            self._user.connected(number, stream.here[0], None)
        elif stream.here[1] in {port for _, port in self._listen}:
            self._accept(stream)

    def _accept(self, stream: Stream) -> None:
        accepted = self._user.accepted(stream.there[0], stream.here[0]) if self.is_open else None
        if accepted is None:
            self._tcp.stack.world.carry(stream.reset)
        else:
            self._keep(accepted, stream)

    def received(self, stream: Stream, data: bytes) -> None:
        """Tell the user what has come."""
        self._serve(stream.here[1], data, partial(self._received, stream, data))

    def _received(self, stream: Stream, data: bytes) -> None:
        number = self._numbers.get(stream)
        if number is not None:
            self._user.received(number, data)

    def ended(self, stream: Stream, reason: str) -> None:
        """Tell the user that a stream has ended."""
        self._serve(stream.here[1], b"", partial(self._ended, stream, reason))

    def _ended(self, stream: Stream, reason: str) -> None:
        number = self._numbers.pop(stream, None)
        if number is not None:
            del self._streams[number]
            self._user.closed(number, reason)


class SimulatedExchange:
    """One question and its answer over a stream of its own."""

    def __init__(
        self,
        tcp: Tcp,
        query: bytes,
        server: Address,
        answered: Callable[[bytes | OSError], None],
        serve: Serve,
    ) -> None:
        self._query = len(query).to_bytes(2) + query
        self._answered = answered
        self._got = b""
        self._streams = SimulatedStreams(tcp, self, (), serve)
        self._streams.connect(0, "", server)

    @property
    def is_open(self) -> bool:
        """Whether the answer is waited for."""
        return not self._streams.idle

    def connected(self, number: int, _local: object, _names: object) -> None:
        """Send the question."""
        self._streams.send(number, self._query)

    def received(self, number: int, data: bytes) -> None:
        """Take a part of the answer."""
        self._got += data
        if len(self._got) >= 2 and len(self._got) >= 2 + int.from_bytes(self._got[:2]):
            self._streams.end(number)
            self._answered(self._got[2:])

    def closed(self, _number: int, reason: str) -> None:
        """Give up."""
        self._answered(ConnectionError(reason))

    def accepted(self, _source: object, _local: object) -> int | None:
        """Refuse: this listens nowhere."""
        return None

    def secured(self, _number: int, _names: frozenset[str]) -> None:
        """Ignore it: there is no TLS here."""

    def troubled(self, _reason: str) -> None:
        """Ignore it: this listens nowhere."""

    def close(self) -> None:
        """Wait for the answer no longer."""
        self._streams.close()
