"""An interface whose link may become another one: its routers, and the kernel's news of it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from ipaddress import IPv6Address, IPv6Network

from agents.core.host import Receive
from agents.core.machine import Address
from agents.kernel import links, netlink
from agents.kernel.netlink import NetlinkSocket
from agents.kernel.port import KernelError
from agents.shell.addresses import usable_in
from agents.shell.sockets import RouterSocket
from agents.shell.watch import Watch


class LinuxAttachment:
    """An interface of this host (agents.core.host.Attachment).

    Must be made inside a running event loop; raises OSError if there is no such interface.
    """

    def __init__(
        self,
        interface: str,
        receive: Receive,
        linked: Callable[[bool], None],
        changed: Callable[[], None],
    ) -> None:
        self._interface = interface
        self._index = socket.if_nametoindex(interface)
        self._linked, self._changed = linked, changed
        self._routers = RouterSocket(interface, receive)
        self._route = NetlinkSocket(netlink.ROUTE)
        self._news = NetlinkSocket(netlink.ROUTE, groups=links.NEWS)
        self._state = links.decode_carrier(self._route.query(links.find_link(self._index)))
        self.link_address = self._state.link_address
        self._watch = Watch(self._news, self._read)

    def _look(self) -> links.Carrier:
        """Return how the link is; that of an interface which is gone is down."""
        try:
            return links.decode_carrier(self._route.query(links.find_link(self._index)))
        except KernelError:
            return links.Carrier(up=False, changes=0, link_address=self.link_address)

    def _read(self) -> None:
        """Take the kernel's news; what they are about is looked up, for some may be lost."""
        self._news.notifications()
        before, self._state = self._state, self._look()
        if self._state != before:
            self.link_address = self._state.link_address
            self._linked(self._state.up)
        self._changed()

    def send(self, data: bytes, destination: Address) -> None:
        """Send a Router Solicitation."""
        self._routers.send(data, destination)

    def address(self, prefix: IPv6Network) -> IPv6Address | None:
        """Return an address of the interface in a prefix that can be used, if there is one."""
        return usable_in(self._interface, prefix)

    def leave_others(self, prefixes: Sequence[IPv6Network], router: IPv6Address) -> None:
        """Remove addresses that were made of other prefixes, and other default routers."""
        routes = self._route.dump(links.list_routes())
        addresses = self._route.dump(links.list_addresses())
        self._route.transact(
            [
                *links.remove_routers(routes, self._index, router),
                *links.remove_autoconfigured(addresses, self._index, prefixes),
            ]
        )

    def close(self) -> None:
        """Close everything."""
        for one in (self._routers, self._watch, self._route):
            one.close()
