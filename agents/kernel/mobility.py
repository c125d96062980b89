"""What the kernels of mobile node and home agent share on Linux: policies, tunnels, settings."""

from __future__ import annotations

import errno
import socket
from contextlib import suppress
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path

from agents.kernel import links, netlink, xfrm
from agents.kernel.associations import REQID, LinuxSecurityAssociations
from agents.kernel.netlink import NetlinkSocket
from agents.kernel.port import KernelError
from agents.kernel.xfrm import Direction, Extension, Mode, Policy, Selector, Template

_MH_PRIORITY = 10
_PASSING_PRIORITY, _SUB_PRIORITY, _ANYTHING_PRIORITY = 4, 5, 6
HOME_TEST_INIT, HOME_TEST, UPDATE, ACKNOWLEDGEMENT = 1, 3, 5, 6
SOLICITATION, ADVERTISEMENT = 146, 147
"""The ICMPv6 messages of prefix discovery."""


class MobilityKernel(LinuxSecurityAssociations):
    """What mobile node and home agent share; `protected` tells whether messages need ESP."""

    def __init__(self, *, reqid: int = REQID, protected: bool = True) -> None:
        super().__init__(reqid=reqid)
        self._is_protected = protected
        self._route = NetlinkSocket(netlink.ROUTE)

    def close(self) -> None:
        """Close the sockets; what was set up stays."""
        super().close()
        self._route.close()

    def _find(self, address: IPv6Address, interface: int = 0) -> links.Route:
        return links.decode_route(self._route.query(links.find_route(address, interface)))

    def _protection(self, selector: Selector, direction: Direction) -> Policy:
        """Return the main policy that demands ESP in one direction (RFC 3776 section 3).

        The template names no ends, for in transport mode they are the packet's own; an SA takes
        the packets of its own selector alone.
        """
        nowhere = xfrm.UNSPECIFIED
        template = Template(nowhere, nowhere, xfrm.ESP, Mode.TRANSPORT, self._reqid)
        return Policy(selector, direction, xfrm.Table.MAIN, _MH_PRIORITY, template)

    def _protections(self, local: IPv6Network, remote: IPv6Network, discovery: int) -> list[Policy]:
        """Return the policies for Mobility Headers, and for what is sent of prefix discovery.

        What comes of that is left to its socket (discovery_policy()): behind an extension header
        Linux cannot tell ICMPv6's types apart.
        """
        mobility = xfrm.MOBILITY_HEADER
        return [
            self._protection(Selector(local, remote, mobility), Direction.OUT),
            self._protection(Selector(remote, local, mobility), Direction.IN),
            self._protection(Selector(local, remote, xfrm.ICMPV6, discovery), Direction.OUT),
        ]

    def _make_tunnel(self, name: str, local: IPv6Address, remote: IPv6Address) -> int:
        """Make a tunnel, or take over one of this name; return its interface index.

        It has IPv6 even where interfaces are made without it (conf/default/disable_ipv6). There is
        none after a refusal.
        """
        requests = links.add_tunnel(name, local, remote)
        try:
            try:
                self._route.transact(requests)
            except KernelError as error:
                if error.errno != errno.EEXIST:
                    raise
                self._route.transact([links.remove_link(name), *requests])
            set_sysctl(f"conf/{name}/disable_ipv6", 0)
            return socket.if_nametoindex(name)
        except OSError:
            with suppress(KernelError):
                self._route.transact([links.remove_link(name)])
            raise


def carrying(
    selector: Selector,
    direction: Direction,
    extension: Extension,
    *,
    ends: tuple[IPv6Address, IPv6Address] | None = None,
    optional: bool = False,
) -> Policy:
    """Return the sub policy by which packets carry a home address.

    The state that it names has the ends of the packets unless others are given. What is for one
    kind of message comes before what is for anything.
    """
    ends = ends or (selector.source.network_address, selector.destination.network_address)
    return Policy(
        selector,
        direction,
        xfrm.Table.SUB,
        _SUB_PRIORITY if selector.protocol else _ANYTHING_PRIORITY,
        Template(*ends, extension, Mode.ROUTE_OPTIMISATION, optional=optional),
    )


def passing(selector: Selector, direction: Direction) -> Policy:
    """Return the sub policy by which packets go as if nobody were bound."""
    return Policy(selector, direction, xfrm.Table.SUB, _PASSING_PRIORITY, None)


def mobility_header(source: IPv6Network, destination: IPv6Network, message: int) -> Selector:
    """Return what selects one kind of Mobility Header message."""
    return Selector(source, destination, xfrm.MOBILITY_HEADER, message)


def discovery_policy(message: int) -> bytes:
    """Return the socket option by which prefix discovery's messages are taken under ESP alone.

    A solicitation has to have the Home Address option, an advertisement the type 2 routing header.
    """
    nowhere = xfrm.UNSPECIFIED
    is_solicitation = message == SOLICITATION
    extension = Extension.HOME_ADDRESS_OPTION if is_solicitation else Extension.ROUTING_TYPE_2
    return xfrm.demanding(
        Template(nowhere, nowhere, xfrm.ESP, Mode.TRANSPORT, REQID),
        Template(nowhere, nowhere, extension, Mode.ROUTE_OPTIMISATION),
    )


def set_sysctl(setting: str, value: int) -> None:
    """Give a setting under /proc/sys/net/ipv6 a value, if it has another."""
    path = Path("/proc/sys/net/ipv6") / setting
    try:
        if path.read_text().strip() == str(value):
            return  # It may be for reading only.
        path.write_text(f"{value}\n")
    except OSError as error:
        raise KernelError(error.errno or errno.EIO, f"set {path}: {error.strerror}") from error
