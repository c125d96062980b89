"""CREATE_CHILD_SA that replaces an IKE SA (RFC 7296 sections 1.3.2, 2.8.2, 2.18 and 2.25.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agents.core.machine import PeerError
from agents.core.reader import WireError
from agents.core.record import replace
from agents.crypto import dh
from agents.ike.constants import Role
from agents.ikev2 import events
from agents.ikev2.auth import check_nonce
from agents.ikev2.child_create import MAX_ATTEMPTS
from agents.ikev2.config import IkeProposal
from agents.ikev2.constants import ExchangeType, NotifyType, PayloadType
from agents.ikev2.errors import WrongGroupError, temporary
from agents.ikev2.grammar import Contents, Form
from agents.ikev2.ike_sa_manager import REPLACE_AGAIN, IkeSaManager, Timer
from agents.ikev2.payloads import KeyExchange, Notification, SecurityAssociation
from agents.ikev2.proposals import accept_ike, answer, choose_ike, offer_ike, supported_group
from agents.ikev2.sa import Closed, Established, IkeSa, Replaced
from agents.ikev2.tasks import (
    ChildRequested,
    DeleteChildren,
    DeleteIke,
    IkeCollision,
    IkeRekeyRequested,
    RekeyIke,
)
from agents.ikev2.wire import SPI_LENGTH, Payload

if TYPE_CHECKING:
    from agents.ikev2.task_manager import TaskManager

AWAIT_DELETION = 300.0
"""Seconds that the peer has to delete a replaced IKE SA: it may be asking for the answer still."""


class IkeRekey:
    """Replaces IKE SAs by new ones, which take over the CHILD SAs and the tasks.

    Both ends may do so at once. Then there are three IKE SAs until both responses are there: the
    old one and one of either end. The one whose exchange has the lowest of the four nonces was made
    in vain and is deleted by the end that made it; the other one is the successor, and the end that
    made that one deletes the old one. Meanwhile the CHILD SAs stay where they are.
    """

    def __init__(self, sas: IkeSaManager, tasks: TaskManager) -> None:
        self._sas = sas
        self._tasks = tasks

    # Initiator.

    def start(self, sa: IkeSa, task: RekeyIke, now: float) -> None:
        """Send the request, unless there is nothing to do any more."""
        sas = self._sas
        if isinstance(sa.state, Replaced):
            return
        group = task.group or sa.established.keymat.proposal.group
        pair = dh.generate(group, sas.rng)
        requested = IkeRekeyRequested(task, sas.new_spi(), sas.new_nonce(), pair, group)
        # The group of the KE is offered first: it is the one that the peer is known to take.
        proposals = sorted(sas.config.proposals, key=lambda p: p.group != group)
        offer = offer_ike(proposals, requested.spi)
        payloads = [
            Payload(PayloadType.SA, offer.encode()),
            Payload(PayloadType.NONCE, requested.nonce),
            Payload(PayloadType.KE, KeyExchange(group, pair.public).encode()),
        ]
        self._tasks.request(sa, ExchangeType.CREATE_CHILD_SA, payloads, requested, now)

    def complete(
        self, sa: IkeSa, requested: IkeRekeyRequested, contents: Contents, now: float
    ) -> None:
        """Take the response."""
        error = contents.error
        if error is not None and not contents.has(PayloadType.SA):
            self._refused(sa, requested, error, now)
            return
        try:
            new, lowest_nonce = self._accept(sa, requested, contents)
        except (WireError, PeerError) as problem:
            self.give_up(sa, requested, f"{problem}", now)
            return
        self._announce(sa, new, Role.INITIATOR, now)
        rival = _rival(requested)
        if rival and requested.collision and lowest_nonce < requested.collision.lowest_nonce:
            self._inherit(sa, rival, now)  # Unless it has the CHILD SAs already.
        self._sas.limit(new, now, predecessor=sa)
        if isinstance(sa.state, Replaced):
            # Ours was made in vain: its nonce is the lowest, or the peer uses its own already.
            self._tasks.ask(new, DeleteIke("redundant"), now)
            return
        self._inherit(sa, new, now)
        if rival is not None:
            # The peer's was made in vain, and the peer deletes it as soon as it knows.
            self._sas.retire(rival, new, now + AWAIT_DELETION)
        self._tasks.ask(sa, DeleteIke("replaced"), now)

    def _accept(
        self, sa: IkeSa, requested: IkeRekeyRequested, contents: Contents
    ) -> tuple[IkeSa, bytes]:
        contents.check(Form.IKE_REKEY)
        answered = SecurityAssociation.decode(contents.get(PayloadType.SA))
        proposal, spi = accept_ike(answered, self._sas.config.proposals, SPI_LENGTH)
        ke = KeyExchange.decode(contents.get(PayloadType.KE))
        if not ke.group == proposal.group == requested.group:
            raise PeerError(f"group {ke.group} in the answer to {requested.group}")
        nonces = requested.nonce, check_nonce(contents.get(PayloadType.NONCE))
        shared = requested.key_pair.shared(ke.public)
        spis = (requested.spi, spi)
        return self._make(sa, proposal, spis, nonces, shared, initiator=True), min(nonces)

    def _refused(
        self, sa: IkeSa, requested: IkeRekeyRequested, error: Notification, now: float
    ) -> None:
        task = requested.task
        again = replace(task, attempts=task.attempts + 1)
        if self.yield_to_peer(sa, now, requested) is not None:
            return  # The peer has replaced it without noticing ours (section 2.8.2).
        if again.attempts < MAX_ATTEMPTS:
            if error.type == NotifyType.TEMPORARY_FAILURE:
                self._tasks.delay(sa, again, now)
                return
            group = int.from_bytes(error.data)
            wrong = error.type == NotifyType.INVALID_KE_PAYLOAD
            if wrong and supported_group(group, self._sas.config.proposals):
                sa.tasks.appendleft(replace(again, group=group))
                return
        self.give_up(sa, requested, f"the peer says {NotifyType.text(error.type)}", now)

    def give_up(self, sa: IkeSa, requested: IkeRekeyRequested, reason: str, now: float) -> None:
        """Keep the IKE SA until it expires, or what the peer has made."""
        failed = events.Failed(now, sa.peer, f"rekeying of the IKE SA: {reason}")
        self._sas.events.append(failed)
        self.yield_to_peer(sa, now, requested)

    # Responder.

    def answer(self, sa: IkeSa, contents: Contents, now: float) -> None:
        """Take a request and answer it; raises PeerError or WireError for one that is refused."""
        sas, purpose = self._sas, sa.purpose
        if not sa.up:
            raise temporary("the IKE SA is being replaced or deleted")
        if isinstance(purpose, ChildRequested | DeleteChildren):
            raise temporary("a CHILD SA is being made or deleted")
        contents.check(Form.IKE_REKEY)
        offer = SecurityAssociation.decode(contents.get(PayloadType.SA))
        ke = KeyExchange.decode(contents.get(PayloadType.KE))
        proposal, chosen = choose_ike(offer, sas.config.proposals, ke.group)
        if len(chosen.spi) != SPI_LENGTH:
            raise PeerError("an IKE SPI of a wrong length", NotifyType.INVALID_SYNTAX)
        if ke.group != proposal.group:
            raise WrongGroupError(proposal.group)
        pair, ours = dh.generate(proposal.group, sas.rng), sas.new_nonce()
        nonces = check_nonce(contents.get(PayloadType.NONCE)), ours
        shared, spis = pair.shared(ke.public), (chosen.spi, sas.new_spi())
        new = self._make(sa, proposal, spis, nonces, shared, initiator=False)
        payloads = [
            Payload(PayloadType.SA, answer(chosen, new.spi_r).encode()),
            Payload(PayloadType.NONCE, ours),
            Payload(PayloadType.KE, KeyExchange(proposal.group, pair.public).encode()),
        ]
        self._tasks.respond(sa, payloads)
        self._announce(sa, new, Role.RESPONDER, now)
        if isinstance(purpose, IkeRekeyRequested):
            # Both at once: which one stays shows when our own response is there.
            self._tasks.amend(sa, replace(purpose, collision=IkeCollision(new, min(nonces))))
        else:
            self._inherit(sa, new, now)
        sas.limit(new, now, predecessor=sa)

    # Both.

    def _make(
        self,
        sa: IkeSa,
        proposal: IkeProposal,
        spis: tuple[bytes, bytes],
        nonces: tuple[bytes, bytes],
        shared: bytes,
        *,
        initiator: bool,
    ) -> IkeSa:
        """Return an IKE SA with the same peer, who is authenticated already."""
        old = sa.established
        keys = old.keymat.keys.rekey(proposal, shared, nonces, spis)
        keymat = self._sas.keymat(proposal, keys, initiator=initiator)
        state = Established(
            keymat,
            old.identity,
            old.method,
            old.grant,
            old.authorised_until,
            old.reauthenticate_at,
        )
        spi_i, spi_r = spis
        return IkeSa(
            sa.peer, sa.address, sa.local, initiator, spi_i, spi_r, state, is_left=sa.is_left
        )

    def _announce(self, old: IkeSa, new: IkeSa, role: Role, now: float) -> None:
        self._sas.add(new)
        self._sas.identify(new, new.established)
        self._sas.announce(new, role, now, old.spis)

    def _inherit(self, old: IkeSa, new: IkeSa, now: float) -> None:
        """Let `new` take over the CHILD SAs and the tasks of `old`, unless another one has.

        If the peer, whose turn it may be, does not delete `old`, the local host does.
        """
        if isinstance(old.state, Replaced):
            return
        moved = old.established.children | new.established.children
        new.state = replace(new.established, children=moved)
        old.state = replace(old.established, children={})
        for child in moved.values():
            child.owner = new
        new.tasks.extend(t for t in (*old.tasks, *old.delayed) if not isinstance(t, RekeyIke))
        old.tasks.clear()
        old.delayed.clear()
        self._sas.retire(old, new, now + AWAIT_DELETION)

    def yield_to_peer(
        self, sa: IkeSa, now: float, requested: IkeRekeyRequested | None = None
    ) -> IkeSa | None:
        """Let what the peer has made meanwhile take over, if there is one; return the successor.

        Our own request, `requested` or the one under way, will come to nothing.
        """
        rival = _rival(requested or sa.purpose)
        if rival is not None:
            self._inherit(sa, rival, now)
        return sa.state.successor if isinstance(sa.state, Replaced) else None

    def settle(self, sa: IkeSa, now: float) -> None:
        """The peer uses what it has made to replace an IKE SA: so that takes over (2.8.2)."""
        for other in self._sas.of_identity(sa.identity):
            if _rival(other.purpose) is sa:
                self._inherit(other, sa, now)

    # Time.

    def due(self, sa: IkeSa, now: float) -> None:
        """Replace an IKE SA that is old enough; once more, should it come to nothing."""
        again = now + REPLACE_AGAIN
        self._sas.timers.set((Timer.IKE_REKEY, sa.spi, 0), again)
        self._tasks.ask(sa, RekeyIke(), now)


def _rival(purpose: object) -> IkeSa | None:
    """Return what the peer has made while the local host asked for the same, if it still lives."""
    if not isinstance(purpose, IkeRekeyRequested) or purpose.collision is None:
        return None
    made = purpose.collision.made
    return None if isinstance(made.state, Closed) else made
