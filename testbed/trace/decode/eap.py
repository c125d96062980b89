"""EAP (RFC 3748) and what EAP-TLS carries in it (RFC 5216, RFC 9190)."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from testbed.trace.decode.text import Lines, hexadecimal, named, text, within
from testbed.trace.decode.tls import Secrets, Session
from testbed.trace.dissect import EAP_TYPES

_CODES = {1: "Request", 2: "Response", 3: "Success", 4: "Failure"}
_IDENTITY, _NOTIFICATION, _NAK, _TLS = 1, 2, 3, frozenset({13, 21, 25})
_LENGTH, _MORE, _START = 0x80, 0x40, 0x20


@dataclass(slots=True)
class _Conversation:
    """One EAP exchange: its TLS connection, and the packets that have been read of it."""

    session: Session
    read: dict[bytes, list[str]] = field(default_factory=dict)


class Conversations:
    """The EAP exchanges of a run; one is carried in PANA, and on in Diameter or RADIUS.

    A packet is read once, where it is seen first, for TLS has to be followed in order: a long one
    that comes again under another name shows that both are one exchange.
    """

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets
        self._by_name: dict[object, _Conversation] = {}
        self._by_packet: dict[bytes, _Conversation] = {}

    def lines(self, name: object, packet: bytes) -> Lines:
        """Yield the fields of a packet in the exchange that its carrier calls `name`."""
        code, identifier, length = struct.unpack_from("!BBH", packet)
        yield f"EAP {named(_CODES, code)}, identifier {identifier}"
        if length < 5 or len(packet) < 5:
            return
        found = self._by_name.get(name) or self._by_packet.get(packet)
        if found is None:
            found = _Conversation(Session(self._secrets))
        self._by_name[name] = found
        if len(packet) > 16:
            self._by_packet.setdefault(packet, found)
        if packet not in found.read:
            found.read[packet] = list(self._data(found.session, code == 2, packet[4:length]))
        yield from within(found.read[packet])

    @staticmethod
    def _data(session: Session, from_client: bool, data: bytes) -> Lines:
        kind, value = data[0], data[1:]
        yield f"Type: {named(EAP_TYPES, kind)}"
        if kind in (_IDENTITY, _NOTIFICATION):
            if value:
                yield f"{'Identity' if kind == _IDENTITY else 'Notification'}: {text(value)}"
        elif kind == _NAK:
            yield f"Wanted: {', '.join(named(EAP_TYPES, one) for one in value)}"
        elif kind in _TLS:
            yield from _tls(session, from_client, value)
        elif value:
            yield f"Data: {hexadecimal(value)}"


def _tls(session: Session, from_client: bool, value: bytes) -> Lines:
    flags = value[0] if value else 0
    names = [name for bit, name in ((_LENGTH, "L"), (_MORE, "M"), (_START, "S")) if flags & bit]
    data = value[5 if flags & _LENGTH else 1 :]
    if names:
        yield f"Flags: {' '.join(names)}"
    if flags & _LENGTH:
        yield f"Length of the whole: {int.from_bytes(value[1:5])}"
    yield f"Octets in this fragment: {len(data)}"
    for read in session.feed(data, from_client=from_client):
        yield from read.lines
