"""A mobile node's kernel in route optimisation, on Linux: XFRM through netlink."""

from __future__ import annotations

import errno
from ipaddress import IPv6Address, IPv6Network

from agents.core.record import Record, replace
from agents.kernel import netlink, xfrm
from agents.kernel.mobility import HOME_TEST_INIT, UPDATE, carrying, mobility_header, passing
from agents.kernel.netlink import NetlinkSocket
from agents.kernel.port import KernelError
from agents.kernel.xfrm import (
    Direction,
    Extension,
    MobilityState,
    Mode,
    Policy,
    Selector,
    Table,
    Template,
)

_ASKING_PRIORITY = 20
_OPTION = Extension.HOME_ADDRESS_OPTION


def asking(home: IPv6Address) -> list[Policy]:
    """Return the policies by which the kernel tells whom the home address speaks to (ACQUIRE).

    What nothing is known of goes through the tunnel meanwhile, a Home Test Init always.
    """
    here, nowhere = IPv6Network(home), xfrm.UNSPECIFIED
    wish = Template(nowhere, nowhere, _OPTION, Mode.ROUTE_OPTIMISATION, optional=True)
    selector = Selector(here, xfrm.ANYWHERE)
    return [
        Policy(selector, Direction.OUT, Table.SUB, _ASKING_PRIORITY, wish),
        passing(mobility_header(here, xfrm.ANYWHERE, HOME_TEST_INIT), Direction.OUT),
    ]


def speaking(home: IPv6Address, correspondent: IPv6Address) -> list[Policy]:
    """Return the policies for one correspondent node; the first says how payload goes."""
    here, there = IPv6Network(home), IPv6Network(correspondent)
    return [
        carrying(Selector(here, there), Direction.OUT, _OPTION),
        carrying(mobility_header(here, there, UPDATE), Direction.OUT, _OPTION),
        carrying(Selector(there, here), Direction.IN, Extension.ROUTING_TYPE_2, optional=True),
    ]


def states(
    home: IPv6Address, correspondent: IPv6Address, care_of: IPv6Address
) -> list[MobilityState]:
    """Return how the home address is carried between the mobile node and another."""
    return [
        MobilityState(home, correspondent, _OPTION, care_of),
        MobilityState(correspondent, home, Extension.ROUTING_TYPE_2, care_of),
    ]


class _Home(Record, frozen=True):
    address: IPv6Address
    care_of: IPv6Address


class LinuxRoutes:
    """The routes to correspondent nodes (agents.kernel.port.RouteKernel)."""

    def __init__(self) -> None:
        self._xfrm = NetlinkSocket(netlink.XFRM)
        self._home: _Home | None = None
        self._known: set[IPv6Address] = set()

    def close(self) -> None:
        """Close the socket; what was set up stays."""
        self._xfrm.close()

    def _prepared(self) -> _Home:
        if self._home is None:
            raise KernelError(errno.ENOTCONN, "no home address is prepared")
        return self._home

    def prepare(self, home_address: IPv6Address, care_of: IPv6Address) -> None:
        """Have the kernel tell to whom the home address speaks."""
        self._home = _Home(home_address, care_of)
        self._xfrm.transact([policy.put() for policy in asking(home_address)])

    def detour(self, correspondent: IPv6Address) -> None:
        """Send payload by way of the home agent, Binding Updates directly."""
        home = self._prepared()
        payload, *others = speaking(home.address, correspondent)
        policies = [replace(payload, template=None), *others]
        requests = [policy.put() for policy in policies]
        for state in states(home.address, correspondent, home.care_of):
            requests += state.put()
        self._known.add(correspondent)
        self._xfrm.transact(requests)

    def optimise(self, correspondent: IPv6Address) -> None:
        """Send everything directly, with the Home Address option."""
        payload, *_ = speaking(self._prepared().address, correspondent)
        self._xfrm.transact([payload.put()])

    def used(self, correspondent: IPv6Address) -> int:
        """Return how many packets with the option have gone to a correspondent node."""
        home = self._prepared()
        out, _ = states(home.address, correspondent, home.care_of)
        return xfrm.decode_used(self._xfrm.query(out.get()))

    def forget(self, correspondent: IPv6Address) -> None:
        """Undo what was done for a correspondent node; the kernel tells of it again."""
        home = self._prepared()
        self._xfrm.transact(
            [
                *(policy.remove() for policy in speaking(home.address, correspondent)),
                *(state.remove() for state in states(home.address, correspondent, home.care_of)),
            ]
        )
        self._known.discard(correspondent)

    def move(self, care_of: IPv6Address) -> None:
        """Use a new care-of address."""
        home = self._home = replace(self._prepared(), care_of=care_of)
        self._xfrm.transact(
            [
                state.update()
                for correspondent in self._known
                for state in states(home.address, correspondent, care_of)
            ]
        )

    def release(self) -> None:
        """Remove all that was made."""
        if self._home:
            for correspondent in tuple(self._known):
                self.forget(correspondent)
            self._xfrm.transact([policy.remove() for policy in asking(self._home.address)])
            self._home = None
