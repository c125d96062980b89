"""A mobile node's kernel on Linux: XFRM, ip6tnl and rules through netlink."""

from __future__ import annotations

import errno
import socket
from functools import partial
from ipaddress import IPv6Address, IPv6Network

from agents.kernel import links, xfrm
from agents.kernel.associations import REQID
from agents.kernel.links import Action
from agents.kernel.mobility import (
    ACKNOWLEDGEMENT,
    SOLICITATION,
    UPDATE,
    MobilityKernel,
    carrying,
    mobility_header,
)
from agents.kernel.port import KernelError, RouteKernel
from agents.kernel.route_optimisation import LinuxRoutes, asking, speaking
from agents.kernel.xfrm import Direction, Extension, MobilityState, Policy, Selector

_EVERYTHING_LOCAL = links.rule(0, table=links.LOCAL_TABLE)
_OWNER = 72
"""The mark of a mobile node's rules; a filter on the same host has links.OWNER."""

_rule = partial(links.rule, owner=_OWNER)


def _states(home: IPv6Address, agent: IPv6Address, care_of: IPv6Address) -> list[MobilityState]:
    return [
        MobilityState(home, agent, Extension.HOME_ADDRESS_OPTION, care_of),
        MobilityState(agent, home, Extension.ROUTING_TYPE_2, care_of),
    ]


class LinuxMobileNode(MobilityKernel):
    """A mobile node with one home registration (agents.kernel.port.MobileNodeKernel).

    `tunnel` names the device, `table` and `priority` place the route and rule of the tunnel.
    """

    def __init__(
        self,
        *,
        reqid: int = REQID,
        protected: bool = True,
        tunnel: str = "mip0",
        table: int = 100,
        priority: int = 1000,
    ) -> None:
        super().__init__(reqid=reqid, protected=protected)
        self._tunnel = tunnel
        self._table = table
        self._priority = priority
        self._ends: tuple[IPv6Address, IPv6Address] | None = None

    def _home(self) -> tuple[IPv6Address, IPv6Address]:
        if self._ends is None:
            raise KernelError(errno.ENOTCONN, "no home address is prepared")
        return self._ends

    def _policies(self, home: IPv6Address, agent: IPv6Address) -> list[Policy]:
        there, here = IPv6Network(agent), IPv6Network(home)
        updates = mobility_header(here, there, UPDATE)
        acknowledgements = mobility_header(there, here, ACKNOWLEDGEMENT)
        solicitations = Selector(here, there, xfrm.ICMPV6, SOLICITATION)
        return [
            *self._protections(here, there, SOLICITATION),
            carrying(updates, Direction.OUT, Extension.HOME_ADDRESS_OPTION),
            carrying(solicitations, Direction.OUT, Extension.HOME_ADDRESS_OPTION),
            carrying(acknowledgements, Direction.IN, Extension.ROUTING_TYPE_2),
        ]

    def _door(self, home: IPv6Address, agent: IPv6Address) -> Policy:
        """Return what takes anything from the home agent by the care-of address (9.3.2)."""
        anything = Selector(IPv6Network(agent), IPv6Network(home))
        return carrying(anything, Direction.IN, Extension.ROUTING_TYPE_2, optional=True)

    def _diversion(self) -> bytes:
        home, _ = self._home()
        return _rule(self._priority, table=self._table, source=IPv6Network(home))

    def _narrowing(self) -> list[bytes]:
        """Return the rules that let the tunnel deliver to the home address and to nothing else.

        Anybody can say that a packet is the home agent's. They stand in for the usual first rule,
        by which every packet looks up the local table.
        """
        home, _ = self._home()
        local, tunnel = links.LOCAL_TABLE, self._tunnel
        return [
            _rule(1, table=local, incoming=tunnel, destination=IPv6Network(home)),
            _rule(2, Action.BLACKHOLE, incoming=tunnel),
            _rule(3, table=local),
        ]

    def prepare(
        self, home_address: IPv6Address, home_agent: IPv6Address, care_of: IPv6Address
    ) -> None:
        """Make ready for IKE and the Binding Update; no payload goes through the tunnel yet."""
        if self._ends not in (None, (home_address, home_agent)):
            self.clear()
        self._ends = ends = (home_address, home_agent)
        loopback = socket.if_nametoindex("lo")
        elsewhere = [
            links.remove_address(known.address, known.interface)
            for known in self._addresses()
            if known.is_home and known.address == home_address and known.interface != loopback
        ]
        self._route.transact([links.add_home_address(home_address, loopback), *elsewhere])
        narrowing = [links.add_rule(rule) for rule in self._narrowing()]
        self._route.transact([*narrowing, links.remove_rule(_EVERYTHING_LOCAL)])
        index = self._make_tunnel(self._tunnel, care_of, home_agent)
        requests = [request for state in _states(*ends, care_of) for request in state.put()]
        policies = self._policies(*ends)
        if not self._is_protected:  # A predecessor may have been.
            demands = [policy for policy in policies if policy.table is xfrm.Table.MAIN]
            self._xfrm.transact([policy.remove() for policy in demands])
            policies = [policy for policy in policies if policy not in demands]
        self._xfrm.transact([*requests, *(policy.put() for policy in policies)])
        route = links.put_route(xfrm.ANYWHERE, index, table=self._table, source=home_address)
        self._route.transact([route])

    def _addresses(self) -> list[links.InterfaceAddress]:
        return links.decode_addresses(self._route.dump(links.list_addresses()))

    def go_home(self) -> None:
        """Let packets of the home address go as they are, on the home link; ESP stays (11.5.5)."""
        ends = self._home()
        carrying = [p for p in self._policies(*ends) if p.table is xfrm.Table.SUB]
        self.close_tunnel()
        self._xfrm.transact(
            [
                *(policy.remove() for policy in carrying),
                *(state.remove() for state in _states(*ends, xfrm.UNSPECIFIED)),
            ]
        )

    def settle(self, care_of: IPv6Address) -> str:
        """Have the home address, without duplicate address detection, where `care_of` is."""
        home, _ = self._home()
        there = [known.interface for known in self._addresses() if known.address == care_of]
        if not there:
            raise KernelError(errno.EADDRNOTAVAIL, f"no interface has {care_of}")
        self._route.transact([links.add_home_address(home, there[0])])
        return socket.if_indextoname(there[0])

    def open_tunnel(self) -> None:
        """Send everything from the home address through the tunnel."""
        self._route.transact([links.add_rule(self._diversion())])
        self._xfrm.transact([self._door(*self._home()).put()])

    def close_tunnel(self) -> None:
        """Undo open_tunnel()."""
        self._xfrm.transact([self._door(*self._home()).remove()])
        self._route.transact([links.remove_rule(self._diversion())])

    def move(self, care_of: IPv6Address) -> None:
        """Use a new care-of address; the ESP SAs stay."""
        home, agent = self._home()
        self._xfrm.transact([state.update() for state in _states(home, agent, care_of)])
        self._route.transact([links.change_tunnel(self._tunnel, care_of, agent)])

    def clear(self) -> None:
        """Remove all that was made, by a predecessor that was killed too: SAs, tunnel, address."""
        homes = [known for known in self._addresses() if known.is_home]
        addresses = {known.address for known in homes}
        found = self._there_are(xfrm.ANYWHERE, xfrm.ANYWHERE)
        requests = self._removals(found)
        for sa in found:
            ends = sa.source, sa.destination
            if sa.protocol == Extension.HOME_ADDRESS_OPTION and sa.source in addresses:
                policies = [*self._policies(*ends), self._door(*ends)]
                policies += [*asking(sa.source), *speaking(*ends)]
                requests += [policy.remove() for policy in policies]
                requests += [state.remove() for state in _states(*ends, xfrm.UNSPECIFIED)]
        self._xfrm.transact(requests)
        rules = links.owned_rules(self._route.dump(links.list_rules()), _OWNER)
        self._route.transact(
            [
                links.remove_link(self._tunnel),
                *([links.add_rule(_EVERYTHING_LOCAL)] if rules else []),
                *map(links.remove_rule, rules),
                *(links.remove_address(known.address, known.interface) for known in homes),
            ]
        )
        self._ends = None

    def routes(self) -> RouteKernel:
        """Return the kernel's part in route optimisation."""
        return LinuxRoutes()
