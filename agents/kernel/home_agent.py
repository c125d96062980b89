"""A home agent's kernel on Linux: XFRM, ip6tnl, routes and proxy neighbours through netlink."""

from __future__ import annotations

import errno
import socket
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import IPv6Address, IPv6Network

from agents.core.index import Index
from agents.core.record import Record
from agents.core.usage import Usage
from agents.ike.esp import EspPair
from agents.kernel import links, traffic, xfrm
from agents.kernel.associations import REQID
from agents.kernel.mobility import (
    ACKNOWLEDGEMENT,
    ADVERTISEMENT,
    UPDATE,
    MobilityKernel,
    carrying,
    mobility_header,
    set_sysctl,
)
from agents.kernel.netlink import Request
from agents.kernel.port import KernelError, SaState
from agents.kernel.reverse_path import ReversePathFilter
from agents.kernel.xfrm import Direction, Extension, MobilityState, Policy, Selector


class _Binding(Record, frozen=True):
    care_of: IPv6Address
    link_local: IPv6Address | None


@dataclass(slots=True)
class _Bound:
    """What the kernel may have of a home address, noted before it is asked for.

    `whole` is the binding that it has all of: None while one is begun, and after a refusal.
    `behind` are the care-of addresses whose tunnels may be the home address's, `defended` its
    link-local addresses.
    """

    whole: _Binding | None = None
    behind: set[IPv6Address] = field(default_factory=set)
    defended: set[IPv6Address] = field(default_factory=set)


@dataclass(slots=True)
class _Tunnel:
    """A tunnel to a care-of address, for all home addresses behind it.

    `told_apart`: there has never been another home address behind it than the one that is.
    """

    name: str
    index: int
    homes: set[IPv6Address]
    told_apart: bool = True


class LinuxHomeAgent(MobilityKernel):
    """A home agent at `address` for the prefix on `interface` (port.HomeAgentKernel).

    The kernel has one tunnel for a pair of ends: home addresses that share a care-of address share
    it. Its name tells the home agent and the care-of address. Unless it is `shared` with programs
    that make SAs too, forget() knows them all, and need not go through all that the kernel has.
    """

    def __init__(
        self,
        address: IPv6Address,
        interface: str,
        *,
        reqid: int = REQID,
        shared: bool = True,
        protected: bool = True,
    ) -> None:
        super().__init__(reqid=reqid, protected=protected)
        self._shared = shared
        self._sas = Index[tuple[IPv6Address, int], IPv6Address]()
        """SAs that were installed here, by destination and SPI, of each home address."""

        self._address = address
        self._interface = interface
        self._index = socket.if_nametoindex(interface)
        self._tunnels_name = f"bc{zlib.crc32(address.packed) & 0xFFFF:04x}"
        self._sources = ReversePathFilter(self._tunnels_name)
        self._reached: set[IPv6Address] = set()
        self._bound: dict[IPv6Address, _Bound] = {}
        self._tunnels: dict[IPv6Address, _Tunnel] = {}
        self._names: set[str] = set()
        self._before: dict[IPv6Address, Usage | None] = {}
        """What has gone through tunnels that a home address had before, until it is forgotten."""

    def _wildcard(self) -> tuple[MobilityState, Policy]:
        nowhere = xfrm.UNSPECIFIED
        extension = Extension.HOME_ADDRESS_OPTION
        updates = mobility_header(xfrm.ANYWHERE, IPv6Network(self._address), UPDATE)
        ends = nowhere, nowhere
        policy = carrying(updates, Direction.IN, extension, ends=ends, optional=True)
        return MobilityState(nowhere, nowhere, extension, nowhere), policy

    def _demands(self) -> list[Policy]:
        return self._protections(IPv6Network(self._address), xfrm.ANYWHERE, ADVERTISEMENT)

    def prepare(self) -> None:
        """Serve as a home agent: closed but for what ESP protects.

        A proxy's answers to multicast solicitations are delayed by up to 0.8 s unless told
        otherwise (RFC 4861 section 7.2.8 has it for several proxies); this one is alone.
        """
        self._sweep()
        self._sources.close()
        demands = self._demands()
        if self._is_protected:
            self._xfrm.transact([policy.put() for policy in demands])
        else:  # A predecessor may have been.
            self._xfrm.transact([policy.remove() for policy in demands])
        state, policy = self._wildcard()
        self._xfrm.transact([*state.put(), policy.put()])
        for setting, value in (
            ("conf/all/forwarding", 1),
            (f"conf/{self._interface}/proxy_ndp", 1),
            (f"neigh/{self._interface}/proxy_delay", 0),
        ):
            set_sysctl(setting, value)

    def _sweep(self) -> None:
        """Remove all that this home agent, or one before it that was killed, has of anybody's."""
        found = self._with(xfrm.ANYWHERE)
        requests = self._removals(found)
        for sa in found:
            if sa.protocol == Extension.ROUTING_TYPE_2 and sa.source == self._address:
                requests += _removal(*self._way(sa.destination, xfrm.UNSPECIFIED))
            elif sa.protocol == Extension.HOME_ADDRESS_OPTION and sa.destination == self._address:
                requests += _removal(*self._door(sa.source, xfrm.UNSPECIFIED))
        self._xfrm.transact(requests)
        tunnels = [n for _, n in socket.if_nameindex() if n.startswith(self._tunnels_name)]
        proxies = links.owned_proxies(self._route.dump(links.list_proxies()), self._index)
        self._route.transact(
            [
                *map(links.remove_link, tunnels),
                *(links.remove_proxy(address, self._index) for address in proxies),
            ]
        )

    def _with(self, others: IPv6Network) -> list[SaState]:
        """Return the states between this home agent and others, both ways."""
        here = IPv6Network(self._address)
        return [*self._there_are(here, others), *self._there_are(others, here)]

    def owns(self, address: IPv6Address) -> bool:
        """Return whether this host has `address`; a link-local one, on the home link."""
        scope = self._index if address.is_link_local else 0
        return self._find(address, scope).kind == links.LOCAL

    def leads_away(self, address: IPv6Address) -> bool:
        """Return whether packets to `address` leave this host, and not for the home link itself."""
        try:
            route = self._find(address)
        except KernelError as error:
            if error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EINVAL):
                return False
            raise
        is_near = route.is_on_link and route.interface == self._index
        return route.kind == links.UNICAST and not is_near

    def install(self, pair: EspPair) -> None:
        """Install both directions of `pair`; an SA with the same SPI is replaced."""
        for sa in (pair.inbound, pair.outbound):
            home = sa.destination if sa.source == self._address else sa.source
            self._sas.put((sa.destination, sa.spi), home)
        super().install(pair)

    def uninstall(self, pair: EspPair) -> None:
        """Remove both directions of `pair`."""
        super().uninstall(pair)
        for sa in (pair.inbound, pair.outbound):
            self._sas.put((sa.destination, sa.spi), None)

    def forget(self, home_address: IPv6Address) -> None:
        """Remove the SAs of the home address."""
        own = self._sas.at(home_address)
        requests = [xfrm.remove_esp(*sa) for sa in own]
        if self._shared:
            requests += self._removals(self._with(IPv6Network(home_address)))
        self._xfrm.transact(requests)
        for sa in own:
            self._sas.put(sa, None)
        if home_address not in self._bound:
            self._before.pop(home_address, None)

    def _way(
        self, home: IPv6Address, care_of: IPv6Address
    ) -> tuple[MobilityState, *tuple[Policy, ...]]:
        extension = Extension.ROUTING_TYPE_2
        here, there = IPv6Network(self._address), IPv6Network(home)
        acknowledgements = mobility_header(here, there, ACKNOWLEDGEMENT)
        advertisements = Selector(here, there, xfrm.ICMPV6, ADVERTISEMENT)
        state = MobilityState(self._address, home, extension, care_of)
        return state, *(
            carrying(message, Direction.OUT, extension)
            for message in (acknowledgements, advertisements)
        )

    def _door(self, home: IPv6Address, care_of: IPv6Address) -> tuple[MobilityState, Policy]:
        """Return what takes anything from a home address by way of its care-of address (9.3.1)."""
        extension = Extension.HOME_ADDRESS_OPTION
        anything = Selector(IPv6Network(home), IPv6Network(self._address))
        policy = carrying(anything, Direction.IN, extension, optional=True)
        return MobilityState(home, self._address, extension, care_of), policy

    def reach(self, home_address: IPv6Address, care_of: IPv6Address) -> None:
        """Send Binding Acknowledgements for `home_address` to `care_of` (routing header)."""
        self._reached.add(home_address)
        state, *policies = self._way(home_address, care_of)
        self._xfrm.transact([*state.put(), *(policy.put() for policy in policies)])

    def unreach(self, home_address: IPv6Address) -> None:
        """Undo reach()."""
        self._xfrm.transact(_removal(*self._way(home_address, xfrm.UNSPECIFIED)))
        self._reached.discard(home_address)

    def bind(
        self, home_address: IPv6Address, care_of: IPv6Address, link_local: IPv6Address | None
    ) -> None:
        """Intercept packets to `home_address`; tunnel them to `care_of`, and take its own there.

        After a refusal it is as before, if the kernel allows that much.
        """
        new = _Binding(care_of, link_local)
        bound = self._bound.get(home_address)
        if bound is None:
            bound = self._bound[home_address] = _Bound()
            self._before[home_address] = Usage()
        if bound.whole == new:
            return
        old, bound.whole = bound.whole, None
        try:
            self._carry_out(home_address, bound, new)
        except OSError:
            with suppress(OSError):
                if old:
                    self._carry_out(home_address, bound, old)
                else:
                    self.unbind(home_address)
            raise

    def _carry_out(self, home: IPv6Address, bound: _Bound, new: _Binding) -> None:
        """Have all of a binding in the kernel, and nothing of another one."""
        defended = {new.link_local} if new.link_local else set()
        bound.defended |= defended
        tunnel = self._tunnel_to(new.care_of, home, bound)
        self._route.transact(
            [
                *(links.add_proxy(address, self._index) for address in (home, *defended)),
                *(links.remove_proxy(a, self._index) for a in bound.defended - defended),
                links.put_route(IPv6Network(home), tunnel.index),
            ]
        )
        state, policy = self._door(home, new.care_of)
        self._xfrm.transact([*state.put(), policy.put()])
        for care_of in bound.behind - {new.care_of}:
            self._leave(care_of, home, bound)
        bound.defended, bound.whole = defended, new

    def _tunnel_to(self, care_of: IPv6Address, home: IPv6Address, bound: _Bound) -> _Tunnel:
        """Return the tunnel to a care-of address: there already, moved along, or made."""
        tunnel = self._tunnels.get(care_of)
        alone = [old for old in bound.behind if self._tunnels[old].homes == {home}]
        if tunnel is None and alone:
            tunnel = self._tunnels[alone[0]]
            self._route.transact([links.change_tunnel(tunnel.name, self._address, care_of)])
            del self._tunnels[alone[0]]
            bound.behind.remove(alone[0])
        elif tunnel is None:
            name = self._tunnel_name(care_of)
            tunnel = _Tunnel(name, self._make_tunnel(name, self._address, care_of), set())
            self._names.add(name)
        self._tunnels[care_of] = tunnel
        tunnel.told_apart &= tunnel.homes <= {home}
        tunnel.homes.add(home)
        bound.behind.add(care_of)
        return tunnel

    def _leave(self, care_of: IPv6Address, home: IPv6Address, bound: _Bound) -> None:
        """Take a home address out of a tunnel, which goes with the last one."""
        tunnel = self._tunnels[care_of]
        carried = self._carried(tunnel)
        if tunnel.homes == {home}:
            self._route.transact([links.remove_link(tunnel.name)])
            self._names.discard(tunnel.name)
            del self._tunnels[care_of]
        tunnel.homes.remove(home)
        bound.behind.remove(care_of)
        self._before[home] = self._sum(self._before[home], carried)

    def unbind(self, home_address: IPv6Address) -> None:
        """Undo bind()."""
        bound = self._bound.get(home_address)
        if bound is None:
            return
        bound.whole = None
        proxies = (home_address, *bound.defended)
        self._xfrm.transact(_removal(*self._door(home_address, xfrm.UNSPECIFIED)))
        self._route.transact(
            [
                *(links.remove_proxy(address, self._index) for address in proxies),
                links.remove_route(IPv6Network(home_address)),
            ]
        )
        for care_of in tuple(bound.behind):
            self._leave(care_of, home_address, bound)
        del self._bound[home_address]

    def release(self) -> None:
        """Remove all that was made, SAs too; forwarding and proxying stay switched on."""
        self._sweep()
        for kept in (self._reached, self._bound, self._tunnels, self._names, self._before):
            kept.clear()
        demands = [demand.remove() for demand in self._demands()]
        self._xfrm.transact([*_removal(*self._wildcard()), *demands])
        self._sources.release()

    def usage(self, home_address: IPv6Address) -> Usage | None:
        """Return what has gone through the tunnel in a home address's name since bind()."""
        bound = self._bound.get(home_address)
        if bound is None:
            return self._before.pop(home_address, None)
        usage = self._before[home_address]
        for care_of in bound.behind:
            usage = self._sum(usage, self._carried(self._tunnels[care_of]))
        return usage

    @staticmethod
    def _sum(before: Usage | None, now: Usage | None) -> Usage | None:
        return before + now if before is not None and now is not None else None

    def _carried(self, tunnel: _Tunnel) -> Usage | None:
        """Return what a tunnel has carried, None if nobody knows for whom."""
        if not tunnel.told_apart:
            return None
        try:
            reply = self._route.query(traffic.find_statistics(tunnel.index))
            came, went = traffic.decode_statistics(reply)
        except KernelError:
            return None
        return Usage(came.octets, came.packets, went.octets, went.packets)

    def _tunnel_name(self, care_of: IPv6Address) -> str:
        """Return a name that no other tunnel of this home agent has."""
        number = zlib.crc32(care_of.packed)
        while (name := f"{self._tunnels_name}{number & 0xFFFFFFFF:08x}") in self._names:
            number += 1
        return name


def _removal(state: MobilityState, *policies: Policy) -> list[Request]:
    return [*(policy.remove() for policy in policies), state.remove()]
