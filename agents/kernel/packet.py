"""IPv6 packets as simulated stacks and the model of the kernel see them."""

from __future__ import annotations

from ipaddress import IPv6Address

from agents.core.record import Record
from agents.ike.esp import EspSa

TCP, UDP, IPV6, ESP, ICMPV6, MOBILITY_HEADER = 6, 17, 41, 50, 58, 135
_MESSAGE_TYPE = 2  # Where a Mobility Header has it (RFC 6275 section 6.1.1).


class Packet(Record, frozen=True):
    """One IPv6 packet; `source` and `destination` are those of its header, as routers see them.

    `home_address` is that of a Home Address option (RFC 6275 section 6.3), `routing` that of a
    type 2 routing header (section 6.4), `esp` the SA that the sender has used, in transport mode:
    without the same one nobody reads what it protects. `inner` is what a tunnel carries, `segment`
    what TCP carries beside its payload.
    """

    source: IPv6Address
    destination: IPv6Address
    protocol: int
    source_port: int = 0
    destination_port: int = 0
    payload: bytes = b""
    hop_limit: int = 64
    home_address: IPv6Address | None = None
    routing: IPv6Address | None = None
    esp: EspSa | None = None
    inner: Packet | None = None
    segment: object | None = None

    @property
    def message(self) -> int | None:
        """The type of a Mobility Header, None of anything else."""
        if self.protocol != MOBILITY_HEADER or len(self.payload) <= _MESSAGE_TYPE:
            return None
        return self.payload[_MESSAGE_TYPE]

    @property
    def visible_protocol(self) -> int:
        """The protocol that a router sees."""
        return ESP if self.esp else self.protocol

    def encapsulated(self, source: IPv6Address, destination: IPv6Address) -> Packet:
        """Return the packet that carries this one through a tunnel (RFC 2473)."""
        return Packet(source, destination, IPV6, inner=self)
