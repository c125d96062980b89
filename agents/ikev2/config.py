"""What a host proposes and accepts, what it proves its identity with, and how long it waits."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from ipaddress import IPv6Address
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from agents.core.machine import Timing
from agents.core.record import Record, Secret
from agents.crypto.certificates import Revocations
from agents.crypto.dh import CURVE25519, ECP256, GROUPS, MODP2048
from agents.crypto.prf import INTEGRITY, PRFS, IntegrityAlgorithm, Prf
from agents.ike.constants import PORT
from agents.ike.esp import Encryption, Integrity
from agents.ikev2.constants import NONE, Encr

PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
HMAC_SHA2_256, HMAC_SHA2_384, HMAC_SHA2_512 = 12, 13, 14
"""Integrity algorithms of an IKE SA (transform type 3)."""

PRF_SHA2_256, PRF_SHA2_384, PRF_SHA2_512 = 5, 6, 7
"""Pseudo-random functions (transform type 2)."""

ESP_INTEGRITY = {
    NONE: Integrity.NONE,
    2: Integrity.HMAC_SHA1_96,
    HMAC_SHA2_256: Integrity.HMAC_SHA2_256_128,
    HMAC_SHA2_384: Integrity.HMAC_SHA2_384_192,
    HMAC_SHA2_512: Integrity.HMAC_SHA2_512_256,
}
"""Integrity algorithms of ESP by transform number."""

_ESP_CIPHERS = {Encr.AES_CBC: Encryption.AES_CBC, Encr.AES_GCM_16: Encryption.AES_GCM_16}
_CBC_KEYS, _GCM_KEYS = (128, 192, 256), (128, 192, 256)


def _check_cipher(encryption: int, key_bits: int, integrity: int) -> None:
    sizes = {Encr.AES_CBC: _CBC_KEYS, Encr.AES_GCM_16: _GCM_KEYS}.get(Encr(encryption), ())
    if key_bits not in sizes:
        raise ValueError(f"unsupported: cipher {encryption} with {key_bits} bits")
    if (encryption == Encr.AES_GCM_16) != (integrity == NONE):
        raise ValueError("AES-GCM goes without an integrity algorithm, AES-CBC with one")


class IkeProposal(Record, frozen=True):
    """Algorithms of an IKE SA by their transform numbers, the key length in bits."""

    encryption: int = Encr.AES_GCM_16
    key_bits: int = 128
    integrity: int = NONE
    prf: int = PRF_SHA2_256
    group: int = CURVE25519

    def __post_init__(self) -> None:
        _check_cipher(self.encryption, self.key_bits, self.integrity)
        if self.integrity != NONE and self.integrity not in INTEGRITY:
            raise ValueError(f"unsupported integrity algorithm {self.integrity}")
        if self.prf not in PRFS or self.group not in GROUPS:
            raise ValueError(f"unsupported: PRF {self.prf}, group {self.group}")

    @property
    def function(self) -> Prf:
        """The pseudo-random function."""
        return PRFS[self.prf]

    @property
    def digest(self) -> IntegrityAlgorithm | None:
        """The integrity algorithm, None beside an AEAD cipher."""
        return INTEGRITY.get(self.integrity)

    @property
    def is_aead(self) -> bool:
        """Whether the cipher protects integrity too."""
        return self.encryption == Encr.AES_GCM_16

    @property
    def wireshark_names(self) -> tuple[str, str]:
        """Encryption and integrity as Wireshark's ikev2_decryption_table spells them."""
        if self.is_aead:
            return f"AES-GCM-{self.key_bits} with 16 octet ICV [RFC5282]", "NONE [RFC4306]"
        return f"AES-CBC-{self.key_bits} [RFC3602]", _WIRESHARK_INTEGRITY[self.integrity]


_WIRESHARK_INTEGRITY = {
    2: "HMAC_SHA1_96 [RFC2404]",
    7: "HMAC_SHA1_160 [RFC4595]",
    HMAC_SHA2_256: "HMAC_SHA2_256_128 [RFC4868]",
    HMAC_SHA2_384: "HMAC_SHA2_384_192 [RFC4868]",
    HMAC_SHA2_512: "HMAC_SHA2_512_256 [RFC4868]",
}


class EspProposal(Record, frozen=True):
    """Algorithms of an ESP SA by their transform numbers, the key length in bits."""

    encryption: int = Encr.AES_GCM_16
    key_bits: int = 128
    integrity: int = NONE

    def __post_init__(self) -> None:
        _check_cipher(self.encryption, self.key_bits, self.integrity)
        if self.integrity not in ESP_INTEGRITY:
            raise ValueError(f"unsupported integrity algorithm {self.integrity}")

    @property
    def cipher(self) -> Encryption:
        """The cipher as the kernel takes it."""
        return _ESP_CIPHERS[Encr(self.encryption)]

    @property
    def digest(self) -> Integrity:
        """The integrity algorithm as the kernel takes it."""
        return ESP_INTEGRITY[self.integrity]


IKE_PROPOSALS = tuple(
    IkeProposal(*algorithms, group)
    for group in (CURVE25519, ECP256, MODP2048)
    for algorithms in (
        (Encr.AES_GCM_16, 128, NONE, PRF_SHA2_256),
        (Encr.AES_GCM_16, 256, NONE, PRF_SHA2_384),
        (Encr.AES_CBC, 128, HMAC_SHA2_256, PRF_SHA2_256),
        (Encr.AES_CBC, 256, HMAC_SHA2_512, PRF_SHA2_512),
    )
)
ESP_PROPOSALS = (
    EspProposal(Encr.AES_GCM_16, 128),
    EspProposal(Encr.AES_GCM_16, 256),
    EspProposal(Encr.AES_CBC, 128, HMAC_SHA2_256),
    EspProposal(Encr.AES_CBC, 256, HMAC_SHA2_512),
)

TIMING = Timing(initial=1.0, maximum=8.0, count=5)
"""Retransmissions where little is lost with the IKE SA: of IKE_SA_INIT, and of its deletion.

The last wait ends after about 23 s, for a peer that has never answered may be dead.
"""

TIMING_AUTH = Timing(initial=1.0, maximum=8.0)
"""Those of IKE_AUTH: as long as the negotiation may last, for the peer has answered IKE_SA_INIT."""

TIMING_UP = Timing(initial=1.0, maximum=30.0, count=12)
"""Those of other requests over an IKE SA that is up (section 2.4): a dozen in some four minutes."""

TIMING_SUSPECTED = Timing(initial=0.25, count=5)
"""Those of a request to a peer that is said to have forgotten the IKE SA (section 2.21.4).

Anybody may say so, hence a live peer must have time to answer: five transmissions, doubling from
a quarter of a second, which is more than a round trip takes, end after some 8 s. Where a tenth of
all datagrams is lost in either direction, one such test in 4,000 finds a live peer dead.
"""


class Grant(Record, frozen=True):
    """The home address that an authenticated peer may have SAs for, and its home prefix."""

    home_address: IPv6Address
    prefix_length: int = 64
    prefix_lifetime: int = 0xFFFFFFFF
    """In seconds; all ones: for ever."""


Allocate: TypeAlias = Callable[[str, IPv6Address | None], Grant | None]
"""Given an authenticated identity and the address it asks for, return what it may have."""


class Credentials(Record, frozen=True):
    """A host's certificates: its own with the key and those between it and the CA; whom it trusts.

    `clock` tells the time of day for the validity of peers' certificates. With `revocations` they
    have to be known as not withdrawn.
    """

    trusted: tuple[x509.Certificate, ...] = ()
    certificate: x509.Certificate | None = None
    key: Secret[PrivateKey | None] = None
    intermediates: tuple[x509.Certificate, ...] = ()
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    revocations: Revocations | None = None

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("a certificate needs its private key, and the key its certificate")
        if self.key is not None and not isinstance(
            self.key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
        ):
            raise ValueError("only EC and RSA keys are supported")


class Config(Record, frozen=True):
    """Settings of an `Ikev2`; lists are in order of preference, times in seconds.

    `identity` is an NAI, a domain name, an address, or a distinguished name as RFC 4514 writes it;
    without it the local address is sent. The first proposal's group is the one whose public value
    the initiator sends; a responder that wants another one costs a round trip. With `pfs`, a group
    number, every CREATE_CHILD_SA exchanges keys in that group and a responder insists on one;
    without, a responder takes what the initiator wants.
    """

    identity: str | None = None
    proposals: tuple[IkeProposal, ...] = IKE_PROPOSALS
    esp_proposals: tuple[EspProposal, ...] = ESP_PROPOSALS
    pfs: int | None = None
    accept_eap: bool = False
    """Whether a responder authenticates peers by EAP, for which it needs a certificate."""

    asks_keys: bool = False
    """Whether a responder's owner is asked for a pre-shared key for every IKE SA (`KeyWanted`)."""

    accept_certificates: bool = True
    """Whether a responder authenticates peers by certificates."""

    ike_lifetime: float = 14400.0
    esp_lifetime: float = 3600.0
    rekey_at: float = 0.85
    """The part of a lifetime after which the initiator of an SA replaces it."""

    liveness_interval: float | None = None
    """The silence after which the peer is asked whether it lives (section 2.4)."""

    timing: Timing = TIMING
    timing_auth: Timing = TIMING_AUTH
    timing_up: Timing = TIMING_UP
    timing_suspected: Timing = TIMING_SUSPECTED
    negotiation_timeout: float = 120.0
    """The longest that IKE_SA_INIT and IKE_AUTH together may take on either side."""

    cookie_threshold: int = 32
    """Half-open IKE SAs above which a responder demands cookies (section 2.6).

    It does so too of an address that has one: nobody fills another's share from afar.
    """

    half_open_limit: int = 512
    """Half-open IKE SAs that a responder has at once, those in EAP and lately failed included.

    It lies well below the conversations that an AAA server has at once.
    """

    half_open_limit_per_peer: int = 8
    half_open_limit_per_link: int = 64
    """Those of one address, which is refused more, and of one /64, where others give way."""

    sas_per_peer: int = 4
    """IKE SAs of one identity: of the addresses that it has just moved from, and to."""

    children_limit: int = 4
    """CHILD SAs that one IKE SA may have, besides those that replace others."""

    initial_contact: bool = True
    port: int = PORT

    def __post_init__(self) -> None:
        if not self.proposals or not self.esp_proposals:
            raise ValueError("at least one proposal of each kind is needed")
        if self.pfs is not None and self.pfs not in GROUPS:
            raise ValueError(f"unsupported Diffie-Hellman group {self.pfs}")
        if self.ike_lifetime < 1 or self.esp_lifetime < 1 or not 0 < self.rekey_at <= 1:
            raise ValueError("lifetimes are at least 1 s, rekey_at lies in 0..1")
