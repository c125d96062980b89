"""What is measured of the paths between correspondent nodes and a mobile node, and judged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Any

import msgspec

from testbed.experiment.steps import Expectation
from testbed.experiment.throughput import Towards, Transfer
from testbed.results.runs import CARE_OF, HOME, Throughput, shares


@dataclass(frozen=True, slots=True)
class Payload:
    """What is to be transferred, by when, and between which hosts.

    `address` is the mobile node's, `until` is a time of the lab's clock in seconds.
    """

    correspondent_node: str
    mobile_node: str
    address: IPv6Address
    transfer: Transfer
    towards: Towards
    until: float


class Paths:
    """The paths to the mobile node's addresses, by what these are."""

    def __init__(self) -> None:
        self.addresses: dict[str, IPv6Address] = {}
        self.round_trips: dict[str, float] = {}
        self.throughput: list[Throughput] = []

    def add(self, path: str, payload: Payload, found: dict[str, Any]) -> None:
        """Note what came of a transfer."""
        protocol, towards = payload.transfer.protocol, payload.towards
        self.throughput.append(Throughput(path=path, protocol=protocol, towards=towards, **found))

    def complaints(self, expected: Expectation) -> Iterator[str]:
        """Yield what of the path to the home address is not as good as it has to be."""
        if expected.detour is not None:
            home, care_of = (self.round_trips[path] for path in (HOME, CARE_OF))
            if home > expected.detour * care_of:
                yield (
                    f"the round trip to the home address is {home / care_of:.2f} times that to the "
                    f"care-of address; {expected.detour:g} times is allowed"
                )
        if expected.throughput is None:
            return
        for (protocol, towards), share in shares(self.throughput).items():
            if share < expected.throughput:
                yield (
                    f"the throughput of {protocol.upper()} towards the {towards} is {share:.3f}"
                    " times as much at the home address as at the care-of address;"
                    f" {expected.throughput:g} times is wanted"
                )

    def as_json(self) -> dict[str, Any]:
        """Return what was measured as fields of a run's line."""
        return {
            "round_trips": self.round_trips,
            "throughput": msgspec.to_builtins(self.throughput),
        }
