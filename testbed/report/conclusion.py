"""All that is written of results: summary, CSV, figures and page.

It needs Matplotlib and SciPy, which take a second to import.
"""

from __future__ import annotations

from testbed.analysis import stats
from testbed.report import page, plots
from testbed.results.folder import Results, write_phases_csv


def write(results: Results) -> None:
    """Write it into the results' folder; raises DataError or OSError."""
    plots.draw(results)  # First: what cannot be drawn becomes a warning.
    stats.write_summary(results)
    write_phases_csv(results)
    page.write(results)
