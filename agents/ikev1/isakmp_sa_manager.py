"""All ISAKMP SAs of a host: start, answer, retransmission, end (RFC 2408 section 5)."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv6Address

from agents.core.index import Index
from agents.core.machine import Address, PeerError, address_of, text_of
from agents.core.reader import WireError
from agents.crypto.dh import KeyPair
from agents.ike.constants import Role
from agents.ike.half_open import MAX_UNPROVEN, HalfOpen
from agents.ike.identities import Identity
from agents.ike.psk import PskEntry, PskStore
from agents.ike.selectors import Selectors
from agents.ikev1 import aggressive_mode, events, grammar, main_mode, phase1
from agents.ikev1.constants import ExchangeType, Mode, NotifyType, PayloadType, ProtocolId
from agents.ikev1.negotiation import Established, Exchanged, KeyAwaited, Negotiation
from agents.ikev1.sa import Endpoint, IsakmpSa, Timer, is_fatal
from agents.ikev1.wire import (
    COOKIE_LENGTH,
    HEADER_LENGTH,
    NO_COOKIE,
    Header,
    Message,
    Notification,
    Payload,
    decode_plain,
    encode_chain,
    split_datagram,
)

OnEstablished = Callable[[IsakmpSa, float], None]
OnRemoved = Callable[[IsakmpSa, str, float], None]

_GIVES_WAY = "it gives way to newer negotiations"


class IsakmpSaManager:
    """Runs every phase 1 negotiation and keeps the ISAKMP SAs that come of them."""

    def __init__(
        self, endpoint: Endpoint, on_established: OnEstablished, on_removed: OnRemoved
    ) -> None:
        self._endpoint = endpoint
        self._on_established = on_established
        self._on_removed = on_removed
        self._sas: dict[bytes, IsakmpSa] = {}
        self._peers = Index[IsakmpSa, IPv6Address]()
        self._holders = Index[IsakmpSa, str]()
        self._answered: dict[tuple[IPv6Address, bytes], IsakmpSa] = {}
        limits = self._endpoint.config
        self._unanswered: HalfOpen[bytes] = HalfOpen(
            host=limits.unanswered_limit_per_peer,
            link=limits.unanswered_limit_per_link,
            total=limits.unanswered_limit,
            rng=endpoint.rng,
        )
        """Negotiations of initiators that have not come back: anybody may send message 1."""

        self._unproven: HalfOpen[bytes] = HalfOpen(
            host=limits.half_open_limit_per_peer,
            link=limits.half_open_limit_per_link,
            total=limits.half_open_limit,
        )
        """Those that g^xy was computed for, until the peer has proved itself or their time ends."""

        self._key_pairs: dict[int, KeyPair] = {}
        """For aggressive mode, by group; each one until somebody answers to it."""

    def get(self, cookie: bytes) -> IsakmpSa | None:
        """Return the SA with this local cookie."""
        return self._sas.get(cookie)

    def find(self, header: Header, source: Address) -> IsakmpSa | None:
        """Return the SA that a message with both cookies belongs to."""
        peer = address_of(source[0])
        sa = self._sas.get(header.initiator_cookie)
        if sa is not None and sa.n.role is Role.INITIATOR and sa.n.peer == peer:
            known = sa.n.responder_cookie
            return sa if known in (NO_COOKIE, header.responder_cookie) else None
        sa = self._sas.get(header.responder_cookie)
        if sa is not None and sa.n.role is Role.RESPONDER and sa.n.peer == peer:
            return sa if sa.n.initiator_cookie == header.initiator_cookie else None
        return None

    def of_peer(self, peer: IPv6Address) -> tuple[IsakmpSa, ...]:
        """Return the SAs with a peer, oldest first."""
        return self._peers.at(peer)

    def of_holder(self, holder: str) -> tuple[IsakmpSa, ...]:
        """Return the SAs, established or not, that a holder's key is known to be for."""
        return self._holders.at(holder)

    def usable(self, peer: IPv6Address, now: float) -> IsakmpSa | None:
        """Return the newest established SA if it outlives a negotiation."""
        sa = self.established(peer)
        latest = now + self._endpoint.config.negotiation_timeout
        return sa if sa is not None and sa.expires_at > latest else None

    def established(self, peer: IPv6Address) -> IsakmpSa | None:
        """Return the newest established SA from the local address."""
        for sa in reversed(self.of_peer(peer)):
            if isinstance(sa.n.state, Established) and sa.n.local == self._endpoint.local:
                return sa
        return None

    def initiate(
        self, peer: IPv6Address, selectors: Selectors | None, now: float, *, initial_contact: bool
    ) -> None:
        """Start phase 1 for these selectors, if any, or let them wait for the one that runs."""
        pending = [selectors] if selectors else []
        for sa in self.of_peer(peer):
            if sa.n.role is Role.INITIATOR and not isinstance(sa.n.state, Established):
                sa.pending += pending
                return
        endpoint = self._endpoint
        known = endpoint.psks.by_address(peer)
        if not known:
            reason = f"no pre-shared key for {peer}"
            endpoint.events.append(events.Failed(now, peer, reason, selectors))
            return
        negotiation = self._negotiation(peer, Role.INITIATOR, endpoint.config.mode)
        negotiation.entry = known[0]
        negotiation.initial_contact = initial_contact and not self.of_peer(peer)
        sa = IsakmpSa(negotiation, (text_of(peer), endpoint.config.port), pending=pending)
        self._add(sa, now)
        endpoint.events.append(events.Phase1Started(now, peer, negotiation.mode, Role.INITIATOR))
        self._transmit(sa, phase1.start(negotiation), now)

    def _negotiation(
        self, peer: IPv6Address, role: Role, mode: Mode, cookie: bytes = b""
    ) -> Negotiation:
        endpoint = self._endpoint
        asks = role is Role.RESPONDER and endpoint.config.asks_keys
        own = NO_COOKIE
        while own == NO_COOKIE or own in self._sas:
            own = endpoint.rng.randbytes(COOKIE_LENGTH)
        cookies = (own, NO_COOKIE) if role is Role.INITIATOR else (cookie, own)
        return Negotiation(
            config=endpoint.config,
            rng=endpoint.rng,
            local=endpoint.local,
            peer=peer,
            role=role,
            mode=mode,
            psks=PskStore() if asks else endpoint.psks,
            key_pairs=endpoint.key_pairs,
            initiator_cookie=cookies[0],
            responder_cookie=cookies[1],
        )

    def _add(self, sa: IsakmpSa, now: float) -> None:
        self._sas[sa.cookie] = sa
        self._peers.put(sa, sa.n.peer)
        deadline = now + self._endpoint.config.negotiation_timeout
        self._endpoint.timers.set((Timer.GIVE_UP, sa.cookie, 0), deadline)
        if sa.n.role is Role.RESPONDER:
            self._answered[sa.n.peer, sa.n.initiator_cookie] = sa
            self._unanswered.add(sa.cookie, sa.n.peer)
        self._holders.put(sa, sa.holder or None)

    def _transmit(self, sa: IsakmpSa, data: bytes, now: float) -> None:
        """Send a message, again and again if it is on the local host to do so."""
        sa.last_sent = data
        self._endpoint.send(data, sa.address)
        done = isinstance(sa.n.state, Established)
        # A responder repeats a message when the initiator does: its address may be forged.
        if not done and sa.n.role is Role.INITIATOR:
            sa.retransmission = self._endpoint.retransmission(now)
            key = (Timer.RETRANSMIT, sa.cookie, 0)
            self._endpoint.timers.set(key, sa.retransmission.deadline)

    def handle(self, message: Message, source: Address, now: float) -> None:
        """Take a message of main or aggressive mode."""
        header, _, data = message
        if len(data) > MAX_UNPROVEN:
            self._endpoint.discard(source, f"a phase 1 message of {len(data)} octets", now)
            return
        if header.message_id:
            self._endpoint.discard(source, "phase 1 with a message id", now)
            return
        if header.responder_cookie != NO_COOKIE:
            sa = self.find(header, source)
        else:
            sa = self._answered.get((address_of(source[0]), header.initiator_cookie))
            if sa is None:
                self._respond(message, source, now)
                return
        if sa is None:
            self._endpoint.discard(source, "the cookies belong to no ISAKMP SA", now)
        elif data == sa.last_received:
            if sa.last_sent:
                self._endpoint.send(sa.last_sent, sa.address)
        elif not phase1.awaited(sa.n) or header.exchange != sa.n.exchange:
            self._endpoint.discard(source, "a phase 1 message that is not awaited", now)
        elif data == sa.first_message:
            self._endpoint.discard(source, "a late duplicate of the first message", now)
        else:
            self._advance(sa, message, now)

    def _respond(self, message: Message, source: Address, now: float) -> None:
        header, body, data = message
        endpoint, peer = self._endpoint, address_of(source[0])
        mode = Mode.MAIN if header.exchange == ExchangeType.MAIN else Mode.AGGRESSIVE
        try:
            payloads = decode_plain(header.next_payload, body)
            grammar.check(header.exchange, 1, payloads, encrypted=header.encrypted)
            n = self._negotiation(peer, Role.RESPONDER, mode, header.initiator_cookie)
            if mode is Mode.MAIN:
                reply = main_mode.take_1(n, payloads)
            elif endpoint.config.asks_keys:
                reply, n.state = None, KeyAwaited(tuple(payloads))
                identity = Identity.decode(grammar.find(payloads, PayloadType.ID))
            else:
                reply = aggressive_mode.take_1(n, payloads, self._key_pairs)
        except (WireError, PeerError) as error:
            if is_fatal(error):
                endpoint.events.append(events.Failed(now, peer, f"{mode.value} mode: {error}"))
                self._notify_unprotected(header, getattr(error, "code", None), source)
            else:
                endpoint.discard(source, f"{mode.value} mode message 1: {error}", now)
            return
        while (cookie := self._unanswered.giving_way(peer)) is not None:
            self.fail(self._sas[cookie], f"{mode.value} mode: {_GIVES_WAY}", now)
        sa = IsakmpSa(n, source, first_message=data, last_received=data)
        self._add(sa, now)
        endpoint.events.append(events.Phase1Started(now, peer, mode, Role.RESPONDER))
        if reply is None:
            endpoint.events.append(events.KeyWanted(now, peer, identity, sa.cookie))
        else:
            self._transmit(sa, reply, now)

    def give_key(self, cookie: bytes, entry: PskEntry | None, now: float) -> None:
        """Go on with the pre-shared key that an SA waits for, or end it if there is none."""
        sa = self._sas.get(cookie)
        if sa is None:
            return
        if entry is not None:
            sa.n.psks.add(entry)
        held, sa.held = sa.held, None
        if isinstance(sa.n.state, KeyAwaited):
            self._answer_aggressive(sa, sa.n.state, now)
        elif held is not None:
            self._advance(sa, held, now)

    def _answer_aggressive(self, sa: IsakmpSa, state: KeyAwaited, now: float) -> None:
        try:
            reply = aggressive_mode.take_1(sa.n, state.payloads, self._key_pairs)
        except (WireError, PeerError) as error:
            if is_fatal(error):
                header = split_datagram(sa.first_message).header
                self._notify_unprotected(header, getattr(error, "code", None), sa.address)
            self.fail(sa, f"{sa.n.mode.value} mode: {error}", now)
            return
        self._holders.put(sa, sa.holder or None)
        self._transmit(sa, reply, now)

    def _must_ask(self, sa: IsakmpSa, message: Message, now: float) -> bool:
        """Return whether message 5 of main mode waits for the key, which the owner is asked for."""
        n = sa.n
        if not (n.config.asks_keys and isinstance(n.state, Exchanged)):
            return False
        if n.psks.by_address(n.peer) or sa.was_asked:
            return sa.held is not None
        phase1.screen(message, phase1.awaited(n))
        sa.held, sa.was_asked = message, True
        identity = Identity.of_address(n.peer)
        self._endpoint.events.append(events.KeyWanted(now, n.peer, identity, sa.cookie))
        return True

    def _notify_unprotected(self, header: Header, code: int | None, address: Address) -> None:
        notification = Notification(ProtocolId.ISAKMP, code or NotifyType.PAYLOAD_MALFORMED)
        body = encode_chain([Payload(PayloadType.NOTIFY, notification.encode())])
        answer = Header(
            header.initiator_cookie,
            header.responder_cookie,
            PayloadType.NOTIFY,
            ExchangeType.INFORMATIONAL,
            0,
            self._endpoint.rng.getrandbits(32) | 1,
            HEADER_LENGTH + len(body),
        )
        self._endpoint.send(answer.encode() + body, address)

    def _advance(self, sa: IsakmpSa, message: Message, now: float) -> None:
        endpoint, n = self._endpoint, sa.n
        number = phase1.awaited(n)
        if sa.cookie in self._unanswered and not self._admit(sa, now):
            endpoint.discard(sa.address, "too many phase 1 negotiations with this host", now)
            return
        try:
            if self._must_ask(sa, message, now):
                return
            reply = phase1.advance(n, message)
        except (WireError, PeerError) as error:
            reason = f"{n.mode.value} mode message {number}: {error}"
            if is_fatal(error):
                self._notify_unprotected(message.header, getattr(error, "code", None), sa.address)
                self.fail(sa, reason, now)
            else:
                endpoint.discard(sa.address, reason, now)
            return
        sa.last_received, sa.last_sent = message.data, b""
        endpoint.timers.cancel((Timer.RETRANSMIT, sa.cookie, 0))
        if isinstance(n.state, Established):
            self._establish(sa, n.state, now)
        if reply is not None:
            self._transmit(sa, reply, now)
        if isinstance(n.state, Established):
            self._on_established(sa, now)

    def _admit(self, sa: IsakmpSa, now: float) -> bool:
        """Return whether to compute g^xy for an initiator, which is where it says it is.

        A host that has had its share has to wait; if its link has, or all together, whoever has
        the most gives way.
        """
        cookie, peer = sa.cookie, sa.n.peer
        if self._unproven.full(peer):
            return False
        while (oldest := self._unproven.giving_way(peer)) is not None:
            self._unproven.remove(oldest)
            if (other := self._sas.get(oldest)) is not None:
                self.fail(other, f"{other.n.mode.value} mode: {_GIVES_WAY}", now)
        self._unanswered.remove(cookie)
        self._unproven.add(cookie, peer)
        if sa.n.mode is Mode.AGGRESSIVE:
            self._key_pairs.clear()
        return True

    def _establish(self, sa: IsakmpSa, state: Established, now: float) -> None:
        endpoint, n = self._endpoint, sa.n
        self._unproven.remove(sa.cookie)
        self._holders.put(sa, sa.holder or None)
        endpoint.timers.cancel((Timer.GIVE_UP, sa.cookie, 0))
        sa.expires_at = now + state.lifetime
        endpoint.timers.set((Timer.SA_EXPIRES, sa.cookie, 0), sa.expires_at)
        endpoint.events.append(
            events.Phase1Established(
                now,
                n.peer,
                n.mode,
                n.role,
                state.identity,
                n.initiator_cookie,
                state.keys.encryption,
            )
        )

    def hear_unprotected(self, sa: IsakmpSa, message: Message, now: float) -> None:
        """Remember what a notification in clear claims; it proves nothing and ends nothing."""
        header, body, _ = message
        if header.encrypted or isinstance(sa.n.state, Established):
            reason = "an informational message that the ISAKMP SA does not protect"
            self._endpoint.discard(sa.address, reason, now)
            return
        try:
            payloads = decode_plain(header.next_payload, body)
            bodies = grammar.find_all(payloads, PayloadType.NOTIFY)
            names = [NotifyType.text(Notification.decode(b).type) for b in bodies]
        except WireError as error:
            self._endpoint.discard(sa.address, f"informational: {error}", now)
            return
        if names:
            sa.hint = ", ".join(names)
        text = ", ".join(names) or "nothing"
        self._endpoint.discard(sa.address, f"an unauthenticated message says {text}", now)

    def retransmit(self, cookie: bytes, now: float) -> None:
        """Send the last message again, or give up."""
        sa = self._sas[cookie]
        if sa.retransmission is None or not sa.retransmission.expire(now):
            self.give_up(cookie, now)
            return
        self._endpoint.timers.set((Timer.RETRANSMIT, cookie, 0), sa.retransmission.deadline)
        self._endpoint.send(sa.last_sent, sa.address)

    def give_up(self, cookie: bytes, now: float) -> None:
        """End a negotiation that has taken too long."""
        self._unproven.remove(cookie)
        if (sa := self._sas.get(cookie)) is None:
            return
        number = phase1.awaited(sa.n)
        reason = f"{sa.n.mode.value} mode: message {number} never came"
        if sa.retransmission is not None:
            reason += f" after {sa.retransmission.transmissions} transmissions"
        if (sa.n.mode, number) == (Mode.MAIN, 6):
            reason += "; the pre-shared keys may differ"
        if sa.hint:
            reason += f"; the peer claimed {sa.hint} (unauthenticated)"
        self.fail(sa, reason, now)

    def fail(self, sa: IsakmpSa, reason: str, now: float) -> None:
        """Drop a negotiation and tell the owner, once for each of the selectors that waited."""
        self._remove(sa)
        for selectors in sa.pending or (None,):
            self._endpoint.events.append(events.Failed(now, sa.n.peer, reason, selectors))

    def remove(self, sa: IsakmpSa, reason: str, now: float) -> None:
        """Drop an SA without a word to the peer."""
        self._remove(sa)
        if isinstance(sa.n.state, Established):
            self._on_removed(sa, reason, now)
            self._endpoint.events.append(events.Phase1Deleted(now, sa.n.peer, reason))

    def _remove(self, sa: IsakmpSa) -> None:
        cookie, n = sa.cookie, sa.n
        del self._sas[cookie]
        self._peers.put(sa, None)
        self._holders.put(sa, None)
        if n.role is Role.RESPONDER:
            self._answered.pop((n.peer, n.initiator_cookie), None)
            self._unanswered.remove(cookie)
        for timer in (Timer.RETRANSMIT, Timer.SA_EXPIRES):
            self._endpoint.timers.cancel((timer, cookie, 0))
        if cookie not in self._unproven:  # What has failed counts until its time would be over.
            self._endpoint.timers.cancel((Timer.GIVE_UP, cookie, 0))
