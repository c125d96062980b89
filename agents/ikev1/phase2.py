"""Quick modes and informational exchanges of a host, and the ESP SAs that come of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from agents.core.machine import PeerError
from agents.core.reader import WireError
from agents.ike.constants import Role
from agents.ike.half_open import MAX_UNPROVEN
from agents.ike.selectors import Selectors
from agents.ikev1 import events, grammar, quick_mode
from agents.ikev1.children import Children
from agents.ikev1.constants import ExchangeType, NotifyType, PayloadType, ProtocolId
from agents.ikev1.quick_mode import Done, Replied, Requested, Sealer
from agents.ikev1.sa import Child, Endpoint, IsakmpSa, QuickRecord, Timer
from agents.ikev1.wire import Deletion, Message, Notification, Payload

MAX_QUICK_MODES = 16
"""Quick modes that one ISAKMP SA may have open at once, those of duplicates included."""

MAX_MESSAGE_IDS = 1024
"""Quick modes of one ISAKMP SA, whose message ids are remembered: none may come again."""


class Phase2:
    """Runs what an established ISAKMP SA protects."""

    def __init__(
        self, endpoint: Endpoint, children: Children, on_dead: Callable[[IsakmpSa, float], None]
    ) -> None:
        self._endpoint = endpoint
        self._on_dead = on_dead
        self._children = children

    def _new_id(self, sa: IsakmpSa) -> int:
        while True:
            message_id = self._endpoint.rng.getrandbits(32)
            if message_id and message_id not in sa.message_ids:
                return message_id

    # Quick mode, initiator.

    def initiate(self, sa: IsakmpSa, selectors: Selectors, now: float) -> None:
        """Send quick mode message 1 over an established ISAKMP SA."""
        endpoint, sealer = self._endpoint, sa.sealer
        if sealer is None:
            raise ValueError("the ISAKMP SA is not established")
        ids = (self._new_id(sa), self._children.new_spi())
        sa.message_ids.add(ids[0])
        quick, message = quick_mode.request(sealer, endpoint.rng, endpoint.config, selectors, ids)
        self._open(sa, QuickRecord(quick, message), now)

    def _open(self, sa: IsakmpSa, record: QuickRecord, now: float) -> None:
        message_id = record.quick.message_id
        sa.quicks[message_id] = record
        record.retransmission = self._endpoint.retransmission(now)
        timers = self._endpoint.timers
        timers.set((Timer.QUICK_RETRANSMIT, sa.cookie, message_id), record.retransmission.deadline)
        deadline = now + self._endpoint.config.negotiation_timeout
        timers.set((Timer.QUICK_GIVE_UP, sa.cookie, message_id), deadline)
        self._endpoint.send(record.last_sent, sa.address)

    # Quick mode, either role.

    def handle(self, sa: IsakmpSa, message: Message, now: float) -> None:
        """Take a message of quick mode."""
        header, _, data = message
        sealer, record = sa.sealer, sa.quicks.get(header.message_id)
        if sealer is None:
            if sa.n.role is Role.RESPONDER and sa.early is None and len(data) <= MAX_UNPROVEN:
                sa.early = message
            elif sa.early is not None and sa.early.data == data:
                # The last message of phase 1 was lost: ours makes the peer repeat it.
                self._endpoint.send(sa.last_sent, sa.address)
            else:
                self._endpoint.discard(sa.address, "quick mode before phase 1 is complete", now)
        elif not header.encrypted or not header.message_id:
            self._endpoint.discard(sa.address, "quick mode in clear or without a message id", now)
        elif record is None:
            self._respond(sa, sealer, message, now)
        elif data == record.last_received:
            if record.last_sent:
                self._endpoint.send(record.last_sent, sa.address)
        else:
            self._advance(sa, sealer, record, message, now)

    def _respond(self, sa: IsakmpSa, sealer: Sealer, message: Message, now: float) -> None:
        endpoint, header = self._endpoint, message.header
        if (
            header.message_id in sa.message_ids
            or len(sa.quicks) >= MAX_QUICK_MODES
            or len(sa.message_ids) >= MAX_MESSAGE_IDS
            or self._children.unconfirmed(sa.holder) >= endpoint.config.children_per_peer
        ):
            endpoint.discard(sa.address, "quick mode again, or too many at once", now)
            return
        try:
            quick, reply = quick_mode.reply(
                sealer,
                endpoint.rng,
                endpoint.config,
                message,
                authorise=lambda wanted: self._authorise(sa, wanted),
                spi=self._children.new_spi(),
            )
        except (WireError, PeerError) as error:
            self._refuse(sa, sealer, message, error, now)
            return
        sa.message_ids.add(header.message_id)
        if isinstance(quick.state, Replied):
            self._children.reserve(quick.spi, sa.holder)
            endpoint.events.append(events.ChildKeyed(now, sa.n.peer, quick.state.pair))
        self._open(sa, QuickRecord(quick, reply, message.data), now)

    def _refuse(
        self,
        sa: IsakmpSa,
        sealer: Sealer,
        message: Message,
        error: Exception,
        now: float,
    ) -> None:
        endpoint, code = self._endpoint, getattr(error, "code", None)
        if code is None:
            endpoint.discard(sa.address, f"quick mode message 1: {error}", now)
            return
        sa.message_ids.add(message.header.message_id)
        endpoint.events.append(events.Failed(now, sa.n.peer, f"quick mode refused: {error}"))
        spi = quick_mode.offered_spi(sealer, message)
        self.notify(sa, Notification(ProtocolId.ESP, code, spi))

    def _authorise(self, sa: IsakmpSa, wanted: Selectors) -> None:
        """Allow the HoA that the peer's key stands for, and what is up already."""
        home_address = sa.n.entry.home_address if sa.n.entry else None
        if home_address and wanted == Selectors(self._endpoint.local, home_address):
            return
        if self._children.known(sa.holder, wanted):
            return
        raise PeerError(
            f"{wanted.remote} to {wanted.local} protocol {wanted.protocol} is not for this peer,"
            f" whose home address is {home_address or 'not known'}",
            NotifyType.INVALID_ID_INFORMATION,
        )

    def _advance(
        self,
        sa: IsakmpSa,
        sealer: Sealer,
        record: QuickRecord,
        message: Message,
        now: float,
    ) -> None:
        quick, reply = record.quick, b""
        try:
            match quick.state:
                case Requested() as state:
                    reply = quick_mode.complete(sealer, quick, state, message)
                case Replied() as state:
                    quick_mode.confirm(sealer, quick, state, message)
                case Done():
                    self._endpoint.discard(sa.address, "quick mode is complete already", now)
                    return
        except (WireError, PeerError) as error:
            if getattr(error, "code", None) is None or quick.role is Role.RESPONDER:
                self._endpoint.discard(sa.address, f"quick mode: {error}", now)
            else:
                self._fail(sa, record, f"quick mode: {error}", now)
            return
        record.last_received, record.last_sent = message.data, reply
        timer = (Timer.QUICK_RETRANSMIT, sa.cookie, quick.message_id)
        self._endpoint.timers.cancel(timer)
        if isinstance(quick.state, Done) and quick.state.pair is not None:
            n = sa.n
            child = Child(n.peer, sa.holder, quick.selectors, quick.state.pair, quick.role)
            replaced = self._children.add(child, now)
            if reply:
                self._endpoint.send(reply, sa.address)
            self.delete(sa, replaced, "replaced", now)

    def _fail(self, sa: IsakmpSa, record: QuickRecord, reason: str, now: float) -> None:
        quick = record.quick
        match quick.state:
            case Requested():
                failed = events.Failed(now, sa.n.peer, reason, quick.selectors)
                self._endpoint.events.append(failed)
            case Replied(pair=pair):
                self._children.release(quick.spi)
                self._endpoint.events.append(events.ChildAbandoned(now, sa.n.peer, pair))
            case Done():
                return
        quick.state = Done(None)
        record.last_sent = b""
        self._endpoint.timers.cancel((Timer.QUICK_RETRANSMIT, sa.cookie, quick.message_id))

    def retransmit(self, sa: IsakmpSa, message_id: int, now: float) -> None:
        """Send a quick mode message again, or give up."""
        record = sa.quicks[message_id]
        if record.retransmission is None or not record.retransmission.expire(now):
            self.give_up(sa, message_id, now)
            return
        timer = (Timer.QUICK_RETRANSMIT, sa.cookie, message_id)
        self._endpoint.timers.set(timer, record.retransmission.deadline)
        self._endpoint.send(record.last_sent, sa.address)

    def give_up(self, sa: IsakmpSa, message_id: int, now: float) -> None:
        """Forget a quick mode; one that is not complete has failed.

        A peer that does not answer has no use for the ISAKMP SA: it may have lost it.
        """
        record = sa.quicks.pop(message_id)
        unanswered = isinstance(record.quick.state, Requested)
        for timer in (Timer.QUICK_RETRANSMIT, Timer.QUICK_GIVE_UP):
            self._endpoint.timers.cancel((timer, sa.cookie, message_id))
        if isinstance(record.quick.state, Replied):
            # The peer may believe that these SAs are up: it has sent a message 3 that was lost.
            self._delete_spis(sa, [record.quick.spi])
        self._fail(sa, record, "quick mode: message 2 never came", now)
        if unanswered:
            self._on_dead(sa, now)

    def abandon(self, sa: IsakmpSa, reason: str, now: float) -> None:
        """End every quick mode of an ISAKMP SA that is gone."""
        for message_id, record in list(sa.quicks.items()):
            self._fail(sa, record, f"quick mode: {reason}", now)
            self._endpoint.timers.cancel((Timer.QUICK_GIVE_UP, sa.cookie, message_id))
        sa.quicks.clear()

    # Informational exchanges.

    def _inform(self, sa: IsakmpSa, payload: Payload) -> None:
        sealer = sa.sealer
        if sealer is None:
            return
        message_id = self._new_id(sa)
        message, _ = sealer.seal(
            ExchangeType.INFORMATIONAL,
            message_id,
            sealer.first_iv(message_id),
            [payload],
            digest=lambda rest: sealer.sa.keys.phase2_hash(message_id, rest),
        )
        self._endpoint.send(message, sa.address)

    def notify(self, sa: IsakmpSa, notification: Notification) -> None:
        """Send a protected notification."""
        self._inform(sa, Payload(PayloadType.NOTIFY, notification.encode()))

    def _delete_spis(self, sa: IsakmpSa, spis: list[int]) -> None:
        deletion = Deletion(ProtocolId.ESP, tuple(spi.to_bytes(4) for spi in spis))
        self._inform(sa, Payload(PayloadType.DELETE, deletion.encode()))

    def delete(self, sa: IsakmpSa | None, doomed: Sequence[Child], reason: str, now: float) -> None:
        """Remove ESP SAs and, if there is an ISAKMP SA to say it over, tell the peer."""
        if doomed and sa is not None:
            self._delete_spis(sa, [child.pair.inbound.spi for child in doomed])
        for child in doomed:
            self._children.remove(child, reason, now)

    def delete_isakmp(self, sa: IsakmpSa) -> None:
        """Tell the peer that this ISAKMP SA ends, and the pairs that are not confirmed yet."""
        states = ((r.quick.spi, r.quick.state) for r in sa.quicks.values())
        if keyed := [spi for spi, state in states if isinstance(state, Replied)]:
            self._delete_spis(sa, keyed)
        cookies = sa.n.initiator_cookie + sa.n.responder_cookie
        deletion = Deletion(ProtocolId.ISAKMP, (cookies,))
        self._inform(sa, Payload(PayloadType.DELETE, deletion.encode()))

    def hear(self, sa: IsakmpSa, message: Message, now: float) -> list[bytes]:
        """Take a protected informational message; return the ISAKMP SAs that it deletes.

        They are named by their cookies, initiator's and responder's.
        """
        sealer, message_id = sa.sealer, message.header.message_id
        deleted: list[bytes] = []
        if sealer is None:
            return []
        try:
            payloads, covered, _ = sealer.open(message, sealer.first_iv(message_id))
            quick_mode.verify(sealer.sa.keys.phase2_hash(message_id, covered), payloads)
            notes = grammar.find_all(payloads, PayloadType.NOTIFY)
            notifications = [Notification.decode(b) for b in notes]
            deletes = grammar.find_all(payloads, PayloadType.DELETE)
            deletions = [Deletion.decode(b) for b in deletes]
        except (WireError, PeerError) as error:
            self._endpoint.discard(sa.address, f"informational: {error}", now)
            return []
        for notification in notifications:
            self._hear_notification(sa, notification, now)
        for deletion in deletions:
            if deletion.protocol == ProtocolId.ESP:
                self._hear_esp_deletion(sa, deletion, now)
            elif deletion.protocol == ProtocolId.ISAKMP:
                deleted += deletion.spis
        return deleted

    def _hear_notification(self, sa: IsakmpSa, notification: Notification, now: float) -> None:
        text = NotifyType.text(notification.type)
        if notification.type == NotifyType.R_U_THERE:
            ack = Notification(
                ProtocolId.ISAKMP, NotifyType.R_U_THERE_ACK, notification.spi, notification.data
            )
            self.notify(sa, ack)
            return
        if not NotifyType.is_error(notification.type):
            return
        waiting = [r for r in sa.quicks.values() if isinstance(r.quick.state, Requested)]
        named = [r for r in waiting if r.quick.spi.to_bytes(4) == notification.spi]
        # Daemons differ in the SPI that they put here.
        for record in named or (waiting if len(waiting) == 1 else []):
            self._fail(sa, record, f"quick mode: the peer says {text}", now)
            return
        self._endpoint.discard(sa.address, f"the peer says {text} to nothing that is open", now)

    def _hear_esp_deletion(self, sa: IsakmpSa, deletion: Deletion, now: float) -> None:
        for spi in (int.from_bytes(s) for s in deletion.spis):
            for record in sa.quicks.values():
                state = record.quick.state
                if isinstance(state, Replied) and state.pair.outbound.spi == spi:
                    self._fail(sa, record, "deleted by the peer", now)
            child = self._children.by_outbound(sa.holder, spi)
            if child is not None:
                self._children.remove(child, "deleted by the peer", now)
