"""What a step transfers to measure the throughput of a path."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec

Towards: TypeAlias = Literal["mobile node", "correspondent node"]
WAYS: tuple[Towards, ...] = ("mobile node", "correspondent node")
"""Whom payload goes to, in the order in which both are measured."""

PORT = 5201
"""Of the server, on the mobile node."""

MOST_BESIDE = 10.0
"""Mbit/s that captures keep without losing any."""

PREPARATION = 2.0
"""Seconds that a transfer takes beside its own, at least as far as a step's timeout is judged."""


class Transfer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Payload that a correspondent node and a mobile node transfer for some `seconds`.

    It goes `towards` one of them, or to both, one after the other. Not more than `rate` Mbit/s are
    sent; 0 is whatever TCP makes of the path. UDP makes nothing of it, and has to be told. What is
    transferred `beside` the steps that follow, which is awaited behind the last, is in captures.
    """

    seconds: Annotated[int, msgspec.Meta(ge=1, le=3600)]
    protocol: Literal["tcp", "udp"] = "tcp"
    towards: Literal[Towards, "both"] = "both"
    rate: Annotated[float, msgspec.Meta(ge=0, le=100_000)] = 0.0
    beside: bool = False

    def __post_init__(self) -> None:
        if self.protocol == "udp" and not self.rate:
            raise ValueError(
                "UDP sends as fast as it is told: set `rate` (Mbit/s), a little above what the"
                " narrowest link of the path takes"
            )

        if self.beside and (not 0 < self.rate <= MOST_BESIDE or self.towards == "both"):
            raise ValueError(
                "what goes on `beside` other steps is kept by captures, and goes one way: set"
                f" `rate` (up to {MOST_BESIDE:g} Mbit/s), and `towards` 'mobile node' or"
                " 'correspondent node'"
            )

    @property
    def ways(self) -> tuple[Towards, ...]:
        """Whom payload goes to, one after the other."""
        return WAYS if self.towards == "both" else (self.towards,)

    @property
    def lasts(self) -> int:
        """Seconds that all of it takes."""
        return self.seconds * len(self.ways)
