"""Main mode, message by message (RFC 2409 section 5.4)."""

from __future__ import annotations

from collections.abc import Sequence

from agents.core.machine import PeerError
from agents.core.record import replace
from agents.ike.psk import PskEntry
from agents.ikev1 import grammar
from agents.ikev1.authentication import (
    NONCE_LENGTH,
    agree,
    authenticate,
    check_identity,
    derive,
    establish,
    initial_contact,
    no_psk,
    nonce_of,
    open_message,
    vendor,
)
from agents.ikev1.constants import PayloadType
from agents.ikev1.keys import Transcript
from agents.ikev1.negotiation import (
    Answered,
    Exchanged,
    Keyed,
    KeySent,
    Negotiation,
    Proposed,
    encode_plain,
    encode_sealed,
    local_identity,
)
from agents.ikev1.proposals import accept_ike, choose_ike, offer_ike
from agents.ikev1.wire import (
    Message,
    Payload,
    SecurityAssociation,
)


def start(n: Negotiation) -> bytes:
    """Return message 1."""
    offer = offer_ike(n.config)
    n.state = Proposed(offer)
    return encode_plain(n, [Payload(PayloadType.SA, offer.encode()), vendor()])


def take_1(n: Negotiation, payloads: Sequence[Payload]) -> bytes:
    """Answer message 1 with message 2."""
    if not n.config.asks_keys and not n.psks.by_address(n.peer):
        raise no_psk(n.peer)
    offer = grammar.find(payloads, PayloadType.SA)
    choice, answer = choose_ike(SecurityAssociation.decode(offer), n.config)
    n.state = Answered(choice, offer)
    return encode_plain(n, [Payload(PayloadType.SA, answer.encode()), vendor()])


def take_2(n: Negotiation, state: Proposed, payloads: Sequence[Payload]) -> bytes:
    """Choose the group that the responder has chosen, and begin the key exchange."""
    answer = SecurityAssociation.decode(grammar.find(payloads, PayloadType.SA))
    choice = accept_ike(state.offer, answer)
    key_pair, nonce = n.key_pairs.take(choice.proposal.group), n.rng.randbytes(NONCE_LENGTH)
    n.state = KeySent(choice, state.offer.encode(), key_pair, nonce)
    return encode_plain(
        n, [Payload(PayloadType.KE, key_pair.public), Payload(PayloadType.NONCE, nonce)]
    )


def take_3(n: Negotiation, state: Answered, payloads: Sequence[Payload]) -> bytes:
    """Compute g^xy; whose key it goes with shows message 5."""
    public_i, nonce_i = grammar.find(payloads, PayloadType.KE), nonce_of(payloads)
    key_pair, nonce = n.key_pairs.take(state.choice.proposal.group), n.rng.randbytes(NONCE_LENGTH)
    shared = agree(key_pair, public_i)
    transcript = Transcript(
        n.initiator_cookie, n.responder_cookie, public_i, key_pair.public, state.offer
    )
    n.state = Exchanged(state.choice, transcript, (nonce_i, nonce), shared)
    return encode_plain(
        n, [Payload(PayloadType.KE, key_pair.public), Payload(PayloadType.NONCE, nonce)]
    )


def take_4(n: Negotiation, state: KeySent, payloads: Sequence[Payload]) -> bytes:
    """Derive the keys and prove the initiator's identity."""
    public_r, nonce_r = grammar.find(payloads, PayloadType.KE), nonce_of(payloads)
    shared = agree(state.key_pair, public_r)
    transcript = Transcript(
        n.initiator_cookie, n.responder_cookie, state.key_pair.public, public_r, state.offer
    )
    keys = derive(n.entry, state.choice, (state.nonce, nonce_r), shared, transcript)
    identity = local_identity(n).encode()
    proof = [
        Payload(PayloadType.ID, identity),
        Payload(PayloadType.HASH, keys.hash_i(transcript, identity)),
    ]
    message, iv = encode_sealed(n, keys, keys.phase1_iv(transcript), proof + initial_contact(n))
    n.state = Keyed(state.choice, transcript, keys, iv)
    return message


def take_5(n: Negotiation, exchanged: Exchanged, message: Message) -> bytes:
    """Answer whose key opens and proves it: the address may be that of several peers."""
    error = no_psk(n.peer)
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
    keys = derive(entry, choice, exchanged.nonces, exchanged.shared, transcript)
    state = Keyed(choice, transcript, keys, keys.phase1_iv(transcript))
    payloads, iv = open_message(state, message, 5)
    claimed = grammar.find(payloads, PayloadType.ID)
    authenticate(keys.hash_i(transcript, claimed), payloads, 5)
    return replace(state, iv=iv), payloads


def _prove_responder(
    n: Negotiation, entry: PskEntry, state: Keyed, payloads: Sequence[Payload]
) -> bytes:
    claimed = grammar.find(payloads, PayloadType.ID)
    check_identity(entry, n.peer, claimed)
    identity = local_identity(n).encode()
    proof = [
        Payload(PayloadType.ID, identity),
        Payload(PayloadType.HASH, state.keys.hash_r(state.transcript, identity)),
    ]
    message, iv = encode_sealed(n, state.keys, state.iv, proof)
    establish(n, state, iv, claimed, payloads)
    n.entry = entry
    return message


def take_6(n: Negotiation, state: Keyed, message: Message) -> None:
    """Check the responder's proof."""
    payloads, iv = open_message(state, message, 6)
    claimed = grammar.find(payloads, PayloadType.ID)
    authenticate(state.keys.hash_r(state.transcript, claimed), payloads, 6)
    establish(n, state, iv, claimed, payloads)
