"""A mobile node and a correspondent node, with the way home and the direct way between them."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterator
from ipaddress import IPv6Address
from itertools import count

from agents.core.machine import Event
from agents.core.timers import earliest
from agents.kernel.model_port import ModelCorrespondent
from agents.mip6.codec import Message, decode
from agents.mip6.correspondent import CorrespondentNode
from agents.mip6.correspondent_cache import CorrespondentLimits
from agents.mip6.return_routability import RouteOptimisation
from agents.mip6.update_list import RouteTimers
from tests.mip6.nodes import CARE_OF, HOME

CORRESPONDENT = IPv6Address("2001:db8:c::c")
CN = (str(CORRESPONDENT), 0)
DELAY = 0.010


class Routes:
    """Both machines; time moves only from deadline to deadline.

    `lost` says of a message, by its number from 0 and itself, whether it is lost; `sent` has all.
    """

    def __init__(
        self,
        *,
        lost: Callable[[int, Message], bool] = lambda _n, _m: False,
        timers: RouteTimers | None = None,
        limits: CorrespondentLimits | None = None,
    ) -> None:
        self.now = 0.0
        self.kernel = ModelCorrespondent(None, CORRESPONDENT)
        self.cn = CorrespondentNode(
            CORRESPONDENT, kernel=self.kernel, rng=random.Random(2), limits=limits
        )
        self.used: Iterator[int] = count()
        """How many packets the mobile node has sent directly: one more whenever it is asked."""

        self.mn = RouteOptimisation(
            HOME, CARE_OF, rng=random.Random(1), used=lambda _: next(self.used), timers=timers
        )
        self.sent: list[tuple[float, str, Message]] = []
        self.told: list[Event] = []
        self.lost = lost
        self._under_way: list[tuple[float, int, bool, bytes, IPv6Address]] = []
        self._number = count()
        self.mn.registered(1e9, 0.0)

    def begin(self) -> None:
        self.mn.wanted(CORRESPONDENT, self.now)
        self.run(self.now + 1)

    def _collect(self) -> None:
        while self.mn.outbox:
            data, _, local = self.mn.outbox.popleft()
            self._carry("mn", True, data, local)
        while self.cn.outbox:
            data, (to, _) = self.cn.outbox.popleft()
            self._carry("cn", False, data, IPv6Address(to))
        for machine in (self.mn, self.cn):
            self.told.extend(machine.events)
            machine.events.clear()

    def _carry(self, sender: str, to_cn: bool, data: bytes, address: IPv6Address) -> None:
        number, message = next(self._number), decode(data)
        self.sent.append((round(self.now, 3), sender, message))
        if not self.lost(number, message):
            heapq.heappush(self._under_way, (self.now + DELAY, number, to_cn, data, address))

    def run(self, until: float) -> None:
        while True:
            self._collect()
            arrival = self._under_way[0][0] if self._under_way else None
            due = earliest(arrival, self.mn.next_timeout(), self.cn.next_timeout())
            if due is None or due > until:
                self.now = until
                return
            self.now = max(self.now, due)
            if arrival is not None and arrival <= self.now:
                _, _, to_cn, data, address = heapq.heappop(self._under_way)
                if to_cn:
                    self.cn.handle_message(data, (str(address), 0), self.now)
                else:
                    self.mn.handle_message(data, CN, address, self.now)
            else:
                self.mn.handle_timeout(self.now)
                self.cn.handle_timeout(self.now)

    @property
    def kinds(self) -> list[str]:
        return [type(message).__name__ for _, _, message in self.sent]

    @property
    def events(self) -> list[str]:
        return [type(event).__name__ for event in self.told]

    def forget(self) -> None:
        """Forget what was sent and told so far."""
        self.sent.clear()
        self.told.clear()
