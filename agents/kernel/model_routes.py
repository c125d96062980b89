"""Route optimisation in a modelled kernel: who carries home addresses, and takes them."""

from __future__ import annotations

import errno
from collections import Counter
from ipaddress import IPv6Address

from agents.core.record import replace
from agents.kernel.model_sad import ACQUIRE_EXPIRES, Watchers
from agents.kernel.packet import MOBILITY_HEADER, Packet
from agents.kernel.port import KernelError

_HOME_TEST_INIT, _HOME_TEST = (MOBILITY_HEADER, 1), (MOBILITY_HEADER, 3)
_UPDATE, _ACKNOWLEDGEMENT = (MOBILITY_HEADER, 5), (MOBILITY_HEADER, 6)
_REPORTED_AGAIN = 1.0
"""Seconds after which Linux reports the same refused option once more."""


class ModelRouteTable:
    """The routes of one host, as mobile node and as correspondent node."""

    def __init__(self) -> None:
        self.wanted: Watchers[[IPv6Address, IPv6Address]] = Watchers()
        self.refused: Watchers[[IPv6Address, IPv6Address]] = Watchers()
        self.home: IPv6Address | None = None
        self.care_of: IPv6Address | None = None
        self.optimised: dict[IPv6Address, bool] = {}
        """Correspondent nodes that are known, and whether payload goes to them directly."""

        self.served: set[IPv6Address] = set()
        """This host's own addresses as a correspondent node."""

        self.reached: dict[tuple[IPv6Address, IPv6Address], IPv6Address] = {}
        self.bound: dict[tuple[IPv6Address, IPv6Address], IPv6Address] = {}
        """Care-of addresses by own and home address: for acknowledgements, for everything."""

        self.used: Counter[tuple[IPv6Address, IPv6Address]] = Counter()
        self._told: dict[tuple[IPv6Address, IPv6Address], float] = {}

    def carried(self, packet: Packet, now: float) -> Packet | None:
        """Return a packet that goes out with a home address in it, None if it has none."""
        ends = packet.source, packet.destination
        if packet.source == self.home:
            return self._from_home(packet, now)
        care_of = self.bound.get(ends) if packet.kind != _HOME_TEST else None
        if packet.kind == _ACKNOWLEDGEMENT:
            care_of = self.reached.get(ends)
        if care_of is None:
            return None
        self.used[ends] += 1
        return replace(packet, destination=care_of, routing=packet.destination)

    def _from_home(self, packet: Packet, now: float) -> Packet | None:
        directly = self.optimised.get(packet.destination)
        if packet.kind == _HOME_TEST_INIT or self.care_of is None:
            return None
        if directly or (directly is not None and packet.kind == _UPDATE):
            self.used[packet.source, packet.destination] += 1
            return replace(packet, source=self.care_of, home_address=packet.source)
        if directly is None:
            self._tell(self.wanted, packet.source, packet.destination, now, ACQUIRE_EXPIRES)
        return None

    def _tell(
        self,
        whom: Watchers[[IPv6Address, IPv6Address]],
        one: IPv6Address,
        other: IPv6Address,
        now: float,
        period: float,
    ) -> None:
        """Tell once in a period, if anybody hears it."""
        if whom and now >= self._told.get((one, other), now):
            self._told[one, other] = now + period
            whom.tell(one, other)

    def takes_routing(self, packet: Packet) -> bool:
        """Return whether a type 2 routing header is one of a known correspondent node's."""
        ends = packet.routing, packet.destination
        return packet.source in self.optimised and ends == (self.home, self.care_of)

    def takes_option(self, packet: Packet, now: float) -> bool:
        """Return whether a Home Address option may be in a packet; tell if it may not (9.3.1)."""
        home, local = packet.home_address, packet.destination
        if home is None or local not in self.served:
            return False
        if packet.kind == _UPDATE or self.bound.get((local, home)) == packet.source:
            return True
        if packet.protocol != MOBILITY_HEADER:
            self._tell(self.refused, home, packet.source, now, _REPORTED_AGAIN)
        return False


class ModelRoutes:
    """agents.kernel.port.RouteKernel on a model."""

    def __init__(self, table: ModelRouteTable) -> None:
        self._table = table

    def _prepared(self) -> ModelRouteTable:
        if self._table.home is None:
            raise KernelError(errno.ENOTCONN, "no home address is prepared")
        return self._table

    def prepare(self, home_address: IPv6Address, care_of: IPv6Address) -> None:
        """Have the kernel tell to whom the home address speaks."""
        self._table.home, self._table.care_of = home_address, care_of

    def detour(self, correspondent: IPv6Address) -> None:
        """Send payload by way of the home agent, Binding Updates directly."""
        self._prepared().optimised[correspondent] = False

    def optimise(self, correspondent: IPv6Address) -> None:
        """Send everything directly, with the Home Address option, but for Home Test Inits."""
        self._prepared().optimised[correspondent] = True

    def used(self, correspondent: IPv6Address) -> int:
        """Return how many packets with the option have gone to a correspondent node."""
        home = self._prepared().home
        return self._table.used[home, correspondent] if home else 0

    def forget(self, correspondent: IPv6Address) -> None:
        """Undo what was done for a correspondent node; the kernel tells of it again."""
        self._prepared().optimised.pop(correspondent, None)

    def move(self, care_of: IPv6Address) -> None:
        """Use a new care-of address."""
        self._prepared().care_of = care_of

    def release(self) -> None:
        """Remove all that was made."""
        self._table.home = self._table.care_of = None
        self._table.optimised.clear()

    def close(self) -> None:
        """Let go of the kernel; what was set up stays."""
