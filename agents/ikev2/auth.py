"""What AUTH covers and how it is made and checked (RFC 7296 sections 2.15 and 2.16)."""

from __future__ import annotations

import hmac
from ipaddress import IPv6Address

from agents.core.machine import PeerError
from agents.crypto.certificates import Certificate
from agents.ike.identities import Identity
from agents.ike.psk import PskEntry
from agents.ikev2.certificates import decode_certificates, identity_of, named, refused, verify_chain
from agents.ikev2.config import Config, Credentials
from agents.ikev2.constants import AuthMethod, NotifyType, PayloadType
from agents.ikev2.grammar import Contents
from agents.ikev2.keys import IkeKeys, shared_key_auth
from agents.ikev2.payloads import Authentication
from agents.ikev2.sa import Transcript
from agents.ikev2.signatures import verify
from agents.ikev2.wire import Payload


def octets_i(keys: IkeKeys, transcript: Transcript, identity: bytes) -> bytes:
    """Return what the initiator's AUTH covers; `identity` is the body of IDi."""
    return transcript.messages[0] + transcript.nonces[1] + keys.prf(keys.pi, identity)


def octets_r(keys: IkeKeys, transcript: Transcript, identity: bytes) -> bytes:
    """Return what the responder's AUTH covers; `identity` is the body of IDr."""
    return transcript.messages[1] + transcript.nonces[0] + keys.prf(keys.pr, identity)


def auth_payload(auth: Authentication) -> Payload:
    """Return an AUTH payload."""
    return Payload(PayloadType.AUTH, auth.encode())


def local_identity(config: Config, local: IPv6Address) -> Identity:
    """Return the identity that the configuration gives, by default the local address."""
    name = config.identity
    return identity_of(name) if name else Identity.of_address(local)


def check_nonce(nonce: bytes) -> bytes:
    """Return a nonce of a legal length (section 2.10); raises PeerError."""
    if not 16 <= len(nonce) <= 256:
        raise PeerError(f"a nonce of {len(nonce)} octets", NotifyType.INVALID_SYNTAX)
    return nonce


def shared_key(keys: IkeKeys, secret: bytes, octets: bytes) -> Authentication:
    """Return AUTH by a pre-shared key or the MSK."""
    return Authentication(AuthMethod.SHARED_KEY, shared_key_auth(keys.prf, secret, octets))


def _proves(keys: IkeKeys, secret: bytes, auth: Authentication, octets: bytes) -> bool:
    return hmac.compare_digest(auth.data, shared_key_auth(keys.prf, secret, octets))


def check_psk(keys: IkeKeys, entry: PskEntry, auth: Authentication, octets: bytes) -> None:
    """Raise PeerError unless AUTH is made with this pre-shared key."""
    if auth.method != AuthMethod.SHARED_KEY:
        raise refused(f"authentication method {auth.method} instead of a pre-shared key")
    if not _proves(keys, entry.key, auth, octets):
        raise refused("AUTH is wrong; the pre-shared keys probably differ")


def check_certificate(
    credentials: Credentials,
    identity: Identity,
    auth: Authentication,
    octets: bytes,
    contents: Contents,
) -> tuple[str, Certificate]:
    """Return the peer's name and certificate; raises PeerError unless all bears out `identity`.

    That is: a trusted CA, AUTH, and a name in the certificate (RFC 4877 section 7.3).
    """
    chain = decode_certificates(contents.all(PayloadType.CERT))
    certificate = verify_chain(credentials, chain)
    verify(certificate, auth, octets)
    name = named(certificate, identity)
    if name is None:
        raise refused(f"the peer's certificate does not name {identity.text}")
    return name, certificate


def check_msk(keys: IkeKeys, msk: bytes, auth: Authentication, octets: bytes) -> None:
    """Raise PeerError unless AUTH is made with the key that EAP has yielded."""
    if auth.method != AuthMethod.SHARED_KEY or not _proves(keys, msk, auth, octets):
        raise refused("AUTH by the MSK is wrong")
