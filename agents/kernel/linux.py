"""The kernel port on Linux: XFRM, ip6tnl, rules and proxy neighbours through netlink."""

from __future__ import annotations

import errno
import socket
import zlib
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path

from agents.kernel import links, netlink, xfrm
from agents.kernel.associations import (
    REQID,
    AcquireWatch,
    LinuxSecurityAssociations,
    SaWatch,
    counters,
)
from agents.kernel.links import Action
from agents.kernel.netlink import NetlinkSocket
from agents.kernel.port import KernelError
from agents.kernel.reverse_path import ReversePathFilter
from agents.kernel.xfrm import Direction, Extension, MobilityState, Mode, Policy, Selector, Template

__all__ = [
    "REQID",
    "AcquireWatch",
    "LinuxHomeAgent",
    "LinuxMobileNode",
    "LinuxSecurityAssociations",
    "SaWatch",
    "counters",
]

_MH_PRIORITY = 10
_SUB_PRIORITY = 5
_UPDATE, _ACKNOWLEDGEMENT = 5, 6
_EVERYTHING_LOCAL = links.rule(0, table=links.LOCAL_TABLE)


class _MobilityKernel(LinuxSecurityAssociations):
    """What mobile node and home agent share."""

    def __init__(self, *, reqid: int = REQID) -> None:
        super().__init__(reqid=reqid)
        self._route = NetlinkSocket(netlink.ROUTE)

    def close(self) -> None:
        """Close the sockets; what was set up stays."""
        super().close()
        self._route.close()

    def _protection(
        self, source: IPv6Network, destination: IPv6Network, direction: Direction
    ) -> Policy:
        """Return the main policy for Mobility Headers in one direction (RFC 3776 section 3).

        The template names no ends, for in transport mode they are the packet's own; an SA takes
        the packets of its own selector alone.
        """
        selector = Selector(source, destination, xfrm.MOBILITY_HEADER)
        nowhere = xfrm.UNSPECIFIED
        template = Template(nowhere, nowhere, xfrm.ESP, Mode.TRANSPORT, self._reqid)
        return Policy(selector, direction, xfrm.Table.MAIN, _MH_PRIORITY, template)

    def _protections(self, local: IPv6Network, remote: IPv6Network) -> list[Policy]:
        return [
            self._protection(local, remote, Direction.OUT),
            self._protection(remote, local, Direction.IN),
        ]

    def _remove_sas(self, local: IPv6Address, remote: IPv6Address) -> None:
        ends = ((local, remote), (remote, local))
        found = [sa for source, to in ends for sa in self.sas_between(source, to)]
        self._xfrm.transact([xfrm.remove_esp(sa.destination, sa.spi) for sa in found])

    def _make_tunnel(self, name: str, local: IPv6Address, remote: IPv6Address) -> int:
        """Make a tunnel, or take over one of this name; return its interface index.

        It has IPv6 even where interfaces are made without it (conf/default/disable_ipv6).
        """
        try:
            self._route.transact(links.add_tunnel(name, local, remote))
        except KernelError as error:
            if error.errno != errno.EEXIST:
                raise
            made = links.add_tunnel(name, local, remote)
            self._route.transact([links.remove_link(name), *made])
        _set(f"conf/{name}/disable_ipv6", 0)
        return socket.if_nametoindex(name)


def _carrying(
    source: IPv6Network,
    destination: IPv6Network,
    message: int,
    direction: Direction,
    extension: Extension,
    *,
    wildcard: bool = False,
) -> Policy:
    """Return the sub policy that puts a home address into one kind of message."""
    ends = (
        (xfrm.UNSPECIFIED, xfrm.UNSPECIFIED)
        if wildcard
        else (source.network_address, destination.network_address)
    )
    return Policy(
        Selector(source, destination, xfrm.MOBILITY_HEADER, message),
        direction,
        xfrm.Table.SUB,
        _SUB_PRIORITY,
        Template(*ends, extension, Mode.ROUTE_OPTIMISATION, optional=wildcard),
    )


class LinuxMobileNode(_MobilityKernel):
    """A mobile node with one home registration (agents.kernel.port.MobileNodeKernel).

    `tunnel` names the device, `table` and `priority` place the route and rule of the tunnel.
    """

    def __init__(
        self,
        *,
        reqid: int = REQID,
        tunnel: str = "mip0",
        table: int = 100,
        priority: int = 1000,
    ) -> None:
        super().__init__(reqid=reqid)
        self._tunnel = tunnel
        self._table = table
        self._priority = priority
        self._ends: tuple[IPv6Address, IPv6Address] | None = None

    def _home(self) -> tuple[IPv6Address, IPv6Address]:
        if self._ends is None:
            raise KernelError(errno.ENOTCONN, "no home address is prepared")
        return self._ends

    def _states(self, care_of: IPv6Address) -> list[MobilityState]:
        home, agent = self._home()
        return [
            MobilityState(home, agent, Extension.HOME_ADDRESS_OPTION, care_of),
            MobilityState(agent, home, Extension.ROUTING_TYPE_2, care_of),
        ]

    def _policies(self) -> list[Policy]:
        home, agent = self._home()
        there, here = IPv6Network(agent), IPv6Network(home)
        return [
            *self._protections(here, there),
            _carrying(here, there, _UPDATE, Direction.OUT, Extension.HOME_ADDRESS_OPTION),
            _carrying(there, here, _ACKNOWLEDGEMENT, Direction.IN, Extension.ROUTING_TYPE_2),
        ]

    def _rule(self) -> bytes:
        home, _ = self._home()
        return links.rule(self._priority, table=self._table, source=IPv6Network(home))

    def _narrowing(self) -> list[bytes]:
        """Return the rules that let the tunnel deliver to the home address and to nothing else.

        Anybody can say that a packet is the home agent's. They stand in for the usual first rule,
        by which every packet looks up the local table.
        """
        home, _ = self._home()
        local, tunnel = links.LOCAL_TABLE, self._tunnel
        return [
            links.rule(1, table=local, incoming=tunnel, destination=IPv6Network(home)),
            links.rule(2, Action.BLACKHOLE, incoming=tunnel),
            links.rule(3, table=local),
        ]

    def prepare(
        self, home_address: IPv6Address, home_agent: IPv6Address, care_of: IPv6Address
    ) -> None:
        """Make ready for IKE and the Binding Update; no payload goes through the tunnel yet."""
        if self._ends not in (None, (home_address, home_agent)):
            self.release()
        self._ends = (home_address, home_agent)
        loopback = socket.if_nametoindex("lo")
        self._route.transact([links.add_home_address(home_address, loopback)])
        narrowing = [links.add_rule(rule) for rule in self._narrowing()]
        self._route.transact([*narrowing, links.remove_rule(_EVERYTHING_LOCAL)])
        index = self._make_tunnel(self._tunnel, care_of, home_agent)
        requests = [request for state in self._states(care_of) for request in state.put()]
        self._xfrm.transact([*requests, *(policy.put() for policy in self._policies())])
        route = links.put_route(xfrm.ANYWHERE, index, table=self._table, source=home_address)
        self._route.transact([route])

    def open_tunnel(self) -> None:
        """Send everything from the home address through the tunnel."""
        self._route.transact([links.add_rule(self._rule())])

    def close_tunnel(self) -> None:
        """Undo open_tunnel()."""
        self._route.transact([links.remove_rule(self._rule())])

    def move(self, care_of: IPv6Address) -> None:
        """Use a new care-of address; the ESP SAs stay."""
        _, agent = self._home()
        self._xfrm.transact([state.update() for state in self._states(care_of)])
        self._route.transact([links.change_tunnel(self._tunnel, care_of, agent)])

    def release(self) -> None:
        """Remove all that was made, the SAs of the home address included."""
        if self._ends is None:
            return
        home, agent = self._ends
        self._remove_sas(home, agent)
        requests = [policy.remove() for policy in self._policies()]
        requests += [state.remove() for state in self._states(xfrm.UNSPECIFIED)]
        self._xfrm.transact(requests)
        loopback = socket.if_nametoindex("lo")
        self._route.transact(
            [
                links.remove_rule(self._rule()),
                links.remove_link(self._tunnel),
                links.add_rule(_EVERYTHING_LOCAL),
                *(links.remove_rule(rule) for rule in self._narrowing()),
                links.remove_address(home, loopback),
            ]
        )
        self._ends = None


@dataclass(frozen=True, slots=True)
class _Binding:
    care_of: IPv6Address
    link_local: IPv6Address | None


@dataclass(slots=True)
class _Tunnel:
    """A tunnel to a care-of address, for all home addresses behind it."""

    name: str
    index: int
    homes: set[IPv6Address]


class LinuxHomeAgent(_MobilityKernel):
    """A home agent at `address` for the prefix on `interface` (port.HomeAgentKernel).

    The kernel has one tunnel for a pair of ends: home addresses that share a care-of address share
    it. Its name tells the home agent and the care-of address.
    """

    def __init__(self, address: IPv6Address, interface: str, *, reqid: int = REQID) -> None:
        super().__init__(reqid=reqid)
        self._address = address
        self._interface = interface
        self._index = socket.if_nametoindex(interface)
        self._tunnels_name = f"bc{zlib.crc32(address.packed) & 0xFFFF:04x}"
        self._sources = ReversePathFilter(self._tunnels_name)
        self._reached: set[IPv6Address] = set()
        self._bound: dict[IPv6Address, _Binding] = {}
        self._tunnels: dict[IPv6Address, _Tunnel] = {}
        self._names: set[str] = set()

    def _wildcard(self) -> tuple[MobilityState, Policy]:
        nowhere = xfrm.UNSPECIFIED
        extension = Extension.HOME_ADDRESS_OPTION
        policy = _carrying(
            xfrm.ANYWHERE,
            IPv6Network(self._address),
            _UPDATE,
            Direction.IN,
            extension,
            wildcard=True,
        )
        return MobilityState(nowhere, nowhere, extension, nowhere), policy

    def _demands(self) -> list[Policy]:
        return self._protections(IPv6Network(self._address), xfrm.ANYWHERE)

    def prepare(self) -> None:
        """Serve as a home agent: closed but for what ESP protects.

        A proxy's answers to multicast solicitations are delayed by up to 0.8 s unless told
        otherwise (RFC 4861 section 7.2.8 has it for several proxies); this one is alone.
        """
        self._sweep()
        self._sources.close()
        self._xfrm.transact([policy.put() for policy in self._demands()])
        state, policy = self._wildcard()
        self._xfrm.transact([*state.put(), policy.put()])
        for setting, value in (
            ("conf/all/forwarding", 1),
            (f"conf/{self._interface}/proxy_ndp", 1),
            (f"neigh/{self._interface}/proxy_delay", 0),
        ):
            _set(setting, value)

    def _sweep(self) -> None:
        """Remove what a predecessor that was killed has left: nobody is authorised yet."""
        here = IPv6Network(self._address)
        found = [*self._there_are(here, xfrm.ANYWHERE), *self._there_are(xfrm.ANYWHERE, here)]
        requests = [
            xfrm.remove_esp(sa.destination, sa.spi)
            for sa in found
            if sa.protocol == xfrm.ESP and sa.reqid == self._reqid
        ]
        for sa in found:
            if sa.protocol == Extension.ROUTING_TYPE_2 and sa.source == self._address:
                state, policy = self._way(sa.destination, xfrm.UNSPECIFIED)
                requests += [policy.remove(), state.remove()]
        self._xfrm.transact(requests)
        tunnels = [n for _, n in socket.if_nameindex() if n.startswith(self._tunnels_name)]
        proxies = links.owned_proxies(self._route.dump(links.list_proxies()), self._index)
        self._route.transact(
            [
                *map(links.remove_link, tunnels),
                *(links.remove_proxy(address, self._index) for address in proxies),
            ]
        )

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

    def _find(self, address: IPv6Address, interface: int = 0) -> links.Route:
        return links.decode_route(self._route.query(links.find_route(address, interface)))

    def forget(self, home_address: IPv6Address) -> None:
        """Remove the SAs of the home address."""
        self._remove_sas(self._address, home_address)

    def _way(self, home: IPv6Address, care_of: IPv6Address) -> tuple[MobilityState, Policy]:
        extension = Extension.ROUTING_TYPE_2
        policy = _carrying(
            IPv6Network(self._address),
            IPv6Network(home),
            _ACKNOWLEDGEMENT,
            Direction.OUT,
            extension,
        )
        return MobilityState(self._address, home, extension, care_of), policy

    def reach(self, home_address: IPv6Address, care_of: IPv6Address) -> None:
        """Send Binding Acknowledgements for `home_address` to `care_of` (routing header)."""
        self._reached.add(home_address)
        state, policy = self._way(home_address, care_of)
        self._xfrm.transact([*state.put(), policy.put()])

    def unreach(self, home_address: IPv6Address) -> None:
        """Undo reach()."""
        state, policy = self._way(home_address, xfrm.UNSPECIFIED)
        self._xfrm.transact([policy.remove(), state.remove()])
        self._reached.discard(home_address)

    def bind(
        self, home_address: IPv6Address, care_of: IPv6Address, link_local: IPv6Address | None
    ) -> None:
        """Intercept packets to `home_address` and tunnel them to `care_of`, now or newly."""
        old, new = self._bound.get(home_address), _Binding(care_of, link_local)
        if old == new:
            return
        requests = [links.add_proxy(home_address, self._index)]
        if link_local:
            requests.append(links.add_proxy(link_local, self._index))
        if old and old.link_local not in (None, link_local):
            requests.append(links.remove_proxy(old.link_local, self._index))
        tunnel = self._tunnel_to(care_of, home_address, old)
        requests.append(links.put_route(IPv6Network(home_address), tunnel.index))
        # Noted first: unbind() then clears up after a failure too.
        tunnel.homes.add(home_address)
        self._bound[home_address] = new
        try:
            self._route.transact(requests)
        except KernelError:
            if not old:
                self.unbind(home_address)
            raise
        if old and old.care_of != care_of:
            self._leave(old.care_of, home_address)

    def _tunnel_to(self, care_of: IPv6Address, home: IPv6Address, old: _Binding | None) -> _Tunnel:
        """Return the tunnel to a care-of address: there already, moved along, or made."""
        if care_of in self._tunnels:
            return self._tunnels[care_of]
        before = self._tunnels.get(old.care_of) if old else None
        if old and before and before.homes == {home}:
            self._route.transact([links.change_tunnel(before.name, self._address, care_of)])
            del self._tunnels[old.care_of]
            tunnel = before
        else:
            name = self._tunnel_name(care_of)
            tunnel = _Tunnel(name, self._make_tunnel(name, self._address, care_of), set())
            self._names.add(name)
        self._tunnels[care_of] = tunnel
        return tunnel

    def _leave(self, care_of: IPv6Address, home: IPv6Address) -> None:
        """Take a home address out of a tunnel, which goes with the last one."""
        tunnel = self._tunnels.get(care_of)
        if tunnel is None:
            return
        tunnel.homes.discard(home)
        if not tunnel.homes:
            self._route.transact([links.remove_link(tunnel.name)])
            self._names.discard(tunnel.name)
            del self._tunnels[care_of]

    def unbind(self, home_address: IPv6Address) -> None:
        """Undo bind()."""
        bound = self._bound.get(home_address)
        if bound is None:
            return
        tunnel = self._tunnels[bound.care_of]
        requests = [
            links.remove_proxy(home_address, self._index),
            links.remove_route(IPv6Network(home_address), tunnel.index),
        ]
        if bound.link_local:
            requests.append(links.remove_proxy(bound.link_local, self._index))
        self._route.transact(requests)
        self._leave(bound.care_of, home_address)
        del self._bound[home_address]

    def release(self) -> None:
        """Remove all that was made; forwarding and proxying stay switched on."""
        for undo, homes in ((self.unbind, self._bound), (self.unreach, self._reached)):
            for home in tuple(homes):
                undo(home)
        state, policy = self._wildcard()
        demands = [demand.remove() for demand in self._demands()]
        self._xfrm.transact([policy.remove(), state.remove(), *demands])
        self._sources.release()

    def _tunnel_name(self, care_of: IPv6Address) -> str:
        """Return a name that no other tunnel of this home agent has."""
        number = zlib.crc32(care_of.packed)
        while (name := f"{self._tunnels_name}{number & 0xFFFFFFFF:08x}") in self._names:
            number += 1
        return name


def _set(setting: str, value: int) -> None:
    path = Path("/proc/sys/net/ipv6") / setting
    try:
        if path.read_text().strip() == str(value):
            return  # It may be for reading only.
        path.write_text(f"{value}\n")
    except OSError as error:
        raise KernelError(error.errno or errno.EIO, f"set {path}: {error.strerror}") from error
