"""What a bar of phases shows within them: discovery, and IKE that overlaps PANA."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from testbed.analysis.samples import Summary, summarise
from testbed.base.phases import DISCOVERY, OVERLAP
from testbed.report.style import PHASE_COLOURS, PURPLE
from testbed.results.folder import Results

LEGEND = {DISCOVERY: "discovery: DHCPv6, DNS, DHAAD", OVERLAP: "IKE beside PANA"}


@dataclass(frozen=True, slots=True)
class Overlay:
    """A part of a bar in seconds from its left end, and how many runs it is the median of."""

    name: str
    start: float
    length: float
    n: int


def overlays(results: Results, variant: str, phases: Mapping[str, Summary]) -> list[Overlay]:
    """Return what a variant's bar of median phases shows within them, nothing of length 0.

    The overlap is at the end of PANA, where it was; discovery is drawn from the beginning of
    `pana_to_ike`, as it follows PANA at once.
    """
    if not phases:
        return []
    pana, gap = phases["pana"].median, phases["pana_to_ike"].median
    found = []
    if one := summarise(results.values(variant, OVERLAP)):
        length = min(one.median, pana)
        found.append(Overlay(OVERLAP, pana - length, length, one.n))
    if one := summarise(results.values(variant, DISCOVERY)):
        found.append(Overlay(DISCOVERY, pana, min(one.median, gap), one.n))
    return [one for one in found if one.length > 0]


def look(name: str) -> dict[str, Any]:
    """Return how one is drawn."""
    if name == DISCOVERY:
        return {"facecolor": PURPLE, "edgecolor": "white", "lw": 0.4}
    return {
        "facecolor": PHASE_COLOURS["pana"],
        "edgecolor": PHASE_COLOURS["ike"],
        "hatch": "/////",
        "lw": 0.0,
    }


def draw(axes: Axes, row: float, height: float, shown: Iterable[Overlay]) -> None:
    """Draw them over a bar."""
    for one in shown:
        corner = (one.start, row - height / 2)
        axes.add_patch(Rectangle(corner, one.length, height, **look(one.name)))
