"""INFORMATIONAL that deletes CHILD SAs (RFC 7296 sections 1.4.1 and 2.25.1)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from agents.ikev2.constants import PayloadType, ProtocolId
from agents.ikev2.ike_sa_manager import IkeSaManager
from agents.ikev2.payloads import Deletion
from agents.ikev2.sa import Child, IkeSa
from agents.ikev2.tasks import DeleteChildren
from agents.ikev2.wire import Payload

if TYPE_CHECKING:
    from agents.ikev2.task_manager import TaskManager


def _payloads(spis: Iterable[int]) -> list[Payload]:
    """Return the Delete payload that names these inbound SPIs, none if there are none."""
    named = tuple(spi.to_bytes(4) for spi in spis)
    return [Payload(PayloadType.DELETE, Deletion(ProtocolId.ESP, named).encode())] if named else []


class ChildDelete:
    """Deletes CHILD SAs; they are gone when the peer has answered."""

    def __init__(self, sas: IkeSaManager, tasks: TaskManager) -> None:
        self._sas = sas
        self._tasks = tasks

    def start(self, sa: IkeSa, task: DeleteChildren, now: float) -> None:
        """Send the request, unless they are all gone."""
        there = [c.spi for c in task.children if c.spi in sa.children]
        if payloads := _payloads([*there, *task.refused]):
            self._tasks.inform(sa, payloads, task, now)

    def complete(self, task: DeleteChildren, now: float) -> None:
        """Take the response: whatever it names, they are gone."""
        for child in task.children:
            self._sas.remove_child(child, task.reason, now)

    def answer(self, sa: IkeSa, deletions: list[Deletion], now: float) -> None:
        """Delete what the peer deletes, and name the other directions (section 1.4.1)."""
        doomed = self._named(sa, deletions)
        # If both ends delete them at once, either one has been told already (section 2.25.1).
        crossing = sa.purpose.children if isinstance(sa.purpose, DeleteChildren) else ()
        self._tasks.respond(sa, _payloads(c.spi for c in doomed if c not in crossing))
        for child in doomed:
            self._sas.remove_child(child, "deleted by the peer", now)

    def _named(self, sa: IkeSa, deletions: list[Deletion]) -> list[Child]:
        """Return the CHILD SAs that the peer deletes, named by its inbound SPIs."""
        spis = {
            int.from_bytes(spi) for d in deletions if d.protocol == ProtocolId.ESP for spi in d.spis
        }
        return [c for c in sa.children.values() if c.pair.outbound.spi in spis]
