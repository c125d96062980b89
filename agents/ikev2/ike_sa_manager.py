"""All IKE SAs and CHILD SAs of one host: tables, identifiers, lifetimes, and their ends."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum, auto
from ipaddress import IPv6Address
from typing import TypeAlias

from agents.core.index import Index
from agents.core.machine import Address
from agents.eap.names import canonical_identity
from agents.ike import endpoint as ike
from agents.ike.constants import LOWEST_ESP_SPI, Role
from agents.ike.half_open import HalfOpen
from agents.ikev2 import events
from agents.ikev2.config import Allocate, Config, Credentials, IkeProposal
from agents.ikev2.constants import ExchangeType, PayloadType, ProtocolId
from agents.ikev2.keys import IkeKeys
from agents.ikev2.payloads import Deletion
from agents.ikev2.sa import (
    AuthSent,
    Child,
    Closed,
    EapAccepted,
    EapRelayed,
    EapRunning,
    Established,
    IkeSa,
    Keymat,
    MskSent,
    Replaced,
)
from agents.ikev2.sealing import Sealer
from agents.ikev2.tasks import ChildRequested
from agents.ikev2.wire import NO_SPI, SPI_LENGTH, Header, Payload

NONCE_LENGTH = 32
RESPONDER_REKEYS_AT = 0.95
"""The part of a lifetime after which the responder of an SA replaces it, if nobody has."""

EARLIEST = 0.97
"""Rekeying begins at random up to so much before its time (section 2.8.1)."""

REPLACE_AGAIN = 30.0
"""Seconds after which an SA is replaced once more, should the first time have come to nothing."""

LINGER = 30.0
"""Seconds for which a closed IKE SA still answers duplicates of the last request."""


class Timer(Enum):
    """What a deadline is for."""

    RETRANSMIT = auto()
    GIVE_UP = auto()
    IKE_REKEY = auto()
    IKE_EXPIRES = auto()
    CHILD_REKEY = auto()
    CHILD_EXPIRES = auto()
    LIVENESS = auto()
    REAUTHENTICATE = auto()
    RETRY = auto()
    FORGET = auto()


TimerKey: TypeAlias = tuple[Timer, bytes, int]
"""The timer, the local SPI of its IKE SA, and a CHILD SA's inbound SPI (or 0)."""

OF_USE = (
    Timer.IKE_REKEY,
    Timer.IKE_EXPIRES,
    Timer.LIVENESS,
    Timer.REAUTHENTICATE,
    Timer.RETRY,
)
"""The timers of an IKE SA that is in use, which one that is to be deleted has no longer."""


@dataclass(slots=True)
class IkeSaManager(ike.Endpoint[Config, TimerKey]):
    """The local host's SAs, and what is needed to make them."""

    credentials: Credentials
    allocate: Allocate | None
    table: dict[bytes, IkeSa] = field(default_factory=dict)
    """IKE SAs by the local SPI: `add` takes one in, `forget` out."""

    half_open: dict[tuple[bytes, Address], IkeSa] = field(default_factory=dict)
    """Those of a responder until they are authenticated, by the initiator's SPI and address."""

    children: dict[int, Child] = field(default_factory=dict)
    """CHILD SAs by the inbound SPI."""

    esp_spis: set[int] = field(default_factory=set)
    unproven: HalfOpen[bytes] = field(init=False)
    """The local SPIs of a responder's IKE SAs until the peer has proved itself.

    One that fails counts for as long as it is known: guesses are as dear as silence.
    """

    _peers: Index[IkeSa, IPv6Address] = field(default_factory=Index)
    _identities: Index[IkeSa, str] = field(default_factory=Index)
    """Those whose peers are known, until they are forgotten."""

    def __post_init__(self) -> None:
        ike.Endpoint.__post_init__(self)  # A slotted dataclass has no super().
        self.unproven = HalfOpen(
            host=self.config.half_open_limit_per_peer,
            link=self.config.half_open_limit_per_link,
            total=self.config.half_open_limit,
        )

    # Identifiers.

    def new_spi(self) -> bytes:
        """Return an SPI for an IKE SA that no other one of this host has."""
        while (spi := self.rng.randbytes(SPI_LENGTH)) in self.table or spi == NO_SPI:
            pass
        return spi

    def new_nonce(self) -> bytes:
        """Return a nonce."""
        return self.rng.randbytes(NONCE_LENGTH)

    def new_esp_spi(self) -> int:
        """Return and reserve an SPI that no ESP SA of this host has."""
        while (spi := self.rng.getrandbits(32)) < LOWEST_ESP_SPI or spi in self.esp_spis:
            pass
        self.esp_spis.add(spi)
        return spi

    def keymat(self, proposal: IkeProposal, keys: IkeKeys, *, initiator: bool) -> Keymat:
        """Return what protects an IKE SA that has these keys."""
        return Keymat(proposal, keys, Sealer(proposal, keys, self.rng, initiator=initiator))

    # Tables.

    def add(self, sa: IkeSa) -> None:
        """Take in an IKE SA that has begun."""
        self.table[sa.spi] = sa
        self._peers.put(sa, sa.peer)

    def of_peer(self, peer: IPv6Address) -> list[IkeSa]:
        """Return the IKE SAs with a peer that are not closed, oldest first."""
        return [s for s in self._peers.at(peer) if not isinstance(s.state, Closed)]

    def of_identity(self, identity: str) -> tuple[IkeSa, ...]:
        """Return the IKE SAs whose peer is known by this identity, oldest first."""
        return self._identities.at(canonical_identity(identity))

    def usable(self, peer: IPv6Address) -> IkeSa | None:
        """Return an IKE SA with a peer that new exchanges may use."""
        return next((s for s in self.of_peer(peer) if s.up and not s.is_left), None)

    def move(self, local: IPv6Address) -> None:
        """Go on from another local address; what there is has been left."""
        if local != self.local:
            self.local = local
            for sa in self.table.values():
                sa.is_left = True

    def identify(self, sa: IkeSa, state: EapAccepted | Established) -> None:
        """Take an IKE SA to a state in which it is known who the peer is."""
        sa.state = state
        self._identities.put(sa, canonical_identity(sa.identity))

    def forget(self, sa: IkeSa) -> None:
        """Know nothing more of an IKE SA that is closed."""
        if self.table.pop(sa.spi, None) is None:
            return
        self.timers.cancel((Timer.FORGET, sa.spi, 0))
        self.unproven.remove(sa.spi)
        self._peers.put(sa, None)
        self._identities.put(sa, None)

    # IKE SAs that are up.

    def announce(
        self, sa: IkeSa, role: Role, now: float, replaces: tuple[bytes, bytes] | None = None
    ) -> None:
        """Tell the owner that an IKE SA is up, and arm its timers."""
        state = sa.established
        encryption, integrity = state.keymat.proposal.wireshark_names
        keys = state.keymat.keys
        self.events.append(
            events.IkeEstablished(
                now,
                sa.peer,
                role,
                state.identity,
                state.method,
                sa.spi_i,
                sa.spi_r,
                encryption,
                integrity,
                keys.ei,
                keys.er,
                keys.ai,
                keys.ar,
                replaces,
                state.grant.home_address if state.grant else None,
            )
        )
        self.timers.cancel((Timer.GIVE_UP, sa.spi, 0))
        lifetime = self.config.ike_lifetime
        end = min(now + lifetime, state.authorised_until)
        self.timers.set((Timer.IKE_EXPIRES, sa.spi, 0), end)
        soft = now + self.soft(lifetime, initiated=sa.initiator)
        self.timers.set((Timer.IKE_REKEY, sa.spi, 0), soft)
        if state.reauthenticate_at < math.inf:
            self.timers.set((Timer.REAUTHENTICATE, sa.spi, 0), state.reauthenticate_at)
        self.watch(sa, now)

    def soft(self, lifetime: float, *, initiated: bool) -> float:
        """Return after how long to replace an SA; the end with the shorter lifetime is first."""
        part = self.config.rekey_at
        if not initiated:
            part = max(part, RESPONDER_REKEYS_AT)
        return lifetime * part * self.rng.uniform(EARLIEST, 1.0)

    def watch(self, sa: IkeSa, now: float) -> None:
        """Let the peer be asked after a silence whether it lives."""
        interval = self.config.liveness_interval
        if interval is not None and not isinstance(sa.state, Closed):
            self.timers.set((Timer.LIVENESS, sa.spi, 0), now + interval)

    def retire(self, sa: IkeSa, successor: IkeSa, deadline: float) -> None:
        """Use an IKE SA no more that another one replaces; at the deadline it is deleted."""
        sa.state = Replaced.of(sa.established, successor)
        for timer in OF_USE:
            self.timers.cancel((timer, sa.spi, 0))
        self.timers.set((Timer.GIVE_UP, sa.spi, 0), deadline)

    # CHILD SAs.

    def esp_lifetime(self, sa: IkeSa, now: float) -> float:
        """Return how long an ESP SA may last: as long as what its peer is authorised for."""
        # To the kernel a lifetime below a second is none at all.
        return max(1.0, min(self.config.esp_lifetime, sa.established.authorised_until - now))

    def add_child(self, child: Child, now: float) -> None:
        """Take a new pair of ESP SAs and tell the owner."""
        spi, lifetime = child.spi, child.pair.inbound.lifetime
        self.children[spi] = child.owner.children[spi] = child
        self.timers.set((Timer.CHILD_EXPIRES, b"", spi), now + lifetime)
        # One that ends with the authorisation is not replaced: another would last no longer.
        if now + lifetime < child.owner.established.authorised_until:
            soft = now + self.soft(lifetime, initiated=child.initiated)
            self.timers.set((Timer.CHILD_REKEY, b"", spi), soft)
        self.events.append(events.ChildEstablished(now, child.peer, child.pair))

    def remove_child(self, child: Child, reason: str, now: float) -> None:
        """Drop a pair of ESP SAs and tell the owner."""
        spi = child.spi
        if self.children.pop(spi, None) is None:
            return
        del child.owner.children[spi]
        self.esp_spis.discard(spi)
        for timer in (Timer.CHILD_EXPIRES, Timer.CHILD_REKEY):
            self.timers.cancel((timer, b"", spi))
        event = events.ChildDeleted(now, child.peer, child.spis, child.pair, reason)
        self.events.append(event)

    # The end of IKE SAs.

    def limit(self, sa: IkeSa, now: float, *, predecessor: IkeSa | None = None) -> None:
        """Let the oldest IKE SAs of a peer give way to a new one, those already replaced first.

        The new one is not refused: its peer may have lost the others, or have moved and not been
        able to delete them (RFC 4877 section 7.4).
        """
        limit, kept = self.config.sas_per_peer, [s for s in (sa, predecessor) if s is not None]
        others = [s for s in self.of_identity(sa.identity) if s not in kept]
        live = [s for s in others if not isinstance(s.state, Closed)]
        live.sort(key=lambda s: not isinstance(s.state, Replaced))
        for other in live[: max(0, len(live) + len(kept) - limit)]:
            self._dismiss(other, "replaced by newer ones", now)
        gone = [s for s in others if isinstance(s.state, Closed)]
        for other in gone[: max(0, len(gone) - limit)]:
            self.forget(other)

    def _dismiss(self, sa: IkeSa, reason: str, now: float) -> None:
        """Tell the peer once that an IKE SA ends, and end it."""
        if isinstance(sa.state, Established):
            deletion = Payload(PayloadType.DELETE, Deletion(ProtocolId.IKE).encode())
            self.send_once(sa, sa.state.keymat, deletion)
        self.close(sa, reason, now)

    def send_once(self, sa: IkeSa, keymat: Keymat, payload: Payload) -> None:
        """Send an INFORMATIONAL request whose response is not waited for."""
        header = Header(
            *sa.spis,
            ExchangeType.INFORMATIONAL,
            sa.window.next_id,
            initiator=sa.initiator,
            response=False,
        )
        self.send(keymat.sealer.seal(header, [payload]), sa.address)

    def close(self, sa: IkeSa, reason: str, now: float) -> None:
        """End an IKE SA and its CHILD SAs; it answers duplicates for a while."""
        state, wanted = sa.state, sa.wanted
        if isinstance(state, Closed):
            return
        if isinstance(state, EapRelayed | EapAccepted):
            self.events.append(events.EapEnded(now, sa.spi_r, sa.identity))
        for child in list(sa.children.values()):
            self.remove_child(child, reason, now)
        for selectors in wanted:
            self.events.append(events.Failed(now, sa.peer, reason, selectors))
        for holder in (state, sa.purpose):
            if isinstance(holder, AuthSent | EapRunning | MskSent | ChildRequested):
                self.esp_spis.discard(holder.spi)
        sa.state, sa.window.request = Closed(sa.identity), None
        sa.tasks.clear()
        sa.delayed.clear()
        for timer in (Timer.RETRANSMIT, Timer.GIVE_UP, *OF_USE):
            self.timers.cancel((timer, sa.spi, 0))
        self.half_open.pop((sa.spi_i, sa.address), None)
        self.timers.set((Timer.FORGET, sa.spi, 0), now + LINGER)
        if isinstance(state, Established):
            event = events.IkeDeleted(now, sa.peer, state.identity, sa.spi_i, sa.spi_r, reason)
            self.events.append(event)
