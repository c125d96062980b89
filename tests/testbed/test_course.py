"""How long a run may take before whoever waits for it ends it."""

from __future__ import annotations

from testbed.experiment.spec import Spec
from testbed.run.fleet import FleetWorker

SPEC = """
name = "slowly"
approach = "pana-ikev2"
topology = "operator"
runs = 1
timeout = 60.0
operator.mobile_nodes = 400
arrivals.rate = 1.0
[variants.all]
steps = [{ host = "AR1", command = "reauthenticate", lasts = 5.0, timeout = 7.0 }]
cycles = 3
"""


def test_who_come_one_by_one_and_what_follows_have_their_time(tmp_path):
    (tmp_path / "slowly.toml").write_text(SPEC)
    spec = Spec.load(tmp_path / "slowly.toml")
    (planned,) = spec.plan()
    worker = FleetWorker(tmp_path, planned, spec, warm=True, entered=lambda _: None)
    last = max(spec.variants["all"].starts(400, planned.seed))
    assert last > 200
    assert worker.longest == 60.0 + last + 3 * (5.0 + 7.0)
