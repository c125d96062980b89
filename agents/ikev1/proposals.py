"""Offers and choices in SA payloads (RFC 2409 section 5 and appendix A, RFC 2407 section 4.5)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from agents.core.machine import PeerError
from agents.core.record import Record, replace
from agents.ikev1.config import ESP_INTEGRITY, Config, EspProposal, IkeProposal
from agents.ikev1.constants import (
    AUTHENTICATION_PSK,
    CIPHER_AES_CBC,
    ENCAPSULATION_TRANSPORT,
    LIFE_SECONDS,
    TRANSFORM_ESP_AES,
    TRANSFORM_KEY_IKE,
    EspAttribute,
    IkeAttribute,
    Mode,
    NotifyType,
    ProtocolId,
)
from agents.ikev1.wire import Attribute, Proposal, SecurityAssociation, Transform

DEFAULT_LIFETIME = 28800.0
"""Where no lifetime is negotiated (RFC 2407 section 4.5)."""

MAX_OFFERS = 64
SPI_LENGTH = 4


class IkeChoice(Record, frozen=True):
    """What phase 1 has agreed upon; `lifetime` in seconds."""

    proposal: IkeProposal
    lifetime: float


class EspChoice(Record, frozen=True):
    """What quick mode has agreed upon; `group` for PFS, `lifetime` in seconds."""

    proposal: EspProposal
    group: int | None
    lifetime: float
    spi: int
    """The SPI of the side whose SA payload this is."""


def _attributes(pairs: Iterable[tuple[int, int]]) -> tuple[Attribute, ...]:
    return tuple(Attribute.of(kind, number) for kind, number in pairs)


def _refused(reason: str) -> PeerError:
    return PeerError(reason, NotifyType.NO_PROPOSAL_CHOSEN)


def offer_ike(config: Config) -> SecurityAssociation:
    """Return the SA of the first message of phase 1."""
    offered = config.proposals
    if config.mode is Mode.AGGRESSIVE:
        offered = tuple(p for p in offered if p.group == offered[0].group)
    transforms = tuple(
        Transform(
            number,
            TRANSFORM_KEY_IKE,
            _attributes(
                (
                    (IkeAttribute.ENCRYPTION, CIPHER_AES_CBC),
                    (IkeAttribute.KEY_LENGTH, p.key_bits),
                    (IkeAttribute.HASH, p.hash),
                    (IkeAttribute.GROUP, p.group),
                    (IkeAttribute.AUTHENTICATION, AUTHENTICATION_PSK),
                    (IkeAttribute.LIFE_TYPE, LIFE_SECONDS),
                    (IkeAttribute.LIFE_DURATION, int(config.ike_lifetime)),
                )
            ),
        )
        for number, p in enumerate(offered, 1)
    )
    return SecurityAssociation((Proposal(1, ProtocolId.ISAKMP, b"", transforms),))


def _lifetime(attributes: Iterable[Attribute], life_type: int, duration: int) -> float:
    """Return the lifetime in seconds; a type comes before the duration that it is of."""
    kind, lifetime = 0, DEFAULT_LIFETIME
    for attribute in attributes:
        if attribute.type == life_type:
            kind = attribute.number
        elif attribute.type == duration and kind == LIFE_SECONDS:
            lifetime = attribute.seconds
    return lifetime


def _read_ike(transform: Transform) -> IkeChoice | None:
    """Return what a transform offers, or None if something in it is not supported."""
    values = {a.type: a.number for a in transform.attributes}
    fixed = (values.get(IkeAttribute.ENCRYPTION), values.get(IkeAttribute.AUTHENTICATION))
    unknown = set(values) - set(IkeAttribute)
    if transform.identifier != TRANSFORM_KEY_IKE or unknown:
        return None
    if fixed != (CIPHER_AES_CBC, AUTHENTICATION_PSK):
        return None
    try:
        proposal = IkeProposal(
            values.get(IkeAttribute.KEY_LENGTH, 128),
            values.get(IkeAttribute.HASH, 0),
            values.get(IkeAttribute.GROUP, 0),
        )
    except ValueError:
        return None
    lifetime = _lifetime(transform.attributes, IkeAttribute.LIFE_TYPE, IkeAttribute.LIFE_DURATION)
    return IkeChoice(proposal, lifetime) if lifetime >= 1 else None


def _ike_proposal(sa: SecurityAssociation) -> Proposal:
    if len(sa.proposals) != 1 or sa.proposals[0].protocol != ProtocolId.ISAKMP:
        raise PeerError(
            f"{len(sa.proposals)} proposals instead of one for ISAKMP",
            NotifyType.PAYLOAD_MALFORMED,
        )
    return sa.proposals[0]


def choose_ike(sa: SecurityAssociation, config: Config) -> tuple[IkeChoice, SecurityAssociation]:
    """Return the first offer that is acceptable, and the SA that answers so."""
    proposal = _ike_proposal(sa)
    for transform in proposal.transforms[:MAX_OFFERS]:
        choice = _read_ike(transform)
        if choice and choice.proposal in config.proposals:
            lifetime = min(choice.lifetime, config.ike_lifetime)
            answer = SecurityAssociation((replace(proposal, transforms=(transform,)),))
            return replace(choice, lifetime=lifetime), answer
    raise _refused("none of the peer's phase 1 proposals is acceptable")


def _same(a: Transform, b: Transform) -> bool:
    # The form of an attribute, short or long, may change (RFC 2409 appendix A).
    return a.identifier == b.identifier and sorted((x.type, x.number) for x in a.attributes) == (
        sorted((x.type, x.number) for x in b.attributes)
    )


def _only_transform(offered: Proposal, answer: Proposal) -> Transform:
    if len(answer.transforms) != 1 or answer.number != offered.number:
        raise _refused("the answer does not choose exactly one offer")
    if not any(_same(answer.transforms[0], t) for t in offered.transforms):
        raise _refused("the answer chooses what was not offered")
    return answer.transforms[0]


def accept_ike(offered: SecurityAssociation, answer: SecurityAssociation) -> IkeChoice:
    """Return what the responder has chosen; it must be one of the offers, unaltered."""
    transform = _only_transform(offered.proposals[0], _ike_proposal(answer))
    choice = _read_ike(transform)
    if choice is None:
        raise _refused("the answer chooses what is not supported")
    return choice


def offer_esp(config: Config, spi: int) -> SecurityAssociation:
    """Return the SA of quick mode message 1."""
    numbers = {integrity: number for number, integrity in ESP_INTEGRITY.items()}
    group = [] if config.pfs is None else [(EspAttribute.GROUP, config.pfs)]
    transforms = tuple(
        Transform(
            number,
            TRANSFORM_ESP_AES,
            _attributes(
                [
                    (EspAttribute.KEY_LENGTH, p.key_bits),
                    (EspAttribute.AUTHENTICATION, numbers[p.integrity]),
                    (EspAttribute.ENCAPSULATION, ENCAPSULATION_TRANSPORT),
                    (EspAttribute.LIFE_TYPE, LIFE_SECONDS),
                    (EspAttribute.LIFE_DURATION, int(config.esp_lifetime)),
                    *group,
                ]
            ),
        )
        for number, p in enumerate(config.esp_proposals, 1)
    )
    return SecurityAssociation((Proposal(1, ProtocolId.ESP, spi.to_bytes(4), transforms),))


def _read_esp(proposal: Proposal, transform: Transform) -> EspChoice | None:
    values = {a.type: a.number for a in transform.attributes}
    integrity = ESP_INTEGRITY.get(values.get(EspAttribute.AUTHENTICATION, 0))
    if transform.identifier != TRANSFORM_ESP_AES or set(values) - set(EspAttribute):
        return None
    if values.get(EspAttribute.ENCAPSULATION) != ENCAPSULATION_TRANSPORT or integrity is None:
        return None
    try:
        esp = EspProposal(values.get(EspAttribute.KEY_LENGTH, 128), integrity)
    except ValueError:
        return None
    lifetime = _lifetime(transform.attributes, EspAttribute.LIFE_TYPE, EspAttribute.LIFE_DURATION)
    group = values.get(EspAttribute.GROUP)
    if lifetime < 1:
        return None
    return EspChoice(esp, group, lifetime, int.from_bytes(proposal.spi))


def _esp_proposals(sa: SecurityAssociation) -> Iterator[Proposal]:
    """Yield the proposals for ESP alone; those that share a number are bundles."""
    numbers = [p.number for p in sa.proposals]
    for proposal in sa.proposals[:MAX_OFFERS]:
        usable = len(proposal.spi) == SPI_LENGTH and int.from_bytes(proposal.spi) > 255
        if proposal.protocol == ProtocolId.ESP and numbers.count(proposal.number) == 1 and usable:
            yield proposal


def choose_esp(
    sa: SecurityAssociation, config: Config, groups: frozenset[int | None], spi: int
) -> tuple[EspChoice, SecurityAssociation]:
    """Return the first acceptable offer (it carries the peer's SPI) and the SA that answers so.

    `groups` are the Diffie-Hellman groups that may be used, None standing for no PFS.
    """
    for proposal in _esp_proposals(sa):
        for transform in proposal.transforms[:MAX_OFFERS]:
            choice = _read_esp(proposal, transform)
            if choice and choice.proposal in config.esp_proposals and choice.group in groups:
                answer = replace(proposal, spi=spi.to_bytes(4), transforms=(transform,))
                return choice, SecurityAssociation((answer,))
    raise _refused("none of the peer's ESP proposals is acceptable")


def accept_esp(offered: SecurityAssociation, answer: SecurityAssociation) -> EspChoice:
    """Return what the responder has chosen; it must be one of the offers, unaltered."""
    proposals = list(_esp_proposals(answer))
    if len(answer.proposals) != 1 or len(proposals) != 1:
        raise _refused("the answer is not one proposal for ESP with an SPI")
    transform = _only_transform(offered.proposals[0], proposals[0])
    choice = _read_esp(proposals[0], transform)
    if choice is None:
        raise _refused("the answer chooses what is not supported")
    return choice
