"""What of an experiment cannot be carried out on a real kernel, said before anything starts."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence

import msgspec

from testbed.experiment.spec import (
    EACH_SECONDS,
    Operator,
    PlannedRun,
    Simulation,
    Spec,
    Variant,
)
from topologies.operator import MOST_REAL

MOST_ON_A_LINK = 1022
"""Mobile nodes for which a bridge has ports, beside the access router's (BR_MAX_PORTS)."""

_KEPT = ("captures",)
"""Settings of the simulation without which an experiment is the same."""


def obstacles(spec: Spec, plan: Sequence[PlannedRun], *, slow: bool) -> list[tuple[str, str]]:
    """Return variants that cannot be carried out on a kernel, and why.

    One that is `slow` has one processor, as user-mode Linux, or one that is emulated.
    """
    found: dict[tuple[str, str], None] = {}
    first = {_judged(run): run for run in reversed(plan)}.values()
    for planned in sorted(first, key=lambda run: list(spec.variants).index(run.variant)):
        variant = spec.at(planned.parameters).variants[planned.variant]
        reasons = _of(variant, planned.seed, slow=slow)
        found |= dict.fromkeys((planned.variant, why) for why in reasons)
    return list(found)


def _judged(run: PlannedRun) -> str:
    """Return what tells a run from others, but for links: they can have any values here."""
    point = {path: value for path, value in run.parameters.items() if not path.startswith("links")}
    return json.dumps([run.variant, point], sort_keys=True)


def _of(variant: Variant, seed: int, *, slow: bool) -> Iterator[str]:
    usual = msgspec.structs.asdict(Simulation())
    for setting, value in msgspec.structs.asdict(variant.simulation).items():
        if value != usual[setting] and setting not in _KEPT:
            yield f"simulation.{setting} = {value} is the sim lab's alone: leave it out"
    nodes, routers = variant.mobile_nodes, (variant.operator or Operator()).access_routers
    if (each := math.ceil(nodes / routers)) > MOST_ON_A_LINK:
        yield (
            f"{each} mobile nodes on an access link: a bridge has ports for {MOST_ON_A_LINK}:"
            f" set operator.access_routers to {math.ceil(nodes / MOST_ON_A_LINK)} at least"
        )
    if nodes > MOST_REAL:
        yield (
            f"{nodes} mobile nodes: at most {MOST_REAL} have names for their interfaces in a"
            " kernel: set operator.mobile_nodes"
        )
    elif slow and nodes > 1:
        time = variant.timeout + max(variant.starts(nodes, seed))
        if (needed := EACH_SECONDS * nodes) > time:
            most = int(variant.timeout / EACH_SECONDS)
            fewer = f"operator.mobile_nodes to {most} at most, or " if most else ""
            yield (
                f"{nodes} mobile nodes take about {needed:.{0 if needed > 1 else 1}f} s of the one"
                f" processor here, and a run ends after {time:.{0 if time > 1 else 1}f} s: set"
                f" {fewer}a longer timeout"
            )
