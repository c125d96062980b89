"""The DHCPv6 relay agent in the network access server (RFC 8415 section 19, 6422, 6610, 6611)."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from ipaddress import IPv6Address

from agents.bootstrap import Assignment
from agents.dhcpv6.events import Forwarded, Returned
from agents.dhcpv6.grammar import check
from agents.dhcpv6.home import Home, HomeInformation, requested
from agents.dhcpv6.wire import (
    CLIENT_PORT,
    HOP_COUNT_LIMIT,
    SERVER_PORT,
    Message,
    MessageType,
    Option,
    OptionCode,
    RelayMessage,
    decode_name,
    label,
    same_name,
)
from agents.machine import Address, Discarded, Event, PeerError
from agents.wire import WireError

_NOT_FOR_RELAYS = {MessageType.ADVERTISE, MessageType.REPLY, MessageType.RECONFIGURE}
_INTERFACE_IDENTIFIER = (1 << 64) - 1
_UNSPECIFIED = IPv6Address(0)


class Relay:
    """A relay agent between one access link and its servers. A Machine.

    `link_address` is a global address of its own on the access link, `interface` that link's
    interface. Clients are told apart by source address; what `set_information` has stored for an
    address is also found by another with the same interface identifier, for a mobile node
    authenticates with its care-of address and may ask from its link-local one. Entries of the
    outbox with a zone in the address ("fe80::1%eth1") are for the access link, the others for
    the servers. Relaying is without state, so no timer runs.
    """

    def __init__(
        self, *, interface: str, link_address: IPv6Address, servers: Sequence[Address]
    ) -> None:
        if not servers:
            raise ValueError("a relay agent needs a server")
        self.outbox: deque[tuple[bytes, Address]] = deque()
        self.events: deque[Event] = deque()
        self._interface = interface
        self._interface_id = interface.encode()
        self._link_address = link_address
        self._servers = tuple(servers)
        self._server_hosts = {address_of(host) for host, _ in servers}
        self._assignments: dict[IPv6Address, tuple[Assignment, str]] = {}

    # For the network access server.

    def set_information(self, client: IPv6Address, assignment: Assignment, network: str) -> None:
        """Keep the home agent that the AAA server assigned to a client, in its home `network`."""
        self._assignments[client] = (assignment, network)

    def forget(self, client: IPv6Address) -> None:
        """Drop what is kept for a client."""
        self._assignments.pop(client, None)

    def _information(self, client: IPv6Address) -> tuple[Assignment, str] | None:
        if client in self._assignments:
            return self._assignments[client]
        wanted = int(client) & _INTERFACE_IDENTIFIER
        for address, entry in self._assignments.items():
            if int(address) & _INTERFACE_IDENTIFIER == wanted:
                return entry
        return None

    # The machine.

    def next_timeout(self) -> float | None:
        """Return None: no timer runs."""
        return None

    def handle_timeout(self, now: float) -> None:
        """Do nothing: no timer runs."""

    def handle_message(self, data: bytes, source: Address, now: float) -> None:
        """Take one datagram from either side; from the servers' if one of them has sent it."""
        if address_of(source[0]) in self._server_hosts:
            self.from_server(data, source, now)
        else:
            self.from_client(data, source, now)

    def from_client(self, data: bytes, source: Address, now: float) -> None:
        """Take a datagram from the access link; what is not valid is dropped with an event."""
        try:
            self._forward(data, address_of(source[0]), now)
        except (WireError, PeerError) as error:
            self.events.append(Discarded(now, source[0], str(error)))

    def from_server(self, data: bytes, source: Address, now: float) -> None:
        """Take a datagram from the servers' side; what is not valid is dropped with an event."""
        try:
            if address_of(source[0]) not in self._server_hosts:
                raise PeerError("not from a server")
            self._return(data, now)
        except (WireError, PeerError) as error:
            self.events.append(Discarded(now, source[0], str(error)))

    # Towards the servers.

    def _forward(self, data: bytes, client: IPv6Address, now: float) -> None:
        kind = data[0] if data else 0
        if kind == MessageType.RELAY_REPLY or kind in _NOT_FOR_RELAYS:
            raise PeerError(f"{label(kind)} from the access link")
        if kind == MessageType.RELAY_FORWARD:
            hop_count, link_address = self._next_hop(data, client)
            supplied: tuple[Option, ...] = ()
        else:
            hop_count, link_address = 0, self._link_address
            supplied = self._supply(data, client)
        options = [
            Option(OptionCode.INTERFACE_ID, self._interface_id),
            Option(OptionCode.RELAY_MSG, data),
        ]
        if supplied:
            options.append(Option.container(OptionCode.RSOO, supplied))
        forward = RelayMessage(
            MessageType.RELAY_FORWARD, hop_count, link_address, client, tuple(options)
        )
        octets = forward.encode()
        self.events.append(Forwarded(now, str(client), label(kind), bool(supplied)))
        self.outbox.extend((octets, server) for server in self._servers)

    def _next_hop(self, data: bytes, source: IPv6Address) -> tuple[int, IPv6Address]:
        """Return hop count and link address for another relay agent's message (19.1.2)."""
        inner = RelayMessage.decode(data)
        check(inner)
        if inner.hop_count >= HOP_COUNT_LIMIT:
            raise PeerError(f"Relay-forward after {inner.hop_count} hops")
        return inner.hop_count + 1, self._link_address if source.is_link_local else _UNSPECIFIED

    def _supply(self, data: bytes, client: IPv6Address) -> tuple[Option, ...]:
        """Return what the client's message calls for of its information (RFC 6610 section 4.2).

        A home network is told only to a client that names it, an unnamed one if asked for; a
        message of a type unknown here is relayed as it is (RFC 8415 section 19).
        """
        if data and data[0] not in MessageType.__members__.values():
            if len(data) < 4:
                raise WireError("a message without a transaction identifier")
            return ()
        message = Message.decode(data)
        check(message)
        asked = requested(message.first(OptionCode.ORO))
        names = [decode_name(option.value) for option in message.all(OptionCode.MIP6_HNIDF)]
        entry = self._information(client)
        if entry is None:
            return ()
        assignment, network = entry
        supplied = []
        named = next((name for name in names if same_name(name, network)), None)
        if named is not None and Home.IDENTIFIED in asked:
            # The name goes back as the client spelt it.
            supplied.append(HomeInformation.of(assignment, named).to_option())
        if Home.UNRESTRICTED in asked:
            supplied.append(HomeInformation.of(assignment, None).to_option())
        return tuple(supplied)

    # Towards the clients.

    def _return(self, data: bytes, now: float) -> None:
        reply = RelayMessage.decode(data)
        if reply.kind != MessageType.RELAY_REPLY:
            raise PeerError(f"{label(reply.kind)} from a server")
        check(reply)
        interface_id = reply.value(OptionCode.INTERFACE_ID)
        if interface_id not in (None, self._interface_id):
            raise PeerError("Relay-reply for an unknown interface")
        if interface_id is None and reply.link_address not in (_UNSPECIFIED, self._link_address):
            raise PeerError(f"Relay-reply for an unknown link {reply.link_address}")
        peer = reply.peer_address
        if peer.is_multicast or peer.is_unspecified or peer.is_loopback:
            raise PeerError(f"Relay-reply for {peer}")
        message = reply.value(OptionCode.RELAY_MSG)
        if not message:
            raise WireError("Relay-reply with an empty message")
        port = SERVER_PORT if message[0] == MessageType.RELAY_REPLY else CLIENT_PORT
        self.events.append(Returned(now, str(peer), label(message[0])))
        self.outbox.append((message, (f"{peer}%{self._interface}", port)))


def address_of(host: str) -> IPv6Address:
    """Return a host's address without its zone."""
    return IPv6Address(host.partition("%")[0])
