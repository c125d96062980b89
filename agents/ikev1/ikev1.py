"""IKEv1 of one host: both roles, many peers (RFC 2407, 2408, 2409, 3776)."""

from __future__ import annotations

import random
from collections import deque
from ipaddress import IPv6Address

from agents.core.machine import Address, Discarded, Event
from agents.core.reader import WireError
from agents.eap.names import canonical_identity
from agents.ike.constants import Role
from agents.ike.psk import PskEntry
from agents.ike.selectors import Selectors
from agents.ikev1.children import Children
from agents.ikev1.config import Config
from agents.ikev1.constants import ExchangeType
from agents.ikev1.isakmp_sa_manager import IsakmpSaManager
from agents.ikev1.negotiation import Established
from agents.ikev1.phase2 import Phase2
from agents.ikev1.sa import Endpoint, IsakmpSa, Timer
from agents.ikev1.wire import Message, split_datagram


class Ikev1:
    """An IKEv1 endpoint without I/O; its datagrams go over UDP port 500.

    IKE runs between `local` and the peer's address, on a mobile node its care-of address and the
    home agent's; the SAs are for the selectors, home address and home agent (RFC 3776 section 4).
    Every negotiation ends, within `Config.negotiation_timeout` a phase, with an event of success,
    with `Failed`, or on a responder with `ChildAbandoned`.
    """

    outbox: deque[tuple[bytes, Address]]
    events: deque[Event]

    def __init__(
        self, *, rng: random.Random, local: IPv6Address, config: Config | None = None
    ) -> None:
        self._endpoint = Endpoint(rng, local, config or Config())
        self.outbox = self._endpoint.outbox
        self.events = self._endpoint.events
        self._children = Children(self._endpoint)
        self._phase2 = Phase2(self._endpoint, self._children, self._dead)
        self._sas = IsakmpSaManager(self._endpoint, self._established, self._phase2.abandon)

    @property
    def local(self) -> IPv6Address:
        """The address that IKE runs from.

        With a new one, new negotiations start from it; ISAKMP SAs of the old one are not used
        any more (there is no moving of key management, bit K of RFC 6275), ESP SAs stay.
        """
        return self._endpoint.local

    @local.setter
    def local(self, address: IPv6Address) -> None:
        self._endpoint.local = address

    def add_psk(
        self,
        psk: bytes,
        *,
        peer: IPv6Address | None = None,
        identity: str | None = None,
        home_address: IPv6Address | None = None,
    ) -> None:
        """Take the key of a peer, known by its address, its identity (aggressive mode) or both.

        It replaces that peer's own key; in main mode the keys of one address are tried in turn.
        `home_address` is the only one that this peer may ask SAs for; without it, none.
        """
        self._endpoint.psks.add(PskEntry(psk, peer, identity, home_address))

    def remove_psk(self, *, peer: IPv6Address | None = None, identity: str | None = None) -> None:
        """Forget a key; SAs that were made with it stay until `delete` or `delete_identity`."""
        self._endpoint.psks.remove(peer, identity)

    def give_key(self, spi: bytes, entry: PskEntry | None, now: float) -> None:
        """Answer `KeyWanted`: its ISAKMP SA goes on with this key, or ends if there is none."""
        self._sas.give_key(spi, entry, now)

    def serves(self, identity: str) -> bool:
        """Return whether there is any SA with the holder of a key, or one is being made."""
        holder = canonical_identity(identity)
        return bool(self._sas.of_holder(holder) or self._children.of_holder(holder))

    def initiate(self, peer: IPv6Address, selectors: Selectors | None, now: float) -> None:
        """Make SAs for `selectors` with a peer: phase 1 if it is not up, then quick mode.

        Without `selectors`, phase 1 is all.
        """
        selectors = Selectors(*selectors) if selectors else None
        sa = self._sas.usable(peer, now)
        if sa is not None:
            if selectors:
                self._phase2.initiate(sa, selectors, now)
            return
        alone = self._endpoint.config.initial_contact and not self._children.of_peer(peer)
        self._sas.initiate(peer, selectors, now, initial_contact=alone)

    def prepare(self) -> None:
        """Do ahead of need what the next negotiation would take most of its time for."""
        endpoint = self._endpoint
        endpoint.key_pairs.prepare(endpoint.config.proposals[0].group)

    def connected(self, peer: IPv6Address) -> bool:
        """Return whether an ISAKMP SA with a peer is up, or is being made."""
        return bool(self._sas.of_peer(peer))

    def secured(self, peer: IPv6Address) -> bool:
        """Return whether there are ESP SAs with a peer, or the local host is making some."""
        # Those that others begin do not count: anybody may, in the peer's name.
        ours = (sa for sa in self._sas.of_peer(peer) if sa.n.role is Role.INITIATOR)
        making = any(sa.pending or sa.sealer is None for sa in ours)
        return making or bool(self._children.of_peer(peer))

    def delete(self, peer: IPv6Address, now: float, selectors: Selectors | None = None) -> None:
        """Delete the SAs with a peer and tell it; without `selectors` the ISAKMP SAs too.

        Negotiations that run end as failed when no selectors are given.
        """
        doomed = [c for c in self._children.of_peer(peer) if selectors in (None, c.selectors)]
        self._phase2.delete(self._sas.established(peer), doomed, "deleted", now)
        if selectors is None:
            for sa in self._sas.of_peer(peer):
                self._end(sa, "deleted", now)

    def delete_identity(self, identity: str, now: float) -> None:
        """Delete all that was made with the key of `identity`, and what is being made with it.

        It is gone when this returns, and the peer is told once: nothing waits for an answer.
        """
        holder = canonical_identity(identity)
        sas = self._sas.of_holder(holder)
        up = [sa for sa in sas if sa.sealer is not None]
        doomed = self._children.of_holder(holder)
        self._phase2.delete(up[-1] if up else None, doomed, "deleted", now)
        for sa in sas:
            self._end(sa, "deleted", now)

    def _end(self, sa: IsakmpSa, reason: str, now: float) -> None:
        if sa.sealer is None:
            self._sas.fail(sa, reason, now)
        else:
            self._delete_isakmp(sa, reason, now)

    def _delete_isakmp(self, sa: IsakmpSa, reason: str, now: float) -> None:
        self._phase2.delete_isakmp(sa)
        self._sas.remove(sa, reason, now)

    def handle_message(self, data: bytes, source: Address, now: float) -> None:
        """Take one datagram from `source`."""
        try:
            message = split_datagram(data)
        except WireError as error:
            self.events.append(Discarded(now, source[0], f"no ISAKMP message: {error}"))
            return
        header = message.header
        if header.exchange in (ExchangeType.MAIN, ExchangeType.AGGRESSIVE):
            self._sas.handle(message, source, now)
            return
        if header.exchange not in (ExchangeType.QUICK, ExchangeType.INFORMATIONAL):
            reason = f"exchange type {header.exchange}"
            self.events.append(Discarded(now, source[0], reason))
            return
        sa = self._sas.find(header, source)
        if sa is None:
            reason = "the cookies belong to no ISAKMP SA"
            self.events.append(Discarded(now, source[0], reason))
        elif header.exchange == ExchangeType.QUICK:
            self._phase2.handle(sa, message, now)
        elif header.encrypted and sa.sealer is not None:
            self._hear(sa, message, now)
        else:
            self._sas.hear_unprotected(sa, message, now)

    def _hear(self, sa: IsakmpSa, message: Message, now: float) -> None:
        cookies = self._phase2.hear(sa, message, now)
        for other in self._sas.of_holder(sa.holder) if cookies else ():
            if other.n.initiator_cookie + other.n.responder_cookie in cookies:
                self._sas.remove(other, "deleted by the peer", now)

    def _established(self, sa: IsakmpSa, now: float) -> None:
        state = sa.n.state
        if isinstance(state, Established) and state.initial_contact:
            self._forget_others(sa, now)
        up = [s for s in self._sas.of_holder(sa.holder) if s.sealer is not None]
        for old in up[: -self._endpoint.config.sas_per_peer]:
            self._delete_isakmp(old, "replaced by newer ones", now)
        pending, sa.pending = sa.pending, []
        for selectors in pending:
            self._phase2.initiate(sa, selectors, now)
        early, sa.early = sa.early, None
        if early is not None:
            self._phase2.handle(sa, early, now)

    def _forget_others(self, sa: IsakmpSa, now: float) -> None:
        """Drop what a peer that has started afresh cannot know any more (RFC 2407, 4.6.3.3)."""
        for other in self._sas.of_holder(sa.holder):
            if other is not sa and other.n.role is Role.RESPONDER and other.sealer is not None:
                self._sas.remove(other, "the peer has started afresh", now)
        for child in self._children.of_holder(sa.holder):
            self._children.remove(child, "the peer has started afresh", now)

    def _dead(self, sa: IsakmpSa, now: float) -> None:
        self._sas.remove(sa, "the peer does not answer", now)

    def next_timeout(self) -> float | None:
        """Return the earliest deadline, or None if no timer runs."""
        return self._endpoint.timers.next()

    def handle_timeout(self, now: float) -> None:
        """Act on every deadline that is not after `now`."""
        while (key := self._endpoint.timers.pop(now)) is not None:
            self._expire(*key, now)

    def _expire(self, timer: Timer, cookie: bytes, number: int, now: float) -> None:
        match timer:
            case Timer.RETRANSMIT:
                self._sas.retransmit(cookie, now)
            case Timer.GIVE_UP:
                self._sas.give_up(cookie, now)
            case Timer.CHILD_REKEY | Timer.CHILD_EXPIRES:
                self._child_ages(timer, number, now)
            case _:
                if (sa := self._sas.get(cookie)) is not None:
                    self._sa_ages(timer, sa, number, now)

    def _sa_ages(self, timer: Timer, sa: IsakmpSa, message_id: int, now: float) -> None:
        if timer is Timer.SA_EXPIRES:
            self._delete_isakmp(sa, "expired", now)
        elif timer is Timer.QUICK_RETRANSMIT:
            self._phase2.retransmit(sa, message_id, now)
        else:
            self._phase2.give_up(sa, message_id, now)

    def _child_ages(self, timer: Timer, spi: int, now: float) -> None:
        child = self._children.get(spi)
        if child is None:
            return
        if timer is Timer.CHILD_EXPIRES:
            over = self._sas.established(child.peer)
            self._phase2.delete(over, [child], "expired", now)
            return
        # Once more, should this attempt come to nothing before the SAs expire.
        again = now + self._endpoint.config.negotiation_timeout * 2
        self._endpoint.timers.set((Timer.CHILD_REKEY, b"", spi), again)
        self.initiate(child.peer, child.selectors, now)
