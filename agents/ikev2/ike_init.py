"""IKE_SA_INIT of either role (RFC 7296 sections 1.2, 2.6 and 2.21.1)."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv6Address

from agents.core.machine import Address, PeerError, address_of, text_of
from agents.core.rate import TokenBucket
from agents.core.reader import WireError
from agents.core.record import replace
from agents.ike.constants import Role
from agents.ike.half_open import MAX_UNPROVEN
from agents.ikev2 import events
from agents.ikev2.auth import check_nonce
from agents.ikev2.certificates import request_payloads
from agents.ikev2.constants import ExchangeType, NotifyType, PayloadType
from agents.ikev2.cookies import Cookies
from agents.ikev2.errors import error_notification
from agents.ikev2.grammar import Contents, Form
from agents.ikev2.ike_sa_manager import IkeSaManager, Timer
from agents.ikev2.keys import IkeKeys
from agents.ikev2.payloads import KeyExchange, Notification, SecurityAssociation
from agents.ikev2.proposals import accept_ike, answer, choose_ike, offer_ike, supported_group
from agents.ikev2.sa import (
    AuthAwaited,
    Closed,
    HalfOpen,
    IkeSa,
    InitSent,
    Intent,
    Keymat,
    Served,
    Transcript,
    Window,
)
from agents.ikev2.signatures import announced, announcement
from agents.ikev2.task_manager import TaskManager
from agents.ikev2.tasks import Initial
from agents.ikev2.wire import NO_SPI, Header, Message, Payload, decode_chain, encode_plain

MAX_ATTEMPTS = 5
"""IKE_SA_INIT requests with another cookie or group."""

PATIENCE = 3
"""Refusals of IKE_SA_INIT after which the initiator believes them, for anybody may forge one."""

DISOWNED_PER_SECOND, DISOWNED_AT_ONCE = 20.0, 100
"""How many requests over unknown IKE SAs are answered (section 2.21.4): all peers of a home agent
that has restarted ask sooner or later, and ask again."""

_ANSWERED = {NotifyType.NO_PROPOSAL_CHOSEN, NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD}
"""Errors that the initiator is told of; others stay silent (section 2.21.1)."""


class InitInitiator:
    """Begins IKE SAs; `keyed` is called for each one that has keys."""

    def __init__(
        self,
        sas: IkeSaManager,
        tasks: TaskManager,
        keyed: Callable[[IkeSa, Intent, Transcript, Keymat, float], None],
    ) -> None:
        self._sas = sas
        self._tasks = tasks
        self._keyed = keyed

    def start(self, peer: IPv6Address, intent: Intent, now: float) -> None:
        """Begin with a peer."""
        sas = self._sas
        group = sas.config.proposals[0].group
        state = InitSent(intent, sas.new_nonce(), sas.key_pairs.take(group), group)
        address = (text_of(peer), sas.config.port)
        sa = IkeSa(peer, address, sas.local, True, sas.new_spi(), NO_SPI, state)
        sas.add(sa)
        sas.timers.set((Timer.GIVE_UP, sa.spi, 0), now + sas.config.negotiation_timeout)
        sas.events.append(events.IkeStarted(now, peer, Role.INITIATOR))
        self._send(sa, state, now)

    def _send(self, sa: IkeSa, state: InitSent, now: float) -> None:
        sa.state, sa.window = state, Window()
        offer = offer_ike(self._sas.config.proposals)
        payloads = [
            Payload(PayloadType.SA, offer.encode()),
            Payload(PayloadType.KE, KeyExchange(state.group, state.key_pair.public).encode()),
            Payload(PayloadType.NONCE, state.nonce),
        ]
        if state.cookie:
            payloads.insert(0, Notification(NotifyType.COOKIE, state.cookie).payload())
        if self._sas.credentials.trusted:
            payloads.append(announcement().payload())
        self._tasks.request(sa, ExchangeType.IKE_SA_INIT, payloads, Initial(), now)

    def handle(self, sa: IkeSa, message: Message, source: Address, now: float) -> None:
        """Take a response; nothing in it is authentic yet."""
        state = sa.state
        if not isinstance(state, InitSent) or source != sa.address or message.header.message_id:
            self._sas.discard(source, "IKE_SA_INIT is over, or goes on elsewhere", now)
            return
        try:
            contents = Contents.of(decode_chain(message.first, message.body))
            if contents.has(PayloadType.SA):
                self._complete(sa, state, message, contents, now)
            else:
                self._retry(sa, state, contents, now)
        except (WireError, PeerError) as error:
            self._sas.discard(source, f"IKE_SA_INIT: {error}", now)

    def _retry(self, sa: IkeSa, state: InitSent, contents: Contents, now: float) -> None:
        """Follow the responder's wish for a cookie or another group, or note its refusal."""
        cookie = contents.note(NotifyType.COOKIE)
        wish = contents.note(NotifyType.INVALID_KE_PAYLOAD)
        again = replace(state, attempts=state.attempts + 1)
        if cookie is not None and cookie.data and state.attempts < MAX_ATTEMPTS:
            self._send(sa, replace(again, cookie=cookie.data), now)
            return
        group = int.from_bytes(wish.data) if wish is not None else 0
        if (
            group != state.group
            and supported_group(group, self._sas.config.proposals)
            and state.attempts < MAX_ATTEMPTS
        ):
            pair = self._sas.key_pairs.take(group)
            self._send(sa, replace(again, group=group, key_pair=pair), now)
            return
        if (error := contents.error) is None:
            raise PeerError("neither an SA nor a notification of an error")
        hint = f"the peer says {NotifyType.text(error.type)} (unauthenticated)"
        sa.state = replace(state, refusals=state.refusals + 1, hint=hint)
        if sa.state.refusals >= PATIENCE:
            self._sas.close(sa, f"IKE_SA_INIT: {hint}", now)

    def _complete(
        self, sa: IkeSa, state: InitSent, message: Message, contents: Contents, now: float
    ) -> None:
        sas, request = self._sas, sa.window.request
        contents.check(Form.INIT)
        if message.header.spi_r == NO_SPI:
            raise PeerError("the responder's SPI is zero")
        answered = SecurityAssociation.decode(contents.get(PayloadType.SA))
        proposal, _ = accept_ike(answered, sas.config.proposals)
        ke = KeyExchange.decode(contents.get(PayloadType.KE))
        if not ke.group == proposal.group == state.group:
            raise PeerError(f"group {ke.group} in the answer to {state.group}")
        shared = state.key_pair.shared(ke.public)
        nonces = state.nonce, check_nonce(contents.get(PayloadType.NONCE))
        if request is None:
            raise ValueError("IKE_SA_INIT is not under way")
        hashes = announced(contents.note(NotifyType.SIGNATURE_HASH_ALGORITHMS))
        transcript = Transcript((request.data, message.data), nonces, hashes)
        self._tasks.finish_request(sa)
        sa.spi_r = message.header.spi_r
        keys = IkeKeys.derive(proposal, shared, nonces, sa.spis)
        keymat = sas.keymat(proposal, keys, initiator=True)
        self._keyed(sa, state.intent, transcript, keymat, now)


class InitResponder:
    """Answers those who begin IKE SAs; until that is done with an SA nothing is kept of them."""

    def __init__(self, sas: IkeSaManager, fail: Callable[[IkeSa, str, float], None]) -> None:
        self._sas = sas
        self._fail = fail
        self._cookies = Cookies(sas.rng)
        self._disowned = TokenBucket(DISOWNED_PER_SECOND, DISOWNED_AT_ONCE)

    def handle(self, message: Message, source: Address, now: float) -> None:
        """Take a request."""
        sas, header = self._sas, message.header
        known = sas.half_open.get((header.spi_i, source))
        served = known.window.served if known else None
        if served is not None and served.message.data == message.data:
            sas.send(served.response, source)
            return
        if len(message.data) > MAX_UNPROVEN:
            sas.discard(source, f"IKE_SA_INIT of {len(message.data)} octets", now)
            return
        if known is not None or header.spi_r != NO_SPI or header.message_id:
            sas.discard(source, "IKE_SA_INIT that is no first message", now)
            return
        try:
            contents = Contents.of(decode_chain(message.first, message.body))
            contents.check(Form.INIT)
            nonce = check_nonce(contents.get(PayloadType.NONCE))
            if self._demands_cookie(contents, nonce, header, source, now):
                cookie = self._cookies.make(nonce, source, header.spi_i, now)
                self.refuse(header, source, Notification(NotifyType.COOKIE, cookie))
                return
            self._answer(message, contents, nonce, source, now)
        except (WireError, PeerError) as error:
            if getattr(error, "code", None) in _ANSWERED:
                failed = events.Failed(now, address_of(source[0]), f"IKE_SA_INIT: {error}")
                sas.events.append(failed)
                self.refuse(header, source, error_notification(error))
            else:
                sas.discard(source, f"IKE_SA_INIT: {error}", now)

    def _demands_cookie(
        self, contents: Contents, nonce: bytes, header: Header, source: Address, now: float
    ) -> bool:
        sas = self._sas
        few = len(sas.unproven) < sas.config.cookie_threshold
        if few and not sas.unproven.of_host(address_of(source[0])):
            return False
        note = contents.note(NotifyType.COOKIE)
        return note is None or not self._cookies.check(note.data, nonce, source, header.spi_i, now)

    def refuse(self, header: Header, source: Address, notification: Notification) -> None:
        """Answer a request outside of an IKE SA (section 1.5)."""
        back = replace(header, initiator=not header.initiator, response=True)
        self._sas.send(encode_plain(back, [notification.payload()]), source)

    def disown(self, message: Message, source: Address, now: float) -> None:
        """Tell whoever sends a request over an IKE SA that is not known here (section 2.21.4).

        Responses are never answered, or two hosts could answer each other for ever. The answer is
        shorter than any encrypted request, and there are only so many: it is no use for floods.
        """
        if message.header.response or message.first != PayloadType.SK:
            return
        if self._disowned.take(now):
            self.refuse(message.header, source, Notification(NotifyType.INVALID_IKE_SPI))

    def _answer(
        self, message: Message, contents: Contents, nonce: bytes, source: Address, now: float
    ) -> None:
        sas, header, peer = self._sas, message.header, address_of(source[0])
        if sas.unproven.full(peer):
            raise PeerError("too many half-open IKE SAs with this host")
        offer = SecurityAssociation.decode(contents.get(PayloadType.SA))
        ke = KeyExchange.decode(contents.get(PayloadType.KE))
        proposal, chosen = choose_ike(offer, sas.config.proposals, ke.group)
        if ke.group != proposal.group:
            wish = Notification(NotifyType.INVALID_KE_PAYLOAD, proposal.group.to_bytes(2))
            self.refuse(header, source, wish)
            return
        pair, spi = sas.key_pairs.take(proposal.group), sas.new_spi()
        ours = sas.new_nonce()
        payloads = [
            Payload(PayloadType.SA, answer(chosen).encode()),
            Payload(PayloadType.KE, KeyExchange(proposal.group, pair.public).encode()),
            Payload(PayloadType.NONCE, ours),
            *request_payloads(sas.credentials),
        ]
        hashes = contents.note(NotifyType.SIGNATURE_HASH_ALGORITHMS)
        if hashes is not None:
            payloads.append(announcement().payload())
        back = replace(header, spi_r=spi, initiator=False, response=True)
        data = encode_plain(back, payloads)
        transcript = Transcript((message.data, data), (nonce, ours), announced(hashes))
        state = HalfOpen(transcript, proposal, pair, ke.public)
        self._make_room(peer, now)
        window = Window(served=Served(message, source, data))
        sa = IkeSa(peer, source, sas.local, False, header.spi_i, spi, state, window)
        sas.half_open[header.spi_i, source] = sa
        sas.add(sa)
        sas.unproven.add(spi, peer)
        sas.timers.set((Timer.GIVE_UP, spi, 0), now + sas.config.negotiation_timeout)
        sas.events.append(events.IkeStarted(now, peer, Role.RESPONDER))
        sas.send(data, source)

    def _make_room(self, peer: IPv6Address, now: float) -> None:
        """Let one of whoever has the most give way if its link, or all together, have too many."""
        sas = self._sas
        while (spi := sas.unproven.giving_way(peer)) is not None:
            oldest = sas.table[spi]
            if not isinstance(oldest.state, Closed):
                self._fail(oldest, "IKE_AUTH: it gives way to newer negotiations", now)
            sas.forget(oldest)

    def compute_keys(self, sa: IkeSa, state: HalfOpen) -> None:
        """Compute the keys, now that IKE_AUTH has come; raises PeerError."""
        shared = state.key_pair.shared(state.public)
        keys = IkeKeys.derive(state.proposal, shared, state.transcript.nonces, sa.spis)
        keymat = self._sas.keymat(state.proposal, keys, initiator=False)
        sa.state = AuthAwaited(state.transcript, keymat)
