"""A home agent in its host: binding cache and tunnels, and who may have a home address."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from ipaddress import IPv6Address, IPv6Network

from agents.core.eventlog import EventLog
from agents.core.host import DatagramEndpoint, Host, LinkTransport
from agents.core.machine import Event
from agents.ikev2.config import Grant
from agents.kernel.port import HomeAgentKernel, KernelError
from agents.mip6.authentication import UpdateAuthentication
from agents.mip6.binding_cache import BindingRemoved, NeighbourAdvertised, NeighbourSolicited
from agents.mip6.home_addresses import HomeAddresses, Key
from agents.mip6.home_agent import HomeAgent
from agents.mip6.home_agent_discovery import REQUEST, DiscoveryResponder, anycast_address
from agents.mip6.home_prefix import HomePrefix
from agents.mip6.neighbour import (
    ALL_NODES,
    advertisement,
    read_claim,
    solicitation,
    solicited_node,
)
from agents.mip6.prefix_advertiser import PrefixAdvertiser
from agents.mip6.prefixes import SOLICITATION
from agents.nodes.home_agent.settings import HomeAgentSettings


class HomeAgentService:
    """A home agent in its host: Mobility Headers at its address, Neighbor Discovery on its link.

    `homes` is who owns which home address. IKE is told by `on_released` whose hold has ended.
    """

    def __init__(
        self, host: Host, kernel: HomeAgentKernel, settings: HomeAgentSettings, log: EventLog
    ) -> None:
        self.address = IPv6Address(settings.address)
        self.by_option = settings.authentication_option
        """Whether updates bear their own authentication, in IPsec's place."""

        self.kernel = kernel
        self.on_released: list[Callable[[str], None]] = []
        self.on_binding: Callable[[Event], None] = lambda _: None
        """Is told what the binding cache tells."""

        kernel.warm_up()
        kernel.prepare()
        self._host = host
        self._role_log = log
        self._log = log.child("mip6")
        self.homes = HomeAddresses(
            self.address, IPv6Network(settings.prefix), owns=kernel.owns, end=self._end
        )
        self._prefix = HomePrefix(
            self.homes.prefix,
            self.address,
            valid=settings.prefix_valid,
            preferred=settings.prefix_preferred,
            now=host.now(),
        )
        self._machine = HomeAgent(
            self.homes,
            prefix=self._prefix,
            duplicate_address_detection=settings.duplicate_address_detection,
            kernel=kernel,
            rng=host.rng,
            authentication=(
                UpdateAuthentication(host.time_of_day, host.now()) if self.by_option else None
            ),
        )
        self._advertiser = PrefixAdvertiser(
            self._prefix, is_bound=self._machine.is_bound, rng=host.rng
        )
        self._interface = settings.interface
        self._link: LinkTransport | None = None
        self._bindings = DatagramEndpoint(
            host, self._machine, self._handle, partial(host.open_mobility_headers, self.address)
        )
        self._prefixes = DatagramEndpoint(
            host,
            self._advertiser,
            self._log,
            partial(host.open_prefix_discovery, self.address, SOLICITATION),
        )
        self._discovery = self._answer() if settings.discovery else None
        self._holds = host.run(self.homes, lambda _: None, self._log)

    def open(self) -> None:
        """Open all sockets or none, if that is not done yet; raises OSError if it cannot be."""
        if self._link:
            return
        try:
            self._link = self._host.open_link(self._interface, self._claimed)
            for endpoint in self._endpoints:
                endpoint.open()
        except OSError:
            self._shut()
            raise

    @property
    def _endpoints(self) -> Iterator[DatagramEndpoint]:
        every = self._bindings, self._prefixes, self._discovery
        return (endpoint for endpoint in every if endpoint)

    def _shut(self) -> None:
        for endpoint in self._endpoints:
            endpoint.close()
        if self._link:
            self._link.close()
            self._link = None

    def _answer(self) -> DatagramEndpoint:
        """Return what answers who looks for a home agent on this home link."""
        anycast = anycast_address(self.homes.prefix), self._interface
        opened = partial(
            self._host.open_home_agent_discovery, self.address, REQUEST, anycast=anycast
        )
        return DatagramEndpoint(self._host, DiscoveryResponder(self.address), self._log, opened)

    def _handle(self, event: Event) -> None:
        match event:
            case NeighbourSolicited(target=target, nonce=nonce) if link := self._link:
                link.send(solicitation(target, nonce), solicited_node(target))
            case NeighbourAdvertised(target=target) if link := self._link:
                packet = advertisement(self.address, target, link.link_address)
                link.send(packet, ALL_NODES)
            case BindingRemoved(home_address=home_address):
                self._prefixes.call(self._advertiser.forget, home_address)
        self._log(event)
        self.on_binding(event)

    def _claimed(self, packet: bytes) -> None:
        claim = read_claim(packet)
        if claim:
            self._bindings.call(self._machine.duplicate_seen, claim, self._host.now())

    def change_prefix(self, valid: float | None, preferred: float | None) -> None:
        """Give the home prefix other lifetimes from now on, and tell who is bound (10.6.2).

        ValueError if it would be preferred for longer than it is valid.
        """
        now = self._host.now()
        self._prefix.change(valid, preferred, now)
        self._bindings.call(self._machine.prefix_changed)
        self._prefixes.call(self._advertiser.changed, self._machine.bound(), now)

    def command_prefix(self, valid: str, preferred: str) -> bool:
        """Give the home prefix other lifetimes, in seconds; ValueError if they cannot be."""
        self.change_prefix(float(valid), float(preferred))
        return True

    # Who owns a home address

    def hold(
        self,
        identity: str,
        home_address: IPv6Address,
        lifetime: float | None,
        key: Key | None = None,
        session: int | None = None,
    ) -> bool:
        """Let a subscriber register a home address for so long; return whether it may be."""
        now = self._host.now()
        until = math.inf if lifetime is None else now + lifetime
        return self._holds.call(
            self.homes.hold, home_address, identity, until, now, key=key, session=session
        )

    def expect(self, identity: str, home_address: IPv6Address, key: Key) -> bool:
        """Let a subscriber have SAs for a home address; return whether it may be."""
        return self._holds.call(self.homes.expect, home_address, identity, key, self._host.now())

    def withdraw(self, identity: str, psk: bytes) -> bool:
        """Take back what was expected with this key; return whether it was."""
        return self._holds.call(self.homes.withdraw, identity, psk, self._host.now())

    def release(self, identity: str) -> None:
        """End a subscriber's hold before its time, if there is one."""
        self._holds.call(self.homes.release, identity, self._host.now())

    def release_session(self, session: int) -> None:
        """End the hold that a session has brought, unless a later one has brought it again."""
        self._holds.call(self.homes.release_session, session, self._host.now())

    def grant(self, identity: str, _asked: IPv6Address | None = None) -> Grant | None:
        """Return what IKEv2 may make SAs for with a subscriber."""
        usable = self.homes.usable(identity)
        return Grant(usable.home_address, self.homes.prefix.prefixlen) if usable else None

    def _end(self, home_address: IPv6Address, identity: str, now: float) -> bool:
        """End what hangs on a hold, in this order; return whether nothing is left of it."""
        if not self._bindings.call(self._machine.end, home_address, now):
            return False
        for forget in self.on_released:  # IKE, and the SAs that it has made.
            forget(identity)
        return self._try(partial(self.kernel.forget, home_address))

    def _try(self, operation: Callable[[], None]) -> bool:
        """Carry out an operation of the kernel; return whether it could be."""
        try:
            operation()
        except KernelError as error:
            self._role_log.write("KernelFailed", reason=str(error))
            return False
        return True

    def close(self) -> None:
        """Close the sockets, and have the kernel intercept nobody's packets any more."""
        self._holds.close()
        self._shut()
        self._try(self.kernel.release)
