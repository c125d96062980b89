"""What a host proposes and accepts, and how long it waits."""

from __future__ import annotations

from agents.core.machine import Timing
from agents.core.record import Record
from agents.crypto.dh import ECP256, GROUPS, MODP2048
from agents.crypto.prf import HMAC_SHA1, HMAC_SHA2_256, Prf
from agents.ike.constants import PORT
from agents.ike.esp import Integrity
from agents.ikev1.constants import Mode

HASHES = {2: HMAC_SHA1, 4: HMAC_SHA2_256}
"""Hash algorithms of phase 1 (RFC 2409 appendix A, IANA)."""

ESP_INTEGRITY = {2: Integrity.HMAC_SHA1_96, 5: Integrity.HMAC_SHA2_256_128}
"""Authentication algorithms of phase 2 (RFC 2407 section 4.5, RFC 4868)."""

INTEGRITY_KEY_LENGTH = {Integrity.HMAC_SHA1_96: 20, Integrity.HMAC_SHA2_256_128: 32}
"""Key lengths in octets."""


class IkeProposal(Record, frozen=True):
    """AES-CBC key length in bits, hash (2: SHA-1, 4: SHA-256), and group of phase 1."""

    key_bits: int = 128
    hash: int = 4
    group: int = MODP2048

    def __post_init__(self) -> None:
        if self.key_bits not in (128, 192, 256) or self.hash not in HASHES:
            raise ValueError(f"unsupported: AES-{self.key_bits}, hash {self.hash}")
        if self.group not in GROUPS:
            raise ValueError(f"unsupported Diffie-Hellman group {self.group}")

    @property
    def prf(self) -> Prf:
        """HMAC with the negotiated hash."""
        return HASHES[self.hash]


class EspProposal(Record, frozen=True):
    """AES-CBC key length in bits and integrity algorithm of an ESP SA."""

    key_bits: int = 128
    integrity: Integrity = Integrity.HMAC_SHA2_256_128

    def __post_init__(self) -> None:
        if self.key_bits not in (128, 192, 256):
            raise ValueError(f"unsupported: AES-{self.key_bits}")


IKE_PROPOSALS = tuple(
    IkeProposal(bits, digest, group)
    for group in (MODP2048, ECP256)
    for bits, digest in ((128, 4), (256, 4), (128, 2), (256, 2))
)
ESP_PROPOSALS = (EspProposal(), EspProposal(integrity=Integrity.HMAC_SHA1_96))


TIMING = Timing(initial=1.0, maximum=8.0, count=5)
"""Retransmissions: RFC 2408 section 5.1 leaves them open; the last wait ends after about 23 s."""


class Config(Record, frozen=True):
    """Settings of an `Ikev1`; lists are in order of preference, times in seconds.

    `identity` is an NAI (ID_RFC822_ADDR) or an address; without it the local address is sent.
    With `pfs`, a group number, every quick mode exchanges keys in that group and a responder
    insists on one; without, a responder takes what the initiator wants. Aggressive mode offers
    only the proposals that share the first one's group (RFC 2409 section 5).
    """

    mode: Mode = Mode.MAIN
    identity: str | None = None
    proposals: tuple[IkeProposal, ...] = IKE_PROPOSALS
    esp_proposals: tuple[EspProposal, ...] = ESP_PROPOSALS
    pfs: int | None = None
    ike_lifetime: float = 28800.0
    esp_lifetime: float = 3600.0
    rekey_at: float = 0.85
    """The part of a lifetime after which the initiator of an SA replaces it."""

    timing: Timing = TIMING
    negotiation_timeout: float = 30.0
    """The longest that phase 1 or one quick mode may take on either side."""

    unanswered_limit: int = 1024
    """Negotiations that a responder keeps though their initiators have not come back.

    Anybody may begin them in anybody's name. One costs a few kilobytes and no exponentiation.
    """

    unanswered_limit_per_peer: int = 256
    """Those of one address, of which any one gives way.

    Of n forged first messages within the round trip of an honest peer, each pushes it out with
    1/256: 50 (500 per second at 100 ms) leave it in four times out of five, in either mode.
    """

    unanswered_limit_per_link: int = 512
    half_open_limit: int = 256
    """Negotiations that g^xy was computed for and that may still become SAs, lately failed too."""

    half_open_limit_per_peer: int = 8
    half_open_limit_per_link: int = 64
    """Those of one address, which is refused more, and of one /64, where others give way."""

    sas_per_peer: int = 4
    """ISAKMP SAs of one identity: of the addresses that it has just moved from, and to."""

    children_per_peer: int = 4
    """Pairs of ESP SAs of one identity; while one replaces another there are two."""

    asks_keys: bool = False
    """Whether a responder's owner is asked for a pre-shared key for every ISAKMP SA (`KeyWanted`).

    In aggressive mode message 1 has it asked, whoever has sent that; in main mode message 5.
    """

    initial_contact: bool = True
    port: int = PORT

    def __post_init__(self) -> None:
        if not self.proposals or not self.esp_proposals:
            raise ValueError("at least one proposal of each kind is needed")
        if self.pfs is not None and self.pfs not in GROUPS:
            raise ValueError(f"unsupported Diffie-Hellman group {self.pfs}")
        if self.ike_lifetime < 1 or self.esp_lifetime < 1 or not 0 < self.rekey_at <= 1:
            raise ValueError("lifetimes are at least 1 s, rekey_at lies in 0..1")
