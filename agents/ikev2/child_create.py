"""CREATE_CHILD_SA for CHILD SAs, new ones and those that replace others (RFC 7296 section 1.3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

from agents.core.machine import PeerError
from agents.core.reader import WireError
from agents.crypto import dh
from agents.ikev2 import child, events
from agents.ikev2.auth import check_nonce
from agents.ikev2.constants import Exchange, NotifyType, PayloadType, ProtocolId
from agents.ikev2.grammar import Contents, Form
from agents.ikev2.ike_sa_manager import Host, Timer
from agents.ikev2.payloads import KeyExchange, Notification
from agents.ikev2.sa import (
    Child,
    ChildRequested,
    DeleteChildren,
    IkeSa,
    MakeChild,
    RekeyIke,
    RekeyRequested,
    Task,
)
from agents.ikev2.wire import Payload

MAX_ATTEMPTS = 7
"""Requests for one SA, those with another group or after a temporary failure included."""

Ask: TypeAlias = Callable[[IkeSa, Task, float], None]
Delay: TypeAlias = Callable[[IkeSa, MakeChild | RekeyIke, float], None]


class WrongGroupError(PeerError):
    """A public value in another group than the one that is chosen."""

    def __init__(self, group: int) -> None:
        super().__init__(f"group {group} is wanted", NotifyType.INVALID_KE_PAYLOAD)
        self.group = group


def temporary(reason: str) -> PeerError:
    """Return the error of a request that may be repeated a little later (section 2.25)."""
    return PeerError(reason, NotifyType.TEMPORARY_FAILURE)


class ChildExchange:
    """Makes and replaces CHILD SAs over IKE SAs that are up."""

    def __init__(self, host: Host, ask: Ask, delay: Delay) -> None:
        self._host = host
        self._ask = ask
        self._delay = delay

    # Initiator.

    def start(self, sa: IkeSa, task: MakeChild, now: float) -> None:
        """Send the request, unless there is nothing to do any more."""
        host, old = self._host, task.replaces
        if old is not None and not self._replaceable(old):
            return
        group = host.config.pfs
        requested = ChildRequested(
            task,
            host.new_esp_spi(),
            host.new_nonce(),
            dh.generate(group) if group else None,
            group,
        )
        offer, selectors = child.offer_payloads(host, task.selectors, requested.spi, group)
        payloads = [child.TRANSPORT.payload(), *offer]
        payloads.append(Payload(PayloadType.NONCE, requested.nonce))
        if group and requested.key_pair:
            ke = KeyExchange(group, requested.key_pair.public)
            payloads.append(Payload(PayloadType.KE, ke.encode()))
        if old is not None:
            old.rekeying = True
            spi = old.spi.to_bytes(4)
            note = Notification(NotifyType.REKEY_SA, b"", ProtocolId.ESP, spi)
            payloads.insert(0, note.payload())
        host.request(sa, Exchange.CREATE_CHILD_SA, payloads + selectors, requested, now)

    def _replaceable(self, old: Child) -> bool:
        """Return whether nobody replaces or deletes a CHILD SA yet, and the peer knows it."""
        children = self._host.children
        if old.spi not in children or old.closing or old.rekeying:
            return False
        pending = (old.rival, old.replaces)
        return not any(other and other.spi in children for other in pending)

    def complete(
        self, sa: IkeSa, requested: ChildRequested, contents: Contents, now: float
    ) -> None:
        """Take the response."""
        host, task = self._host, requested.task
        error = contents.error
        if error is not None and not contents.has(PayloadType.SA):
            host.esp_spis.discard(requested.spi)
            self._refused(sa, requested, error, now)
            return
        try:
            made = self._accept(sa, requested, contents, now)
        except (WireError, PeerError) as problem:
            self.undo(sa, requested, problem, now)
            return
        host.add_child(made, now)
        old = task.replaces
        if old is not None:
            host.events.append(events.ChildRekeyed(now, sa.peer, old.pair, made.pair))
            self._ask(sa, DeleteChildren((self._redundant(old, made),), "replaced"), now)

    def undo(self, sa: IkeSa, requested: ChildRequested, problem: Exception, now: float) -> None:
        """Have the peer delete what it has made, for its response is not acceptable."""
        self._host.esp_spis.discard(requested.spi)
        self._abandon(sa, requested.task, str(problem), now)
        self._ask(sa, DeleteChildren((), "refused", (requested.spi,)), now)

    def _accept(
        self, sa: IkeSa, requested: ChildRequested, contents: Contents, now: float
    ) -> Child:
        host = self._host
        contents.check(Form.CHILD)
        nonce = check_nonce(contents.get(PayloadType.NONCE))
        agreement = child.accept(
            host, contents, requested.task.selectors, requested.spi, requested.group
        )
        shared = b""
        if requested.key_pair is not None:
            ke = KeyExchange.decode(contents.get(PayloadType.KE))
            if ke.group != requested.group:
                raise PeerError(f"group {ke.group} in the answer to {requested.group}")
            shared = requested.key_pair.shared(ke.public)
        material = child.Material((requested.nonce, nonce), shared)
        return child.make(host, sa, agreement, material, now, initiated=True)

    def _redundant(self, old: Child, made: Child) -> Child:
        """Return which SA the local host has to delete after it has made one (section 2.8.1).

        If the peer has replaced the old SA at the same time, the exchange with the lowest nonce
        was in vain, and its initiator deletes what it has made; the other deletes the old SA.
        """
        rival = old.rival
        if rival is None:
            return old
        if made.lowest_nonce < rival.lowest_nonce:
            return made
        rival.closing = True  # By the peer.
        return old

    def _refused(
        self, sa: IkeSa, requested: ChildRequested, error: Notification, now: float
    ) -> None:
        task, old = requested.task, requested.task.replaces
        again = replace(task, attempts=task.attempts + 1)
        if old is not None:
            old.rekeying = False
        if task.attempts + 1 < MAX_ATTEMPTS:
            if error.type == NotifyType.TEMPORARY_FAILURE:
                self._delay(sa, again, now)
                return
            if error.type == NotifyType.CHILD_SA_NOT_FOUND and old is not None:
                self._host.remove_child(old, "the peer does not have it", now)
                if not any(c.selectors == task.selectors for c in sa.children.values()):
                    sa.tasks.append(replace(again, replaces=None))
                return
        self._abandon(sa, task, f"the peer says {NotifyType.text(error.type)}", now)

    def _abandon(self, sa: IkeSa, task: MakeChild, reason: str, now: float) -> None:
        """Tell the owner that no CHILD SA has come of a request; an old one stays."""
        if task.replaces is not None:
            task.replaces.rekeying = False
        failed = events.Failed(now, sa.peer, f"CHILD SA: {reason}", task.selectors)
        self._host.events.append(failed)

    # Responder.

    def answer(self, sa: IkeSa, contents: Contents, now: float) -> None:
        """Take a request and answer it; raises PeerError or WireError for one that is refused."""
        host = self._host
        note = contents.note(NotifyType.REKEY_SA)
        old = None if note is None else self._find(sa, note)
        if isinstance(sa.purpose, RekeyRequested) or not sa.up:
            raise temporary("the IKE SA is being replaced")
        if old is not None and old.closing:
            raise temporary("the CHILD SA is being deleted")
        limit = host.config.children_limit
        if len(sa.children) >= (limit if old is None else 2 * limit):  # Old ones and new ones.
            raise PeerError("too many CHILD SAs", NotifyType.NO_ADDITIONAL_SAS)
        contents.check(Form.CHILD)
        nonce = check_nonce(contents.get(PayloadType.NONCE))
        ke = None
        if contents.has(PayloadType.KE):
            ke = KeyExchange.decode(contents.get(PayloadType.KE))
        sent = ke.group if ke else None
        agreement, chosen = child.choose(host, sa, contents, self._groups(sent), sent)
        group = agreement.choice.group
        try:
            if group != sent and group is not None:
                raise WrongGroupError(group)
            pair = dh.generate(group) if group else None
            shared = pair.shared(ke.public) if pair and ke else b""
        except PeerError:
            host.esp_spis.discard(agreement.spis[0])
            raise
        ours = host.new_nonce()
        material = child.Material((nonce, ours), shared)
        made = child.make(host, sa, agreement, material, now, initiated=False)
        self._take(made, old, now)
        offer, selectors = child.answer_payloads(agreement, chosen)
        payloads = [*offer, Payload(PayloadType.NONCE, ours)]
        if pair and group:
            payloads.append(Payload(PayloadType.KE, KeyExchange(group, pair.public).encode()))
        host.respond(sa, payloads + selectors)

    def _groups(self, sent: int | None) -> Sequence[int | None]:
        if self._host.config.pfs is not None:
            return (self._host.config.pfs,)
        return (sent, None, *dh.GROUPS) if sent in dh.GROUPS else (None, *dh.GROUPS)

    def _find(self, sa: IkeSa, note: Notification) -> Child:
        """Return the CHILD SA that the peer wants to replace, named by its inbound SPI."""
        spi = int.from_bytes(note.spi)
        for candidate in sa.children.values():
            if candidate.pair.outbound.spi == spi:
                return candidate
        raise PeerError(f"no CHILD SA with SPI {spi:#010x}", NotifyType.CHILD_SA_NOT_FOUND)

    def _take(self, made: Child, old: Child | None, now: float) -> None:
        host = self._host
        host.events.append(events.ChildKeyed(now, made.peer, made.pair))
        host.add_child(made, now)
        if old is None:
            return
        host.events.append(events.ChildRekeyed(now, made.peer, old.pair, made.pair))
        old.rival, made.replaces = made, old
        if not old.rekeying:
            host.timers.cancel((Timer.CHILD_REKEY, b"", old.spi))
