"""Quick mode, step by step (RFC 2409 section 5.5)."""

from __future__ import annotations

import hmac
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import TypeAlias

from agents.core.machine import PeerError
from agents.core.reader import WireError
from agents.core.record import Record, Secret, replace
from agents.crypto import dh
from agents.ike.constants import Role
from agents.ike.esp import Encryption, EspPair, EspSa
from agents.ike.identities import Identity
from agents.ike.selectors import Selectors
from agents.ikev1 import grammar
from agents.ikev1.authentication import NONCE_LENGTH, agree
from agents.ikev1.config import INTEGRITY_KEY_LENGTH, Config
from agents.ikev1.constants import (
    LIFE_SECONDS,
    EspAttribute,
    ExchangeType,
    Flag,
    NotifyType,
    PayloadType,
    ProtocolId,
)
from agents.ikev1.keys import decrypt, encrypt
from agents.ikev1.negotiation import Established, Negotiation, encode_message
from agents.ikev1.proposals import EspChoice, accept_esp, choose_esp, offer_esp
from agents.ikev1.wire import (
    Attribute,
    Message,
    Notification,
    Payload,
    SecurityAssociation,
    decode_attributes,
    decode_padded,
    encode_chain,
)


class Requested(Record, frozen=True):
    """Initiator: message 1 is out."""

    offer: SecurityAssociation
    nonce: Secret[bytes]
    key_pair: Secret[dh.KeyPair | None]


class Replied(Record, frozen=True):
    """Responder: message 2 is out and the SAs are keyed."""

    pair: EspPair
    hash3: Secret[bytes]


class Done(Record, frozen=True):
    """The SAs are up, or the negotiation has failed; kept to answer duplicates."""

    pair: EspPair | None


@dataclass(slots=True)
class QuickMode:
    """One quick mode of either role; `selectors` are the local host's view."""

    message_id: int
    role: Role
    selectors: Selectors
    spi: int
    iv: bytes
    state: Requested | Replied | Done


class Sealer(Record, frozen=True):
    """Encrypts and opens phase 2 messages of one established ISAKMP SA."""

    negotiation: Negotiation
    sa: Established

    def first_iv(self, message_id: int) -> bytes:
        """Return the IV of the first message with this message id."""
        return self.sa.keys.phase2_iv(self.sa.last_block, message_id)

    def seal(
        self,
        exchange: int,
        message_id: int,
        iv: bytes,
        payloads: Sequence[Payload],
        *,
        digest: Callable[[bytes], bytes],
    ) -> tuple[bytes, bytes]:
        """Return the message with a HASH payload before `payloads`, and the next IV."""
        rest = encode_chain(payloads) if payloads else b""
        first = payloads[0].type if payloads else 0
        value = digest(rest)
        head = bytes((first, 0)) + (len(value) + 4).to_bytes(2) + value
        body, last = encrypt(self.sa.keys.encryption, iv, head + rest)
        message = encode_message(
            self.negotiation,
            exchange,
            message_id,
            flags=Flag.ENCRYPTED,
            first=PayloadType.HASH,
            body=body,
        )
        return message, last

    def open(self, message: Message, iv: bytes) -> tuple[tuple[Payload, ...], bytes, bytes]:
        """Return the payloads, the octets that the first one (a hash) covers, and the next IV."""
        data, last = decrypt(self.sa.keys.encryption, iv, message.body)
        payloads, used = decode_padded(message.header.next_payload, data)
        if not payloads or payloads[0].type != PayloadType.HASH:
            raise PeerError("the first payload is no hash")
        return payloads, used[4 + len(payloads[0].body) :], last


def verify(expected: bytes, payloads: Sequence[Payload]) -> None:
    """Raise PeerError unless the first payload is the expected hash."""
    if not hmac.compare_digest(expected, payloads[0].body):
        raise PeerError("the hash is wrong")


def _identities(selectors: Selectors) -> list[Payload]:
    bodies = [Identity.of_address(e, selectors.protocol).encode() for e in selectors.ends]
    return [Payload(PayloadType.ID, body) for body in bodies]


def request(
    sealer: Sealer, rng: random.Random, config: Config, selectors: Selectors, ids: tuple[int, int]
) -> tuple[QuickMode, bytes]:
    """Start a quick mode; `ids` are the message id and the local SPI. Return it and message 1."""
    message_id, spi = ids
    offer, nonce = offer_esp(config, spi), rng.randbytes(NONCE_LENGTH)
    key_pair = None if config.pfs is None else dh.generate(config.pfs, rng)
    payloads = [Payload(PayloadType.SA, offer.encode()), Payload(PayloadType.NONCE, nonce)]
    if key_pair:
        payloads.append(Payload(PayloadType.KE, key_pair.public))
    payloads += _identities(selectors)
    message, iv = sealer.seal(
        ExchangeType.QUICK,
        message_id,
        sealer.first_iv(message_id),
        payloads,
        digest=lambda rest: sealer.sa.keys.phase2_hash(message_id, rest),
    )
    state = Requested(offer, nonce, key_pair)
    return QuickMode(message_id, Role.INITIATOR, selectors, spi, iv, state), message


def _requested_selectors(payloads: Sequence[Payload]) -> Selectors:
    """Return what the initiator wants, as it sees it."""
    ids = [Identity.decode(b) for b in grammar.find_all(payloads, PayloadType.ID)]
    if len(ids) != 2:
        raise PeerError("no client identities", NotifyType.INVALID_ID_INFORMATION)
    source, destination = ids[0].address, ids[1].address
    if source is None or destination is None or ids[0].port or ids[1].port:
        raise PeerError(
            f"client identities {ids[0].text} and {ids[1].text} are not plain IPv6 addresses",
            NotifyType.INVALID_ID_INFORMATION,
        )
    if ids[0].protocol != ids[1].protocol:
        raise PeerError(
            f"client identities of protocols {ids[0].protocol} and {ids[1].protocol}",
            NotifyType.INVALID_ID_INFORMATION,
        )
    return Selectors(source, destination, ids[0].protocol)


def _pair(
    sealer: Sealer,
    choice: EspChoice,
    selectors: Selectors,
    *,
    spis: tuple[int, int],
    nonces: tuple[bytes, bytes],
    shared: bytes,
) -> EspPair:
    """Return both SAs; `spis` are the inbound and the outbound one."""
    cipher = choice.proposal.key_bits // 8
    length = cipher + INTEGRITY_KEY_LENGTH[choice.proposal.integrity]

    def sa(spi: int, source: IPv6Address, destination: IPv6Address) -> EspSa:
        keymat = sealer.sa.keys.keymat(ProtocolId.ESP, spi.to_bytes(4), nonces, length, shared)
        return EspSa(
            source=source,
            destination=destination,
            spi=spi,
            protocol=selectors.protocol,
            encryption=Encryption.AES_CBC,
            encryption_key=keymat[:cipher],
            integrity=choice.proposal.integrity,
            integrity_key=keymat[cipher:],
            lifetime=choice.lifetime,
        )

    local, remote = selectors.ends
    return EspPair(inbound=sa(spis[0], remote, local), outbound=sa(spis[1], local, remote))


def _shared(key_pair: dh.KeyPair | None, payloads: Sequence[Payload]) -> bytes:
    publics = grammar.find_all(payloads, PayloadType.KE)
    if (key_pair is None) != (not publics):
        raise PeerError(
            "a KE payload without a group, or a group without KE",
            NotifyType.INVALID_KEY_INFORMATION,
        )
    return agree(key_pair, publics[0]) if key_pair else b""


def _nonce(payloads: Sequence[Payload]) -> bytes:
    nonce = grammar.find(payloads, PayloadType.NONCE)
    if not 8 <= len(nonce) <= 256:
        raise PeerError(f"a nonce of {len(nonce)} octets", NotifyType.PAYLOAD_MALFORMED)
    return nonce


def _responder_lifetime(lifetime: float, spi: int) -> Payload:
    kinds = ((EspAttribute.LIFE_TYPE, LIFE_SECONDS), (EspAttribute.LIFE_DURATION, int(lifetime)))
    data = b"".join(Attribute.of(kind, number).encode() for kind, number in kinds)
    notification = Notification(
        ProtocolId.ESP, NotifyType.RESPONDER_LIFETIME, spi.to_bytes(4), data
    )
    return Payload(PayloadType.NOTIFY, notification.encode())


Authorise: TypeAlias = Callable[[Selectors], None]
"""Raises PeerError for selectors (local view) that the peer may not have."""


def reply(
    sealer: Sealer,
    rng: random.Random,
    config: Config,
    message: Message,
    *,
    authorise: Authorise,
    spi: int,
) -> tuple[QuickMode, bytes]:
    """Take message 1; return the quick mode and message 2. `spi` is the local SPI."""
    message_id, keys = message.header.message_id, sealer.sa.keys
    payloads, covered, iv = sealer.open(message, sealer.first_iv(message_id))
    verify(keys.phase2_hash(message_id, covered), payloads)
    grammar.check(ExchangeType.QUICK, 1, payloads, encrypted=True)
    selectors = _requested_selectors(payloads).mirrored()
    authorise(selectors)
    offer = SecurityAssociation.decode(grammar.find(payloads, PayloadType.SA))
    supported: frozenset[int | None] = frozenset({None, *dh.GROUPS})
    groups = supported if config.pfs is None else frozenset({config.pfs})
    choice, answer = choose_esp(offer, config, groups, spi)
    key_pair = None if choice.group is None else dh.generate(choice.group, rng)
    shared, nonce = _shared(key_pair, payloads), rng.randbytes(NONCE_LENGTH)
    nonces = (_nonce(payloads), nonce)
    answers = [Payload(PayloadType.SA, answer.encode()), Payload(PayloadType.NONCE, nonce)]
    if key_pair:
        answers.append(Payload(PayloadType.KE, key_pair.public))
    # The identities go back as they came, their order with them.
    answers += [p for p in payloads if p.type == PayloadType.ID]
    if config.esp_lifetime < choice.lifetime:
        choice = replace(choice, lifetime=config.esp_lifetime)
        answers.append(_responder_lifetime(choice.lifetime, spi))
    data, iv = sealer.seal(
        ExchangeType.QUICK,
        message_id,
        iv,
        answers,
        digest=lambda rest: keys.phase2_hash(message_id, rest, nonces[0]),
    )
    pair = _pair(sealer, choice, selectors, spis=(spi, choice.spi), nonces=nonces, shared=shared)
    state = Replied(pair, keys.phase2_hash3(message_id, nonces))
    return QuickMode(message_id, Role.RESPONDER, selectors, spi, iv, state), data


def _shorter_lifetime(lifetime: float, payloads: Sequence[Payload]) -> float:
    """Return the lifetime that the responder has announced if it is the shorter one."""
    for body in grammar.find_all(payloads, PayloadType.NOTIFY):
        notification = Notification.decode(body)
        if notification.type != NotifyType.RESPONDER_LIFETIME:
            continue
        kind = 0
        for attribute in decode_attributes(notification.data, 0):
            if attribute.type == EspAttribute.LIFE_TYPE:
                kind = attribute.number
            elif attribute.type == EspAttribute.LIFE_DURATION and kind == LIFE_SECONDS:
                lifetime = max(1.0, min(lifetime, attribute.seconds))
    return lifetime


def complete(sealer: Sealer, quick: QuickMode, state: Requested, message: Message) -> bytes:
    """Take message 2 as the initiator and return message 3; `quick` is done then."""
    message_id, keys = quick.message_id, sealer.sa.keys
    payloads, covered, iv = sealer.open(message, quick.iv)
    verify(keys.phase2_hash(message_id, covered, state.nonce), payloads)
    grammar.check(ExchangeType.QUICK, 2, payloads, encrypted=True)
    answer = SecurityAssociation.decode(grammar.find(payloads, PayloadType.SA))
    choice = accept_esp(state.offer, answer)
    if grammar.find_all(payloads, PayloadType.ID) and (
        _requested_selectors(payloads) != quick.selectors
    ):
        raise PeerError("the answer has other client identities", NotifyType.INVALID_ID_INFORMATION)
    nonces = (state.nonce, _nonce(payloads))
    shared = _shared(state.key_pair, payloads)
    choice = replace(choice, lifetime=_shorter_lifetime(choice.lifetime, payloads))
    data, quick.iv = sealer.seal(
        ExchangeType.QUICK,
        message_id,
        iv,
        (),
        digest=lambda _: keys.phase2_hash3(message_id, nonces),
    )
    spis = (quick.spi, choice.spi)
    quick.state = Done(
        _pair(sealer, choice, quick.selectors, spis=spis, nonces=nonces, shared=shared)
    )
    return data


def confirm(sealer: Sealer, quick: QuickMode, state: Replied, message: Message) -> None:
    """Take message 3 as the responder; `quick` is done then."""
    payloads, _, quick_iv = sealer.open(message, quick.iv)
    verify(state.hash3, payloads)
    grammar.check(ExchangeType.QUICK, 3, payloads, encrypted=True)
    quick.iv, quick.state = quick_iv, Done(state.pair)


def offered_spi(sealer: Sealer, message: Message) -> bytes:
    """Return the SPI in a refused message 1, for the notification; empty if there is none."""
    try:
        payloads, _, _ = sealer.open(message, sealer.first_iv(message.header.message_id))
        offer = SecurityAssociation.decode(grammar.find(payloads, PayloadType.SA))
    except (WireError, PeerError, StopIteration):
        return b""
    return offer.proposals[0].spi if offer.proposals else b""
