"""How long a program takes for what comes to it, and when within that time it sends."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

from agents.core.record import Record, replace
from agents.dhcpv6.wire import CLIENT_PORT, SERVER_PORT
from agents.dns.wire import PORT as DNS_PORT
from agents.kernel.packet import MOBILITY_HEADER, UDP
from agents.radius.wire import ACCOUNTING_PORT, Code
from agents.radius.wire import PORT as RADIUS_PORT

_IKE_PORT = 500
_KINDS = {
    (UDP, _IKE_PORT): slice(18, 20),  # Exchange type and flags.
    (UDP, CLIENT_PORT): slice(0, 1),
    (UDP, SERVER_PORT): slice(0, 1),
    (UDP, DNS_PORT): slice(2, 3),
    (UDP, RADIUS_PORT): slice(0, 1),
    (UDP, ACCOUNTING_PORT): slice(0, 1),
    (MOBILITY_HEADER, 0): slice(2, 3),
}
"""Where messages say what they are, by protocol and the program's port."""

_USUAL = slice(4, 8)
"""In PANA and in Diameter these are flags and type; whatever the program's port."""

_RADIUS_ANSWERS = frozenset(
    bytes((code,)) for code in Code if code not in (Code.ACCESS_REQUEST, Code.ACCOUNTING_REQUEST)
)


class Took(Record, frozen=True):
    """Seconds of a processor: until each message is sent, and in all."""

    sends: tuple[float, ...] = ()
    total: float = 0.0

    def after(self, hop: float, slowness: float = 1.0) -> Took:
        """Return this, begun so many seconds later, and all of it so many times as long."""
        sends = tuple(slowness * (sent + hop) for sent in self.sends)
        return Took(sends, slowness * (self.total + hop))


Service: TypeAlias = Callable[[int, int, bytes], Took]
"""Tells what an event takes: its protocol, the program's port, its octets; 0 for a timer."""

Kind: TypeAlias = tuple[int, int, str]
"""Protocol, the program's port if that says what comes, and what the message says of itself."""


def kind_of(protocol: int, port: int, data: bytes) -> Kind:
    """Return what an event is, as far as that tells how long it takes beside its length."""
    if protocol == UDP and data[:1] in _RADIUS_ANSWERS and data[2:4] == len(data).to_bytes(2):
        return protocol, RADIUS_PORT, data[:1].hex()  # A client has any port.
    where = _KINDS.get((protocol, port))
    return protocol, port if where else 0, data[where or _USUAL].hex()


class Known(Record, frozen=True):
    """What was measured of one kind of event, of messages from a length to another."""

    protocol: int
    port: int
    message: str
    shortest: int
    longest: int
    took: Took

    @property
    def kind(self) -> Kind:
        """What it was measured of."""
        return self.protocol, self.port, self.message

    def distance(self, length: int) -> int:
        """Return by how many octets a length is not one of these."""
        return max(self.shortest - length, length - self.longest, 0)


class Services:
    """What a program was measured to take: of what is most like an event.

    `hop` is what a kernel takes from one program's sending to the next one's being called; all of
    it takes `slowness` times as long.
    """

    def __init__(self, known: Iterable[Known], hop: float = 0.0, slowness: float = 1.0) -> None:
        self._of_kind: dict[Kind, list[Known]] = {}
        for one in known:
            late = replace(one, took=one.took.after(hop, slowness))
            for kind in dict.fromkeys((one.kind, (*one.kind[:2], ""))):
                self._of_kind.setdefault(kind, []).append(late)
        self._other = Took().after(hop, slowness)

    def __call__(self, protocol: int, port: int, data: bytes) -> Took:
        """Return what the event takes that was nearest in length, of its kind if there was one."""
        kind = kind_of(protocol, port, data)
        found = self._of_kind.get(kind) or self._of_kind.get((*kind[:2], ""))
        if found is None:
            return self._other
        return min(found, key=lambda known: known.distance(len(data))).took
