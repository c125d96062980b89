"""CREATE_CHILD_SA for a new CHILD SA (RFC 7296 section 1.3.1), and what its rekeying shares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from agents.core.machine import PeerError
from agents.core.reader import WireError
from agents.core.record import replace
from agents.crypto import dh
from agents.ikev2 import child, events
from agents.ikev2.auth import check_nonce
from agents.ikev2.constants import ExchangeType, NotifyType, PayloadType
from agents.ikev2.errors import WrongGroupError, temporary
from agents.ikev2.grammar import Contents, Form
from agents.ikev2.ike_sa_manager import IkeSaManager
from agents.ikev2.payloads import KeyExchange
from agents.ikev2.sa import Child, IkeSa
from agents.ikev2.tasks import (
    ChildRequested,
    CreateChild,
    DeleteChildren,
    IkeRekeyRequested,
    RekeyChild,
)
from agents.ikev2.wire import Payload

if TYPE_CHECKING:
    from agents.ikev2.task_manager import TaskManager

MAX_ATTEMPTS = 7
"""Requests for one SA, those with another group or after a temporary failure included."""


class ChildCreate:
    """Makes CHILD SAs over IKE SAs that are up."""

    def __init__(self, sas: IkeSaManager, tasks: TaskManager) -> None:
        self._sas = sas
        self._tasks = tasks

    # Initiator.

    def start(self, sa: IkeSa, task: CreateChild, now: float) -> None:
        """Send the request."""
        self.send(sa, task, [], now)

    def send(
        self, sa: IkeSa, task: CreateChild | RekeyChild, before: list[Payload], now: float
    ) -> None:
        """Send the request for a CHILD SA, with these payloads in front."""
        sas, group = self._sas, self._sas.config.pfs
        key_pair = dh.generate(group, sas.rng) if group else None
        requested = ChildRequested(task, sas.new_esp_spi(), sas.new_nonce(), key_pair, group)
        offer, selectors = child.offer_payloads(sas, task.selectors, requested.spi, group)
        payloads = [*before, child.TRANSPORT.payload(), *offer]
        payloads.append(Payload(PayloadType.NONCE, requested.nonce))
        if group and key_pair:
            ke = KeyExchange(group, key_pair.public)
            payloads.append(Payload(PayloadType.KE, ke.encode()))
        payloads += selectors
        self._tasks.request(sa, ExchangeType.CREATE_CHILD_SA, payloads, requested, now)

    def complete(
        self, sa: IkeSa, requested: ChildRequested, contents: Contents, now: float
    ) -> None:
        """Take the response."""
        error, task = contents.error, requested.task
        if error is not None and not contents.has(PayloadType.SA):
            self._sas.esp_spis.discard(requested.spi)
            again = replace(task, attempts=task.attempts + 1)
            if error.type == NotifyType.TEMPORARY_FAILURE and again.attempts < MAX_ATTEMPTS:
                self._tasks.delay(sa, again, now)
            else:
                self.abandon(sa, task, f"the peer says {NotifyType.text(error.type)}", now)
            return
        try:
            made, _ = self.accept(sa, requested, contents, now)
        except (WireError, PeerError) as problem:
            self.undo(sa, requested, problem, now)
            return
        self._sas.add_child(made, now)

    def accept(
        self, sa: IkeSa, requested: ChildRequested, contents: Contents, now: float
    ) -> tuple[Child, bytes]:
        """Return the CHILD SA of a response and the lower nonce; raises PeerError or WireError."""
        sas = self._sas
        contents.check(Form.CHILD)
        nonces = requested.nonce, check_nonce(contents.get(PayloadType.NONCE))
        selectors = requested.task.selectors
        agreement = child.accept(sas, contents, selectors, requested.spi, requested.group)
        shared = b""
        if requested.key_pair is not None:
            ke = KeyExchange.decode(contents.get(PayloadType.KE))
            if ke.group != requested.group:
                raise PeerError(f"group {ke.group} in the answer to {requested.group}")
            shared = requested.key_pair.shared(ke.public)
        material = child.Material(nonces, shared)
        return child.make(sas, sa, agreement, material, now, initiated=True), min(nonces)

    def undo(self, sa: IkeSa, requested: ChildRequested, problem: Exception, now: float) -> None:
        """Have the peer delete what it has made, for its response is not acceptable."""
        self._sas.esp_spis.discard(requested.spi)
        self.abandon(sa, requested.task, str(problem), now)
        self._tasks.ask(sa, DeleteChildren((), "refused", (requested.spi,)), now)

    def abandon(self, sa: IkeSa, task: CreateChild | RekeyChild, reason: str, now: float) -> None:
        """Tell the owner that no CHILD SA has come of a request."""
        failed = events.Failed(now, sa.peer, f"CHILD SA: {reason}", task.selectors)
        self._sas.events.append(failed)

    def drop(self, sa: IkeSa, requested: ChildRequested, now: float) -> None:
        """Take no response any more, for the IKE SA is to be deleted."""
        self._sas.esp_spis.discard(requested.spi)
        if isinstance(requested.task, CreateChild):
            failed = events.Failed(now, sa.peer, "deleted", requested.task.selectors)
            self._sas.events.append(failed)

    # Responder.

    def answer(self, sa: IkeSa, contents: Contents, now: float) -> None:
        """Take a request and answer it; raises PeerError or WireError for one that is refused."""
        made, payloads, _ = self.serve(sa, contents, self._sas.config.children_limit, now)
        self._sas.add_child(made, now)
        self._tasks.respond(sa, payloads)

    def serve(
        self, sa: IkeSa, contents: Contents, limit: int, now: float
    ) -> tuple[Child, list[Payload], bytes]:
        """Return the CHILD SA that is asked for, the response, and the lower nonce."""
        sas = self._sas
        # Otherwise the two ends might not agree on which IKE SA it belongs to (section 2.25.2).
        if isinstance(sa.purpose, IkeRekeyRequested) or not sa.up:
            raise temporary("the IKE SA is being replaced")
        if len(sa.children) >= limit:
            raise PeerError("too many CHILD SAs", NotifyType.NO_ADDITIONAL_SAS)
        contents.check(Form.CHILD)
        nonce = check_nonce(contents.get(PayloadType.NONCE))
        ke = None
        if contents.has(PayloadType.KE):
            ke = KeyExchange.decode(contents.get(PayloadType.KE))
        sent = ke.group if ke else None
        agreement, chosen = child.choose(sas, sa, contents, self._groups(sent), sent)
        group = agreement.choice.group
        try:
            if group != sent and group is not None:
                raise WrongGroupError(group)
            pair = dh.generate(group, sas.rng) if group else None
            shared = pair.shared(ke.public) if pair and ke else b""
        except PeerError:
            sas.esp_spis.discard(agreement.spis[0])
            raise
        nonces = nonce, sas.new_nonce()
        material = child.Material(nonces, shared)
        made = child.make(sas, sa, agreement, material, now, initiated=False)
        offer, selectors = child.answer_payloads(agreement, chosen)
        payloads = [*offer, Payload(PayloadType.NONCE, nonces[1])]
        if pair and group:
            payloads.append(Payload(PayloadType.KE, KeyExchange(group, pair.public).encode()))
        return made, payloads + selectors, min(nonces)

    def _groups(self, sent: int | None) -> Sequence[int | None]:
        if self._sas.config.pfs is not None:
            return (self._sas.config.pfs,)
        return (sent, None, *dh.GROUPS) if sent in dh.GROUPS else (None, *dh.GROUPS)
