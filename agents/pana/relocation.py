"""How a PaC moves to another address within its session (RFC 5191 section 5.6)."""

from __future__ import annotations

from collections.abc import Callable

from agents.core.machine import PeerError
from agents.pana.places import Host, host_at
from agents.pana.transactions import Received, Transactions
from agents.pana.wire import Kind, Message


class Relocation:
    """Decides whether a message may come from another place than the PaC's.

    The RFC moves the session to where a valid message comes from. But a source is easily forged,
    and a message repeated by another; so the place has to answer a request first, and the message
    waits. `probe` sends that request and tells whether it is a ping. Who is at an address that
    another session holds (`is_free`) is not heard.
    """

    def __init__(
        self,
        transactions: Transactions,
        is_free: Callable[[Host], bool],
        probe: Callable[[], bool],
    ) -> None:
        self._transactions = transactions
        self._is_free = is_free
        self._probe = probe
        self._held: Received | None = None

    def admit(self, received: Received, *, admitted: bool) -> bool:
        """Return whether an authentic message is to be taken now.

        Raises PeerError for one that may not come from there. An answer from where the PaC is
        ends other claims. To end the session the PaC need not be anywhere.
        """
        transactions, message = self._transactions, received.message
        if received.place == transactions.place:
            if not message.request:
                transactions.claim = None
            return True
        label = transactions.dialect.label(message)
        if not admitted or not self._may_move(message):
            raise PeerError(f"{label} from another address than the PaC's")
        if message.kind is Kind.TERMINATION:
            return True
        if not self._is_free(host_at(received.place)):
            transactions.claim = None
            raise PeerError(f"{label} from an address that another session holds")
        claim = transactions.claim
        if not message.request and claim is not None and claim.place == received.place:
            transactions.claim = None
            transactions.move(received)
            return True
        transactions.claim = received
        pings = self._probe()
        if not message.request:
            raise PeerError(f"{label} from a new address, which has to answer itself")
        if not pings:
            return True  # In a re-authentication the PaC waits for this answer before it goes on.
        self._held = received
        return False

    def _may_move(self, message: Message) -> bool:
        """Return whether a message may come from a new address.

        The RFC lets every message with a right AUTH; draft-ietf-pana-pana-12 only PUR (section
        5.8), and then the answer that proves it.
        """
        transactions = self._transactions
        if not transactions.is_protected(message):
            return False
        proof = not message.request and transactions.claim is not None
        return proof or transactions.dialect.update_kind in (Kind.PING, message.kind)

    def release(self) -> Received | None:
        """Return the message that has waited, once the PaC has proved to be where it came from."""
        held, transactions = self._held, self._transactions
        if transactions.claim is None:
            self._held = None
        return held if held is not None and held.place == transactions.place else None
