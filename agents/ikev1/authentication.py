"""Keys and proofs with a pre-shared key, in either mode of phase 1 (RFC 2409 section 5.4)."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from ipaddress import IPv6Address

from agents.core.machine import PeerError
from agents.core.reader import WireError
from agents.crypto import dh
from agents.ike.constants import Role
from agents.ike.identities import Identity
from agents.ike.psk import PskEntry
from agents.ikev1 import grammar
from agents.ikev1.constants import VENDOR_DPD, NotifyType, PayloadType, ProtocolId
from agents.ikev1.keys import Keys, Transcript, decrypt
from agents.ikev1.negotiation import (
    Established,
    Keyed,
    Negotiation,
)
from agents.ikev1.proposals import IkeChoice
from agents.ikev1.wire import (
    Message,
    Notification,
    Payload,
    decode_padded,
    decode_plain,
)

NONCE_LENGTH = 32
_DIFFERENT_KEYS = "the pre-shared keys probably differ"


def vendor() -> Payload:
    """Return the vendor id of dead peer detection."""
    return Payload(PayloadType.VENDOR, VENDOR_DPD)


def initial_contact(n: Negotiation) -> list[Payload]:
    """Return the notification that the local host has no other SAs with the peer, if so."""
    if not n.initial_contact:
        return []
    spi = n.initiator_cookie + n.responder_cookie
    notification = Notification(ProtocolId.ISAKMP, NotifyType.INITIAL_CONTACT, spi)
    return [Payload(PayloadType.NOTIFY, notification.encode())]


def _says_initial_contact(payloads: Sequence[Payload]) -> bool:
    bodies = grammar.find_all(payloads, PayloadType.NOTIFY)
    return any(Notification.decode(b).type == NotifyType.INITIAL_CONTACT for b in bodies)


def nonce_of(payloads: Sequence[Payload]) -> bytes:
    """Return the nonce among the payloads."""
    nonce = grammar.find(payloads, PayloadType.NONCE)
    if not 8 <= len(nonce) <= 256:
        raise PeerError(f"a nonce of {len(nonce)} octets", NotifyType.PAYLOAD_MALFORMED)
    return nonce


def agree(key_pair: dh.KeyPair, public: bytes) -> bytes:
    """Return g^xy; an impossible public value is fatal for the negotiation."""
    try:
        return key_pair.shared(public)
    except PeerError as error:
        raise PeerError(str(error), NotifyType.INVALID_KEY_INFORMATION) from error


def authenticate(expected: bytes, payloads: Sequence[Payload], number: int) -> None:
    """Raise PeerError unless the peer has proved with its hash that it has the key."""
    if not hmac.compare_digest(expected, grammar.find(payloads, PayloadType.HASH)):
        raise PeerError(
            f"the hash of message {number} is wrong; {_DIFFERENT_KEYS}",
            NotifyType.AUTHENTICATION_FAILED,
        )


def derive(
    entry: PskEntry | None,
    choice: IkeChoice,
    nonces: tuple[bytes, bytes],
    shared: bytes,
    t: Transcript,
) -> Keys:
    """Return the keys that the pre-shared key, both nonces and g^xy give."""
    if entry is None:
        raise ValueError("the peer's key is not known yet")
    proposal = choice.proposal
    return Keys.derive(
        proposal.prf,
        entry.key,
        nonces,
        shared=shared,
        transcript=t,
        key_length=proposal.key_bits // 8,
    )


def no_psk(whose: object) -> PeerError:
    """Return the error of a peer that shares no key with the local host."""
    return PeerError(f"no pre-shared key for {whose}", NotifyType.AUTHENTICATION_FAILED)


def check_identity(entry: PskEntry, peer: IPv6Address, body: bytes) -> None:
    """Raise PeerError unless the key's holder may claim the identity in an ID payload."""
    claimed = Identity.decode(body)
    if not entry.belongs_to(claimed, peer):
        raise PeerError(
            f"the identity {claimed.text} does not belong to the pre-shared key",
            NotifyType.INVALID_ID_INFORMATION,
        )


def establish(
    n: Negotiation, state: Keyed, iv: bytes, claimed: bytes, payloads: Sequence[Payload]
) -> None:
    """The peer is authenticated: the ISAKMP SA is up."""
    n.state = Established(
        state.keys,
        iv,
        state.choice.lifetime,
        Identity.decode(claimed).text,
        n.role is Role.RESPONDER and _says_initial_contact(payloads),
    )


def open_message(state: Keyed, message: Message, number: int) -> tuple[Sequence[Payload], bytes]:
    """Return the payloads of a message that has been screened, and the next IV."""
    header, body, _ = message
    if not header.encrypted:
        return decode_plain(header.next_payload, body), state.iv
    data, iv = decrypt(state.keys.encryption, state.iv, body)
    try:
        payloads, _ = decode_padded(header.next_payload, data)
    except WireError as error:
        raise PeerError(
            f"a message could not be decrypted; {_DIFFERENT_KEYS}",
            NotifyType.AUTHENTICATION_FAILED,
        ) from error
    try:
        grammar.check(header.exchange, number, payloads, encrypted=True)
    except PeerError as error:
        # What was decrypted with a wrong key may look like payloads by chance.
        raise PeerError(f"{error}; {_DIFFERENT_KEYS}", NotifyType.AUTHENTICATION_FAILED) from error
    return payloads, iv
