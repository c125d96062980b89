"""A model of the kernel for simulator and tests; agents.kernel.model_port is the port on it.

It does to packets what Linux does, set up by agents.kernel.mobile_node, home_agent and filter: what
is not protected, bound or authorised as it must be is dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv6Address

from agents.core.host import Closable
from agents.core.record import Record, replace
from agents.kernel.model_filter import ModelCounters, ModelFilter
from agents.kernel.model_routes import ModelRouteTable
from agents.kernel.model_sad import Sad
from agents.kernel.packet import ICMPV6, MOBILITY_HEADER, Packet, is_link_local, is_multicast

TUNNEL = "tunnel"
"""The interface that packets come in from which input() has taken out of a tunnel."""

UPDATE, ACKNOWLEDGEMENT = (MOBILITY_HEADER, 5), (MOBILITY_HEADER, 6)
SOLICITATION, ADVERTISEMENT = (ICMPV6, 146), (ICMPV6, 147)
"""The messages that carry a home address (RFC 6275 sections 6.1, 6.7 and 6.8)."""


class HomeRegistration(Record, frozen=True):
    """What a mobile node's kernel knows; `tunnel_open` tells whether payload goes through it.

    At home the care-of address is the home address.
    """

    home_address: IPv6Address
    home_agent: IPv6Address
    care_of: IPv6Address
    tunnel_open: bool = False

    @property
    def is_away(self) -> bool:
        """Whether it is on another link than the home link."""
        return self.care_of != self.home_address


class Binding(Record, frozen=True):
    """A tunnel's ends at a home agent."""

    home_agent: IPv6Address
    care_of: IPv6Address


class ModelKernel:
    """The kernel of one host, which outlives the programs on it.

    The stack tells what addresses the host has (`owns`, its home address among them), which lead
    away from it, the time, and how many octets a packet has.
    """

    def __init__(
        self,
        *,
        owns: Callable[[IPv6Address], bool] | None = None,
        leads_away: Callable[[IPv6Address], bool] | None = None,
        now: Callable[[], float] | None = None,
        size: Callable[[Packet], int] = lambda packet: len(packet.payload),
    ) -> None:
        self.owns = owns or (lambda _: False)
        self.leads_away = leads_away or (lambda address: not self.owns(address))
        self._now = now or (lambda: 0.0)
        self.sad = Sad(self._now)
        self.routes = ModelRouteTable()
        self.filter = ModelFilter()
        self.home: HomeRegistration | None = None
        self.home_agents: set[IPv6Address] = set()
        self.unprotected: set[IPv6Address] = set()
        """Home agents, here or elsewhere, with whom messages need no ESP (RFC 4285)."""

        self.reached: dict[tuple[IPv6Address, IPv6Address], IPv6Address] = {}
        """Care-of addresses of home addresses, by home agent and home address."""

        self.bound: dict[IPv6Address, Binding] = {}
        self.counted = ModelCounters(size)
        """What passes the access link, by address."""

        self.tunnelled = ModelCounters(size)
        """What goes through home agents' tunnels, by home address."""

    @property
    def home_address(self) -> IPv6Address | None:
        """The home address that this host has as a mobile node."""
        return self.home.home_address if self.home else None

    def intercepts(self, address: IPv6Address) -> bool:
        """Return whether this host answers for an address on its home link (section 10.4.1)."""
        return address in self.bound

    def watch_sas(self, changed: Callable[[], None]) -> Closable:
        """Tell at once whenever a security association is added or removed."""
        return self.sad.changes.add(changed)

    def watch_acquires(self, wanted: Callable[[IPv6Address, IPv6Address], None]) -> Closable:
        """Tell at once from where to where a security association is wanted."""
        return self.sad.acquires.add(wanted)

    # What this host makes

    def output(self, packet: Packet, outgoing: str | None = None) -> Packet | None:
        """Return the packet that goes out for one that this host makes, or None if it is dropped.

        `outgoing` is the interface that the sender has chosen, if any.
        """
        if is_multicast(packet.destination) or self.owns(packet.destination):
            return packet
        if not self.filter.lets_out(packet, outgoing):
            return None
        self.counted.note_output(packet.destination, packet)
        if self._demands_esp(packet, packet.source, packet.destination):
            sa = self.sad.outbound(packet)
            if sa is None:
                return None
            packet = replace(packet, esp=sa, esp_number=self.sad.next_number(sa))
        return self._intercepted(self._carried(packet))

    def _demands_esp(self, packet: Packet, local: IPv6Address, remote: IPv6Address) -> bool:
        """Return whether a policy protects what this host and another exchange (RFC 3776)."""
        if packet.protocol != MOBILITY_HEADER and packet.kind not in (SOLICITATION, ADVERTISEMENT):
            return False
        if local in self.unprotected or remote in self.unprotected:
            return False
        return self._is_home(local, remote) or local in self.home_agents

    def _is_home(self, local: IPv6Address, remote: IPv6Address) -> bool:
        home = self.home
        return home is not None and (home.home_address, home.home_agent) == (local, remote)

    def _carried(self, packet: Packet) -> Packet:
        """Put the home address into an extension header, or the packet into the tunnel.

        Updates and acknowledgements never go through the tunnel: the extension header comes first.
        """
        source, destination, home = packet.source, packet.destination, self.home
        carries = packet.kind in (UPDATE, SOLICITATION) and self._is_home(source, destination)
        if carries and home and home.is_away:
            return replace(packet, source=home.care_of, home_address=source)
        routed = None if self._is_home(source, destination) else self._routed(packet)
        if routed is not None:
            return routed
        if home and home.tunnel_open and source == home.home_address:
            return packet.encapsulated(home.care_of, home.home_agent)
        care_of = self.reached.get((source, destination))
        if care_of and packet.kind in (ACKNOWLEDGEMENT, ADVERTISEMENT):
            return replace(packet, destination=care_of, routing=destination)
        return packet

    def _routed(self, packet: Packet) -> Packet | None:
        return self.routes.carried(packet, self._now())

    def _intercepted(self, packet: Packet) -> Packet:
        """Tunnel what is for a bound home address, whoever sends it."""
        binding = self.bound.get(packet.destination)
        if binding is None:
            return packet
        self.tunnelled.note_output(packet.destination, packet)
        return packet.encapsulated(binding.home_agent, binding.care_of)

    # What arrives

    def admits(self, packet: Packet, incoming: str) -> bool:
        """Return whether the filter lets a packet for this host in; input() is next."""
        self._hear(packet, incoming)
        return self.filter.admits(packet, incoming)

    def _hear(self, packet: Packet, incoming: str) -> None:
        """Count what comes off the access link, before the filter as Linux does."""
        access = self.filter.access
        if access is not None and incoming == access.interface:
            self.counted.note_input(packet.source, packet)

    def input(self, packet: Packet) -> Packet | None:
        """Return what a packet for this host brings its sockets, or None if it is dropped.

        What comes out of a home agent's tunnel may be for another host: then it is to be forwarded,
        as one from the interface TUNNEL.
        """
        read = self._swapped(packet)
        if read is None or not self._is_acceptable(packet, read):
            return None
        if packet.inner:
            return self._decapsulated(packet, packet.inner)
        if read is packet and not packet.esp:
            return packet
        return replace(read, home_address=None, routing=None, esp=None, esp_number=0)

    def _swapped(self, packet: Packet) -> Packet | None:
        """Put home addresses into the header's fields, as the extension headers' receiver does."""
        if packet.routing:
            home = self.home
            ends = packet.routing, packet.source, packet.destination
            agents = home and (home.home_address, home.home_agent, home.care_of)
            if ends != agents and not self.routes.takes_routing(packet):
                return None
            packet = replace(packet, destination=packet.routing)
        return replace(packet, source=packet.home_address) if packet.home_address else packet

    def _is_acceptable(self, packet: Packet, read: Packet) -> bool:
        """Check a packet against the policies: all its protection, and none that nobody asked for.

        Home Address options are taken in Binding Updates, type 2 routing headers in Binding
        Acknowledgements, and those not without; in anything else between the ends of a binding.
        """
        local, remote = read.destination, read.source
        if packet.esp:
            if not self.sad.opens(read, packet.esp):
                return False
        elif self._demands_esp(read, local, remote):
            return False
        is_update = read.kind == UPDATE and local in self.home_agents
        is_bound = self.bound.get(remote) == Binding(local, packet.source)
        if packet.home_address and not (is_update or is_bound):
            return self.routes.takes_option(packet, self._now())
        is_home = self._is_home(local, remote)
        if packet.routing is None:
            is_away = self.home is not None and self.home.is_away
            return not (is_home and is_away and read.kind in (ACKNOWLEDGEMENT, ADVERTISEMENT))
        if not is_home:
            return self.routes.takes_routing(packet)
        is_open = self.home is not None and self.home.tunnel_open
        return is_open or read.kind in (ACKNOWLEDGEMENT, ADVERTISEMENT)

    def _decapsulated(self, outer: Packet, inner: Packet) -> Packet | None:
        """Take a packet out of a tunnel if it is one of those that belong in there.

        A mobile node takes those for its home address; a home agent those of the home addresses
        behind the tunnel (agents/kernel/reverse_path.py).
        """
        home, binding = self.home, self.bound.get(inner.source)
        if home and (outer.source, outer.destination) == (home.home_agent, home.care_of):
            return self.input(inner) if inner.destination == home.home_address else None
        if binding != Binding(outer.destination, outer.source):
            return None
        self.tunnelled.note_input(inner.source, inner)
        return self.input(inner) if self.owns(inner.destination) else inner

    def forward(self, packet: Packet, incoming: str) -> Packet | None:
        """Return the packet that goes on for one that is for another host, or None.

        The stack has counted the hop.
        """
        ends = packet.source, packet.destination
        if not int(packet.source) or any(is_link_local(a) or is_multicast(a) for a in ends):
            return None
        self._hear(packet, incoming)
        if not self.filter.forwards(packet, incoming):
            return None
        self.counted.note_output(packet.destination, packet)
        return self._intercepted(packet)
