"""The PANA client (RFC 5191, draft-ietf-pana-pana-12), driven by the table of RFC 5609."""

from __future__ import annotations

import random
from collections import deque

from agents.core.machine import Address, Discarded, Event, PeerError
from agents.core.reader import WireError
from agents.eap.lower import EapPeerLike
from agents.pana.config import PacConfig
from agents.pana.pac_session import PacSession
from agents.pana.pac_table import PacState
from agents.pana.places import place
from agents.pana.states import Trigger
from agents.pana.terms import Device
from agents.pana.transactions import Received


class Pac:
    """A PANA client: one session with one PAA, from PCI to termination. A Machine."""

    def __init__(
        self, paa: Address, eap: EapPeerLike, config: PacConfig, *, rng: random.Random
    ) -> None:
        self.outbox: deque[tuple[bytes, Address]] = deque()
        self.events: deque[Event] = deque()
        self.session = PacSession(paa, eap, config, rng=rng, outbox=self.outbox, events=self.events)
        self._config = config
        self._paa = place(paa, None)

    @property
    def state(self) -> PacState:
        """The state of RFC 5609."""
        return self.session.state

    def start(self, now: float) -> None:
        """Look for the PAA: send PCI until it answers."""
        self.session.seek(now)

    def reauthenticate(self, now: float) -> bool:
        """Run EAP again for a new key and lifetime; return whether that is possible now."""
        if self._config.renew_eap is None:
            raise ValueError("re-authentication needs renew_eap")
        return self.session.fire(Trigger.REAUTH, now)

    def ping(self, now: float) -> bool:
        """Test that the PAA still has the session; return whether that is possible now."""
        return self.session.ping(now)

    def update(self, now: float, device: Device | None = None) -> bool:
        """Tell the PAA from this host's new address; return whether that is possible now.

        The owner must send from the new address already. `device` replaces the device identifier.
        The PAA's confirmation is an Updated event.
        """
        return self.session.update(device, now)

    def terminate(self, now: float) -> bool:
        """Log out; return whether there is a session to leave."""
        return self.session.terminate(now)

    def next_timeout(self) -> float | None:
        """Return the earliest deadline in seconds, None if no timer runs."""
        return self.session.next_timeout()

    def handle_timeout(self, now: float) -> None:
        """Retransmit, renew a session, or end one or an authentication whose time is up."""
        self.session.handle_timeout(now)

    def handle_message(self, data: bytes, source: Address, now: float) -> None:
        """Take one datagram; what is not valid is dropped with an event."""
        try:
            if place(source, None) != self._paa:
                raise PeerError("not from the PAA")
            received = Received(self._config.dialect.decode(data), data, source)
            self.session.handle(received, now)
        except (WireError, PeerError) as error:
            self.events.append(Discarded(now, source[0], str(error)))
