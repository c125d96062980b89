"""What is told of strongSwan's IKE, by the names of what the agents' own IKE tells."""

from __future__ import annotations

from ipaddress import IPv6Address

from agents.core.machine import Event


class Phase1Started(Event, frozen=True):
    """strongSwan is told to negotiate by IKEv1."""

    peer: IPv6Address


class IkeStarted(Event, frozen=True):
    """strongSwan is told to negotiate by IKEv2."""

    peer: IPv6Address


class IkeEstablished(Event, frozen=True):
    """An IKE SA is up with a peer, by the name of its connection."""

    peer: str


class IkeDeleted(Event, frozen=True):
    """An IKE SA is gone."""

    peer: str


class AddressAssigned(Event, frozen=True):
    """The home agent has assigned a home address."""

    peer: str
    home_address: IPv6Address


class ChildEstablished(Event, frozen=True):
    """The kernel has ESP SAs with a peer."""

    peer: str


class ChildDeleted(Event, frozen=True):
    """ESP SAs are gone."""

    peer: str


class Failed(Event, frozen=True):
    """strongSwan has not come to an end with a peer, or refuses what it is told."""

    peer: str
    reason: str
