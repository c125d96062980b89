"""A connection to strongSwan's daemon in the event loop; the format is the `vici` package's."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from vici.protocol import Message, Packet

Section: TypeAlias = Mapping[str, Any]
_LENGTH = 4


class ViciError(Exception):
    """The daemon has refused a command, or is gone; the text is its own."""


class ViciConnection(asyncio.Protocol):
    """Commands in their order, each answered before the next; `on_event` hears of what happens."""

    def __init__(self, on_event: Callable[[str, Section], None] = lambda *_: None) -> None:
        self._on_event = on_event
        self._transport: asyncio.BaseTransport | None = None
        self._received = bytearray()
        self._waiting: deque[Callable[[Section | ViciError], None]] = deque()

    async def connect(self, path: str) -> None:
        """Connect to the daemon's socket; OSError if nobody listens there yet."""
        await asyncio.get_running_loop().create_unix_connection(lambda: self, path)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take note of the connection."""
        self._transport = transport

    def ask(
        self,
        command: str,
        message: Section | None = None,
        answered: Callable[[Section | ViciError], None] = lambda _: None,
    ) -> None:
        """Send a command; `answered` gets what came of it."""
        body = Message.serialize(message) if message is not None else None
        self._send(Packet.request(command, body), answered)

    def listen(self, *events: str) -> None:
        """Ask to be told of events."""
        for event in events:
            self._send(Packet.register_event(event), lambda _: None)

    def _send(self, packet: bytes, answered: Callable[[Section | ViciError], None]) -> None:
        if not isinstance(self._transport, asyncio.WriteTransport):
            answered(ViciError("strongSwan's daemon is gone"))
            return
        self._waiting.append(answered)
        self._transport.write(len(packet).to_bytes(_LENGTH) + packet)

    def data_received(self, data: bytes) -> None:
        """Take the packets that are whole."""
        self._received += data
        while len(self._received) >= _LENGTH:
            end = _LENGTH + int.from_bytes(self._received[:_LENGTH])
            if len(self._received) < end:
                return
            packet = bytes(self._received[_LENGTH:end])
            del self._received[:end]
            self._take(packet)

    def _take(self, packet: bytes) -> None:
        parsed = Packet.parse(packet)
        if parsed.response_type == Packet.EVENT:
            self._on_event(parsed.event_type.decode(), Message.deserialize(parsed.payload))
            return
        answered = self._waiting.popleft()
        if parsed.response_type == Packet.CMD_RESPONSE:
            told = Message.deserialize(parsed.payload)
            refused = told.get("success", b"yes") != b"yes"
            answered(ViciError(told["errmsg"].decode()) if refused else told)
        elif parsed.response_type == Packet.EVENT_CONFIRM:
            answered({})
        else:
            answered(ViciError("strongSwan's daemon does not know this"))

    def connection_lost(self, error: Exception | None) -> None:
        """Tell everybody who still waits."""
        self._transport = None
        gone = ViciError(f"strongSwan's daemon is gone: {error or 'it has closed the connection'}")
        while self._waiting:
            self._waiting.popleft()(gone)

    def close(self) -> None:
        """Close the connection; nobody who waits hears anything any more."""
        self._waiting.clear()
        if self._transport:
            self._transport.close()
            self._transport = None
