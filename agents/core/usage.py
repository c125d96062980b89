"""What a user has sent and got, as enforcement points count it and accounting tells it."""

from __future__ import annotations

from agents.core.record import Record


class Usage(Record, frozen=True):
    """Octets of whole IPv6 packets, and packets: `input` from the user, `output` to the user."""

    input_octets: int = 0
    input_packets: int = 0
    output_octets: int = 0
    output_packets: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_octets + other.input_octets,
            self.input_packets + other.input_packets,
            self.output_octets + other.output_octets,
            self.output_packets + other.output_packets,
        )

    def since(self, before: Usage) -> Usage:
        """Return what has come since then; nothing of a kind that has been counted anew since."""
        return Usage(
            max(0, self.input_octets - before.input_octets),
            max(0, self.input_packets - before.input_packets),
            max(0, self.output_octets - before.output_octets),
            max(0, self.output_packets - before.output_packets),
        )
