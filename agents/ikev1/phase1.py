"""Main mode and aggressive mode with a pre-shared key, step by step (RFC 2409 section 5.4)."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from ipaddress import IPv6Address
from typing import TypeAlias

from agents.crypto import dh
from agents.ikev1 import grammar
from agents.ikev1.constants import (
    VENDOR_DPD,
    Exchange,
    Mode,
    NotifyType,
    PayloadType,
    ProtocolId,
    Role,
)
from agents.ikev1.keys import Keys, Transcript, decrypt
from agents.ikev1.negotiation import (
    AggressiveSent,
    Answered,
    Established,
    Keyed,
    KeySent,
    Negotiation,
    Proposed,
    encode_plain,
    encode_sealed,
    local_identity,
)
from agents.ikev1.proposals import IkeChoice, accept_ike, choose_ike, offer_ike
from agents.ikev1.wire import (
    NO_COOKIE,
    Header,
    Identification,
    Notification,
    Payload,
    SecurityAssociation,
    decode_padded,
    decode_plain,
)
from agents.machine import PeerError
from agents.psk import PskEntry, PskStore
from agents.wire import WireError

NONCE_LENGTH = 32
_DIFFERENT_KEYS = "the pre-shared keys probably differ"


def _vendor() -> Payload:
    return Payload(PayloadType.VENDOR, VENDOR_DPD)


def _initial_contact(n: Negotiation) -> list[Payload]:
    if not n.initial_contact:
        return []
    spi = n.initiator_cookie + n.responder_cookie
    notification = Notification(ProtocolId.ISAKMP, NotifyType.INITIAL_CONTACT, spi)
    return [Payload(PayloadType.NOTIFY, notification.encode())]


def _says_initial_contact(payloads: Sequence[Payload]) -> bool:
    bodies = grammar.find_all(payloads, PayloadType.NOTIFY)
    return any(Notification.decode(b).type == NotifyType.INITIAL_CONTACT for b in bodies)


def _nonce(payloads: Sequence[Payload]) -> bytes:
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


def _authenticate(expected: bytes, payloads: Sequence[Payload], number: int) -> None:
    if not hmac.compare_digest(expected, grammar.find(payloads, PayloadType.HASH)):
        raise PeerError(
            f"the hash of message {number} is wrong; {_DIFFERENT_KEYS}",
            NotifyType.AUTHENTICATION_FAILED,
        )


def _derive(
    n: Negotiation, choice: IkeChoice, nonces: tuple[bytes, bytes], shared: bytes, t: Transcript
) -> Keys:
    proposal = choice.proposal
    return Keys.derive(
        proposal.prf,
        n.entry.key,
        nonces,
        shared=shared,
        transcript=t,
        key_length=proposal.key_bits // 8,
    )


def start(n: Negotiation) -> bytes:
    """Return the first message of the initiator."""
    offer = offer_ike(n.config)
    first = [Payload(PayloadType.SA, offer.encode())]
    if n.mode is Mode.MAIN:
        n.state = Proposed(offer)
        return encode_plain(n, [*first, _vendor()])
    key_pair = dh.generate(n.config.proposals[0].group)
    nonce, identity = n.rng.randbytes(NONCE_LENGTH), local_identity(n).encode()
    n.state = AggressiveSent(offer, identity, key_pair, nonce)
    return encode_plain(
        n,
        [
            *first,
            Payload(PayloadType.KE, key_pair.public),
            Payload(PayloadType.NONCE, nonce),
            Payload(PayloadType.ID, identity),
            _vendor(),
        ],
    )


def find_psk(
    store: PskStore, exchange: int, payloads: Sequence[Payload], source: IPv6Address
) -> PskEntry:
    """Return the key for a first message: by address, in aggressive mode by identity too."""
    if exchange == Exchange.MAIN:
        entry, whose = store.by_address(source), str(source)
    else:
        claimed = Identification.decode(grammar.find(payloads, PayloadType.ID))
        entry, whose = store.by_identity(claimed, source), claimed.text
    if entry is None:
        raise PeerError(f"no pre-shared key for {whose}", NotifyType.AUTHENTICATION_FAILED)
    return entry


def answer_main(n: Negotiation, payloads: Sequence[Payload]) -> bytes:
    """Take main mode message 1 and return message 2."""
    offer = grammar.find(payloads, PayloadType.SA)
    choice, answer = choose_ike(SecurityAssociation.decode(offer), n.config)
    n.state = Answered(choice, offer)
    return encode_plain(n, [Payload(PayloadType.SA, answer.encode()), _vendor()])


def _check_identity(n: Negotiation, body: bytes) -> None:
    claimed = Identification.decode(body)
    if not n.entry.belongs_to(claimed, n.peer):
        raise PeerError(
            f"the identity {claimed.text} does not belong to the pre-shared key",
            NotifyType.INVALID_ID_INFORMATION,
        )


def answer_aggressive(n: Negotiation, payloads: Sequence[Payload]) -> bytes:
    """Take aggressive mode message 1 and return message 2."""
    offer = grammar.find(payloads, PayloadType.SA)
    choice, answer = choose_ike(SecurityAssociation.decode(offer), n.config)
    identity_i = grammar.find(payloads, PayloadType.ID)
    _check_identity(n, identity_i)
    key_pair = dh.generate(choice.proposal.group)
    public_i, nonce_i = grammar.find(payloads, PayloadType.KE), _nonce(payloads)
    shared, nonce = agree(key_pair, public_i), n.rng.randbytes(NONCE_LENGTH)
    transcript = Transcript(
        n.initiator_cookie, n.responder_cookie, public_i, key_pair.public, offer
    )
    keys = _derive(n, choice, (nonce_i, nonce), shared, transcript)
    identity = local_identity(n).encode()
    n.state = Keyed(choice, transcript, keys, keys.phase1_iv(transcript), identity_i)
    return encode_plain(
        n,
        [
            Payload(PayloadType.SA, answer.encode()),
            Payload(PayloadType.KE, key_pair.public),
            Payload(PayloadType.NONCE, nonce),
            Payload(PayloadType.ID, identity),
            Payload(PayloadType.HASH, keys.hash_r(transcript, identity)),
            _vendor(),
        ],
    )


def _main_2(n: Negotiation, state: Proposed, payloads: Sequence[Payload]) -> bytes:
    answer = SecurityAssociation.decode(grammar.find(payloads, PayloadType.SA))
    choice = accept_ike(state.offer, answer)
    key_pair, nonce = dh.generate(choice.proposal.group), n.rng.randbytes(NONCE_LENGTH)
    n.state = KeySent(choice, state.offer.encode(), key_pair, nonce)
    return encode_plain(
        n, [Payload(PayloadType.KE, key_pair.public), Payload(PayloadType.NONCE, nonce)]
    )


def _main_3(n: Negotiation, state: Answered, payloads: Sequence[Payload]) -> bytes:
    key_pair, nonce = dh.generate(state.choice.proposal.group), n.rng.randbytes(NONCE_LENGTH)
    public_i, nonce_i = grammar.find(payloads, PayloadType.KE), _nonce(payloads)
    shared = agree(key_pair, public_i)
    transcript = Transcript(
        n.initiator_cookie, n.responder_cookie, public_i, key_pair.public, state.offer
    )
    keys = _derive(n, state.choice, (nonce_i, nonce), shared, transcript)
    n.state = Keyed(state.choice, transcript, keys, keys.phase1_iv(transcript), b"")
    return encode_plain(
        n, [Payload(PayloadType.KE, key_pair.public), Payload(PayloadType.NONCE, nonce)]
    )


def _main_4(n: Negotiation, state: KeySent, payloads: Sequence[Payload]) -> bytes:
    public_r, nonce_r = grammar.find(payloads, PayloadType.KE), _nonce(payloads)
    shared = agree(state.key_pair, public_r)
    transcript = Transcript(
        n.initiator_cookie, n.responder_cookie, state.key_pair.public, public_r, state.offer
    )
    keys = _derive(n, state.choice, (state.nonce, nonce_r), shared, transcript)
    identity = local_identity(n).encode()
    proof = [
        Payload(PayloadType.ID, identity),
        Payload(PayloadType.HASH, keys.hash_i(transcript, identity)),
    ]
    message, iv = encode_sealed(n, keys, keys.phase1_iv(transcript), proof + _initial_contact(n))
    n.state = Keyed(state.choice, transcript, keys, iv, b"")
    return message


def _main_5(n: Negotiation, state: Keyed, payloads: Sequence[Payload]) -> bytes:
    claimed = grammar.find(payloads, PayloadType.ID)
    _authenticate(state.keys.hash_i(state.transcript, claimed), payloads, 5)
    _check_identity(n, claimed)
    identity = local_identity(n).encode()
    proof = [
        Payload(PayloadType.ID, identity),
        Payload(PayloadType.HASH, state.keys.hash_r(state.transcript, identity)),
    ]
    message, iv = encode_sealed(n, state.keys, state.iv, proof)
    _establish(n, state, iv, claimed, payloads)
    return message


def _main_6(n: Negotiation, state: Keyed, payloads: Sequence[Payload]) -> None:
    claimed = grammar.find(payloads, PayloadType.ID)
    _authenticate(state.keys.hash_r(state.transcript, claimed), payloads, 6)
    _establish(n, state, state.iv, claimed, payloads)


def _aggressive_2(n: Negotiation, state: AggressiveSent, payloads: Sequence[Payload]) -> bytes:
    answer = SecurityAssociation.decode(grammar.find(payloads, PayloadType.SA))
    choice = accept_ike(state.offer, answer)
    public_r, nonce_r = grammar.find(payloads, PayloadType.KE), _nonce(payloads)
    shared = agree(state.key_pair, public_r)
    transcript = Transcript(
        n.initiator_cookie,
        n.responder_cookie,
        state.key_pair.public,
        public_r,
        state.offer.encode(),
    )
    keys = _derive(n, choice, (state.nonce, nonce_r), shared, transcript)
    claimed = grammar.find(payloads, PayloadType.ID)
    _authenticate(keys.hash_r(transcript, claimed), payloads, 2)
    keyed = Keyed(choice, transcript, keys, keys.phase1_iv(transcript), state.identity)
    proof = Payload(PayloadType.HASH, keys.hash_i(transcript, state.identity))
    message, iv = encode_sealed(n, keys, keyed.iv, [proof, *_initial_contact(n)])
    _establish(n, keyed, iv, claimed, payloads)
    return message


def _aggressive_3(n: Negotiation, state: Keyed, payloads: Sequence[Payload]) -> None:
    _authenticate(state.keys.hash_i(state.transcript, state.identity), payloads, 3)
    _establish(n, state, state.iv, state.identity, payloads)


def _establish(
    n: Negotiation, state: Keyed, iv: bytes, claimed: bytes, payloads: Sequence[Payload]
) -> None:
    n.state = Established(
        state.keys,
        iv,
        state.choice.lifetime,
        Identification.decode(claimed).text,
        n.role is Role.RESPONDER and _says_initial_contact(payloads),
    )


_Step: TypeAlias = Callable[..., "bytes | None"]
STEPS: dict[tuple[Mode, Role, type], tuple[int, _Step]] = {
    (Mode.MAIN, Role.INITIATOR, Proposed): (2, _main_2),
    (Mode.MAIN, Role.RESPONDER, Answered): (3, _main_3),
    (Mode.MAIN, Role.INITIATOR, KeySent): (4, _main_4),
    (Mode.MAIN, Role.RESPONDER, Keyed): (5, _main_5),
    (Mode.MAIN, Role.INITIATOR, Keyed): (6, _main_6),
    (Mode.AGGRESSIVE, Role.INITIATOR, AggressiveSent): (2, _aggressive_2),
    (Mode.AGGRESSIVE, Role.RESPONDER, Keyed): (3, _aggressive_3),
}
"""Number and handler of the message that each state waits for."""


def awaited(n: Negotiation) -> int:
    """Return the number of the message that is awaited, 0 if none is."""
    return STEPS.get((n.mode, n.role, type(n.state)), (0, None))[0]


def _open(state: Keyed, header: Header, body: bytes) -> tuple[Sequence[Payload], bytes]:
    data, iv = decrypt(state.keys.encryption, state.iv, body)
    try:
        return decode_padded(header.next_payload, data)[0], iv
    except WireError as error:
        raise PeerError(
            f"a message could not be decrypted; {_DIFFERENT_KEYS}",
            NotifyType.AUTHENTICATION_FAILED,
        ) from error


def advance(n: Negotiation, header: Header, body: bytes) -> bytes | None:
    """Take the awaited message; return the one to send, if any.

    Raises WireError or PeerError and leaves the state as it was.
    """
    number, handler = STEPS[n.mode, n.role, type(n.state)]
    state = n.state
    if header.encrypted and isinstance(state, Keyed):
        payloads, iv = _open(state, header, body)
        state = Keyed(state.choice, state.transcript, state.keys, iv, state.identity)
        try:
            grammar.check(header.exchange, number, payloads, encrypted=True)
        except PeerError as error:
            # What was decrypted with a wrong key may look like payloads by chance.
            raise PeerError(
                f"{error}; {_DIFFERENT_KEYS}", NotifyType.AUTHENTICATION_FAILED
            ) from error
    else:
        payloads = decode_plain(header.next_payload, body)
        grammar.check(header.exchange, number, payloads, encrypted=header.encrypted)
    cookie = n.responder_cookie
    if header.responder_cookie == NO_COOKIE:
        raise PeerError("the responder cookie is zero", NotifyType.INVALID_COOKIE)
    if cookie == NO_COOKIE:
        n.responder_cookie = header.responder_cookie
    try:
        return handler(n, state, payloads)
    except (PeerError, WireError):
        n.responder_cookie = cookie
        raise
