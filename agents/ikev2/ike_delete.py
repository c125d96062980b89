"""INFORMATIONAL that deletes the IKE SA with all its CHILD SAs (RFC 7296 section 1.4.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agents.ikev2 import events
from agents.ikev2.constants import PayloadType, ProtocolId
from agents.ikev2.ike_sa_manager import OF_USE, IkeSaManager, Timer
from agents.ikev2.payloads import Deletion
from agents.ikev2.sa import IkeSa
from agents.ikev2.tasks import CreateChild, DeleteIke
from agents.ikev2.wire import Payload

if TYPE_CHECKING:
    from agents.ikev2.task_manager import TaskManager

GONE = 30.0
"""Seconds after which an IKE SA that is to be deleted is gone, whether the peer answers or not."""


class IkeDelete:
    """Deletes IKE SAs; they are gone when the peer has answered."""

    def __init__(self, sas: IkeSaManager, tasks: TaskManager) -> None:
        self._sas = sas
        self._tasks = tasks

    def start(self, sa: IkeSa, task: DeleteIke, now: float) -> None:
        """Send the request."""
        deletion = Payload(PayloadType.DELETE, Deletion(ProtocolId.IKE).encode())
        self._tasks.inform(sa, [deletion], task, now)

    def end(self, sa: IkeSa, reason: str, now: float) -> None:
        """Delete an IKE SA whose CHILD SAs are gone at once, whenever the peer answers.

        Nothing more is made over it, and what is under way comes to nothing.
        """
        sas = self._sas
        for child in list(sa.children.values()):
            sas.remove_child(child, reason, now)
        for task in (*sa.tasks, *sa.delayed):
            if isinstance(task, CreateChild):
                sas.events.append(events.Failed(now, sa.peer, reason, task.selectors))
        sa.tasks.clear()
        sa.delayed.clear()
        for timer in OF_USE:
            sas.timers.cancel((timer, sa.spi, 0))
        sas.timers.set((Timer.GIVE_UP, sa.spi, 0), now + GONE)
        if not isinstance(sa.purpose, DeleteIke):
            self._tasks.ask(sa, DeleteIke(reason), now)

    def answer(self, sa: IkeSa, now: float) -> None:
        """The peer deletes it: answer as usual, whatever of ours is under way (section 2.25.2).

        If that is its rekeying, the peer has replaced it without noticing ours, which ends with it.
        """
        self._tasks.respond(sa, [])
        successor = self._tasks.ike_rekey.yield_to_peer(sa, now)
        self._sas.close(sa, "deleted by the peer", now)
        if successor is not None:
            self._tasks.pump(successor, now)
