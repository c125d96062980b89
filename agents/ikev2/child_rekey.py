"""CREATE_CHILD_SA that replaces a CHILD SA (RFC 7296 sections 1.3.3, 2.8.1 and 2.25.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agents.core.machine import PeerError
from agents.core.reader import WireError
from agents.core.record import replace
from agents.ikev2 import events
from agents.ikev2.child_create import MAX_ATTEMPTS, ChildCreate
from agents.ikev2.constants import NotifyType, PayloadType, ProtocolId
from agents.ikev2.errors import temporary
from agents.ikev2.grammar import Contents
from agents.ikev2.ike_sa_manager import REPLACE_AGAIN, IkeSaManager, Timer
from agents.ikev2.payloads import Notification
from agents.ikev2.sa import Child, Deleting, IkeSa, Installed, Rekeyed, Rekeying
from agents.ikev2.tasks import (
    ChildCollision,
    ChildRequested,
    CreateChild,
    DeleteChildren,
    RekeyChild,
)

if TYPE_CHECKING:
    from agents.ikev2.task_manager import TaskManager


class ChildRekey:
    """Replaces CHILD SAs.

    Both ends may do so at once. Then there are three pairs of SAs until both responses are there:
    the old one and one of either end. The pair whose exchange has the lowest of the four nonces
    was made in vain: the end that began that exchange deletes it, and the other end the old pair.
    """

    def __init__(self, sas: IkeSaManager, tasks: TaskManager, create: ChildCreate) -> None:
        self._sas = sas
        self._tasks = tasks
        self._create = create

    # Initiator.

    def replace(self, child: Child, now: float) -> None:
        """Replace a CHILD SA, unless that is under way or it is to be deleted."""
        if not isinstance(child.state, Rekeying | Deleting):
            self._tasks.ask(child.owner, RekeyChild(child), now)

    def start(self, sa: IkeSa, task: RekeyChild, now: float) -> None:
        """Send the request, unless there is nothing to do any more."""
        old = task.old
        if old.spi not in self._sas.children or not self._replaceable(old):
            return
        old.state = Rekeying()
        spi = old.spi.to_bytes(4)
        note = Notification(NotifyType.REKEY_SA, b"", ProtocolId.ESP, spi)
        self._create.send(sa, task, [note.payload()], now)

    def _replaceable(self, old: Child) -> bool:
        """Return whether nobody replaces or deletes a CHILD SA yet, and the peer uses it."""
        match old.state:
            case Rekeying() | Deleting():
                return False
            case Rekeyed(by=new) if new.spi in self._sas.children:
                return False
        # What the peer has made is not settled before it has deleted what that one replaces.
        others = old.owner.children.values()
        return not any(isinstance(c.state, Rekeyed) and c.state.by is old for c in others)

    def complete(
        self,
        sa: IkeSa,
        requested: ChildRequested,
        task: RekeyChild,
        contents: Contents,
        now: float,
    ) -> None:
        """Take the response."""
        sas, old = self._sas, task.old
        error = contents.error
        if error is not None and not contents.has(PayloadType.SA):
            sas.esp_spis.discard(requested.spi)
            self._refused(sa, requested, task, error, now)
            return
        try:
            made, lowest_nonce = self._create.accept(sa, requested, contents, now)
        except (WireError, PeerError) as problem:
            self.undo(sa, requested, task, problem, now)
            return
        sas.add_child(made, now)
        sas.events.append(events.ChildRekeyed(now, sa.peer, old.pair, made.pair))
        collision, redundant = requested.collision, old
        if collision is not None and lowest_nonce < collision.lowest_nonce:
            # Ours was made in vain. The peer has made what stays, and deletes the old one.
            old.state, redundant = Rekeyed(collision.made), made
        elif collision is not None:
            # The peer's was made in vain, and the peer deletes it as soon as it knows.
            collision.made.state = Deleting()
        self._tasks.ask(sa, DeleteChildren((redundant,), "replaced"), now)

    def undo(
        self,
        sa: IkeSa,
        requested: ChildRequested,
        task: RekeyChild,
        problem: Exception,
        now: float,
    ) -> None:
        """Have the peer delete what it has made; the old SA stays."""
        self._keep(task.old, requested.collision)
        self._create.undo(sa, requested, problem, now)

    def _refused(
        self,
        sa: IkeSa,
        requested: ChildRequested,
        task: RekeyChild,
        error: Notification,
        now: float,
    ) -> None:
        sas, old = self._sas, task.old
        self._keep(old, requested.collision)
        again = replace(task, attempts=task.attempts + 1)
        if again.attempts < MAX_ATTEMPTS:
            if error.type == NotifyType.TEMPORARY_FAILURE:
                # The peer is deleting it, or replaces the IKE SA (section 2.25): a little later
                # there is nothing to be replaced any more, or somewhere else.
                self._tasks.delay(sa, again, now)
                return
            if error.type == NotifyType.CHILD_SA_NOT_FOUND:
                # Either the peer has lost it, and another one is needed; or our first request was
                # lost, and the peer has meanwhile replaced and deleted the SA (section 2.8.1): then
                # there is another one already.
                sas.remove_child(old, "the peer does not have it", now)
                if not any(c.selectors == old.selectors for c in sa.children.values()):
                    sa.tasks.append(CreateChild(old.selectors, again.attempts))
                return
        self._create.abandon(sa, task, f"the peer says {NotifyType.text(error.type)}", now)

    def _keep(self, old: Child, collision: ChildCollision | None) -> None:
        """Note that the local host has not replaced a CHILD SA, though the peer may have."""
        if isinstance(old.state, Rekeying):
            old.state = Rekeyed(collision.made) if collision else Installed()

    # Responder.

    def answer(self, sa: IkeSa, note: Notification, contents: Contents, now: float) -> None:
        """Take a request and answer it; raises PeerError or WireError for one that is refused."""
        old = self._find(sa, note)
        if isinstance(old.state, Deleting):
            raise temporary("the CHILD SA is being deleted")
        limit = 2 * self._sas.config.children_limit  # Old ones and new ones.
        made, payloads, lowest_nonce = self._create.serve(sa, contents, limit, now)
        self._sas.add_child(made, now)
        self._sas.events.append(events.ChildRekeyed(now, made.peer, old.pair, made.pair))
        purpose = sa.purpose
        if isinstance(old.state, Rekeying) and isinstance(purpose, ChildRequested):
            # Both at once: which pair stays shows when our own response is there.
            collision = ChildCollision(made, lowest_nonce)
            self._tasks.amend(sa, replace(purpose, collision=collision))
        else:
            old.state = Rekeyed(made)
            self._sas.timers.cancel((Timer.CHILD_REKEY, b"", old.spi))
        self._tasks.respond(sa, payloads)

    def _find(self, sa: IkeSa, note: Notification) -> Child:
        """Return the CHILD SA that the peer wants to replace, named by its inbound SPI."""
        spi = int.from_bytes(note.spi)
        for candidate in sa.children.values():
            if candidate.pair.outbound.spi == spi:
                return candidate
        raise PeerError(f"no CHILD SA with SPI {spi:#010x}", NotifyType.CHILD_SA_NOT_FOUND)

    # Time.

    def due(self, child: Child, now: float) -> None:
        """Replace a CHILD SA that is old enough; once more, should it come to nothing."""
        again = now + REPLACE_AGAIN
        self._sas.timers.set((Timer.CHILD_REKEY, b"", child.spi), again)
        self.replace(child, now)
