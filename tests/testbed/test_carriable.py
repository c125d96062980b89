"""What a lab with a kernel cannot carry out is said before it starts, and what can be done."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from testbed.cli import main
from testbed.experiment.carriable import obstacles
from testbed.experiment.spec import Spec
from testbed.report.catalogue import load_experiment
from tests.testbed.stand_ins import Lab

CROWD = """
name = "crowd"
approach = "pana-ikev2"
topology = "operator"
runs = 1
timeout = 60.0
operator.mobile_nodes = 400
[variants.usual]
"""


def why_not(tmp_path, more="", *, slow=True, seed=1):
    path = tmp_path / "crowd.toml"
    path.write_text(CROWD + more)
    spec = Spec.load(path)
    found = obstacles(spec, spec.plan(None, seed), slow=slow)
    return [f"variant {name}: {why}" for name, why in found]


def test_as_many_as_end_in_time_are_carried_out(tmp_path):
    assert why_not(tmp_path) == []


def test_more_than_one_processor_can_do_in_the_time_are_refused_with_what_is_allowed(tmp_path):
    (line,) = why_not(tmp_path, "[variants.hasty]\ntimeout = 30.0\n")
    assert line.startswith("variant hasty: 400 mobile nodes take about 60 s of the one processor")
    assert "ends after 30 s: set operator.mobile_nodes to 200 at most, or a longer timeout" in line


def test_where_no_number_is_small_enough_only_a_longer_timeout_is_named(tmp_path):
    (line,) = why_not(tmp_path, "timeout = 0.1\noperator.mobile_nodes = 3\n")
    assert line.startswith("variant usual: 3 mobile nodes take about 0.4 s of the one processor")
    assert line.endswith("a run ends after 0.1 s: set a longer timeout")


def test_who_come_one_by_one_have_the_time_in_which_they_come(tmp_path):
    assert why_not(tmp_path, "timeout = 30.0\narrivals.rate = 4.0\n") == []


def test_other_processors_are_not_judged(tmp_path):
    assert why_not(tmp_path, "timeout = 30.0\n", slow=False) == []


def test_no_kernel_has_names_for_so_many(tmp_path):
    more = "operator = { mobile_nodes = 10000, access_routers = 10 }\n"
    (line,) = why_not(tmp_path, more, slow=False)
    assert "at most 9999" in line


def test_no_bridge_has_ports_for_more_on_a_link(tmp_path):
    def on_two(nodes: int) -> list[str]:
        numbers = f"{{ mobile_nodes = {nodes}, access_routers = 2 }}"
        return why_not(tmp_path, f"operator = {numbers}\n", slow=False)

    assert on_two(2044) == []
    (line,) = on_two(2045)
    assert line.startswith("variant usual: 1023 mobile nodes on an access link")
    assert line.endswith("ports for 1022: set operator.access_routers to 3 at least")


@pytest.mark.parametrize("first", ["1, 2", "2, 1"])
def test_every_point_of_a_sweep_is_looked_at(tmp_path, first):
    sweep = f'[sweep]\n"simulation.home_aaa_servers" = [{first}]\n'
    for seed in (1, 2):  # Runs are in random order.
        (line,) = why_not(tmp_path, sweep, seed=seed)
        assert "simulation.home_aaa_servers = 2 is the sim lab's alone" in line


@pytest.mark.parametrize(
    "setting", ['public_keys = "model"', "home_aaa_servers = 2", "receive_buffer = 0"]
)
def test_what_the_simulation_alone_has_is_refused(tmp_path, setting):
    (line,) = why_not(tmp_path, f"simulation.{setting}\n", slow=False)
    name = setting.split()[0]
    assert line.startswith(f"variant usual: simulation.{name} = ")
    assert line.endswith("is the sim lab's alone: leave it out")


def test_how_many_captures_a_simulation_keeps_matters_to_no_other_lab(tmp_path):
    assert why_not(tmp_path, "simulation.captures = 0\n") == []


def test_no_experiment_that_ships_for_kernels_is_refused():
    for name in ("scale", "ha_balance", "ha_failover", "ha_drain"):
        spec = load_experiment(name)
        assert obstacles(spec, spec.plan(None, 1), slow=True) == []


def test_the_command_refuses_before_anything_starts(tmp_path, monkeypatch):
    lab = Lab()
    monkeypatch.setattr("testbed.cli.experiments.choose_lab", lambda *_: lab)
    ran = CliRunner().invoke(main, ["run", "storm", "--lab", "uml", "--output", str(tmp_path)])
    assert ran.exit_code == 2
    said = ran.output
    assert "the uml lab cannot carry this out" in said
    assert "every variant: simulation.public_keys = model is the sim lab's alone" in said
    assert "set operator.mobile_nodes to 2000 at most" in said
    assert said.splitlines()[1] == "the sim lab can: --lab sim"  # First what can be done.
    assert lab.jobs == []
    assert list(tmp_path.iterdir()) == []
