"""The mobile node on its link: a movement to another one, and its address there."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv6Address

from agents.core.eventlog import EventLog
from agents.core.host import Host
from agents.core.machine import Address, Event
from agents.kernel.port import KernelError
from agents.mip6.movement import LinkKept, Moved, MovementDetection


class Movement:
    """Movement detection on an interface; `on_link` hears whenever it is known which link this is.

    It gets this host's address there, and the router's global one, if that is told. Addresses and
    routers of links before are forgotten by then. Which link it is at the start is not known
    either: who was started again may have moved.
    """

    def __init__(
        self,
        host: Host,
        interface: str,
        care_of: IPv6Address,
        *,
        log: EventLog,
        on_link: Callable[[IPv6Address, IPv6Address | None], None],
    ) -> None:
        self._host = host
        self._log = log
        self._on_link = on_link
        self._care_of = care_of
        self._awaited: Moved | None = None
        """The link on which there is no address that can be used yet."""

        self._link = host.attachment(interface, self._receive, self._linked, self._look)
        self._machine = MovementDetection(care_of, self._link.link_address, rng=host.rng)
        self._endpoint = host.run(self._machine, self._send, self._handle)

    def start(self) -> None:
        """Ask which link this is, and who is its router."""
        self._endpoint.call(self._machine.start, self._host.now())

    def _send(self, datagram: tuple[bytes, Address]) -> None:
        self._link.send(*datagram)

    def _receive(self, data: bytes, source: Address) -> None:
        self._endpoint.call(self._machine.handle_message, data, source, self._host.now())

    def _linked(self, up: bool) -> None:
        self._awaited = None
        self._machine.link_address = self._link.link_address
        if up:
            self._endpoint.call(self._machine.link_up, self._host.now())
        else:
            self._endpoint.call(self._machine.link_down)

    def _handle(self, event: Event) -> None:
        self._log(event)
        match event:
            case LinkKept(router=router):
                self._on_link(self._care_of, router)
            case Moved():
                self._awaited = event
                self._look()
            case _:
                pass

    def _look(self) -> None:
        """Go on if there is an address now on the link that is new."""
        to = self._awaited
        found = (self._link.address(prefix) for prefix in to.prefixes) if to else ()
        care_of = next(filter(None, found), None)
        if to is None or care_of is None:
            return
        self._awaited = None
        try:
            self._link.leave_others(to.prefixes, to.link_local)
        except KernelError as error:
            self._log.write("KernelFailed", reason=str(error))
        self.arrived(care_of)
        self._on_link(care_of, to.router)

    def arrived(self, care_of: IPv6Address) -> None:
        """Take note that this host goes on from another address on its link."""
        self._care_of = care_of
        self._machine.arrived(care_of)

    def close(self) -> None:
        """Hear of no movement any more."""
        self._endpoint.close()
        self._link.close()
