"""Routes to correspondent nodes, as long as there is a home registration (RFC 6275 11.7.2)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from ipaddress import IPv6Address

from agents.core.eventlog import EventLog
from agents.core.host import Host, Transport
from agents.core.machine import Address, Discarded, Event, address_of
from agents.kernel.port import KernelError, RouteKernel
from agents.mip6 import update_list as events
from agents.mip6.return_routability import RouteOptimisation


class Routes:
    """Return routability and correspondent registrations, with the kernel's part in them.

    The kernel tells with whom there is traffic. One socket is at the home address, another at the
    care-of address.
    """

    def __init__(
        self,
        host: Host,
        kernel: RouteKernel,
        home_address: IPv6Address,
        care_of: IPv6Address,
        log: EventLog,
    ) -> None:
        self._host = host
        self._kernel = kernel
        self._log = log.child("routes")
        kernel.prepare(home_address, care_of)
        self._home_address = home_address
        self._is_home = False
        self._machine = RouteOptimisation(home_address, care_of, rng=host.rng, used=self._used)
        self._endpoint = host.run(self._machine, self._send, self._handle)
        self._at_home = self._open(home_address)
        self._away = self._open(care_of)
        self._watch = host.watch_routes(self._wanted)

    def _open(self, local: IPv6Address) -> Transport:
        return self._host.open_mobility_headers(local, partial(self._receive, local))

    def _receive(self, local: IPv6Address, data: bytes, source: Address) -> None:
        self._endpoint.call(self._machine.handle_message, data, source, local, self._host.now())

    def _send(self, item: tuple[bytes, Address, IPv6Address]) -> None:
        data, destination, local = item
        transport = self._at_home if local == self._home_address else self._away
        transport.send(data, destination)

    def _used(self, correspondent: IPv6Address) -> int:
        try:
            return self._kernel.used(correspondent)
        except KernelError:
            return 0

    def _wanted(self, home_address: IPv6Address, correspondent: IPv6Address) -> None:
        if home_address == self._home_address:
            self._endpoint.call(self._machine.wanted, correspondent, self._host.now())

    def concerns(self, event: Event) -> bool:
        """Return whether the home registration's machine has heard what is for this one."""
        return isinstance(event, Discarded) and self._machine.knows(address_of(event.source))

    def registered(self, lifetime: float) -> None:
        """The home agent has the binding for so long."""
        now = self._host.now()
        self._endpoint.call(self._machine.registered, now + lifetime, now)

    def ended(self) -> None:
        """There is no home registration any more."""
        self._endpoint.call(self._machine.stop, self._host.now())

    def leave(self) -> None:
        """Have packets carry no home address any more: the home link is near."""
        self._is_home = True
        self._try(self._kernel.release)

    def come_home(self) -> None:
        """Tell correspondent nodes that the home address is where it belongs (section 11.5.5)."""
        self._endpoint.call(self._machine.come_home, self._host.now())

    def move(self, care_of: IPv6Address) -> None:
        """Go to another care-of address; correspondent nodes hear of it after the home agent."""
        if self._is_home:
            self._is_home = False
            self._try(partial(self._kernel.prepare, self._home_address, care_of))
            for correspondent in self._machine.correspondents:  # leave() has undone it.
                self._try(partial(self._kernel.detour, correspondent))
        else:
            self._try(partial(self._kernel.move, care_of))
        before, self._away = self._away, self._open(care_of)
        before.close()
        self._endpoint.call(self._machine.move, care_of, self._host.now())

    def _handle(self, event: Event) -> None:
        self._log(event)
        if self._is_home:
            return
        match event:
            case (
                events.OptimisationBegun(correspondent=correspondent)
                | events.RouteLost(correspondent=correspondent)
            ):
                self._try(partial(self._kernel.detour, correspondent))
            case events.RouteOptimised(correspondent=correspondent):
                self._try(partial(self._kernel.optimise, correspondent))
            case events.CorrespondentForgotten(correspondent=correspondent):
                self._try(partial(self._kernel.forget, correspondent))
            case _:
                pass

    def _try(self, operation: Callable[[], None]) -> None:
        """Carry out an operation of the kernel; where it cannot be, payload takes the tunnel."""
        try:
            operation()
        except KernelError as error:
            self._log.write("KernelFailed", reason=str(error))

    def close(self) -> None:
        """Close the sockets, and have all packets take the tunnel."""
        self._watch.close()
        self._endpoint.close()
        self._at_home.close()
        self._away.close()
        self._try(self._kernel.release)
        self._kernel.close()
