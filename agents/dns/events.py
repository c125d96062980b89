"""What the lookup tells its owner."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address

from agents.core.machine import Event


@dataclass(frozen=True, slots=True)
class HomeAgent:
    """One home agent by name; `addresses` are empty if it was not looked up."""

    fqdn: str
    addresses: tuple[IPv6Address, ...]


@dataclass(frozen=True, slots=True)
class Started(Event):
    """The first query of a lookup is queued."""


@dataclass(frozen=True, slots=True)
class Inconclusive(Event):
    """An answer about `name` settles nothing; the lookup goes on."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class HomeAgentsFound(Event):
    """The home agents in the order in which to try them; the first has an address.

    What stands before it in the DNS but has no address is left out.
    """

    home_agents: tuple[HomeAgent, ...]


@dataclass(frozen=True, slots=True)
class Failed(Event):
    """A lookup ended without a home agent."""

    reason: str
