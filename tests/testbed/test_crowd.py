"""Many mobile nodes in the sim lab: what is left of them, and what brings them up in a storm."""

from __future__ import annotations

import json
import shutil

import pytest

from testbed.base.phases import PHASES, TOTAL
from testbed.experiment.simulable import obstacles
from testbed.experiment.spec import Spec
from testbed.results import folder as results
from testbed.run.simulated import can_run
from testbed.runner import conclude
from testbed.trace.phases import NOISE, from_events_of_all
from tests.testbed.simulated import carry_out

FEW = """
name = "few"
approach = "pana-ikev2"
topology = "operator"
runs = 1
timeout = 60.0
[operator]
mobile_nodes = 12
access_routers = 2
home_agents = 2
[links]
access.delay = 0.005
core.delay = 0.01
[variants.real]
[variants.model]
simulation = { public_keys = "model", captures = 0 }
[variants.jittered]
settings.crowd.start_delay = 10.0
simulation = { public_keys = "model", captures = 0 }
[variants.crowded]
timeout = 4.0
expect.up = 1
settings.crowd = { half_open = 1, newcomers = "wait" }
simulation = { public_keys = "model", captures = 0 }
[variants.served]
arrivals.rate = 50.0
simulation = { public_keys = "model", captures = 0, home_aaa_servers = 4 }
[variants.late]
timeout = 1.0
expect.reason = "refused"
simulation = { public_keys = "model", captures = 0 }
[variants.too-few]
timeout = 1.0
expect.up = 12
simulation = { public_keys = "model", captures = 0 }
[variants.enough]
expect.up = 0
simulation = { public_keys = "model", captures = 0 }
[variants.not-refused]
expect.reason = "refused"
simulation = { public_keys = "model", captures = 0 }
"""


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    return results.load(carry_out(tmp_path_factory.mktemp("few"), FEW))


def run_of(loaded, variant):
    (run,) = loaded.of(variant)
    return run


def test_each_mobile_node_is_followed_to_its_end(few):
    run = run_of(few, "real")
    assert run.status == "ok"
    assert [member.host for member in run.members] == [f"MN{n:04}" for n in range(1, 13)]
    for member in run.members:
        assert set(member.phases) == {*PHASES, TOTAL}
        assert member.phases[TOTAL] == pytest.approx(member.end - member.start, abs=0.02)
    assert len({member.home_address for member in run.members}) == 12
    assert len({member.home_agent for member in run.members}) == 2


def test_phases_of_captures_and_of_events_are_the_same(few):
    run = run_of(few, "real")
    for phase, seconds in run.phases.items():
        assert run.event_phases[phase] == pytest.approx(seconds, abs=0.02)


def test_captures_are_of_the_access_routers_and_only_of_few(few):
    folder = few.folder / "runs"
    kept = {
        run.variant: sorted(p.name for p in (folder / f"{run.run:04}" / "captures").iterdir())
        for run in few.runs
    }
    assert kept["real"] == ["AR1.pcapng", "AR2.pcapng"]
    assert kept["model"] == []


@pytest.mark.parametrize("approach", ["pana-ikev1", "pana-ikev2", "pana-fast", "dns-ikev2"])
def test_on_bad_links_captures_have_the_times_that_each_mobile_node_tells(tmp_path, approach):
    head, _, tail = FEW.partition("[variants.real]")[0].partition("[operator]")
    bad = f"{head}attempts = 0\n[operator]{tail}access.loss = 20\n[variants.bad]\n"
    loaded = results.load(carry_out(tmp_path, bad.replace("pana-ikev2", approach)))
    run = run_of(loaded, "bad")
    assert run.status == "ok"
    folder = results.run_folder(loaded.folder, run.run)
    told = from_events_of_all(folder / "events.jsonl", [m.host for m in run.members])
    for member in run.members:
        assert member.phases == pytest.approx(told[member.host].phases, abs=NOISE)
    kept = sorted(path.stem for path in (folder / "captures").iterdir())
    assert kept == ["AR1", "AR2", *told]


def test_a_model_of_public_keys_changes_neither_times_nor_messages(few):
    real, model = run_of(few, "real").crowd, run_of(few, "model").crowd
    assert model.messages == real.messages
    assert model.repeated == real.repeated
    for part, seconds in real.up.items():
        assert model.up[part] == pytest.approx(seconds, rel=0.02)


def test_a_delay_at_random_spreads_the_beginnings(few):
    curve = run_of(few, "jittered").crowd.curve
    assert curve[0][0] > 1.4  # What a bootstrap takes.
    assert 5.0 < curve[-1][0] - curve[0][0] <= 10.0


def test_who_has_to_wait_is_heard_later_and_none_is_displaced(few):
    run = run_of(few, "crowded")
    assert run.status == "expected"
    assert 2 <= run.crowd.curve[-1][1] < 12
    assert run.crowd.failures == 0
    assert run.crowd.repeated["PANA"] > 0


def test_a_storm_that_ends_otherwise_than_expected_has_failed(few):
    late, up = run_of(few, "late"), run_of(few, "not-refused")
    assert (late.status, up.status) == ("failed", "failed")
    assert run_of(few, "too-few").status == "failed"
    assert run_of(few, "enough").status == "ok"
    assert late.reason == "0 of 12 mobile nodes bootstrapped in 1 s"
    assert up.reason.startswith("it succeeded with home agent 2001:db8:100::1; expected was: ref")
    assert len([member for member in up.members if member.end]) == 12


def test_several_home_aaa_servers_and_arrivals_at_random(few):
    run = run_of(few, "served")
    assert [member.start for member in run.members] == sorted(m.start for m in run.members)
    assert run.members[-1].start > 0.05


@pytest.mark.usefixtures("one_format")
def test_the_report_has_the_storm_and_of_so_many_that_none_is_kept_too(few, tmp_path):
    """A run of more than MOST_MEMBERS keeps what all came to, and no captures."""
    assert "Many mobile nodes at once" in (few.folder / "report.html").read_text()
    copy = tmp_path / "many"
    shutil.copytree(few.folder, copy)
    lines = [json.loads(line) for line in (copy / "runs.jsonl").read_text().splitlines()]
    kept = "".join(json.dumps({**line, "members": []}) + "\n" for line in lines)
    (copy / "runs.jsonl").write_text(kept)
    shutil.rmtree(copy / "runs")
    conclude(copy)
    assert "Many mobile nodes at once" in (copy / "report.html").read_text()
    assert (copy / "figures" / "storm.svg").exists()
    rows = (copy / "figures" / "storm.csv").read_text().splitlines()
    assert rows[0].startswith("variant,point,run,seconds,up,part")


def test_real_public_keys_are_for_no_more_than_there_are_certificates():
    for keys, nodes, refused in (("real", 10_001, 1), ("real", 10_000, 0), ("model", 10_001, 0)):
        document = {
            "name": "many",
            "approach": "pana-ikev2",
            "topology": "operator",
            "operator": {"mobile_nodes": nodes},
            "simulation": {"public_keys": keys},
            "variants": {"v": {}},
        }
        found = obstacles(Spec(document, "many.toml"), can_run)
        assert len(found) == refused
        assert all("set simulation.public_keys" in why for _, why in found)


def test_the_same_seed_has_the_same_times(few, tmp_path):
    """With the same service times; public keys draw for themselves, and do not matter."""
    text = FEW.partition("[variants.jittered]")[0]
    services = ("--services", str(few.folder / "services.json"))
    made = results.load(carry_out(tmp_path, text, *services))
    assert run_of(made, "model").crowd.curve == run_of(few, "model").crowd.curve
