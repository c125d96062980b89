"""The PANA relay element (RFC 6345): it is the PAA to mobile nodes, and has no say in anything."""

from __future__ import annotations

from collections.abc import Callable

from agents.core.eventlog import EventLog
from agents.core.host import Host
from agents.core.machine import Address
from agents.nodes.pana_relay.settings import PanaRelayConfiguration
from agents.pana.dialect import PORT
from agents.pana.relay import Relay


class PanaRelay:
    """One socket on the access link, one towards the PAA; both are tied to their interfaces.

    The port towards the PAA, which may be any, is PANA's own: sessions outlive a restart.
    """

    def __init__(self, configuration: PanaRelayConfiguration, host: Host, log: EventLog) -> None:
        self._host = host
        self._paa = (configuration.paa, PORT)
        self._relay = Relay(self._paa, zone=configuration.access_interface)
        self._endpoint = host.run(self._relay, self._send, log.child("pana"))
        self._access = host.open_datagrams(
            (configuration.access_address, PORT),
            self._from_pac,
            interface=configuration.access_interface,
        )
        try:
            self._backhaul = host.open_datagrams(
                (configuration.address, PORT), self._from_paa, interface=configuration.interface
            )
        except OSError:
            self._access.close()
            raise

    def _from_pac(self, data: bytes, source: Address) -> None:
        self._endpoint.call(self._relay.from_pac, data, source, self._host.now())

    def _from_paa(self, data: bytes, source: Address) -> None:
        self._endpoint.call(self._relay.from_paa, data, source, self._host.now())

    def _send(self, datagram: tuple[bytes, Address]) -> None:
        side = self._backhaul if datagram[1] == self._paa else self._access
        side.send(*datagram)

    def start(self, ready: Callable[[], None]) -> None:
        """Tell that it serves: it waits for nobody."""
        ready()

    def stop(self, stopped: Callable[[], None]) -> None:
        """Close the sockets; tell when that is done."""
        self._endpoint.close()
        self._access.close()
        self._backhaul.close()
        stopped()
