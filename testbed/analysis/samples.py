"""What there is to say of a sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats as scipy_stats

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Summary:
    """A sample's median, mean, quartiles and range, and the 95 % interval of its median.

    `ci95` is the one of the sign test: two values of the sample, whatever the distribution. Below
    six values there is none: even the least and the greatest have the median between them in
    1 - 2^(1-n) of all samples only, of three in 75 %.
    """

    n: int
    median: float
    mean: float
    quartiles: tuple[float, float]
    range: tuple[float, float]
    ci95: tuple[float, float] | None

    def as_json(self) -> dict[str, Any]:
        """Return it in the form of summary.json."""
        return {
            "median": self.median,
            "mean": self.mean,
            "ci95": list(self.ci95) if self.ci95 else None,
            "n": self.n,
            "quartiles": list(self.quartiles),
            "range": list(self.range),
        }


def summarise(values: Sequence[float]) -> Summary | None:
    """Summarise a sample; None if it is empty."""
    if not values:
        return None
    sample = np.asarray(values, dtype=float)
    low, high = np.quantile(sample, [0.25, 0.75])
    ends = scipy_stats.quantile_test(sample, p=0.5).confidence_interval(CONFIDENCE)
    return Summary(
        n=len(sample),
        median=float(np.median(sample)),
        mean=float(np.mean(sample)),
        quartiles=(float(low), float(high)),
        range=(float(np.min(sample)), float(np.max(sample))),
        ci95=None if np.isnan([ends.low, ends.high]).any() else (float(ends.low), float(ends.high)),
    )
