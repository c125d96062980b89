"""What the lookup tells its owner."""

from __future__ import annotations

from ipaddress import IPv6Address

from agents.core.machine import Event
from agents.core.record import Record


class HomeAgent(Record, frozen=True):
    """One home agent by name; `addresses` are empty if it was not looked up."""

    fqdn: str
    addresses: tuple[IPv6Address, ...]


class Started(Event, frozen=True):
    """The first query of a lookup is queued."""


class Inconclusive(Event, frozen=True):
    """An answer about `name` settles nothing; the lookup goes on."""

    name: str
    reason: str


class HomeAgentsFound(Event, frozen=True):
    """The home agents in the order in which to try them; the first has an address.

    What stands before it in the DNS but has no address is left out.
    """

    home_agents: tuple[HomeAgent, ...]


class Failed(Event, frozen=True):
    """A lookup ended without a home agent."""

    reason: str
