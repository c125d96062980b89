"""IPv6 packets as simulated stacks and the model of the kernel see them."""

from __future__ import annotations

from ipaddress import IPv6Address

from agents.core.record import Record
from agents.ike.esp import EspSa

TCP, UDP, IPV6, ESP, ICMPV6, MOBILITY_HEADER = 6, 17, 41, 50, 58, 135
_MESSAGE_TYPES = {ICMPV6: 0, MOBILITY_HEADER: 2}
"""Where a message has its type (RFC 4443 section 2.1, RFC 6275 section 6.1.1)."""

_MULTICAST, _LINK_LOCAL = 0xFF, 0xFE80 >> 6


def is_multicast(address: IPv6Address) -> bool:
    """Return whether an address is a group's; a tenth of the time of ipaddress' own property."""
    return int(address) >> 120 == _MULTICAST


def is_link_local(address: IPv6Address) -> bool:
    """Return whether an address is of one link alone."""
    return int(address) >> 118 == _LINK_LOCAL


class Segment(Record, frozen=True):
    """What a TCP header has beside the ports (RFC 9293 section 3.1); times in milliseconds."""

    flags: int
    sequence: int
    acknowledgement: int = 0
    window: int = 0
    sent_at: int = 0
    echoed: int = 0


class Packet(Record, frozen=True):
    """One IPv6 packet; `source` and `destination` are those of its header, as routers see them.

    `home_address` is that of a Home Address option (RFC 6275 section 6.3), `routing` that of a
    type 2 routing header (section 6.4), `esp` the SA that the sender has used, in transport mode:
    without the same one nobody reads what it protects, and `esp_number` its sequence number.
    `inner` is what a tunnel carries. The payload is what follows the header of UDP or TCP, and all
    of an ICMPv6 message or a Mobility Header; the checksums in those are the sender's kernel's.
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
    segment: Segment | None = None
    esp_number: int = 0

    @property
    def message(self) -> int | None:
        """The type of a Mobility Header or an ICMPv6 message, None of anything else."""
        at = _MESSAGE_TYPES.get(self.protocol)
        return None if at is None or len(self.payload) <= at else self.payload[at]

    @property
    def kind(self) -> tuple[int, int | None]:
        """The protocol and the type of message."""
        return self.protocol, self.message

    @property
    def visible_protocol(self) -> int:
        """The protocol that a router sees."""
        return ESP if self.esp else self.protocol

    def encapsulated(self, source: IPv6Address, destination: IPv6Address) -> Packet:
        """Return the packet that carries this one through a tunnel (RFC 2473)."""
        return Packet(source, destination, IPV6, inner=self)
