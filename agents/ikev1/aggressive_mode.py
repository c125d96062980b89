"""Aggressive mode, message by message (RFC 2409 section 5.4)."""

from __future__ import annotations

from collections.abc import Sequence

from agents.crypto import dh
from agents.ike.identities import Identity
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
from agents.ikev1.keys import Transcript, skeyid_of
from agents.ikev1.negotiation import (
    AggressiveAnswered,
    AggressiveSent,
    Keyed,
    Negotiation,
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
    offer, key_pair = offer_ike(n.config), n.key_pairs.take(n.config.proposals[0].group)
    nonce, identity = n.rng.randbytes(NONCE_LENGTH), local_identity(n).encode()
    n.state = AggressiveSent(offer, identity, key_pair, nonce)
    return encode_plain(
        n,
        [
            Payload(PayloadType.SA, offer.encode()),
            Payload(PayloadType.KE, key_pair.public),
            Payload(PayloadType.NONCE, nonce),
            Payload(PayloadType.ID, identity),
            vendor(),
        ],
    )


def take_1(n: Negotiation, payloads: Sequence[Payload], pairs: dict[int, dh.KeyPair]) -> bytes:
    """Answer message 1 with message 2.

    HASH_R needs no g^xy: to whoever has sent message 1 from a forged address it costs no
    exponentiation. `pairs` are the key pairs, by group, that nobody has answered to yet.
    """
    offer = grammar.find(payloads, PayloadType.SA)
    choice, answer = choose_ike(SecurityAssociation.decode(offer), n.config)
    identity_i = grammar.find(payloads, PayloadType.ID)
    claimed = Identity.decode(identity_i)
    known = n.psks.by_identity(claimed, n.peer)
    if not known:
        raise no_psk(claimed.text)
    entry = known[0]
    check_identity(entry, n.peer, identity_i)
    public_i, nonce_i = grammar.find(payloads, PayloadType.KE), nonce_of(payloads)
    group, nonce = choice.proposal.group, n.rng.randbytes(NONCE_LENGTH)
    if group not in pairs:
        pairs[group] = n.key_pairs.take(group)
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
            vendor(),
        ],
    )


def take_2(n: Negotiation, state: AggressiveSent, payloads: Sequence[Payload]) -> bytes:
    """Check the responder's proof, and prove the initiator's identity."""
    answer = SecurityAssociation.decode(grammar.find(payloads, PayloadType.SA))
    choice = accept_ike(state.offer, answer)
    public_r, nonce_r = grammar.find(payloads, PayloadType.KE), nonce_of(payloads)
    shared = agree(state.key_pair, public_r)
    transcript = Transcript(
        n.initiator_cookie,
        n.responder_cookie,
        state.key_pair.public,
        public_r,
        state.offer.encode(),
    )
    keys = derive(n.entry, choice, (state.nonce, nonce_r), shared, transcript)
    claimed = grammar.find(payloads, PayloadType.ID)
    authenticate(keys.hash_r(transcript, claimed), payloads, 2)
    keyed = Keyed(choice, transcript, keys, keys.phase1_iv(transcript))
    proof = Payload(PayloadType.HASH, keys.hash_i(transcript, state.identity))
    message, iv = encode_sealed(n, keys, keyed.iv, [proof, *initial_contact(n)])
    establish(n, keyed, iv, claimed, payloads)
    return message


def take_3(n: Negotiation, state: AggressiveAnswered, message: Message) -> None:
    """Compute g^xy and check the initiator's proof."""
    choice, transcript = state.choice, state.transcript
    shared = agree(state.key_pair, transcript.public_i)
    keys = derive(n.entry, choice, state.nonces, shared, transcript)
    keyed = Keyed(choice, transcript, keys, keys.phase1_iv(transcript))
    payloads, iv = open_message(keyed, message, 3)
    authenticate(keys.hash_i(transcript, state.identity), payloads, 3)
    establish(n, keyed, iv, state.identity, payloads)
