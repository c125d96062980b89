"""A package of others in a lab: its approach is rehearsed, its daemon runs in a host."""

from testbed.base.jsonl import read_lines
from tests.installed import EXAMPLE, install
from tests.lab.experiment import NEEDS, carry_out_here

pytestmark = NEEDS


def test_a_bootstrap_with_all_that_a_package_brings(place, monkeypatch):
    installed = str(install(place))
    monkeypatch.syspath_prepend(installed)
    monkeypatch.setenv("PYTHONPATH", installed)

    outcome = carry_out_here(EXAMPLE / "experiment.toml", place)

    [run] = outcome.results.runs
    assert (run.status, run.reason, run.warm) == ("ok", None, True)
    events = read_lines(outcome.folder / "runs" / "0001" / "events.jsonl", dict).items
    [started] = [event for event in events if event["event"] == "NameServerStarted"]
    assert started["host"] == "C"
