"""What many mobile nodes come to in one run, and how they come to another home agent."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from topologies.model import Topology


@dataclass(slots=True)
class Move:
    """A mobile node's way to another home agent, as testbed.results.runs.Moved has it."""

    home_agent: str = ""
    home_address: str = ""
    noticed: float | None = None
    bootstrapped: float | None = None
    registered: float | None = None

    def note(self, event: Mapping[str, Any], since: float, before: str) -> None:
        """Take note of an event of the mobile node's."""
        at = round(event["t"] / 1e9 - since, 6)
        match event["event"]:
            case "ChildDeleted" if self.noticed is None:
                self.noticed = at
            case "AssignmentChanged":
                self.noticed = at if self.noticed is None else self.noticed
                self.bootstrapped = None
            case "ChildEstablished":
                self.bootstrapped = at
            case "Bootstrapped" if event["home_agent"] != before:
                self.home_agent, self.home_address = event["home_agent"], event["home_address"]
                self.registered = at


@dataclass(slots=True)
class Member:
    """What a mobile node came to; times in seconds since the first one began.

    `failures` are the attempts that failed before one succeeded, or the time was over. `moved` is
    its way to another home agent.
    """

    host: str
    start: float
    end: float | None = None
    home_agent: str = ""
    home_address: str = ""
    failures: int = 0
    reason: str = ""
    moved: Move | None = None

    def is_over(self, attempts: int) -> bool:
        """Return whether it is up, or has made all attempts that it is allowed (0: any number)."""
        return self.end is not None or 0 < attempts <= self.failures

    @property
    def place(self) -> tuple[str, str]:
        """Home agent and home address at present."""
        if self.moved:
            return self.moved.home_agent, self.moved.home_address
        return self.home_agent, self.home_address


def at_home_agent(members: Iterable[Member], host: str, topology: Topology) -> list[Member]:
    """Return the mobile nodes that are registered with the home agent on a host."""
    addresses = {str(end.address) for _, end in topology.at(host) if end.addresses}
    return [member for member in members if member.place[0] in addresses]


def follow_moves(
    moving: Collection[Member], events: Iterable[Mapping[str, Any]], since: float
) -> None:
    """Follow mobile nodes until each is registered with another home agent.

    Times count from `since`, in seconds of the events' clock.
    """
    waiting = {member.host: (member, Move()) for member in moving}
    for event in events if waiting else ():
        member, move = waiting.get(event["host"], (None, None))
        if member is None or move is None:
            continue
        move.note(event, since, member.place[0])
        if move.registered is not None:
            member.moved = move
            del waiting[member.host]
        if not waiting:
            break
