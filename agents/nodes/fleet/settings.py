"""The configuration of many mobile nodes in one program."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Annotated

import msgspec

from agents.core.configuration import CommandNames, Configuration
from agents.nodes.mobile_node.settings import MobileNodeConfiguration


def clock_time(text: str) -> float:
    """Read a time in seconds of the clock that events have; raises ValueError."""
    with suppress(ValueError):
        if 0 <= (seconds := float(text)) < math.inf:
            return seconds
    raise ValueError(f"{text} is no time of the clock, which is a number of seconds, 0 or more")


class FleetConfiguration(Configuration, frozen=True, kw_only=True):
    """Mobile nodes, each in the network namespace that has its host's name (ip-netns(8)).

    They begin when they are told to, once: "begin HOST SECONDS", of the clock that events have.
    """

    nodes: Annotated[tuple[MobileNodeConfiguration, ...], msgspec.Meta(min_length=1)]

    @property
    def commands(self) -> CommandNames:
        """What may be asked of the fleet."""
        return {"begin": (str, clock_time)}

    def __post_init__(self) -> None:
        if any(node.launch == "script" for node in self.nodes):
            raise ValueError("a launch script is for one mobile node only")
