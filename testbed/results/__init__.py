"""In: runs as they end. Out: the results folder, written line by line and read back.

For notebooks and programs of one's own, all that is needed is here; docs/explore.ipynb uses it:

    from testbed import results

    loaded = results.load("results/pana-fast/latest")   # Results; DataError with file and line
    for run in loaded.runs:                              # Run: one line of runs.jsonl, typed
        print(run.variant, run.status, run.phases)       # times in seconds
    loaded.values("pana-fast", "total")                  # a phase's times of a variant's bootstraps
    results.events(loaded, loaded.runs[0])               # what its programs told
    results.captures(loaded, loaded.runs[0])             # a capture's path for each host
"""

from testbed.base.jsonl import DataError
from testbed.results.folder import Results, load
from testbed.results.records import captures, events
from testbed.results.runs import Run

__all__ = ["DataError", "Results", "Run", "captures", "events", "load"]
