"""Main mode and aggressive mode with a pre-shared key, step by step (RFC 2409 section 5.4)."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from dataclasses import replace
from ipaddress import IPv6Address
from typing import TypeAlias

from agents.core.machine import PeerError
from agents.core.reader import WireError
from agents.crypto import dh
from agents.crypto.ciphers import AES_BLOCK
from agents.ike.constants import Role
from agents.ike.identities import Identity
from agents.ike.psk import PskEntry
from agents.ikev1 import grammar
from agents.ikev1.constants import VENDOR_DPD, Mode, NotifyType, PayloadType, ProtocolId
from agents.ikev1.keys import Keys, Transcript, decrypt, skeyid_of
from agents.ikev1.negotiation import (
    AggressiveAnswered,
    AggressiveSent,
    Answered,
    Established,
    Exchanged,
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
    Message,
    Notification,
    Payload,
    SecurityAssociation,
    decode_padded,
    decode_plain,
)

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
    entry: PskEntry | None,
    choice: IkeChoice,
    nonces: tuple[bytes, bytes],
    shared: bytes,
    t: Transcript,
) -> Keys:
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


def _no_psk(whose: object) -> PeerError:
    return PeerError(f"no pre-shared key for {whose}", NotifyType.AUTHENTICATION_FAILED)


def answer_main(n: Negotiation, payloads: Sequence[Payload]) -> bytes:
    """Take main mode message 1 and return message 2."""
    if not n.psks.by_address(n.peer):
        raise _no_psk(n.peer)
    offer = grammar.find(payloads, PayloadType.SA)
    choice, answer = choose_ike(SecurityAssociation.decode(offer), n.config)
    n.state = Answered(choice, offer)
    return encode_plain(n, [Payload(PayloadType.SA, answer.encode()), _vendor()])


def _check_identity(entry: PskEntry, peer: IPv6Address, body: bytes) -> None:
    claimed = Identity.decode(body)
    if not entry.belongs_to(claimed, peer):
        raise PeerError(
            f"the identity {claimed.text} does not belong to the pre-shared key",
            NotifyType.INVALID_ID_INFORMATION,
        )


def answer_aggressive(
    n: Negotiation, payloads: Sequence[Payload], pairs: dict[int, dh.KeyPair]
) -> bytes:
    """Take aggressive mode message 1 and return message 2.

    HASH_R needs no g^xy: to whoever has sent message 1 from a forged address it costs no
    exponentiation. `pairs` are the key pairs, by group, that nobody has answered to yet.
    """
    offer = grammar.find(payloads, PayloadType.SA)
    choice, answer = choose_ike(SecurityAssociation.decode(offer), n.config)
    identity_i = grammar.find(payloads, PayloadType.ID)
    claimed = Identity.decode(identity_i)
    known = n.psks.by_identity(claimed, n.peer)
    if not known:
        raise _no_psk(claimed.text)
    entry = known[0]
    _check_identity(entry, n.peer, identity_i)
    public_i, nonce_i = grammar.find(payloads, PayloadType.KE), _nonce(payloads)
    group, nonce = choice.proposal.group, n.rng.randbytes(NONCE_LENGTH)
    if group not in pairs:
        pairs[group] = dh.generate(group)
    key_pair, nonces = pairs[group], (nonce_i, nonce)
    transcript = Transcript(
        n.initiator_cookie, n.responder_cookie, public_i, key_pair.public, offer
    )
    prf, identity = choice.proposal.prf, local_identity(n).encode()
    hash_r = transcript.hash_r(prf, skeyid_of(prf, entry.key, nonces), identity)
    n.entry = entry
    n.state = AggressiveAnswered(choice, transcript, nonces, key_pair, identity_i)
    return encode_plain(
        n,
        [
            Payload(PayloadType.SA, answer.encode()),
            Payload(PayloadType.KE, key_pair.public),
            Payload(PayloadType.NONCE, nonce),
            Payload(PayloadType.ID, identity),
            Payload(PayloadType.HASH, hash_r),
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
    public_i, nonce_i = grammar.find(payloads, PayloadType.KE), _nonce(payloads)
    key_pair, nonce = dh.generate(state.choice.proposal.group), n.rng.randbytes(NONCE_LENGTH)
    shared = agree(key_pair, public_i)
    transcript = Transcript(
        n.initiator_cookie, n.responder_cookie, public_i, key_pair.public, state.offer
    )
    n.state = Exchanged(state.choice, transcript, (nonce_i, nonce), shared)
    return encode_plain(
        n, [Payload(PayloadType.KE, key_pair.public), Payload(PayloadType.NONCE, nonce)]
    )


def _main_4(n: Negotiation, state: KeySent, payloads: Sequence[Payload]) -> bytes:
    public_r, nonce_r = grammar.find(payloads, PayloadType.KE), _nonce(payloads)
    shared = agree(state.key_pair, public_r)
    transcript = Transcript(
        n.initiator_cookie, n.responder_cookie, state.key_pair.public, public_r, state.offer
    )
    keys = _derive(n.entry, state.choice, (state.nonce, nonce_r), shared, transcript)
    identity = local_identity(n).encode()
    proof = [
        Payload(PayloadType.ID, identity),
        Payload(PayloadType.HASH, keys.hash_i(transcript, identity)),
    ]
    message, iv = encode_sealed(n, keys, keys.phase1_iv(transcript), proof + _initial_contact(n))
    n.state = Keyed(state.choice, transcript, keys, iv)
    return message


def _main_5(n: Negotiation, exchanged: Exchanged, message: Message) -> bytes:
    """The address may be that of several peers: whose key opens and proves it is the peer."""
    error = _no_psk(n.peer)
    for entry in n.psks.by_address(n.peer):
        try:
            state, payloads = _recognise(entry, exchanged, message)
        except PeerError as problem:
            error = problem
            continue
        return _prove_responder(n, entry, state, payloads)
    raise error


def _recognise(
    entry: PskEntry, exchanged: Exchanged, message: Message
) -> tuple[Keyed, Sequence[Payload]]:
    """Return the payloads of message 5 and the keys if it is made with this pre-shared key."""
    choice, transcript = exchanged.choice, exchanged.transcript
    keys = _derive(entry, choice, exchanged.nonces, exchanged.shared, transcript)
    state = Keyed(choice, transcript, keys, keys.phase1_iv(transcript))
    payloads, iv = _open(state, message, 5)
    claimed = grammar.find(payloads, PayloadType.ID)
    _authenticate(keys.hash_i(transcript, claimed), payloads, 5)
    return replace(state, iv=iv), payloads


def _prove_responder(
    n: Negotiation, entry: PskEntry, state: Keyed, payloads: Sequence[Payload]
) -> bytes:
    claimed = grammar.find(payloads, PayloadType.ID)
    _check_identity(entry, n.peer, claimed)
    identity = local_identity(n).encode()
    proof = [
        Payload(PayloadType.ID, identity),
        Payload(PayloadType.HASH, state.keys.hash_r(state.transcript, identity)),
    ]
    message, iv = encode_sealed(n, state.keys, state.iv, proof)
    _establish(n, state, iv, claimed, payloads)
    n.entry = entry
    return message


def _main_6(n: Negotiation, state: Keyed, message: Message) -> None:
    payloads, iv = _open(state, message, 6)
    claimed = grammar.find(payloads, PayloadType.ID)
    _authenticate(state.keys.hash_r(state.transcript, claimed), payloads, 6)
    _establish(n, state, iv, claimed, payloads)


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
    keys = _derive(n.entry, choice, (state.nonce, nonce_r), shared, transcript)
    claimed = grammar.find(payloads, PayloadType.ID)
    _authenticate(keys.hash_r(transcript, claimed), payloads, 2)
    keyed = Keyed(choice, transcript, keys, keys.phase1_iv(transcript))
    proof = Payload(PayloadType.HASH, keys.hash_i(transcript, state.identity))
    message, iv = encode_sealed(n, keys, keyed.iv, [proof, *_initial_contact(n)])
    _establish(n, keyed, iv, claimed, payloads)
    return message


def _aggressive_3(n: Negotiation, state: AggressiveAnswered, message: Message) -> None:
    choice, transcript = state.choice, state.transcript
    shared = agree(state.key_pair, transcript.public_i)
    keys = _derive(n.entry, choice, state.nonces, shared, transcript)
    keyed = Keyed(choice, transcript, keys, keys.phase1_iv(transcript))
    payloads, iv = _open(keyed, message, 3)
    _authenticate(keys.hash_i(transcript, state.identity), payloads, 3)
    _establish(n, keyed, iv, state.identity, payloads)


def _establish(
    n: Negotiation, state: Keyed, iv: bytes, claimed: bytes, payloads: Sequence[Payload]
) -> None:
    n.state = Established(
        state.keys,
        iv,
        state.choice.lifetime,
        Identity.decode(claimed).text,
        n.role is Role.RESPONDER and _says_initial_contact(payloads),
    )


_Step: TypeAlias = Callable[..., "bytes | None"]
STEPS: dict[tuple[Mode, Role, type], tuple[int, _Step]] = {
    (Mode.MAIN, Role.INITIATOR, Proposed): (2, _main_2),
    (Mode.MAIN, Role.RESPONDER, Answered): (3, _main_3),
    (Mode.MAIN, Role.INITIATOR, KeySent): (4, _main_4),
    (Mode.MAIN, Role.RESPONDER, Exchanged): (5, _main_5),
    (Mode.MAIN, Role.INITIATOR, Keyed): (6, _main_6),
    (Mode.AGGRESSIVE, Role.INITIATOR, AggressiveSent): (2, _aggressive_2),
    (Mode.AGGRESSIVE, Role.RESPONDER, AggressiveAnswered): (3, _aggressive_3),
}
"""Number and handler of the message that each state waits for."""


def awaited(n: Negotiation) -> int:
    """Return the number of the message that is awaited, 0 if none is."""
    return STEPS.get((n.mode, n.role, type(n.state)), (0, None))[0]


def _screen(message: Message, number: int) -> None:
    """Raise an error for what cannot be the peer's proof, before anything is computed for it."""
    header, body, _ = message
    if not header.encrypted:
        payloads = decode_plain(header.next_payload, body)
        grammar.check(header.exchange, number, payloads, encrypted=False)
    elif not body or len(body) % AES_BLOCK:
        raise WireError(f"{len(body)} encrypted octets are not whole blocks")


def _open(state: Keyed, message: Message, number: int) -> tuple[Sequence[Payload], bytes]:
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


def advance(n: Negotiation, message: Message) -> bytes | None:
    """Take the awaited message; return the one to send, if any.

    Raises WireError or PeerError and leaves the state as it was.
    """
    number, handler = STEPS[n.mode, n.role, type(n.state)]
    state, header = n.state, message.header
    if isinstance(state, Keyed | Exchanged | AggressiveAnswered):
        _screen(message, number)
        return handler(n, state, message)
    payloads = decode_plain(header.next_payload, message.body)
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
