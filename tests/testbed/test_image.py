"""What is rehearsed before runs: every variant of every experiment that is there."""

import subprocess
import sys
from pathlib import Path

import pytest

from testbed.experiment.spec import Spec
from testbed.run import image

EXPERIMENTS = sorted(Path("experiments").glob("*.toml"))


def variants(path):
    """Return the variants of an experiment, each as what is rehearsed of it."""
    spec = Spec.load(path, every_point=False)
    return {
        name: (variant.approach, variant.settings, spec.small_topology(name))
        for name, variant in spec.variants.items()
        if spec.settings(name).is_warm
    }


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_whatever_is_warm_can_be_rehearsed(path):
    rehearsed = []
    for approach, settings, topology in variants(path).values():
        image.import_programs(approach, settings, topology)
        what = approach, image.peaceful(settings), topology
        if what not in rehearsed:
            rehearsed.append(what)
            image.rehearse(*what)


def test_an_attack_is_not_rehearsed_but_the_bootstrap_that_it_is_made_on():
    approach, settings, topology = variants(Path("experiments/attacks.toml"))["client-expired"]
    assert not image.rehearse(approach, settings, topology)
    assert image.rehearse(approach, image.peaceful(settings), topology)
    approach, settings, topology = variants(Path("experiments/attacks.toml"))["pana-flip"]
    sys.modules.pop("agents.nodes.attacker.main", None)
    image.import_programs(approach, settings, topology)
    assert "agents.nodes.attacker.main" in sys.modules


def test_what_attackers_alone_need_is_in_the_image_of_no_other_run():
    code = (
        "import sys, testbed.run.session; from agents import approaches; "
        "[approaches.load(name) for name in approaches.names()]; print('scapy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


GARBAGE = """
import gc
from testbed.run import image
image.freeze()
before = gc.get_stats()[2]["collections"]
for _ in range(300_000):
    kept = []
    kept.append(kept)
print(gc.get_stats()[2]["collections"] - before)
"""


def test_what_is_frozen_does_not_put_off_the_collection_of_what_comes_after_it():
    """Else a program's old garbage would grow with every bootstrap for as long as a run is."""
    done = subprocess.run(
        [sys.executable, "-c", GARBAGE], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) > 0


def test_programs_that_a_script_starts_are_cold_unless_it_is_said():
    warm = variants(Path("experiments/paper.toml"))
    assert set(warm) == {"resident", "resident-no-dad"}
    for value in (True, False):
        setting = f"variants.script.settings.warm={str(value).lower()}"
        spec = Spec.load(Path("experiments/paper.toml"), [setting])
        assert spec.settings("script").is_warm == value


@pytest.mark.parametrize("diameter_tls", [False, True])
def test_a_rehearsal_is_a_whole_bootstrap(diameter_tls):
    approach, settings, topology = variants(Path("experiments/paper.toml"))["resident"]
    assert image.rehearse(approach, {**settings, "diameter_tls": diameter_tls}, topology)


@pytest.mark.parametrize("name", ["script", "paper2006"])
def test_what_a_script_starts_is_left_out_of_the_rehearsal_of_the_rest(name):
    spec = Spec.load(Path("experiments/paper.toml"), [f"variants.{name}.settings.warm=true"])
    variant = spec.variants[name]
    assert image.rehearse(variant.approach, variant.settings, spec.small_topology(name))
