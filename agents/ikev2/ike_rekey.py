"""CREATE_CHILD_SA that replaces an IKE SA (RFC 7296 sections 1.3.2, 2.8, 2.18, 2.25)."""

from __future__ import annotations

from dataclasses import replace

from agents.core.machine import PeerError
from agents.core.reader import WireError
from agents.crypto import dh
from agents.ike.constants import Role
from agents.ikev2 import events
from agents.ikev2.auth import check_nonce, keys_of
from agents.ikev2.child_create import (
    MAX_ATTEMPTS,
    Ask,
    Delay,
    WrongGroupError,
    temporary,
)
from agents.ikev2.constants import Exchange, NotifyType, PayloadType
from agents.ikev2.grammar import Contents, Form
from agents.ikev2.ike_sa_manager import Host, Timer
from agents.ikev2.payloads import KeyExchange, Notification, SecurityAssociation
from agents.ikev2.proposals import accept_ike, answer, choose_ike, offer_ike, supported_group
from agents.ikev2.sa import (
    ChildRequested,
    Closed,
    DeleteChildren,
    DeleteIke,
    Established,
    IkeSa,
    RekeyIke,
    RekeyRequested,
)
from agents.ikev2.wire import SPI_LENGTH, Payload

AWAIT_DELETION = 300.0
"""Seconds that the peer has to delete a replaced IKE SA: it may be asking for the answer still."""


class IkeRekey:
    """Replaces IKE SAs by new ones, which take over the CHILD SAs."""

    def __init__(self, host: Host, ask: Ask, delay: Delay) -> None:
        self._host = host
        self._ask = ask
        self._delay = delay

    # Initiator.

    def start(self, sa: IkeSa, task: RekeyIke, now: float) -> None:
        """Send the request, unless there is nothing to do any more."""
        host = self._host
        if sa.proposal is None or sa.successor is not None:
            return
        group = task.group or sa.proposal.group
        requested = RekeyRequested(
            task, host.new_spi(), host.new_nonce(), dh.generate(group), group
        )
        # The group of the KE is offered first: it is the one that the peer is known to take.
        proposals = sorted(host.config.proposals, key=lambda p: p.group != group)
        offer = offer_ike(proposals, requested.spi)
        payloads = [
            Payload(PayloadType.SA, offer.encode()),
            Payload(PayloadType.NONCE, requested.nonce),
            Payload(PayloadType.KE, KeyExchange(group, requested.key_pair.public).encode()),
        ]
        host.request(sa, Exchange.CREATE_CHILD_SA, payloads, requested, now)

    def complete(
        self, sa: IkeSa, requested: RekeyRequested, contents: Contents, now: float
    ) -> None:
        """Take the response."""
        error = contents.error
        if error is not None and not contents.has(PayloadType.SA):
            self._refused(sa, requested.task, error, now)
            return
        try:
            new = self._accept(sa, requested, contents)
        except (WireError, PeerError) as problem:
            self.give_up(sa, f"{problem}", now)
            return
        self._announce(sa, new, Role.INITIATOR, now)
        rival = _alive(sa.rival)
        if rival is not None and new.lowest_nonce < rival.lowest_nonce:
            # The peer has made one at the same time, and ours was in vain (section 2.8.2).
            self.resolve(sa, now)
        self._host.limit(new, now, predecessor=sa)
        if sa.successor is not None:
            self._ask(new, DeleteIke("redundant"), now)
            return
        self._inherit(sa, new, now)
        if rival is not None:
            self._await_deletion(rival, new, now)
        self._ask(sa, DeleteIke("replaced"), now)

    def _accept(self, sa: IkeSa, requested: RekeyRequested, contents: Contents) -> IkeSa:
        host = self._host
        contents.check(Form.IKE_REKEY)
        answered = SecurityAssociation.decode(contents.get(PayloadType.SA))
        proposal, spi = accept_ike(answered, host.config.proposals, SPI_LENGTH)
        ke = KeyExchange.decode(contents.get(PayloadType.KE))
        if not ke.group == proposal.group == requested.group:
            raise PeerError(f"group {ke.group} in the answer to {requested.group}")
        nonces = requested.nonce, check_nonce(contents.get(PayloadType.NONCE))
        shared = requested.key_pair.shared(ke.public)
        new = self._new(sa, True, (requested.spi, spi), nonces)
        new.proposal = proposal
        host.secure(new, keys_of(sa).rekey(proposal, shared, nonces, new.spis))
        return new

    def _refused(self, sa: IkeSa, task: RekeyIke, error: Notification, now: float) -> None:
        again = replace(task, attempts=task.attempts + 1)
        self.resolve(sa, now)
        if sa.successor is not None:
            return
        if again.attempts < MAX_ATTEMPTS:
            if error.type == NotifyType.TEMPORARY_FAILURE:
                self._delay(sa, again, now)
                return
            group = int.from_bytes(error.data)
            wrong = error.type == NotifyType.INVALID_KE_PAYLOAD
            if wrong and supported_group(group, self._host.config.proposals):
                sa.tasks.appendleft(replace(again, group=group))
                return
        self.give_up(sa, f"the peer says {NotifyType.text(error.type)}", now)

    def give_up(self, sa: IkeSa, reason: str, now: float) -> None:
        """Keep the IKE SA until it expires."""
        self._host.events.append(events.Failed(now, sa.peer, f"rekeying of the IKE SA: {reason}"))

    # Responder.

    def answer(self, sa: IkeSa, contents: Contents, now: float) -> None:
        """Take a request and answer it; raises PeerError or WireError for one that is refused."""
        host, purpose = self._host, sa.purpose
        if not sa.up:
            raise temporary("the IKE SA is being replaced or deleted")
        if isinstance(purpose, ChildRequested | DeleteChildren):
            raise temporary("a CHILD SA is being made or deleted")
        contents.check(Form.IKE_REKEY)
        offer = SecurityAssociation.decode(contents.get(PayloadType.SA))
        ke = KeyExchange.decode(contents.get(PayloadType.KE))
        proposal, chosen = choose_ike(offer, host.config.proposals, ke.group)
        if len(chosen.spi) != SPI_LENGTH:
            raise PeerError("an IKE SPI of a wrong length", NotifyType.INVALID_SYNTAX)
        if ke.group != proposal.group:
            raise WrongGroupError(proposal.group)
        pair, ours = dh.generate(proposal.group), host.new_nonce()
        nonces = check_nonce(contents.get(PayloadType.NONCE)), ours
        shared = pair.shared(ke.public)
        new = self._new(sa, False, (chosen.spi, host.new_spi()), nonces)
        new.proposal = proposal
        host.secure(new, keys_of(sa).rekey(proposal, shared, nonces, new.spis))
        payloads = [
            Payload(PayloadType.SA, answer(chosen, new.spi_r).encode()),
            Payload(PayloadType.NONCE, ours),
            Payload(PayloadType.KE, KeyExchange(proposal.group, pair.public).encode()),
        ]
        host.respond(sa, payloads)
        self._announce(sa, new, Role.RESPONDER, now)
        if isinstance(purpose, RekeyRequested):
            sa.rival, new.predecessor = new, sa
        else:
            self._inherit(sa, new, now)
        host.limit(new, now, predecessor=sa)

    # Both.

    def _new(
        self, sa: IkeSa, initiator: bool, spis: tuple[bytes, bytes], nonces: tuple[bytes, bytes]
    ) -> IkeSa:
        new = IkeSa(sa.peer, sa.address, sa.local, initiator, *spis, Established())
        new.intent, new.method, new.grant = sa.intent, sa.method, sa.grant
        new.authorised_until = sa.authorised_until
        new.lowest_nonce = min(nonces)
        return new

    def _announce(self, old: IkeSa, new: IkeSa, role: Role, now: float) -> None:
        self._host.sas[new.spi] = new
        self._host.prove(new, old.identity)
        self._host.announce(new, role, now, old.spis)

    def _inherit(self, old: IkeSa, new: IkeSa, now: float) -> None:
        """Let `new` take over the CHILD SAs and the tasks of `old`, which is to be deleted."""
        new.predecessor = None
        new.children, old.children = old.children | new.children, {}
        for moved in new.children.values():
            moved.owner = new
        new.tasks.extend(t for t in (*old.tasks, *old.delayed) if not isinstance(t, RekeyIke))
        old.tasks.clear()
        old.delayed.clear()
        self._await_deletion(old, new, now)

    def _await_deletion(self, old: IkeSa, new: IkeSa, now: float) -> None:
        """Use `old` no more; if the peer, whose turn that may be, does not delete it, do so."""
        host = self._host
        old.successor = new
        for timer in (Timer.IKE_REKEY, Timer.IKE_EXPIRES, Timer.LIVENESS, Timer.RETRY):
            host.timers.cancel((timer, old.spi, 0))
        host.timers.set((Timer.GIVE_UP, old.spi, 0), now + AWAIT_DELETION)

    def resolve(self, sa: IkeSa, now: float) -> None:
        """Let what the peer has made to replace an IKE SA take over, if nothing has yet."""
        rival = _alive(sa.rival)
        if sa.successor is None and rival is not None:
            self._inherit(sa, rival, now)


def _alive(sa: IkeSa | None) -> IkeSa | None:
    return None if sa is None or isinstance(sa.state, Closed) else sa
