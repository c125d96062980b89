"""The PANA relay element (RFC 6345): it is the PAA to mobile nodes, and has no say in anything."""

from __future__ import annotations

from collections.abc import Callable

from agents.core.eventlog import EventLog
from agents.core.host import Host, Transport
from agents.core.machine import Address
from agents.nodes.opening import Opening
from agents.nodes.pana_relay.settings import PanaRelayConfiguration
from agents.pana.dialect import PORT
from agents.pana.relay import Relay


class PanaRelay:
    """One socket on the access link, one towards the PAA; both are tied to their interfaces.

    The port towards the PAA, which may be any, is PANA's own: sessions outlive a restart.
    """

    def __init__(self, configuration: PanaRelayConfiguration, host: Host, log: EventLog) -> None:
        self._host = host
        self._configuration = configuration
        self._paa = (configuration.paa, PORT)
        self._relay = Relay(self._paa, zone=configuration.access_interface)
        self._endpoint = host.run(self._relay, self._send, log.child("pana"))
        self._sides: tuple[Transport, Transport] | None = None
        self._opening = Opening(host, self._open, log)

    def _open(self) -> None:
        """Open both sockets or none."""
        host, configuration = self._host, self._configuration
        access = host.open_datagrams(
            (configuration.access_address, PORT),
            self._from_pac,
            interface=configuration.access_interface,
        )
        try:
            backhaul = host.open_datagrams(
                (configuration.address, PORT), self._from_paa, interface=configuration.interface
            )
        except OSError:
            access.close()
            raise
        self._sides = access, backhaul

    def _from_pac(self, data: bytes, source: Address) -> None:
        self._endpoint.call(self._relay.from_pac, data, source, self._host.now())

    def _from_paa(self, data: bytes, source: Address) -> None:
        self._endpoint.call(self._relay.from_paa, data, source, self._host.now())

    def _send(self, datagram: tuple[bytes, Address]) -> None:
        if self._sides:
            access, backhaul = self._sides
            side = backhaul if datagram[1] == self._paa else access
            side.send(*datagram)

    def start(self, ready: Callable[[], None]) -> None:
        """Open the sockets, as soon as the addresses are to be had; tell when that is done."""
        self._opening.start(ready)

    def stop(self, stopped: Callable[[], None]) -> None:
        """Close the sockets; tell when that is done."""
        self._opening.close()
        self._endpoint.close()
        for side in self._sides or ():
            side.close()
        stopped()
