"""Routers that are asked for on simulated links, and interfaces that move between those."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import IPv6Address, IPv6Network

from agents.core.host import Receive
from agents.core.machine import Address
from agents.core.reader import WireError
from agents.kernel.packet import ICMPV6, Packet, is_link_local
from agents.mip6 import routers
from agents.mip6.prefixes import PrefixInformation
from agents.simulation.stack import Interface, Socket, address_of
from topologies.model import autoconfigured

_LIFETIME, _VALID, _PREFERRED = 1800, 2592000, 604800
"""In seconds, as section 6.2.1 has them by default."""

_ANYWHERE = IPv6Network("::/0")


def advertise(interface: Interface, prefix: IPv6Network, router: IPv6Address) -> None:
    """Have a router answer who asks for it on a link (RFC 4861 section 6.2.6).

    It does so as radvd: each alone, and at once. It tells its address on the link (RFC 6275 section
    7.2), and nothing unasked.
    """
    told = PrefixInformation(router, prefix.prefixlen, _VALID, _PREFERRED, is_router=True)
    data = routers.RouterAdvertisement(_LIFETIME, (told,)).encode()
    own = next(address for address in interface.addresses if is_link_local(address))
    stack = interface.stack

    def answer(asked: bytes, source: Address) -> None:
        to = address_of(source[0].partition("%")[0])
        if asked[:1] == bytes((routers.SOLICITATION,)):
            packet = Packet(own, to, ICMPV6, payload=data, hop_limit=routers.HOP_LIMIT)
            stack.send(packet, interface.name)

    group = IPv6Address(routers.ALL_ROUTERS)
    stack.open(Socket(stack, ICMPV6, None, 0, answer, interface.name, group))


class SimulatedAttachment:
    """An interface of a simulated host (agents.core.host.Attachment).

    What a kernel makes of an advertisement is made of it first: an address and a default router.
    """

    def __init__(
        self, interface: Interface, receive: Receive, linked: Callable[[bool], None]
    ) -> None:
        self._interface = interface
        self._receive = receive
        self._linked = linked
        self.link_address = interface.mac
        stack = interface.stack
        socket = Socket(stack, ICMPV6, None, 0, self._hear, interface.name, hops=routers.HOP_LIMIT)
        self._socket = stack.open(socket)
        interface.watchers.append(linked)

    @property
    def is_open(self) -> bool:
        """Whether it is not closed yet."""
        return self._socket.is_open

    def _hear(self, data: bytes, source: Address) -> None:
        if data[:1] == bytes((routers.ADVERTISEMENT,)):
            try:
                self._configure(routers.RouterAdvertisement.decode(data))
            except WireError:
                return
            self._receive(data, source)

    def _configure(self, told: routers.RouterAdvertisement) -> None:
        interface = self._interface
        own = next(address for address in interface.addresses if is_link_local(address))
        for prefix in told.usable:
            interface.stack.routes.add(prefix.network, interface)
            address = autoconfigured(prefix.network, own)
            if address not in interface.addresses:
                interface.add(address)
        if told.router:
            interface.stack.routes.add(_ANYWHERE, told.router)

    def send(self, data: bytes, destination: Address) -> None:
        """Send a Router Solicitation."""
        self._socket.send(data, (f"{destination[0]}%{self._interface.name}", destination[1]))

    def address(self, prefix: IPv6Network) -> IPv6Address | None:
        """Return the address of the interface in a prefix, if there is one."""
        return next((a for a in self._interface.addresses if a in prefix), None)

    def leave_others(self, prefixes: Sequence[IPv6Network], _: IPv6Address) -> None:
        """Forget addresses of other prefixes, and the routers there."""
        interface = self._interface
        for address in interface.addresses:
            if not is_link_local(address) and not any(address in prefix for prefix in prefixes):
                interface.remove(address)
        interface.stack.routes.leave(interface, prefixes)

    def close(self) -> None:
        """Hear no more."""
        if self.is_open:
            self._socket.close()
            self._interface.watchers.remove(self._linked)
