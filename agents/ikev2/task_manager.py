"""What an IKE SA that is up protects: tasks one after the other, requests, their timeouts."""

from __future__ import annotations

from agents.core.machine import Address, PeerError
from agents.core.reader import WireError
from agents.ikev2 import events
from agents.ikev2.child_create import ChildExchange, WrongGroupError
from agents.ikev2.constants import Exchange, NotifyType, PayloadType, ProtocolId
from agents.ikev2.grammar import Contents, Form
from agents.ikev2.ike_rekey import IkeRekey
from agents.ikev2.ike_sa_manager import Host, Timer, error_notification
from agents.ikev2.payloads import Deletion, Notification
from agents.ikev2.sa import (
    Child,
    ChildRequested,
    DeleteChildren,
    DeleteIke,
    Established,
    IkeSa,
    MakeChild,
    Probe,
    RekeyIke,
    RekeyRequested,
    Task,
)
from agents.ikev2.wire import Message, Payload, decode_chain

RETRY_AFTER = 1.0
"""Seconds between a temporary failure and the next try, more or less by a random half of it.

It doubles from try to try: the peer may be resending what is in the way (section 2.25).
"""

SUSPECT_AGAIN = 10.0
"""Seconds between two tests of a peer because of what anybody may have sent (section 2.21.4)."""


class Exchanges:
    """Runs the exchanges of IKE SAs that are up, one request at a time (window size 1)."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._child = ChildExchange(host, self.ask, self._delay)
        self._rekey = IkeRekey(host, self.ask, self._delay)

    # Tasks.

    def ask(self, sa: IkeSa, task: Task, now: float) -> None:
        """Put a task at the end of an IKE SA's queue, or its successor's."""
        while sa.successor is not None and not isinstance(task, DeleteIke):
            sa = sa.successor
        if isinstance(task, DeleteChildren):
            for child in task.children:
                child.closing = True
        sa.tasks.append(task)
        self.pump(sa, now)

    def end(self, sa: IkeSa, reason: str, now: float) -> None:
        """Delete an IKE SA whose CHILD SAs are gone at once, whenever the peer answers.

        Nothing more is made over it, and what is under way comes to nothing.
        """
        host = self._host
        for child in list(sa.children.values()):
            host.remove_child(child, reason, now)
        for task in (*sa.tasks, *sa.delayed):
            if isinstance(task, MakeChild) and task.replaces is None:
                host.events.append(events.Failed(now, sa.peer, reason, task.selectors))
        sa.tasks.clear()
        sa.delayed.clear()
        for timer in (Timer.IKE_REKEY, Timer.IKE_EXPIRES, Timer.LIVENESS, Timer.RETRY):
            host.timers.cancel((timer, sa.spi, 0))
        host.timers.set((Timer.GIVE_UP, sa.spi, 0), now + host.config.negotiation_timeout)
        if not isinstance(sa.purpose, DeleteIke):
            self.ask(sa, DeleteIke(reason), now)

    def replace(self, child: Child, now: float) -> None:
        """Replace a CHILD SA, unless that is under way or it is to be deleted."""
        if not child.rekeying and not child.closing:
            self.ask(child.owner, MakeChild(child.selectors, child), now)

    def _delay(self, sa: IkeSa, task: MakeChild | RekeyIke, now: float) -> None:
        sa.delayed.append(task)
        wait = RETRY_AFTER * 2 ** (task.attempts - 1) * self._host.rng.uniform(0.5, 1.5)
        self._host.timers.set((Timer.RETRY, sa.spi, 0), now + wait)

    def retry(self, sa: IkeSa, now: float) -> None:
        """Take up again what the peer could not do for the moment."""
        sa.tasks.extend(sa.delayed)
        sa.delayed.clear()
        self.pump(sa, now)

    def pump(self, sa: IkeSa, now: float) -> None:
        """Begin the next task if no request is under way."""
        while sa.request is None and sa.tasks and isinstance(sa.state, Established):
            self._start(sa, sa.tasks.popleft(), now)

    def _start(self, sa: IkeSa, task: Task, now: float) -> None:
        match task:
            case MakeChild():
                self._child.start(sa, task, now)
            case RekeyIke():
                self._rekey.start(sa, task, now)
            case DeleteChildren():
                self._delete_children(sa, task, now)
            case DeleteIke():
                deletion = Deletion(ProtocolId.IKE)
                self._inform(sa, [Payload(PayloadType.DELETE, deletion.encode())], task, now)
            case Probe():
                self._inform(sa, [], task, now)

    def _inform(
        self,
        sa: IkeSa,
        payloads: list[Payload],
        task: DeleteChildren | DeleteIke | Probe,
        now: float,
    ) -> None:
        self._host.request(sa, Exchange.INFORMATIONAL, payloads, task, now)

    def _delete_children(self, sa: IkeSa, task: DeleteChildren, now: float) -> None:
        doomed = [c for c in task.children if c.spi in sa.children]
        spis = [*(c.spi for c in doomed), *task.refused]
        if not spis:
            return
        deletion = Deletion(ProtocolId.ESP, tuple(spi.to_bytes(4) for spi in spis))
        self._inform(sa, [Payload(PayloadType.DELETE, deletion.encode())], task, now)

    # Responses.

    def handle_response(self, sa: IkeSa, contents: Contents, now: float) -> None:
        """Take the authentic response to the request that is under way."""
        purpose = sa.purpose
        if contents.note(NotifyType.INVALID_SYNTAX):  # Fatal in both peers (section 2.21.3).
            self._host.close(sa, "the peer says INVALID_SYNTAX", now)
            return
        self._host.finish_request(sa)
        match purpose:
            case ChildRequested() if not sa.ending:
                self._child.complete(sa, purpose, contents, now)
            case ChildRequested(task=task):
                self._host.esp_spis.discard(purpose.spi)
                if task.replaces is None:
                    failed = events.Failed(now, sa.peer, "deleted", task.selectors)
                    self._host.events.append(failed)
            case RekeyRequested():
                self._rekey.complete(sa, purpose, contents, now)
            case DeleteChildren(children=children, reason=reason):
                for child in children:
                    self._host.remove_child(child, reason, now)
            case DeleteIke(reason=reason):
                self._host.close(sa, reason, now)
            case _:
                pass
        self.pump(sa, now)
        if sa.successor is not None:
            self.pump(sa.successor, now)

    def broken_response(self, sa: IkeSa, error: Exception, now: float) -> None:
        """Take an authentic response that cannot be read: the request has failed."""
        purpose = sa.purpose
        if isinstance(purpose, DeleteChildren | DeleteIke | Probe):
            self.handle_response(sa, Contents((), ()), now)
            return
        self._host.finish_request(sa)
        if isinstance(purpose, ChildRequested):
            self._child.undo(sa, purpose, error, now)
        elif isinstance(purpose, RekeyRequested):
            self._rekey.give_up(sa, str(error), now)
        self.pump(sa, now)

    # Requests.

    def handle_request(self, sa: IkeSa, exchange: int, contents: Contents, now: float) -> None:
        """Take an authentic request and answer it."""
        try:
            if exchange == Exchange.INFORMATIONAL:
                contents.check(Form.INFORMATIONAL)
                self._answer_informational(sa, contents, now)
            else:
                self._settle(sa, now)
                creation = self._child if contents.has(PayloadType.TS_I) else self._rekey
                creation.answer(sa, contents, now)
        except (WireError, PeerError) as error:
            self.refuse(sa, error, now)
            return
        self._host.watch(sa, now)
        self.pump(sa.successor or sa, now)

    def _settle(self, sa: IkeSa, now: float) -> None:
        """The peer uses what it has made to replace an IKE SA: so it takes over (2.8.2)."""
        if sa.predecessor is not None:
            self._rekey.resolve(sa.predecessor, now)

    def refuse(self, sa: IkeSa, error: Exception, now: float) -> None:
        """Answer a request with an error; one of syntax ends the IKE SA (section 2.21.3)."""
        host = self._host
        note = error_notification(error)
        if isinstance(error, WrongGroupError):
            note = Notification(note.type, error.group.to_bytes(2))
        host.respond(sa, [note.payload()])
        if note.type == NotifyType.INVALID_SYNTAX:
            host.close(sa, f"the peer's request is malformed: {error}", now)
        elif note.type not in (
            NotifyType.INVALID_KE_PAYLOAD,
            NotifyType.TEMPORARY_FAILURE,
            NotifyType.CHILD_SA_NOT_FOUND,
        ):
            reason = f"refused a request of the peer: {error}"
            host.events.append(events.Failed(now, sa.peer, reason))

    def _answer_informational(self, sa: IkeSa, contents: Contents, now: float) -> None:
        host = self._host
        deletions = [Deletion.decode(b) for b in contents.all(PayloadType.DELETE)]
        ends = any(d.protocol == ProtocolId.IKE for d in deletions)
        if not ends:
            self._settle(sa, now)
        doomed = [] if ends else self._named(sa, deletions)
        payloads = []
        # SAs whose deletion crosses with one of ours are not named (section 1.4.1).
        crossing = sa.purpose.children if isinstance(sa.purpose, DeleteChildren) else ()
        if spis := [c.spi.to_bytes(4) for c in doomed if c not in crossing]:
            deletion = Deletion(ProtocolId.ESP, tuple(spis))
            payloads.append(Payload(PayloadType.DELETE, deletion.encode()))
        host.respond(sa, payloads)
        for child in doomed:
            host.remove_child(child, "deleted by the peer", now)
        if ends:
            self._rekey.resolve(sa, now)
            host.close(sa, "deleted by the peer", now)
            return
        error = contents.error
        if error is not None and error.type == NotifyType.AUTHENTICATION_FAILED:
            host.close(sa, "the peer says AUTHENTICATION_FAILED", now)

    def _named(self, sa: IkeSa, deletions: list[Deletion]) -> list[Child]:
        """Return the CHILD SAs that the peer deletes, named by its inbound SPIs."""
        spis = {
            int.from_bytes(spi) for d in deletions if d.protocol == ProtocolId.ESP for spi in d.spis
        }
        return [c for c in sa.children.values() if c.pair.outbound.spi in spis]

    # Time.

    def unanswered(self, sa: IkeSa, now: float) -> None:
        """A request has been sent for the last time in vain: the peer is gone (section 2.4)."""
        self._rekey.resolve(sa, now)
        self._host.close(sa, "the peer does not answer", now)
        self.pump(sa.successor or sa, now)

    def handle_hint(self, sa: IkeSa, message: Message, source: Address, now: float) -> None:
        """Take an unprotected response: it proves nothing, and changes no SA (section 2.21.4).

        If it says that the peer does not know the IKE SA, the peer is asked whether it lives, and
        has less time than usual to answer; what is under way is asked already. Forgers can have
        that done once in a while, and no more.
        """
        host = self._host
        try:
            contents = Contents.of(decode_chain(message.first, message.body))
        except (WireError, PeerError) as error:
            host.discard(source, f"an unprotected response: {error}", now)
            return
        names = ", ".join(NotifyType.text(n.type) for n in contents.notifications)
        host.discard(source, f"an unauthenticated response says {names}", now)
        forgotten = contents.note(NotifyType.INVALID_IKE_SPI) is not None
        # A peer that replaces an IKE SA may have lost the answer: it does not know the new one yet.
        if not forgotten or not sa.up or not sa.used or source != sa.address:
            return
        if now >= sa.suspected_at + SUSPECT_AGAIN:
            sa.suspected_at = now
            if sa.request is None:
                self.ask(sa, Probe(), now)
            host.hasten(sa, now)

    def probe(self, sa: IkeSa, now: float) -> None:
        """After a silence, ask whether the peer lives."""
        if sa.request is None and sa.up:
            self.ask(sa, Probe(), now)
        self._host.watch(sa, now)
