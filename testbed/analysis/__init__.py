"""In: results. Out: medians, intervals, fits, comparisons, and verdicts on claims."""
