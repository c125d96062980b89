"""Diffie-Hellman groups by their IKE numbers (RFC 3526, RFC 5903, RFC 8031)."""

from __future__ import annotations

import random
import warnings
from typing import Protocol

# The library would import this when it makes the first key.
from cryptography.hazmat.backends.openssl import backend as _backend  # noqa: F401
from cryptography.hazmat.primitives.asymmetric import dh, ec, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.utils import CryptographyDeprecationWarning

from agents.core.machine import PeerError
from agents.core.record import Record

MODP2048 = 14
ECP256 = 19
CURVE25519 = 31

_MODP2048_PRIME = int(
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74"
    "020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F1437"
    "4FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED"
    "EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF05"
    "98DA48361C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F356208552BB"
    "9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B"
    "E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF695581718"
    "3995497CEA956AE515D2261898FA051015728E5A8AACAA68FFFFFFFFFFFFFFFF",
    16,
)


_ECP256_ORDER = 0xFFFFFFFF_00000000_FFFFFFFF_FFFFFFFF_BCE6FAAD_A7179E84_F3B9CAC2_FC632551


class KeyPair(Protocol):
    """An ephemeral private key and its public value as the KE payload carries it."""

    public: bytes

    def shared(self, peer: bytes) -> bytes:
        """Return the shared secret, padded on the left to the group's length.

        Raises PeerError if `peer` is not a public value of the group.
        """


class Group(Protocol):
    """A Diffie-Hellman group."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def length(self) -> int:
        """The length of the shared secret in octets."""

    def generate(self, rng: random.Random) -> KeyPair:
        """Return a fresh key pair."""


with warnings.catch_warnings():
    # The library advises against finite fields; modp2048 is what IKEv1 daemons have in common.
    warnings.simplefilter("ignore", CryptographyDeprecationWarning)
    _ModpNumbers, _ModpPublicNumbers = dh.DHParameterNumbers, dh.DHPublicNumbers
    _ModpPrivateNumbers = dh.DHPrivateNumbers

_GENERATOR = 2
_EXPONENT = 225
"""Bits of private values modulo 2048-bit safe primes (RFC 7919 appendix A.1), the first one set."""


class _ModpKeyPair:
    def __init__(self, group: ModpGroup, rng: random.Random) -> None:
        self._group = group
        # The library computes no public value from a private one, but what it shares with another:
        # with the generator's own, that is the public value.
        private = 1 << _EXPONENT - 1 | rng.getrandbits(_EXPONENT - 1)
        self._private = _ModpPrivateNumbers(private, group.base).private_key()
        self.public = self.shared(_GENERATOR.to_bytes(group.length))

    def shared(self, peer: bytes) -> bytes:
        if len(peer) != self._group.length:
            raise PeerError(f"a public value of {len(peer)} octets in {self._group.name}")
        value = int.from_bytes(peer)
        # The prime is a safe prime: outside 2..p-2 lie all subgroups that are small.
        if not 2 <= value <= self._group.prime - 2:
            raise PeerError(f"a public value outside 2..p-2 of {self._group.name}")
        try:
            key = _ModpPublicNumbers(value, self._group.base.parameter_numbers).public_key()
            return self._private.exchange(key).rjust(self._group.length, b"\0")
        except ValueError as error:
            raise PeerError(f"an unusable public value of {self._group.name}") from error


class ModpGroup:
    """A group modulo a safe prime with generator 2 (RFC 3526).

    `length` is that of public values and shared secrets in octets.
    """

    def __init__(self, name: str, prime: int) -> None:
        self.name = name
        self.prime = prime
        self.length = (prime.bit_length() + 7) // 8
        self.base = _ModpPublicNumbers(_GENERATOR, _ModpNumbers(prime, _GENERATOR))

    def generate(self, rng: random.Random) -> KeyPair:
        """Return a fresh key pair."""
        return _ModpKeyPair(self, rng)


class _EcpKeyPair:
    def __init__(self, group: EcpGroup, rng: random.Random) -> None:
        self._group = group
        self._private = ec.derive_private_key(rng.randrange(1, group.order), group.curve)
        point = self._private.public_key().public_bytes(
            Encoding.X962, PublicFormat.UncompressedPoint
        )
        self.public = point[1:]

    def shared(self, peer: bytes) -> bytes:
        if len(peer) != 2 * self._group.length:
            raise PeerError(f"a public value of {len(peer)} octets in {self._group.name}")
        try:
            key = ec.EllipticCurvePublicKey.from_encoded_point(self._group.curve, b"\x04" + peer)
        except ValueError as error:
            raise PeerError(f"a public value that is no point of {self._group.name}") from error
        return self._private.exchange(ec.ECDH(), key)


class EcpGroup(Record, frozen=True):
    """An elliptic curve modulo a prime; values are x | y, the secret is x (RFC 5903)."""

    name: str
    curve: ec.EllipticCurve
    order: int

    @property
    def length(self) -> int:
        """The length of one coordinate and of the shared secret in octets."""
        return (self.curve.key_size + 7) // 8

    def generate(self, rng: random.Random) -> KeyPair:
        """Return a fresh key pair."""
        return _EcpKeyPair(self, rng)


class _Curve25519KeyPair:
    def __init__(self, group: Curve25519, rng: random.Random) -> None:
        self._group = group
        self._private = x25519.X25519PrivateKey.from_private_bytes(rng.randbytes(group.length))
        self.public = self._private.public_key().public_bytes_raw()

    def shared(self, peer: bytes) -> bytes:
        if len(peer) != self._group.length:
            raise PeerError(f"a public value of {len(peer)} octets in {self._group.name}")
        try:
            return self._private.exchange(x25519.X25519PublicKey.from_public_bytes(peer))
        except ValueError as error:  # The secret is all zeros (RFC 8031 section 2.3).
            raise PeerError(f"a public value of low order in {self._group.name}") from error


class Curve25519(Record, frozen=True):
    """X25519; values and secrets are strings of octets as RFC 7748 has them (RFC 8031)."""

    name: str = "curve25519"

    @property
    def length(self) -> int:
        """The length of public values and of the shared secret in octets."""
        return 32

    def generate(self, rng: random.Random) -> KeyPair:
        """Return a fresh key pair."""
        return _Curve25519KeyPair(self, rng)


GROUPS: dict[int, Group] = {
    MODP2048: ModpGroup("modp2048", _MODP2048_PRIME),
    ECP256: EcpGroup("ecp256", ec.SECP256R1(), _ECP256_ORDER),
    CURVE25519: Curve25519(),
}
"""The groups that are supported, by the number that IKEv1 and IKEv2 share (31: IKEv2 alone)."""


def generate(group: int, rng: random.Random) -> KeyPair:
    """Return a fresh key pair of group number `group`; raises KeyError if it is not supported.

    `rng` is what a host draws from: the system's randomness, or a simulation's.
    """
    return GROUPS[group].generate(rng)


class KeyPairs:
    """Fresh key pairs, one of which may have been made ahead of need.

    Each is given out once: none is used twice (RFC 7296 section 2.12).
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._ready: dict[int, KeyPair] = {}

    def prepare(self, group: int) -> None:
        """Have the next key pair of a group ready."""
        if group not in self._ready:
            self._ready[group] = generate(group, self._rng)

    def take(self, group: int) -> KeyPair:
        """Return a key pair that nobody has; raises KeyError if the group is not supported."""
        return self._ready.pop(group, None) or generate(group, self._rng)
