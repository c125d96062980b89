"""What the exchanges of one host share: settings, timers, queues, tables, and how to send."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from ipaddress import IPv6Address
from typing import TypeAlias

from agents.core.machine import Address, Discarded, Event, Retransmission
from agents.core.timers import Timers
from agents.eap.names import canonical_identity
from agents.ike.constants import LOWEST_ESP_SPI, Role
from agents.ike.half_open import HalfOpen
from agents.ike.psk import PskStore
from agents.ikev2 import events
from agents.ikev2.config import Allocate, Config, Credentials
from agents.ikev2.constants import Exchange, NotifyType, PayloadType, ProtocolId
from agents.ikev2.keys import IkeKeys
from agents.ikev2.payloads import Deletion, Notification
from agents.ikev2.sa import (
    AuthSent,
    Child,
    ChildRequested,
    Closed,
    DeleteIke,
    EapRunning,
    Established,
    IkeSa,
    Initial,
    Purpose,
    Request,
)
from agents.ikev2.sealing import Sealer
from agents.ikev2.wire import NO_SPI, SPI_LENGTH, Header, Payload, encode_plain

NONCE_LENGTH = 32
RESPONDER_REKEYS_AT = 0.95
"""The part of a lifetime after which the responder of an SA replaces it, if nobody has."""

EARLIEST = 0.97
"""Rekeying begins at random up to so much before its time (section 2.8.1)."""

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
    RETRY = auto()
    FORGET = auto()


TimerKey: TypeAlias = tuple[Timer, bytes, int]
"""The timer, the local SPI of its IKE SA, and a CHILD SA's inbound SPI (or 0)."""

_OF_IKE = (
    Timer.RETRANSMIT,
    Timer.GIVE_UP,
    Timer.IKE_REKEY,
    Timer.IKE_EXPIRES,
    Timer.LIVENESS,
    Timer.RETRY,
)


@dataclass(slots=True)
class Host:
    """The context of all exchanges of one host."""

    rng: random.Random
    local: IPv6Address
    config: Config
    credentials: Credentials
    allocate: Allocate | None
    psks: PskStore = field(default_factory=PskStore)
    timers: Timers[TimerKey] = field(default_factory=Timers)
    outbox: deque[tuple[bytes, Address]] = field(default_factory=deque)
    events: deque[Event] = field(default_factory=deque)
    sas: dict[bytes, IkeSa] = field(default_factory=dict)
    """IKE SAs by the local SPI."""

    half_open: dict[tuple[bytes, Address], IkeSa] = field(default_factory=dict)
    """Those of a responder until they are authenticated, by the initiator's SPI and address."""

    children: dict[int, Child] = field(default_factory=dict)
    """CHILD SAs by the inbound SPI."""

    esp_spis: set[int] = field(default_factory=set)
    unproven: HalfOpen[bytes] = field(init=False)
    """The local SPIs of a responder's IKE SAs until the peer has proved itself.

    One that fails counts for as long as it is known: guesses are as dear as silence.
    """

    _by_identity: dict[str, dict[bytes, IkeSa]] = field(default_factory=dict)
    """Those whose peers are known, until they are forgotten; oldest first."""

    def __post_init__(self) -> None:
        self.unproven = HalfOpen(
            host=self.config.half_open_limit_per_peer,
            link=self.config.half_open_limit_per_link,
            total=self.config.half_open_limit,
        )

    # Identifiers.

    def new_spi(self) -> bytes:
        """Return an SPI for an IKE SA that no other one of this host has."""
        while (spi := self.rng.randbytes(SPI_LENGTH)) in self.sas or spi == NO_SPI:
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

    # Tables.

    def of_peer(self, peer: IPv6Address) -> list[IkeSa]:
        """Return the IKE SAs with a peer that are not closed."""
        return [s for s in self.sas.values() if s.peer == peer and not isinstance(s.state, Closed)]

    def of_identity(self, identity: str) -> list[IkeSa]:
        """Return the IKE SAs whose peer is known by this identity, oldest first."""
        return list(self._by_identity.get(canonical_identity(identity), {}).values())

    def prove(self, sa: IkeSa, identity: str) -> None:
        """Note who the peer is."""
        sa.identity = identity
        self._by_identity.setdefault(canonical_identity(identity), {})[sa.spi] = sa

    def forget(self, sa: IkeSa) -> None:
        """Know nothing more of an IKE SA that is closed."""
        if self.sas.pop(sa.spi, None) is None:
            return
        self.timers.cancel((Timer.FORGET, sa.spi, 0))
        self.unproven.remove(sa.spi)
        identity = canonical_identity(sa.identity)
        there = self._by_identity.get(identity, {})
        if there.pop(sa.spi, None) is not None and not there:
            del self._by_identity[identity]

    def established(self, peer: IPv6Address) -> IkeSa | None:
        """Return an IKE SA with a peer that new exchanges may use."""
        return next((s for s in self.of_peer(peer) if s.up and s.local == self.local), None)

    def secure(self, sa: IkeSa, keys: IkeKeys) -> None:
        """Give an IKE SA its keys."""
        if sa.proposal is None:
            raise ValueError("the algorithms are not chosen yet")
        sa.keys = keys
        sa.sealer = Sealer(sa.proposal, keys, self.rng, initiator=sa.initiator)

    # Sending.

    def send(self, data: bytes, address: Address) -> None:
        """Queue a datagram."""
        self.outbox.append((data, address))

    def request(
        self,
        sa: IkeSa,
        exchange: int,
        payloads: Sequence[Payload],
        purpose: Purpose,
        now: float,
    ) -> bytes:
        """Send a request, encrypted if there are keys, and return it; its timer is armed."""
        header = Header(
            sa.spi_i, sa.spi_r, exchange, sa.next_id, initiator=sa.initiator, response=False
        )
        data = sa.sealer.seal(header, payloads) if sa.sealer else encode_plain(header, payloads)
        config = self.config
        brief = isinstance(purpose, Initial | DeleteIke)
        timing = config.timing if brief else config.timing_up
        retransmission = Retransmission(timing, self.rng, now)
        sa.request = Request(sa.next_id, exchange, data, purpose, retransmission)
        sa.next_id += 1
        self.timers.set((Timer.RETRANSMIT, sa.spi, 0), retransmission.deadline)
        self.send(data, sa.address)
        return data

    def finish_request(self, sa: IkeSa) -> None:
        """Note that the response to the request under way has come, or is not waited for."""
        sa.request = None
        self.timers.cancel((Timer.RETRANSMIT, sa.spi, 0))

    def hasten(self, sa: IkeSa, now: float) -> None:
        """Give the peer less time to answer the request that is under way."""
        if sa.request is not None:
            timing = self.config.timing_suspected
            sa.request.retransmission = Retransmission(timing, self.rng, now)
            self.timers.set((Timer.RETRANSMIT, sa.spi, 0), sa.request.retransmission.deadline)

    def respond(self, sa: IkeSa, payloads: Sequence[Payload]) -> None:
        """Answer the peer's last request; the answer is kept for duplicates."""
        if sa.sealer is None or sa.heard is None:
            raise ValueError("the IKE SA has no keys yet")
        header = replace(sa.heard.header, initiator=sa.initiator, response=True)
        sa.answered = sa.sealer.seal(header, payloads)
        self.send(sa.answered, sa.reply_to or sa.address)

    # Telling the owner.

    def discard(self, source: Address, reason: str, now: float) -> None:
        """Tell the owner that a message had no effect."""
        self.events.append(Discarded(now, source[0], reason))

    def announce(
        self, sa: IkeSa, role: Role, now: float, replaces: tuple[bytes, bytes] | None = None
    ) -> None:
        """Tell the owner that an IKE SA is up, and arm its timers."""
        if sa.keys is None or sa.proposal is None:
            raise ValueError("the IKE SA has no keys yet")
        encryption, integrity = sa.proposal.wireshark_names
        keys = sa.keys
        self.events.append(
            events.IkeEstablished(
                now,
                sa.peer,
                role,
                sa.identity,
                sa.method,
                sa.spi_i,
                sa.spi_r,
                encryption,
                integrity,
                keys.ei,
                keys.er,
                keys.ai,
                keys.ar,
                replaces,
                sa.grant.home_address if sa.grant else None,
            )
        )
        config = self.config
        end = min(now + config.ike_lifetime, sa.authorised_until)
        self.timers.set((Timer.IKE_EXPIRES, sa.spi, 0), end)
        soft = now + self._soft(config.ike_lifetime, initiated=sa.initiator)
        self.timers.set((Timer.IKE_REKEY, sa.spi, 0), soft)
        self.watch(sa, now)

    def _soft(self, lifetime: float, *, initiated: bool) -> float:
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

    # CHILD SAs.

    def esp_lifetime(self, sa: IkeSa, now: float) -> float:
        """Return how long an ESP SA may last: as long as what its peer is authorised for."""
        # To the kernel a lifetime below a second is none at all.
        return max(1.0, min(self.config.esp_lifetime, sa.authorised_until - now))

    def add_child(self, child: Child, now: float) -> None:
        """Take a new pair of ESP SAs and tell the owner."""
        spi, lifetime = child.spi, child.pair.inbound.lifetime
        self.children[spi] = child.owner.children[spi] = child
        self.timers.set((Timer.CHILD_EXPIRES, b"", spi), now + lifetime)
        if now + lifetime < child.owner.authorised_until:  # Else another would last no longer.
            soft = now + self._soft(lifetime, initiated=child.initiated)
            self.timers.set((Timer.CHILD_REKEY, b"", spi), soft)
        self.events.append(events.ChildEstablished(now, child.peer, child.pair))

    def remove_child(self, child: Child, reason: str, now: float) -> None:
        """Drop a pair of ESP SAs and tell the owner."""
        spi = child.spi
        if self.children.pop(spi, None) is None:
            return
        del child.owner.children[spi]
        child.replaces = None  # Or every SA would keep all those before it.
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
        live.sort(key=lambda s: s.successor is None)
        for other in live[: max(0, len(live) + len(kept) - limit)]:
            self._dismiss(other, "replaced by newer ones", now)
        gone = [s for s in others if isinstance(s.state, Closed)]
        for other in gone[: max(0, len(gone) - limit)]:
            self.forget(other)

    def _dismiss(self, sa: IkeSa, reason: str, now: float) -> None:
        """Tell the peer once that an IKE SA ends, and end it."""
        if isinstance(sa.state, Established) and sa.sealer is not None:
            header = Header(
                *sa.spis,
                Exchange.INFORMATIONAL,
                sa.next_id,
                initiator=sa.initiator,
                response=False,
            )
            deletion = Payload(PayloadType.DELETE, Deletion(ProtocolId.IKE).encode())
            self.send(sa.sealer.seal(header, [deletion]), sa.address)
        self.close(sa, reason, now)

    def close(self, sa: IkeSa, reason: str, now: float) -> None:
        """End an IKE SA and its CHILD SAs; it answers duplicates for a while."""
        if isinstance(sa.state, Closed):
            return
        was_up = isinstance(sa.state, Established)
        if isinstance(sa.state, EapRunning) and not sa.initiator:
            self.events.append(events.EapEnded(now, sa.spi_r, sa.identity))
        for child in list(sa.children.values()):
            self.remove_child(child, reason, now)
        for selectors in sa.wanted:
            self.events.append(events.Failed(now, sa.peer, reason, selectors))
        for holder in (sa.state, sa.purpose):
            if isinstance(holder, AuthSent | EapRunning | ChildRequested):
                self.esp_spis.discard(holder.spi)
        sa.state, sa.request = Closed(), None
        sa.tasks.clear()
        sa.delayed.clear()
        for timer in _OF_IKE:
            self.timers.cancel((timer, sa.spi, 0))
        self.half_open.pop((sa.spi_i, sa.address), None)
        self.timers.set((Timer.FORGET, sa.spi, 0), now + LINGER)
        if was_up:
            event = events.IkeDeleted(now, sa.peer, sa.identity, sa.spi_i, sa.spi_r, reason)
            self.events.append(event)


def error_notification(error: Exception) -> Notification:
    """Return what tells the peer of an error in its request (section 2.21)."""
    code = getattr(error, "code", None) or NotifyType.INVALID_SYNTAX
    kind = getattr(error, "kind", None)
    return Notification(code, b"" if kind is None else bytes([kind]))
