"""The DHCPv6 relay agent on the access router."""

from __future__ import annotations

from ipaddress import IPv6Address

from agents.bootstrap.assignment import Assignment
from agents.core.eventlog import EventLog
from agents.core.host import Host, Transport
from agents.core.machine import Address
from agents.dhcpv6.relay import Relay
from agents.dhcpv6.wire import ALL_RELAY_AGENTS_AND_SERVERS, HOP_COUNT_LIMIT, SERVER_PORT
from agents.nodes.access_settings import AccessConfiguration, RelaySettings


class RelayAgent:
    """One socket on the access link, one towards the servers.

    Which socket a message comes in by decides whose it is: both are tied to their interfaces.
    """

    def __init__(
        self,
        host: Host,
        settings: RelaySettings,
        interface: str,
        link_address: IPv6Address,
        log: EventLog,
    ) -> None:
        self._host = host
        self._settings = settings
        self._interface = interface
        self.machine = Relay(
            interface=interface,
            link_address=link_address,
            servers=[(settings.server, SERVER_PORT)],
        )
        self._endpoint = host.run(self.machine, self._send, log)
        self._sides: tuple[Transport, Transport] | None = None

    def open(self) -> None:
        """Open both sockets or none, if that is not done yet; raises OSError if it cannot be."""
        if self._sides is not None:
            return
        host, settings = self._host, self._settings
        access = host.open_datagrams(
            ("::", SERVER_PORT),
            self._from_client,
            interface=self._interface,
            multicast=ALL_RELAY_AGENTS_AND_SERVERS,
        )
        try:
            servers = host.open_datagrams(
                (settings.address, SERVER_PORT),
                self._from_server,
                interface=settings.interface,
                multicast_hops=HOP_COUNT_LIMIT,
            )
        except OSError:
            access.close()
            raise
        self._sides = access, servers

    def supply(self, session: int, client: IPv6Address, assignment: Assignment | None) -> None:
        """Have it tell the DHCPv6 server about the home agent assigned in a session."""
        self.machine.set_information(session, client, assignment, self._settings.network)

    def _from_client(self, data: bytes, source: Address) -> None:
        self._endpoint.call(self.machine.from_client, data, source, self._host.now())

    def _from_server(self, data: bytes, source: Address) -> None:
        self._endpoint.call(self.machine.from_server, data, source, self._host.now())

    def _send(self, datagram: tuple[bytes, Address]) -> None:
        if self._sides:
            access, servers = self._sides
            side = access if "%" in datagram[1][0] else servers
            side.send(*datagram)

    def close(self) -> None:
        """Close both sockets."""
        self._endpoint.close()
        for side in self._sides or ():
            side.close()


def relay_agent(configuration: AccessConfiguration, host: Host, log: EventLog) -> RelayAgent | None:
    """Return the relay agent of an access router, None if it is to have none."""
    if configuration.relay is None:
        return None
    link_address = IPv6Address(configuration.address)
    return RelayAgent(host, configuration.relay, configuration.access_interface, link_address, log)
