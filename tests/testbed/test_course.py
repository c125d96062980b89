"""How long a run may take before whoever waits for it ends it, and what it says went wrong."""

from __future__ import annotations

import pytest

from testbed.experiment.spec import Spec
from testbed.run.course import bad_news
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


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"event": "ConnectionFailed", "reason": "no route"}, "C mip6: no route"),
        (
            {"event": "BindingRejected", "status": "DUPLICATE_ADDRESS"},
            "C mip6: BindingRejected, DUPLICATE_ADDRESS",
        ),
        ({"event": "Rejected"}, "C mip6: Rejected"),
        ({"event": "Rejected", "reason": ""}, "C mip6: Rejected"),
    ],
)
def test_bad_news_have_a_reason_or_say_what_they_are(told, said):
    assert bad_news({"host": "C", "agent": "mip6"} | told) == said


def test_who_come_one_by_one_and_what_follows_have_their_time(tmp_path):
    (tmp_path / "slowly.toml").write_text(SPEC)
    spec = Spec.load(tmp_path / "slowly.toml")
    (planned,) = spec.plan()
    worker = FleetWorker(tmp_path, planned, spec, warm=True, entered=lambda _: None)
    last = max(spec.variants["all"].starts(400, planned.seed))
    assert last > 200
    assert worker.longest == 60.0 + last + 3 * (5.0 + 7.0)
