"""What becomes of SAs and requests as time goes by (RFC 7296 sections 2.4 and 2.8)."""

from __future__ import annotations

from agents.ikev2 import events
from agents.ikev2.ike_sa_manager import Host, Timer, TimerKey
from agents.ikev2.sa import DeleteChildren, DeleteIke, IkeSa, Initial, InitSent, RekeyIke
from agents.ikev2.task_manager import Exchanges


class Deadlines:
    """Acts on the timers of one host."""

    def __init__(self, host: Host, exchanges: Exchanges) -> None:
        self._host = host
        self._exchanges = exchanges

    def expire(self, key: TimerKey, now: float) -> None:
        """Act on a timer that has run out."""
        timer, spi, number = key
        if timer in (Timer.CHILD_REKEY, Timer.CHILD_EXPIRES):
            self._child_ages(timer, number, now)
        elif (sa := self._host.sas.get(spi)) is not None:
            self._sa_ages(timer, sa, now)

    def _child_ages(self, timer: Timer, spi: int, now: float) -> None:
        child = self._host.children.get(spi)
        if child is None:
            return
        if timer is Timer.CHILD_EXPIRES:
            self._exchanges.ask(child.owner, DeleteChildren((child,), "expired"), now)
            return
        # Once more, should this attempt come to nothing before the SAs expire.
        again = now + self._host.config.negotiation_timeout
        self._host.timers.set((Timer.CHILD_REKEY, b"", spi), again)
        self._exchanges.replace(child, now)

    def _sa_ages(self, timer: Timer, sa: IkeSa, now: float) -> None:
        match timer:
            case Timer.RETRANSMIT:
                self._retransmit(sa, now)
            case Timer.GIVE_UP:
                self._give_up(sa, now)
            case Timer.IKE_REKEY:
                again = now + self._host.config.negotiation_timeout
                self._host.timers.set((Timer.IKE_REKEY, sa.spi, 0), again)
                self._exchanges.ask(sa, RekeyIke(), now)
            case Timer.IKE_EXPIRES:
                self._exchanges.end(sa, "expired", now)
            case Timer.LIVENESS:
                self._exchanges.probe(sa, now)
            case Timer.RETRY:
                self._exchanges.retry(sa, now)
            case Timer.FORGET:
                self._host.forget(sa)
            case _:
                pass

    def _retransmit(self, sa: IkeSa, now: float) -> None:
        request = sa.request
        if request is None:
            return
        if request.retransmission.expire(now):
            self._host.timers.set((Timer.RETRANSMIT, sa.spi, 0), request.retransmission.deadline)
            self._host.send(request.data, sa.address)
        elif isinstance(request.purpose, Initial):
            self._give_up(sa, now)
        else:
            self._exchanges.unanswered(sa, now)

    def _give_up(self, sa: IkeSa, now: float) -> None:
        """End a negotiation that takes too long, or an IKE SA that the peer ought to delete."""
        if sa.ending:
            self._exchanges.unanswered(sa, now)
            return
        if sa.successor is not None:
            self._exchanges.ask(sa, DeleteIke("replaced"), now)
            return
        step = "IKE_SA_INIT" if isinstance(sa.state, InitSent) else "IKE_AUTH"
        reason = f"{step}: the peer does not answer" + (f"; {sa.hint}" if sa.hint else "")
        if not sa.initiator:
            reason = "IKE_AUTH: the negotiation has taken too long"
            self._host.events.append(events.Failed(now, sa.peer, reason))
        unheard = sa.sealer is None
        self._host.close(sa, reason, now)
        if unheard:  # There is no answer that may be asked for again.
            self._host.forget(sa)
