"""Requests, responses and tasks of IKE SAs: one exchange at a time in each direction."""

from __future__ import annotations

from collections.abc import Sequence

from agents.core.machine import PeerError, Retransmission, Timing
from agents.core.reader import WireError
from agents.core.record import replace
from agents.ikev2 import events
from agents.ikev2.child_create import ChildCreate
from agents.ikev2.child_delete import ChildDelete
from agents.ikev2.child_rekey import ChildRekey
from agents.ikev2.constants import ExchangeType, NotifyType, PayloadType, ProtocolId
from agents.ikev2.dpd import Dpd
from agents.ikev2.errors import error_notification
from agents.ikev2.grammar import Contents, Form
from agents.ikev2.ike_delete import IkeDelete
from agents.ikev2.ike_rekey import IkeRekey
from agents.ikev2.ike_sa_manager import IkeSaManager, Timer
from agents.ikev2.payloads import Deletion
from agents.ikev2.sa import Deleting, Established, IkeSa, InitSent, Replaced, Request
from agents.ikev2.tasks import (
    ChildRequested,
    CreateChild,
    DeleteChildren,
    DeleteIke,
    IkeRekeyRequested,
    Initial,
    Probe,
    Purpose,
    RekeyChild,
    RekeyIke,
    Task,
)
from agents.ikev2.wire import Header, Payload, encode_plain

RETRY_AFTER = 1.0
"""Seconds between a temporary failure and the next try, more or less by a random half of it.

It doubles from try to try: the peer may be resending what is in the way (section 2.25).
"""


class TaskManager:
    """Carries out the tasks of IKE SAs that are up, and repeats the requests of all."""

    def __init__(self, sas: IkeSaManager) -> None:
        self._sas = sas
        self._child_create = ChildCreate(sas, self)
        self.child_rekey = ChildRekey(sas, self, self._child_create)
        self._child_delete = ChildDelete(sas, self)
        self.ike_rekey = IkeRekey(sas, self)
        self.ike_delete = IkeDelete(sas, self)
        self.dpd = Dpd(sas, self)

    # Requests and responses.

    def request(
        self,
        sa: IkeSa,
        exchange: int,
        payloads: Sequence[Payload],
        purpose: Purpose,
        now: float,
    ) -> bytes:
        """Send a request, encrypted if there are keys, and return it; its timer is armed."""
        sas, window, keymat = self._sas, sa.window, sa.keymat
        header = Header(*sa.spis, exchange, window.next_id, initiator=sa.initiator, response=False)
        data = keymat.sealer.seal(header, payloads) if keymat else encode_plain(header, payloads)
        timing = self._timing(exchange, purpose)
        retransmission = Retransmission(timing, sas.rng, now)
        window.request = Request(window.next_id, exchange, data, purpose, retransmission)
        window.next_id += 1
        sas.timers.set((Timer.RETRANSMIT, sa.spi, 0), retransmission.deadline)
        sas.send(data, sa.address)
        return data

    def _timing(self, exchange: int, purpose: Purpose) -> Timing:
        config = self._sas.config
        if exchange == ExchangeType.IKE_AUTH:
            return config.timing_auth
        return config.timing if isinstance(purpose, Initial | DeleteIke) else config.timing_up

    def inform(
        self,
        sa: IkeSa,
        payloads: Sequence[Payload],
        task: DeleteChildren | DeleteIke | Probe,
        now: float,
    ) -> None:
        """Send an INFORMATIONAL request."""
        self.request(sa, ExchangeType.INFORMATIONAL, payloads, task, now)

    def finish_request(self, sa: IkeSa) -> None:
        """Note that the response to the request under way has come, or is not waited for."""
        sa.window.request = None
        self._sas.timers.cancel((Timer.RETRANSMIT, sa.spi, 0))

    def amend(self, sa: IkeSa, purpose: Purpose) -> None:
        """Note what has come to be known of the request under way."""
        if sa.window.request is not None:
            sa.window.request = replace(sa.window.request, purpose=purpose)

    def hasten(self, sa: IkeSa, now: float) -> None:
        """Give the peer less time to answer the request under way."""
        if sa.window.request is not None:
            sas = self._sas
            again = Retransmission(sas.config.timing_suspected, sas.rng, now)
            sa.window.request = replace(sa.window.request, retransmission=again)
            sas.timers.set((Timer.RETRANSMIT, sa.spi, 0), again.deadline)

    def respond(self, sa: IkeSa, payloads: Sequence[Payload]) -> None:
        """Answer the peer's last request; the answer is kept for duplicates."""
        served, keymat = sa.window.served, sa.keymat
        if keymat is None or served is None:
            raise ValueError("the IKE SA has no keys yet")
        header = replace(served.message.header, initiator=sa.initiator, response=True)
        response = keymat.sealer.seal(header, payloads)
        sa.window.served = replace(served, response=response)
        self._sas.send(response, served.source)

    def retransmit(self, sa: IkeSa, now: float) -> None:
        """Send the request under way again, or find the peer gone."""
        request = sa.window.request
        if request is None:
            return
        if request.retransmission.expire(now):
            deadline = request.retransmission.deadline
            self._sas.timers.set((Timer.RETRANSMIT, sa.spi, 0), deadline)
            self._sas.send(request.data, sa.address)
        elif isinstance(request.purpose, Initial):
            self.give_up(sa, now)
        else:
            self._unanswered(sa, now)

    def give_up(self, sa: IkeSa, now: float) -> None:
        """End a negotiation that takes too long, or an IKE SA that the peer ought to delete."""
        if sa.ending:
            self._unanswered(sa, now)
            return
        if isinstance(sa.state, Replaced):
            self.ask(sa, DeleteIke("replaced"), now)
            return
        step = "IKE_SA_INIT" if isinstance(sa.state, InitSent) else "IKE_AUTH"
        reason, hint = f"{step}: the peer does not answer", getattr(sa.state, "hint", "")
        if hint:
            reason += f"; {hint}"
        if not sa.initiator:
            reason = "IKE_AUTH: the negotiation has taken too long"
            self._sas.events.append(events.Failed(now, sa.peer, reason))
        unheard = sa.keymat is None
        self._sas.close(sa, reason, now)
        if unheard:  # There is no answer that may be asked for again.
            self._sas.forget(sa)

    def _unanswered(self, sa: IkeSa, now: float) -> None:
        """A request has been sent for the last time in vain: the peer is gone (section 2.4)."""
        successor = self.ike_rekey.yield_to_peer(sa, now)
        self._sas.close(sa, "the peer does not answer", now)
        if successor is not None:
            self.pump(successor, now)

    # Tasks.

    def ask(self, sa: IkeSa, task: Task, now: float) -> None:
        """Put a task at the end of an IKE SA's queue, or its successor's."""
        while isinstance(sa.state, Replaced) and not isinstance(task, DeleteIke):
            sa = sa.state.successor
        if isinstance(task, DeleteChildren):
            for child in task.children:
                child.state = Deleting()
        sa.tasks.append(task)
        self.pump(sa, now)

    def delay(self, sa: IkeSa, task: CreateChild | RekeyChild | RekeyIke, now: float) -> None:
        """Try again what the peer could not do for the moment (section 2.25)."""
        sa.delayed.append(task)
        wait = RETRY_AFTER * 2 ** (task.attempts - 1) * self._sas.rng.uniform(0.5, 1.5)
        self._sas.timers.set((Timer.RETRY, sa.spi, 0), now + wait)

    def retry(self, sa: IkeSa, now: float) -> None:
        """Take up again what was delayed."""
        sa.tasks.extend(sa.delayed)
        sa.delayed.clear()
        self.pump(sa, now)

    def pump(self, sa: IkeSa, now: float) -> None:
        """Begin the next task if no request is under way."""
        while sa.window.request is None and sa.tasks and isinstance(sa.state, Established):
            self._start(sa, sa.tasks.popleft(), now)

    def _start(self, sa: IkeSa, task: Task, now: float) -> None:
        match task:
            case CreateChild():
                self._child_create.start(sa, task, now)
            case RekeyChild():
                self.child_rekey.start(sa, task, now)
            case RekeyIke():
                self.ike_rekey.start(sa, task, now)
            case DeleteChildren():
                self._child_delete.start(sa, task, now)
            case DeleteIke():
                self.ike_delete.start(sa, task, now)
            case Probe():
                self.dpd.start(sa, task, now)

    # Responses.

    def handle_response(self, sa: IkeSa, contents: Contents, now: float) -> None:
        """Take the authentic response to the request that is under way."""
        purpose = sa.purpose
        if contents.note(NotifyType.INVALID_SYNTAX):  # Fatal in both peers (section 2.21.3).
            self._sas.close(sa, "the peer says INVALID_SYNTAX", now)
            return
        self.finish_request(sa)
        match purpose:
            case ChildRequested() if sa.ending:
                self._child_create.drop(sa, purpose, now)
            case ChildRequested(task=CreateChild()):
                self._child_create.complete(sa, purpose, contents, now)
            case ChildRequested(task=RekeyChild() as task):
                self.child_rekey.complete(sa, purpose, task, contents, now)
            case IkeRekeyRequested():
                self.ike_rekey.complete(sa, purpose, contents, now)
            case DeleteChildren():
                self._child_delete.complete(purpose, now)
            case DeleteIke(reason=reason):
                self._sas.close(sa, reason, now)
            case _:
                pass
        self._pump_both(sa, now)

    def handle_broken_response(self, sa: IkeSa, error: Exception, now: float) -> None:
        """Take an authentic response that cannot be read: the request has failed."""
        purpose = sa.purpose
        if isinstance(purpose, DeleteChildren | DeleteIke | Probe):
            self.handle_response(sa, Contents((), ()), now)
            return
        self.finish_request(sa)
        match purpose:
            case ChildRequested(task=CreateChild()):
                self._child_create.undo(sa, purpose, error, now)
            case ChildRequested(task=RekeyChild() as task):
                self.child_rekey.undo(sa, purpose, task, error, now)
            case IkeRekeyRequested():
                self.ike_rekey.give_up(sa, purpose, str(error), now)
            case _:
                pass
        self._pump_both(sa, now)

    def _pump_both(self, sa: IkeSa, now: float) -> None:
        self.pump(sa, now)
        if isinstance(sa.state, Replaced):
            self.pump(sa.state.successor, now)

    # Requests.

    def handle_request(self, sa: IkeSa, exchange: int, contents: Contents, now: float) -> None:
        """Take an authentic request and answer it."""
        try:
            if exchange == ExchangeType.INFORMATIONAL:
                contents.check(Form.INFORMATIONAL)
                self._answer_informational(sa, contents, now)
            else:
                self.ike_rekey.settle(sa, now)
                self._answer_creation(sa, contents, now)
        except (WireError, PeerError) as error:
            self.refuse(sa, error, now)
            return
        self._sas.watch(sa, now)
        self.pump(sa.state.successor if isinstance(sa.state, Replaced) else sa, now)

    def _answer_creation(self, sa: IkeSa, contents: Contents, now: float) -> None:
        rekeyed = contents.note(NotifyType.REKEY_SA)
        if not contents.has(PayloadType.TS_I):
            self.ike_rekey.answer(sa, contents, now)
        elif rekeyed is None:
            self._child_create.answer(sa, contents, now)
        else:
            self.child_rekey.answer(sa, rekeyed, contents, now)

    def _answer_informational(self, sa: IkeSa, contents: Contents, now: float) -> None:
        deletions = [Deletion.decode(b) for b in contents.all(PayloadType.DELETE)]
        if any(d.protocol == ProtocolId.IKE for d in deletions):
            self.ike_delete.answer(sa, now)
            return
        self.ike_rekey.settle(sa, now)
        self._child_delete.answer(sa, deletions, now)
        error = contents.error
        if error is not None and error.type == NotifyType.AUTHENTICATION_FAILED:
            self._sas.close(sa, "the peer says AUTHENTICATION_FAILED", now)

    def refuse(self, sa: IkeSa, error: Exception, now: float) -> None:
        """Answer a request with an error; one of syntax ends the IKE SA (section 2.21.3)."""
        sas, note = self._sas, error_notification(error)
        self.respond(sa, [note.payload()])
        if note.type == NotifyType.INVALID_SYNTAX:
            sas.close(sa, f"the peer's request is malformed: {error}", now)
        elif note.type not in (
            NotifyType.INVALID_KE_PAYLOAD,
            NotifyType.TEMPORARY_FAILURE,
            NotifyType.CHILD_SA_NOT_FOUND,
        ):
            reason = f"refused a request of the peer: {error}"
            sas.events.append(events.Failed(now, sa.peer, reason))
