"""A DHCPv6 relay agent on its two sockets."""

from __future__ import annotations

from collections.abc import Callable

from agents.core.machine import Address, Event
from agents.dhcpv6.relay import Relay
from agents.dhcpv6.wire import ALL_RELAY_AGENTS_AND_SERVERS, HOP_COUNT_LIMIT, SERVER_PORT
from agents.shell.datagrams import DatagramSocket
from agents.shell.driver import Driver


class RelayEndpoint:
    """One relay agent: a socket on the access link, one towards the servers.

    `interface` is the access link's; `server_interface` and `address` are the relay agent's own
    towards the servers. Which socket a message comes in by decides whose it is: both are tied to
    their interfaces. Must be made inside a running event loop. Raises OSError if a socket cannot
    be had.
    """

    def __init__(
        self,
        relay: Relay,
        *,
        interface: str,
        server_interface: str,
        address: str,
        on_event: Callable[[Event], None],
    ) -> None:
        self._relay = relay
        self.driver = Driver(relay, self._send, on_event)
        self._access = DatagramSocket(
            ("::", SERVER_PORT),
            self._from_client,
            interface=interface,
            multicast=ALL_RELAY_AGENTS_AND_SERVERS,
        )
        try:
            self._servers = DatagramSocket(
                (address, SERVER_PORT),
                self._from_server,
                interface=server_interface,
                multicast_hops=HOP_COUNT_LIMIT,
            )
        except OSError:
            self._access.close()
            raise

    def _from_client(self, data: bytes, source: Address) -> None:
        self.driver.call(self._relay.from_client, data, source, self.driver.now())

    def _from_server(self, data: bytes, source: Address) -> None:
        self.driver.call(self._relay.from_server, data, source, self.driver.now())

    def _send(self, data: bytes, destination: Address) -> None:
        side = self._access if "%" in destination[0] else self._servers
        side.send(data, destination)

    def close(self) -> None:
        """Close both sockets."""
        self.driver.close()
        self._access.close()
        self._servers.close()
