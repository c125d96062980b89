"""A home agent in its host: binding cache and tunnels, and who may have a home address."""

from __future__ import annotations

import math
from collections.abc import Callable
from ipaddress import IPv6Address, IPv6Network

from agents.core.eventlog import EventLog
from agents.core.host import Endpoint, Host
from agents.core.machine import Event
from agents.kernel.port import HomeAgentKernel, KernelError
from agents.mip6.binding_cache import (
    AuthorisationEnded,
    NeighbourAdvertised,
    NeighbourSolicited,
)
from agents.mip6.home_agent import HomeAgent
from agents.mip6.neighbour import (
    ALL_NODES,
    advertisement,
    read_claim,
    solicitation,
    solicited_node,
)
from agents.nodes.home_agent.settings import HomeAgentSettings


class Authorisations:
    """Who may register with a home agent, and what ends with that.

    `machine` is the home agent's, run at `endpoint`. When an authorisation ends, on time or before,
    the binding goes first, then what `on_ended` calls end (IKE), then what is left of SAs.
    """

    def __init__(
        self,
        host: Host,
        machine: HomeAgent,
        endpoint: Endpoint,
        kernel: HomeAgentKernel,
        log: EventLog,
    ) -> None:
        self._host = host
        self._machine = machine
        self._endpoint = endpoint
        self._kernel = kernel
        self._log = log
        self.on_ended: list[Callable[[str, IPv6Address], None]] = []

    def authorise(self, identity: str, home_address: IPv6Address, lifetime: float | None) -> bool:
        """Let a subscriber register a home address for so long; return whether it may be."""
        now = self._host.now()
        until = math.inf if lifetime is None else now + lifetime
        return self._endpoint.call(self._machine.authorise, home_address, identity, until, now)

    def holder(self, home_address: IPv6Address) -> str | None:
        """Return the subscriber who may register a home address at present."""
        return self._machine.holder(home_address)

    def end(self, identity: str) -> None:
        """End a subscriber's authorisation before its time, if there is one."""
        home_address = self._machine.home_of(identity)
        if home_address is not None:
            self._endpoint.call(self._machine.revoke, home_address, self._host.now())

    def handle(self, event: Event) -> None:
        """Take an event of the home agent."""
        if not isinstance(event, AuthorisationEnded):
            return
        for told in self.on_ended:
            told(event.subscriber, event.home_address)
        try:
            self._kernel.forget(event.home_address)
        except KernelError as error:
            self._log.write("KernelFailed", reason=str(error))


class HomeAgentService:
    """A home agent in its host: Mobility Headers at its address, Neighbor Discovery on its link."""

    def __init__(
        self, host: Host, kernel: HomeAgentKernel, settings: HomeAgentSettings, log: EventLog
    ) -> None:
        self.address = IPv6Address(settings.address)
        self.prefix = IPv6Network(settings.prefix)
        self.kernel = kernel
        kernel.warm_up()
        kernel.prepare()
        self._host = host
        self._log = log.child("mip6")
        self._machine = HomeAgent(
            self.address,
            self.prefix,
            duplicate_address_detection=settings.duplicate_address_detection,
            kernel=kernel,
            rng=host.rng,
        )
        self._link = host.open_link(settings.interface, self._claimed)
        try:
            self._endpoint = host.mobility_headers(self._machine, self.address, self._handle)
        except OSError:
            self._link.close()
            raise
        self.authorisations = Authorisations(host, self._machine, self._endpoint, kernel, log)

    def _handle(self, event: Event) -> None:
        match event:
            case NeighbourSolicited(target=target, nonce=nonce):
                self._link.send(solicitation(target, nonce), solicited_node(target))
            case NeighbourAdvertised(target=target):
                packet = advertisement(self.address, target, self._link.link_address)
                self._link.send(packet, ALL_NODES)
        self._log(event)
        self.authorisations.handle(event)

    def _claimed(self, packet: bytes) -> None:
        claim = read_claim(packet)
        if claim:
            self._endpoint.call(self._machine.duplicate_seen, claim, self._host.now())

    def close(self) -> None:
        """Close the sockets."""
        self._link.close()
        self._endpoint.close()
