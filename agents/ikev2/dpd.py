"""Whether the peer lives: after a silence, or when it is said to know nothing (RFC 7296, 2.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agents.core.machine import Address, PeerError
from agents.core.reader import WireError
from agents.core.record import replace
from agents.ikev2.constants import NotifyType
from agents.ikev2.grammar import Contents
from agents.ikev2.ike_sa_manager import IkeSaManager
from agents.ikev2.sa import AuthSent, IkeSa
from agents.ikev2.tasks import Initial, Probe
from agents.ikev2.wire import Message, decode_chain

if TYPE_CHECKING:
    from agents.ikev2.task_manager import TaskManager

SUSPECT_AGAIN = 10.0
"""Seconds between two tests of a peer because of what anybody may have sent (section 2.21.4)."""


class Dpd:
    """Asks peers whether they live; one that does not answer is gone, as after any request."""

    def __init__(self, sas: IkeSaManager, tasks: TaskManager) -> None:
        self._sas = sas
        self._tasks = tasks

    def start(self, sa: IkeSa, task: Probe, now: float) -> None:
        """Send the request, which is empty."""
        self._tasks.inform(sa, [], task, now)

    def due(self, sa: IkeSa, now: float) -> None:
        """After a silence, ask whether the peer lives; a request under way asks it too."""
        if sa.window.request is None and sa.up:
            self._tasks.ask(sa, Probe(), now)
        self._sas.watch(sa, now)

    def handle_hint(self, sa: IkeSa, message: Message, source: Address, now: float) -> None:
        """Take an unprotected response: it proves nothing, and changes no SA (section 2.21.4).

        If it says that the peer does not know the IKE SA, the peer is asked whether it lives, and
        has less time than usual to answer; what is under way, IKE_AUTH too, is asked already.
        Forgers can have that done once in a while, and no more.
        """
        try:
            contents = Contents.of(decode_chain(message.first, message.body))
        except (WireError, PeerError) as error:
            self._sas.discard(source, f"an unprotected response: {error}", now)
            return
        names = ", ".join(NotifyType.text(n.type) for n in contents.notifications)
        self._sas.discard(source, f"an unauthenticated response says {names}", now)
        if contents.note(NotifyType.INVALID_IKE_SPI) is None or source != sa.address:
            return
        if isinstance(sa.state, AuthSent):
            sa.state = replace(sa.state, hint=f"the peer says {names} (unauthenticated)")
        # A peer that replaces an IKE SA may have lost the answer: it does not know the new one yet.
        known = sa.initiator or sa.window.heard
        if not known or now < sa.window.suspected_at + SUSPECT_AGAIN:
            return
        sa.window.suspected_at = now
        if sa.up:
            self.suspect(sa, now)
        elif sa.initiator and isinstance(sa.purpose, Initial):
            self._tasks.hasten(sa, now)

    def suspect(self, sa: IkeSa, now: float) -> None:
        """Ask whether the peer lives, which there is reason to doubt; a request under way asks too.

        It has less time than usual to answer.
        """
        if sa.window.request is None:
            self._tasks.ask(sa, Probe(), now)
        self._tasks.hasten(sa, now)
