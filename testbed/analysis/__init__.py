"""In: results. Out: medians, fits, comparisons and verdicts."""
