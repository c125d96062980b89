"""CHILD SAs as IKE_AUTH and CREATE_CHILD_SA negotiate them (RFC 7296 sections 1.2, 1.3, 2.9)."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv6Address

from agents.core.machine import PeerError
from agents.core.record import Record
from agents.ike.esp import EspPair, EspSa
from agents.ike.selectors import Selectors
from agents.ikev2.constants import NotifyType, PayloadType
from agents.ikev2.grammar import Contents
from agents.ikev2.ike_sa_manager import IkeSaManager
from agents.ikev2.keys import esp_keys
from agents.ikev2.payloads import (
    Notification,
    Proposal,
    SecurityAssociation,
    TrafficSelector,
    decode_selectors,
    encode_selectors,
)
from agents.ikev2.proposals import EspChoice, accept_esp, answer, choose_esp, offer_esp
from agents.ikev2.sa import Child, IkeSa
from agents.ikev2.wire import Payload

TRANSPORT = Notification(NotifyType.USE_TRANSPORT_MODE)


class Agreement(Record, frozen=True):
    """What both sides have agreed upon for a CHILD SA; SPIs are (inbound, outbound)."""

    choice: EspChoice
    selectors: Selectors
    spis: tuple[int, int]


class Material(Record, frozen=True):
    """What the keys of a CHILD SA come from: nonces (initiator's, responder's) and g^ir."""

    nonces: tuple[bytes, bytes]
    shared: bytes = b""


def make(
    sas: IkeSaManager,
    sa: IkeSa,
    agreement: Agreement,
    material: Material,
    now: float,
    *,
    initiated: bool,
) -> Child:
    """Return a CHILD SA with its keys."""
    choice, selectors = agreement.choice, agreement.selectors
    keys = sa.established.keymat.keys
    ours, theirs = esp_keys(keys, choice.proposal, material.nonces, material.shared)
    if not initiated:
        ours, theirs = theirs, ours
    local, remote = selectors.ends
    lifetime = sas.esp_lifetime(sa, now)
    spi_in, spi_out = agreement.spis

    def one(
        ends: tuple[IPv6Address, IPv6Address],
        spi: int,
        keys: tuple[bytes, bytes],
        message: int | None,
    ) -> EspSa:
        return EspSa(
            *ends,
            spi,
            selectors.protocol,
            choice.proposal.cipher,
            keys[0],
            choice.proposal.digest,
            keys[1],
            lifetime,
            message,
        )

    inbound, outbound = (theirs.encryption, theirs.integrity), (ours.encryption, ours.integrity)
    pair = EspPair(
        one((remote, local), spi_in, inbound, selectors.remote_message),
        one((local, remote), spi_out, outbound, selectors.local_message),
    )
    return Child(sa, selectors, pair, initiated)


def _ts(selector: TrafficSelector, kind: int) -> Payload:
    return Payload(kind, encode_selectors((selector,)))


def _local(s: Selectors) -> TrafficSelector:
    if s.local is None:
        return TrafficSelector.anywhere(s.protocol)
    return TrafficSelector.of(s.local, s.protocol, s.local_message)


def _remote(s: Selectors) -> TrafficSelector:
    return TrafficSelector.of(s.remote, s.protocol, s.remote_message)


def offer_payloads(
    sas: IkeSaManager, selectors: Selectors, spi: int, group: int | None
) -> tuple[list[Payload], list[Payload]]:
    """Return the initiator's SA payload, and its selectors."""
    offer = offer_esp(sas.config.esp_proposals, spi, group)
    return [Payload(PayloadType.SA, offer.encode())], [
        _ts(_local(selectors), PayloadType.TS_I),
        _ts(_remote(selectors), PayloadType.TS_R),
    ]


def _common(offered: Sequence[TrafficSelector], allowed: TrafficSelector) -> list[int | None]:
    """Return the messages, None for all, of each offer that has something of what is allowed."""
    found = []
    for s in offered:
        if s.protocol not in (0, allowed.protocol) or not s.first <= allowed.first <= s.last:
            continue
        if s.every_port:
            found.append(allowed.message)
        elif s.message is not None and (allowed.every_port or s.message == allowed.message):
            found.append(s.message)
    return found


def _narrow(sa: IkeSa, tsi: bytes, tsr: bytes) -> Selectors:
    """Return the selectors that the peer may have: its home address, or what is up already.

    These are Mobility Headers, of which it may ask for a single type (RFC 4877 section 7.2.1), and
    the messages of prefix discovery (section 7.2.3).
    """
    allowed = [c.selectors for c in sa.children.values()]
    grant = sa.established.grant
    if grant is not None:
        mobility = Selectors(sa.local, grant.home_address)
        discovery = Selectors.of_discovery(grant.home_address, sa.local).mirrored()
        allowed = [mobility, discovery, *allowed]
    wanted_i, wanted_r = decode_selectors(tsi), decode_selectors(tsr)
    for s in allowed:
        here, there = _common(wanted_r, _local(s)), _common(wanted_i, _remote(s))
        if s.local is not None and here and there:
            return s._replace(local_message=here[0], remote_message=there[0])
    asked = ", ".join(
        f"{s.first}-{s.last} protocol {s.protocol} ports {s.first_port}-{s.last_port}"
        for s in wanted_i[:4]
    )
    home = grant.home_address if grant else "not known"
    raise PeerError(
        f"{asked or 'nothing'} is not for {sa.identity}, whose home address is {home}",
        NotifyType.TS_UNACCEPTABLE,
    )


def choose(
    sas: IkeSaManager, sa: IkeSa, contents: Contents, groups: Sequence[int | None], sent: int | None
) -> tuple[Agreement, Proposal]:
    """Return what the responder agrees to, and the proposal to answer with; an SPI is reserved."""
    if contents.note(NotifyType.USE_TRANSPORT_MODE) is None:
        raise PeerError("the peer wants tunnel mode", NotifyType.NO_PROPOSAL_CHOSEN)
    selectors = _narrow(sa, contents.get(PayloadType.TS_I), contents.get(PayloadType.TS_R))
    offer = SecurityAssociation.decode(contents.get(PayloadType.SA))
    choice, chosen = choose_esp(offer, sas.config.esp_proposals, groups, sent)
    spis = (sas.new_esp_spi(), int.from_bytes(chosen.spi))
    return Agreement(choice, selectors, spis), chosen


def answer_payloads(agreement: Agreement, chosen: Proposal) -> tuple[list[Payload], list[Payload]]:
    """Return the responder's SA payload with the mode before it, and its selectors."""
    sa = answer(chosen, agreement.spis[0].to_bytes(4))
    s = agreement.selectors
    return [TRANSPORT.payload(), Payload(PayloadType.SA, sa.encode())], [
        _ts(_remote(s), PayloadType.TS_I),
        _ts(_local(s), PayloadType.TS_R),
    ]


def accept(
    sas: IkeSaManager, contents: Contents, wanted: Selectors, spi: int, group: int | None
) -> Agreement:
    """Return what the responder has agreed to, as the initiator asked; raises PeerError."""
    answered = SecurityAssociation.decode(contents.get(PayloadType.SA))
    choice, outbound = accept_esp(answered, sas.config.esp_proposals, group)
    if contents.note(NotifyType.USE_TRANSPORT_MODE) is None:
        raise PeerError("the peer has chosen tunnel mode", NotifyType.NO_PROPOSAL_CHOSEN)
    for kind, asked in ((PayloadType.TS_I, _local(wanted)), (PayloadType.TS_R, _remote(wanted))):
        found = decode_selectors(contents.get(kind))
        if wanted.local is None or found != (asked,):
            raise PeerError(
                f"the peer's {kind.name} is not {asked.first} protocol {wanted.protocol}",
                NotifyType.TS_UNACCEPTABLE,
            )
    return Agreement(choice, wanted, (spi, outbound))
