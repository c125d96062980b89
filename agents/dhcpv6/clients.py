"""Whom a relay agent has information for."""

from __future__ import annotations

from ipaddress import IPv6Address

from agents.bootstrap.assignment import Assignment
from agents.core.record import Record

_INTERFACE_IDENTIFIER = (1 << 64) - 1
_LINK_LOCAL = 0xFE80 << 112


class Information(Record, frozen=True):
    """The home agent that the AAA server assigned to a client, in its home `network`."""

    assignment: Assignment
    network: str


def same_interface(address: IPv6Address) -> IPv6Address | None:
    """Return the link-local address of the interface that has an address, None if unknown.

    It is known of an interface identifier that is made from the interface's MAC address (RFC 4291
    appendix A): the link-local address that this makes is the interface's own, which defends it
    (RFC 4862 sections 5.3 and 5.4). Of any other identifier a neighbour may make a link-local
    address that is free.
    """
    identifier = int(address) & _INTERFACE_IDENTIFIER
    if identifier >> 24 & 0xFFFF != 0xFFFE:
        return None
    return IPv6Address(_LINK_LOCAL | identifier)


class Clients:
    """The sessions with information, found by the address that a client asks from.

    The address is the one that was authenticated. An interface's link-local address stands for the
    first address of the interface that has come, for as long as it is there.
    """

    def __init__(self) -> None:
        self._addresses: dict[int, IPv6Address] = {}
        self._information: dict[IPv6Address, tuple[int, Information]] = {}
        self._link_local: dict[IPv6Address, IPv6Address] = {}

    def find(self, client: IPv6Address) -> Information | None:
        """Return what is kept for a client."""
        entry = self._information.get(client)
        if entry is None and (address := self._link_local.get(client)):
            entry = self._information.get(address)
        return entry[1] if entry else None

    def add(self, session: int, client: IPv6Address, information: Information) -> None:
        """Keep a session's information; a later session of the same address replaces it."""
        if earlier := self._information.get(client):
            self._addresses.pop(earlier[0], None)
        self._addresses[session] = client
        self._information[client] = session, information
        if link_local := same_interface(client):
            self._link_local.setdefault(link_local, client)

    def move(self, session: int, client: IPv6Address) -> None:
        """Keep a session's information for another address."""
        address = self._addresses.get(session)
        if address is not None:
            _, information = self._information[address]
            self.forget(session)
            self.add(session, client, information)

    def forget(self, session: int) -> None:
        """Drop what is kept for a session."""
        address = self._addresses.pop(session, None)
        if address is None:
            return
        del self._information[address]
        link_local = same_interface(address)
        if link_local and self._link_local.get(link_local) == address:
            del self._link_local[link_local]
