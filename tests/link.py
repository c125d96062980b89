"""Two machines joined by a link on a virtual clock."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from itertools import count

from agents.core.machine import Address, Machine

Tamper = Callable[[bytes], bytes | None]


class Link:
    """Carries datagrams between two machines; time moves only from deadline to deadline.

    `drop` holds indices (0 is the first datagram sent on the link by either side) that are lost;
    `tamper` may alter a datagram, duplicate nothing, or drop it by returning None. `sent` keeps
    (time, sender's address, data) of every datagram, the lost ones included.
    """

    def __init__(
        self,
        a: Machine,
        a_address: Address,
        b: Machine,
        b_address: Address,
        *,
        delay: float = 0.010,
        drop: Iterable[int] = (),
        tamper: Tamper | None = None,
    ) -> None:
        self.now = 0.0
        self.sent: list[tuple[float, Address, bytes]] = []
        self._ends = ((a, a_address, b), (b, b_address, a))
        self._delay = delay
        self._drop = frozenset(drop)
        self.tamper = tamper
        self._in_flight: list[tuple[float, int, Machine, bytes, Address]] = []
        self._order = count()

    @property
    def machines(self) -> tuple[Machine, Machine]:
        """Both ends."""
        return self._ends[0][0], self._ends[1][0]

    def _collect(self) -> None:
        for machine, address, peer in self._ends:
            while machine.outbox:
                data, _ = machine.outbox.popleft()
                index = len(self.sent)
                self.sent.append((self.now, address, data))
                carried = self.tamper(data) if self.tamper else data
                if index not in self._drop and carried is not None:
                    arrival = self.now + self._delay
                    heapq.heappush(
                        self._in_flight, (arrival, next(self._order), peer, carried, address)
                    )

    def run(self, until: float = 60.0) -> None:
        """Deliver and time out until nothing is left to do or the clock reaches `until`."""
        while (soonest := self._soonest()) is not None:
            if soonest > until:
                self.now = until
                return
            self.step()

    def _soonest(self) -> float | None:
        self._collect()
        deadlines = [t for m, _, _ in self._ends if (t := m.next_timeout()) is not None]
        if self._in_flight:
            deadlines.append(self._in_flight[0][0])
        return min(deadlines, default=None)

    def step(self) -> bool:
        """Deliver one datagram or let one deadline come; return whether there was anything."""
        if (soonest := self._soonest()) is None:
            return False
        self.now = max(self.now, soonest)
        if self._in_flight and self._in_flight[0][0] <= self.now:
            _, _, machine, data, source = heapq.heappop(self._in_flight)
            machine.handle_message(data, source, self.now)
        else:
            for machine, _, _ in self._ends:
                if (t := machine.next_timeout()) is not None and t <= self.now:
                    machine.handle_timeout(self.now)
        self._collect()
        return True

    def deliver(self, data: bytes, source: Address) -> None:
        """Let a datagram come at once to the end that is not `source`'s."""
        for _, address, peer in self._ends:
            if address == source:
                peer.handle_message(data, source, self.now)
        self._collect()
