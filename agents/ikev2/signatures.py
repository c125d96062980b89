"""Signatures in AUTH payloads (RFC 7296 section 2.15, RFC 4754, RFC 7427)."""

from __future__ import annotations

from typing import TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from agents.core.reader import Reader, WireError
from agents.crypto.certificates import Certificate
from agents.ikev2.certificates import refused
from agents.ikev2.config import PrivateKey
from agents.ikev2.constants import AuthMethod, NotifyType
from agents.ikev2.payloads import Authentication, Notification

Hash: TypeAlias = hashes.SHA256 | hashes.SHA384 | hashes.SHA512

HASHES: dict[int, Hash] = {2: hashes.SHA256(), 3: hashes.SHA384(), 4: hashes.SHA512()}
"""Hash algorithms by the numbers of RFC 7427 section 7; SHA-1 is not used there (RFC 8247)."""

_RSA = bytes.fromhex("300d06092a864886f70d0101")
_ECDSA = bytes.fromhex("300a06082a8648ce3d0403")
_HASH_OID = bytes.fromhex("06096086480165030402")


def _pss_identifier(number: int, salt: int) -> bytes:
    """Return the AlgorithmIdentifier of RSASSA-PSS with one hash throughout (RFC 7427, A.4.3)."""
    digest = b"\x30\x0d" + _HASH_OID + bytes([number - 1]) + b"\x05\0"
    generator = b"\x30\x1a" + bytes.fromhex("06092a864886f70d010108") + digest
    parameters = (
        b"\xa0\x0f" + digest + b"\xa1\x1c" + generator + b"\xa2\x03\x02\x01" + bytes([salt])
    )
    oid = bytes.fromhex("06092a864886f70d01010a")
    body = oid + bytes((0x30, len(parameters))) + parameters
    return bytes((0x30, len(body))) + body


PKCS1: dict[bytes, Hash] = {_RSA + bytes([9 + n]) + b"\x05\0": h for n, h in HASHES.items()}
PSS: dict[bytes, Hash] = {_pss_identifier(n, h.digest_size): h for n, h in HASHES.items()}
ECDSA: dict[bytes, Hash] = {_ECDSA + bytes([n]): h for n, h in HASHES.items()}
"""AlgorithmIdentifiers in DER and their hash algorithms."""

CURVES = {
    AuthMethod.ECDSA_256: (ec.SECP256R1, hashes.SHA256(), 32),
    AuthMethod.ECDSA_384: (ec.SECP384R1, hashes.SHA384(), 48),
    AuthMethod.ECDSA_521: (ec.SECP521R1, hashes.SHA512(), 66),
}
"""Curve, hash, and octets of r and of s (RFC 4754)."""

_CURVE_HASH = {"secp256r1": 2, "secp384r1": 3, "secp521r1": 4}
_CURVE_METHOD = {
    "secp256r1": AuthMethod.ECDSA_256,
    "secp384r1": AuthMethod.ECDSA_384,
    "secp521r1": AuthMethod.ECDSA_521,
}


_CLASSIC_RSA_HASH = hashes.SHA1()  # noqa: S303
"""What section 3.8 of RFC 7296 wants by default, and all that some daemons take."""


def announcement() -> Notification:
    """Return SIGNATURE_HASH_ALGORITHMS (RFC 7427 section 4)."""
    data = b"".join(n.to_bytes(2) for n in HASHES)
    return Notification(NotifyType.SIGNATURE_HASH_ALGORITHMS, data)


def announced(notification: Notification | None) -> frozenset[int]:
    """Return the hash algorithms that the peer takes; none if it does not know RFC 7427."""
    if notification is None:
        return frozenset()
    r, found = Reader(notification.data), set()
    while r.remaining:
        found.add(r.u16())
    return frozenset(found & set(HASHES))


def sign(key: PrivateKey, octets: bytes, peer_hashes: frozenset[int]) -> Authentication:
    """Return AUTH: a digital signature if the peer knows RFC 7427, else the key's classic one."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        number = _CURVE_HASH.get(key.curve.name, 2)
        if number in peer_hashes:
            identifier = _ECDSA + bytes([number])
            return _digital(identifier, key.sign(octets, ec.ECDSA(HASHES[number])))
        method = _CURVE_METHOD.get(key.curve.name, AuthMethod.ECDSA_256)
        _, digest, size = CURVES[method]
        r, s = decode_dss_signature(key.sign(octets, ec.ECDSA(digest)))
        return Authentication(method, r.to_bytes(size) + s.to_bytes(size))
    if peer_hashes:
        number = min(peer_hashes)
        digest = HASHES[number]
        identifier = _pss_identifier(number, digest.digest_size)
        return _digital(identifier, key.sign(octets, _pss(digest), digest))
    signature = key.sign(octets, padding.PKCS1v15(), _CLASSIC_RSA_HASH)
    return Authentication(AuthMethod.RSA, signature)


def _pss(digest: Hash) -> padding.PSS:
    return padding.PSS(padding.MGF1(digest), digest.digest_size)


def _digital(identifier: bytes, signature: bytes) -> Authentication:
    data = bytes([len(identifier)]) + identifier + signature
    return Authentication(AuthMethod.DIGITAL_SIGNATURE, data)


def verify(certificate: Certificate, auth: Authentication, octets: bytes) -> None:
    """Raise PeerError unless AUTH is the signature of `octets` by the certificate's key."""
    key = certificate.key
    try:
        if isinstance(key, rsa.RSAPublicKey):
            _verify_rsa(key, auth, octets)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            _verify_ecdsa(key, auth, octets)
        else:
            raise refused("the certificate's key is neither RSA nor EC")
    except (InvalidSignature, UnsupportedAlgorithm, ValueError) as error:
        raise refused("the signature in AUTH is wrong") from error


def _split(auth: Authentication) -> tuple[bytes, bytes]:
    r = Reader(auth.data)
    try:
        return r.take(r.u8()), r.rest()
    except WireError as error:
        raise refused(f"the digital signature in AUTH: {error}") from error


def _verify_rsa(key: rsa.RSAPublicKey, auth: Authentication, octets: bytes) -> None:
    if auth.method == AuthMethod.RSA:
        key.verify(auth.data, octets, padding.PKCS1v15(), _CLASSIC_RSA_HASH)
        return
    if auth.method != AuthMethod.DIGITAL_SIGNATURE:
        raise refused(f"authentication method {auth.method} with an RSA key")
    identifier, signature = _split(auth)
    if identifier in PSS:
        key.verify(signature, octets, _pss(PSS[identifier]), PSS[identifier])
    elif identifier in PKCS1:
        key.verify(signature, octets, padding.PKCS1v15(), PKCS1[identifier])
    else:
        raise refused("an unknown signature algorithm in AUTH")


def _verify_ecdsa(key: ec.EllipticCurvePublicKey, auth: Authentication, octets: bytes) -> None:
    if auth.method == AuthMethod.DIGITAL_SIGNATURE:
        identifier, signature = _split(auth)
        if identifier not in ECDSA:
            raise refused("an unknown signature algorithm in AUTH")
        key.verify(signature, octets, ec.ECDSA(ECDSA[identifier]))
        return
    try:
        curve, digest, size = CURVES[AuthMethod(auth.method)]
    except (KeyError, ValueError):
        raise refused(f"authentication method {auth.method} with an EC key") from None
    if not isinstance(key.curve, curve) or len(auth.data) != 2 * size:
        raise refused("an ECDSA signature that does not fit the key's curve")
    r, s = int.from_bytes(auth.data[:size]), int.from_bytes(auth.data[size:])
    key.verify(encode_dss_signature(r, s), octets, ec.ECDSA(digest))
