"""The DHCPv6 relay agent in the network access server (RFC 8415 section 19, 6422, 6610, 6611)."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from ipaddress import IPv6Address

from agents.bootstrap.assignment import Assignment
from agents.core.machine import Address, Discarded, Event, PeerError, address_of
from agents.core.rate import TokenBucket
from agents.core.reader import WireError
from agents.dhcpv6.clients import Clients, Information
from agents.dhcpv6.events import Forwarded, Returned
from agents.dhcpv6.grammar import check
from agents.dhcpv6.home import Home, HomeInformation, requested
from agents.dhcpv6.wire import (
    ALL_SERVERS,
    CLIENT_PORT,
    HOP_COUNT_LIMIT,
    SERVER_PORT,
    Message,
    MessageType,
    Option,
    OptionCode,
    RelayMessage,
    decode_name,
    is_host,
    label,
    same_name,
)

_NOT_FOR_RELAYS = {MessageType.ADVERTISE, MessageType.REPLY, MessageType.RECONFIGURE}
_UNSPECIFIED = IPv6Address(0)
_HEAD = 4
"""Octets of type and transaction identifier (RFC 8415 section 8)."""

STRANGERS = 100.0
"""Messages per second: a link's hosts need a few each, and a server answers thousands."""


class Relay:
    """A relay agent between one access link and its servers. A Machine.

    `link_address` is a global address of its own on the access link, `interface` that link's
    interface. The owner tells by the interface which side a message has come from: a server may
    answer from any of its addresses. What the AAA server has assigned goes with the address that
    was authenticated for it (see `set_information`). `relays` are further relay agents on the
    access link; a Relay-forward from anybody else is refused. Clients without information share
    `strangers`, a number of messages per second. Entries of the outbox with a zone in the address
    ("fe80::1%eth1") are for the access link, the others for the servers. Relaying is without state,
    so no timer runs.
    """

    def __init__(
        self,
        *,
        interface: str,
        link_address: IPv6Address,
        servers: Sequence[Address] = ((ALL_SERVERS, SERVER_PORT),),
        relays: Collection[IPv6Address] = (),
        strangers: float = STRANGERS,
    ) -> None:
        if not servers:
            raise ValueError("a relay agent needs a server")
        self.outbox: deque[tuple[bytes, Address]] = deque()
        self.events: deque[Event] = deque()
        self._interface = interface
        self._interface_id = interface.encode()
        self._link_address = link_address
        self._servers = tuple(servers)
        self._relays = frozenset(relays)
        self._clients = Clients()
        self._strangers = TokenBucket(rate=strangers, burst=strangers)
        self._refusing = False

    # For the network access server.

    def set_information(
        self, session: int, client: IPv6Address, assignment: Assignment | None, network: str
    ) -> None:
        """Keep the home agent that the AAA server assigned in a session, in its home `network`.

        It is for the address that the session was authenticated with, and for the link-local one
        of the same interface where that is certain. Without an assignment nothing is kept.
        """
        self._clients.forget(session)
        if assignment is not None:
            self._clients.add(session, client, Information(assignment, network))

    def move(self, session: int, client: IPv6Address) -> None:
        """Keep a session's information for its new address, and no longer for the old one."""
        self._clients.move(session, client)

    def forget(self, session: int) -> None:
        """Drop what is kept for a session."""
        self._clients.forget(session)

    # The machine.

    def next_timeout(self) -> float | None:
        """Return None: no timer runs."""
        return None

    def handle_timeout(self, now: float) -> None:
        """Do nothing: no timer runs."""

    def handle_message(self, data: bytes, source: Address, now: float) -> None:
        """Take one datagram from the access link, where everybody may be."""
        self.from_client(data, source, now)

    def from_client(self, data: bytes, source: Address, now: float) -> None:
        """Take a datagram from the access link; what is not valid is dropped with an event.

        So is what strangers send beyond their allowance, with one event for all in a row.
        """
        client = address_of(source[0])
        information = self._clients.find(client)
        stranger = information is None and client not in self._relays
        if stranger and not self._strangers.take(now):
            if not self._refusing:
                self._refusing = True
                reason = "more messages from strangers than allowed"
                self.events.append(Discarded(now, source[0], reason))
            return
        self._refusing = self._refusing and not stranger
        try:
            self._forward(data, client, information, now)
        except (WireError, PeerError) as error:
            self.events.append(Discarded(now, source[0], str(error)))

    def from_server(self, data: bytes, source: Address, now: float) -> None:
        """Take a datagram from the servers' side; what is not valid is dropped with an event."""
        try:
            self._return(data, now)
        except (WireError, PeerError) as error:
            self.events.append(Discarded(now, source[0], str(error)))

    # Towards the servers.

    def _forward(
        self, data: bytes, client: IPv6Address, information: Information | None, now: float
    ) -> None:
        kind = data[0] if data else 0
        if not is_host(client):
            raise PeerError(f"a message from {client}")
        if kind == MessageType.RELAY_REPLY or kind in _NOT_FOR_RELAYS:
            raise PeerError(f"{label(kind)} from the access link")
        if kind == MessageType.RELAY_FORWARD:
            hop_count, link_address = self._next_hop(data, client)
            supplied: tuple[Option, ...] = ()
        else:
            hop_count, link_address = 0, self._link_address
            supplied = _supply(data, information)
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
        if source not in self._relays:
            raise PeerError("Relay-forward from a host that is no relay agent of ours")
        inner = RelayMessage.decode(data)
        check(inner)
        if inner.hop_count >= HOP_COUNT_LIMIT:
            raise PeerError(f"Relay-forward after {inner.hop_count} hops")
        return inner.hop_count + 1, self._link_address if source.is_link_local else _UNSPECIFIED

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
        if not is_host(peer):
            raise PeerError(f"Relay-reply for {peer}")
        message = reply.value(OptionCode.RELAY_MSG)
        if not message:
            raise WireError("Relay-reply with an empty message")
        port = SERVER_PORT if message[0] == MessageType.RELAY_REPLY else CLIENT_PORT
        self.events.append(Returned(now, str(peer), label(message[0])))
        self.outbox.append((message, (f"{peer}%{self._interface}", port)))


def _supply(data: bytes, information: Information | None) -> tuple[Option, ...]:
    """Return what a client's message calls for of its information (RFC 6610 section 4.2).

    A home network is told only to a client that names it, an unnamed one if asked for. A message
    that cannot be read, one of a type unknown here among them, is relayed as it is (RFC 8415
    section 19); WireError for less than a message's head.
    """
    if len(data) < _HEAD:
        raise WireError("a message without a transaction identifier")
    if information is None or data[0] not in MessageType.__members__.values():
        return ()
    try:
        message = Message.decode(data)
        asked = requested(message.first(OptionCode.ORO))
        names = [decode_name(option.value) for option in message.all(OptionCode.MIP6_HNIDF)]
    except WireError:
        return ()
    assignment, network = information.assignment, information.network
    supplied = []
    named = next((name for name in names if same_name(name, network)), None)
    if named is not None and Home.IDENTIFIED in asked:
        # The name goes back as the client spelt it.
        supplied.append(HomeInformation.of(assignment, named).to_option())
    if Home.UNRESTRICTED in asked:
        supplied.append(HomeInformation.of(assignment, None).to_option())
    return tuple(supplied)
