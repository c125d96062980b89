"""The PANA relay element between PaCs and a PAA that cannot reach each other (RFC 6345)."""

from __future__ import annotations

from collections import deque
from ipaddress import ip_address

from agents.core.machine import Address, Discarded, Event, PeerError
from agents.core.reader import Reader, WireError
from agents.pana.places import canonical
from agents.pana.rfc5191 import RFC5191
from agents.pana.rfc5191_wire import HEADER_LENGTH, TYPES, read_place
from agents.pana.wire import AvpName, Kind

RELAY_TYPE = TYPES[Kind.RELAY, False][0]


class Relay:
    """Relays PANA messages and keeps nothing about any PaC: a machine without timers.

    A PaC takes it for the PAA, so the owner sends to PaCs from port 716, and tells by the side that
    a message came in on whose it is. `zone` is the interface of PaCs with link-local addresses,
    which PaC-Information has no room for. A message is relayed by its header alone: what it means
    is a matter of its two ends.
    """

    def __init__(self, paa: Address, *, zone: str | None = None) -> None:
        self.outbox: deque[tuple[bytes, Address]] = deque()
        self.events: deque[Event] = deque()
        self._paa = paa
        self._zone = zone

    def next_timeout(self) -> float | None:
        """Return None: a relay never sends again."""
        return None

    def handle_timeout(self, now: float) -> None:
        """Do nothing."""

    def from_pac(self, data: bytes, source: Address, now: float) -> None:
        """Pass a datagram of a PaC on to the PAA, or drop it with an event."""
        try:
            check_header(data)
            self.outbox.append((RFC5191.relay(source, data), self._paa))
        except (WireError, PeerError) as error:
            self.events.append(Discarded(now, source[0], str(error)))

    def from_paa(self, data: bytes, source: Address, now: float) -> None:
        """Pass what the PAA has put into a PRY on to the PaC, or drop it with an event."""
        try:
            if (canonical(source[0]), source[1]) != (canonical(self._paa[0]), self._paa[1]):
                raise PeerError("from a host that is not the PAA")
            self.outbox.append(self._unwrap(data))
        except (WireError, PeerError) as error:
            self.events.append(Discarded(now, source[0], str(error)))

    def _unwrap(self, data: bytes) -> tuple[bytes, Address]:
        message = RFC5191.decode(data)
        if message.kind is not Kind.RELAY:
            raise PeerError(f"{RFC5191.label(message)} from the PAA outside PRY")
        RFC5191.check(message)
        place = message.value(AvpName.PAC_INFORMATION) or b""
        inner = message.value(AvpName.RELAYED_MESSAGE) or b""
        check_header(inner)
        return inner, self._place(place)

    def _place(self, value: bytes) -> Address:
        address, port = read_place(value)
        if self._zone is not None and ip_address(address).is_link_local:
            address += f"%{self._zone}"
        return address, port


def check_header(data: bytes) -> None:
    """Raise an error unless these octets have the header of a PANA message that is no PRY."""
    r = Reader(data)
    _, length, _, number = r.u16(), r.u16(), r.u16(), r.u16()
    if length != len(data) or length < HEADER_LENGTH:
        raise WireError(f"message length {length} in {len(data)} octets")
    if number == RELAY_TYPE:
        raise PeerError("PRY within PRY")
