"""Offers and choices in SA payloads (RFC 7296 sections 2.7 and 3.3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from agents.core.machine import PeerError
from agents.core.record import Record, replace
from agents.crypto.dh import GROUPS
from agents.ike.constants import LOWEST_ESP_SPI
from agents.ikev2.config import EspProposal, IkeProposal
from agents.ikev2.constants import NONE, NotifyType, ProtocolId, TransformType
from agents.ikev2.payloads import MAX_PROPOSALS, Proposal, SecurityAssociation, Transform

_T = TransformType
ESP_SPI_LENGTH = 4


class EspChoice(Record, frozen=True):
    """Algorithms of a CHILD SA and the group of its own key exchange."""

    proposal: EspProposal
    group: int | None


@lru_cache(maxsize=64)
def _ike_transforms(p: IkeProposal) -> tuple[Transform, ...]:
    integrity = () if p.is_aead else (Transform.of(_T.INTEG, p.integrity),)
    return (
        Transform.of(_T.ENCR, p.encryption, p.key_bits),
        Transform.of(_T.PRF, p.prf),
        *integrity,
        Transform.of(_T.DH, p.group),
    )


@lru_cache(maxsize=64)
def _esp_transforms(choice: EspChoice) -> tuple[Transform, ...]:
    p = choice.proposal
    integrity = () if p.integrity == NONE else (Transform.of(_T.INTEG, p.integrity),)
    group = () if choice.group is None else (Transform.of(_T.DH, choice.group),)
    return (
        Transform.of(_T.ENCR, p.encryption, p.key_bits),
        *integrity,
        *group,
        Transform.of(_T.ESN, NONE),
    )


def offer_ike(proposals: Sequence[IkeProposal], spi: bytes = b"") -> SecurityAssociation:
    """Return the SA payload of IKE_SA_INIT, or with an SPI the one that rekeys an IKE SA."""
    return SecurityAssociation(
        tuple(
            Proposal(number, ProtocolId.IKE, spi, _ike_transforms(p))
            for number, p in enumerate(proposals[:MAX_PROPOSALS], 1)
        )
    )


def offer_esp(proposals: Sequence[EspProposal], spi: int, group: int | None) -> SecurityAssociation:
    """Return the SA payload for a CHILD SA; `group` is offered in CREATE_CHILD_SA alone."""
    return SecurityAssociation(
        tuple(
            Proposal(
                number,
                ProtocolId.ESP,
                spi.to_bytes(ESP_SPI_LENGTH),
                _esp_transforms(EspChoice(p, group)),
            )
            for number, p in enumerate(proposals[:MAX_PROPOSALS], 1)
        )
    )


def _matches(offered: Proposal, wanted: Iterable[Transform]) -> bool:
    """Return whether `wanted` is a complete choice from a proposal (section 3.3.6).

    Every type that is offered must be chosen from; integrity and group may be offered as none.
    Attributes that are not known make a transform unequal to any of ours.
    """
    chosen = {t.type: t for t in wanted}
    types = {t.type for t in offered.transforms}
    for kind in types | set(chosen):
        transform = chosen.get(kind, Transform(kind, NONE))
        optional = kind in (_T.INTEG, _T.DH) and kind not in types
        if transform.identifier == NONE and optional:
            continue
        if transform not in offered.transforms:
            return False
    return True


def _refused(what: str) -> PeerError:
    reason = f"none of the peer's {what} proposals is acceptable"
    return PeerError(reason, NotifyType.NO_PROPOSAL_CHOSEN)


def choose_ike(
    offer: SecurityAssociation, ours: Sequence[IkeProposal], group: int
) -> tuple[IkeProposal, Proposal]:
    """Return what is chosen from an offer, and the proposal to answer (its SPI the peer's).

    The initiator's order decides; within one of its proposals the group whose public value it
    has sent comes first, then our order.
    """
    for offered in offer.proposals:
        if offered.protocol != ProtocolId.IKE:
            continue
        fit = [p for p in ours if _matches(offered, _ike_transforms(p))]
        if fit:
            choice = next((p for p in fit if p.group == group), fit[0])
            return choice, replace(offered, transforms=_ike_transforms(choice))
    raise _refused("IKE SA")


def choose_esp(
    offer: SecurityAssociation,
    ours: Sequence[EspProposal],
    groups: Sequence[int | None],
    sent: int | None,
) -> tuple[EspChoice, Proposal]:
    """Return what is chosen from an offer for a CHILD SA, and the proposal to answer.

    `groups` are those that may be chosen, None standing for no key exchange; the one whose public
    value was `sent` comes first.
    """
    ordered = sorted(groups, key=lambda g: g != sent)
    for offered in offer.proposals:
        if offered.protocol != ProtocolId.ESP or not _is_esp_spi(offered.spi):
            continue
        for group in ordered:
            for proposal in ours:
                choice = EspChoice(proposal, group)
                if _matches(offered, _esp_transforms(choice)):
                    return choice, replace(offered, transforms=_esp_transforms(choice))
    raise _refused("ESP")


def _is_esp_spi(spi: bytes) -> bool:
    return len(spi) == ESP_SPI_LENGTH and int.from_bytes(spi) >= LOWEST_ESP_SPI


def answer(chosen: Proposal, spi: bytes = b"") -> SecurityAssociation:
    """Return the SA payload that answers with the chosen proposal and the responder's SPI."""
    return SecurityAssociation((replace(chosen, spi=spi),))


def _only(sa: SecurityAssociation, protocol: int, spi_length: int) -> Proposal:
    if len(sa.proposals) != 1:
        raise PeerError(f"{len(sa.proposals)} proposals in the answer", NotifyType.INVALID_SYNTAX)
    (proposal,) = sa.proposals
    if proposal.protocol != protocol or len(proposal.spi) != spi_length:
        raise PeerError("another protocol or SPI in the answer", NotifyType.INVALID_SYNTAX)
    return proposal


def _not_offered() -> PeerError:
    return PeerError("the answer's proposal was not offered", NotifyType.NO_PROPOSAL_CHOSEN)


def accept_ike(
    sa: SecurityAssociation, ours: Sequence[IkeProposal], spi_length: int = 0
) -> tuple[IkeProposal, bytes]:
    """Return the proposal that the responder has chosen, and its SPI."""
    chosen = _only(sa, ProtocolId.IKE, spi_length)
    for p in ours:
        if _same(chosen, _ike_transforms(p)):
            return p, chosen.spi
    raise _not_offered()


def accept_esp(
    sa: SecurityAssociation, ours: Sequence[EspProposal], group: int | None
) -> tuple[EspChoice, int]:
    """Return the algorithms that the responder has chosen, and its SPI."""
    chosen = _only(sa, ProtocolId.ESP, ESP_SPI_LENGTH)
    if not _is_esp_spi(chosen.spi):
        raise PeerError("a reserved SPI in the answer", NotifyType.INVALID_SYNTAX)
    for p in ours:
        choice = EspChoice(p, group)
        if _same(chosen, _esp_transforms(choice)):
            return choice, int.from_bytes(chosen.spi)
    raise _not_offered()


def _same(chosen: Proposal, ours: tuple[Transform, ...]) -> bool:
    """Return whether an answer holds just these transforms; it may spell out what is none."""
    spoken = {t for t in chosen.transforms if t.identifier != NONE or t.type == _T.ESN}
    return spoken == set(ours) and len(chosen.transforms) <= len(ours) + 2


def supported_group(number: int, proposals: Sequence[IkeProposal]) -> bool:
    """Return whether a group was offered."""
    return number in GROUPS and any(p.group == number for p in proposals)
