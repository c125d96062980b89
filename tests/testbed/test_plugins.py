"""Approaches, topologies and daemons of other packages: found, carried out; told if they fail."""

import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

import topologies
from agents import approaches, daemons
from testbed.base.places import PROJECT
from testbed.cli import main
from testbed.experiment.spec import Spec, SpecError
from tests.installed import EXAMPLE, install

EXPERIMENT = str(EXAMPLE / "experiment.toml")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Return a folder with the example."""
    return install(tmp_path_factory.mktemp("plugin"))


@pytest.fixture
def beside(monkeypatch, tmp_path):
    """Return what puts a package with some entry points and modules onto the import path."""

    def put(name, points, **modules):
        folder = tmp_path / name
        info = folder / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(points)
        for module, text in modules.items():
            (folder / f"{module}.py").write_text(text)
        monkeypatch.syspath_prepend(str(folder))

    return put


def test_a_bootstrap_with_all_that_a_package_brings(installed, tmp_path):
    command = [sys.executable, "-m", "testbed", "run", EXPERIMENT, "--lab", "sim"]
    done = subprocess.run(
        [*command, "--output", tmp_path],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    folder = tmp_path / "plugin" / "latest"
    [run] = [json.loads(line) for line in (folder / "runs.jsonl").read_text().splitlines()]
    assert run["status"] == "ok"
    assert run["traffic"]["links"]["access"]["protocols"].keys() >= {"PANA", "DNS", "IKEv2"}
    assert run["phases"]["total"] > 10 * 0.04  # So often it goes to the home network.
    events = (folder / "runs" / "0001" / "events.jsonl").read_text().splitlines()
    [started] = [one for one in map(json.loads, events) if one["event"] == "NameServerStarted"]
    assert started["host"] == "C"


def test_what_a_package_brings_is_beside_what_ships(installed, monkeypatch):
    assert "pana-dns" not in approaches.names()
    monkeypatch.syspath_prepend(str(installed))

    assert {"pana-dns", "pana-ikev1"} <= set(approaches.names())
    assert topologies.load("far-home").link("core").shape.delay == 0.04
    assert daemons.names("dns") == ["nsd", "in-python"]
    assert daemons.names("dhcpv6") == ["kea"]
    spec = Spec.load(EXAMPLE / "experiment.toml")
    assert "nsd" not in spec.needs()

    listed = CliRunner().invoke(main, ["list"]).output
    assert "PANA for network access, and all the same" in listed
    assert "The paper's hosts, with 40 ms" in listed
    made = CliRunner().invoke(main, ["schema"]).stdout
    assert {"pana-dns", "far-home", "in-python"} <= set(made.split('"'))


def test_a_daemon_that_is_not_there_is_told_with_those_that_are():
    with pytest.raises(SpecError, match=r"no daemon 'in-python'.*; use one of nsd, or a table"):
        Spec.load(EXAMPLE / "experiment.toml", ["approach=dns-ikev2", "topology=paper"])


APPROACH = "NEEDS = ()\nprepare = compose = None\nSettings = {}\n"


@pytest.mark.parametrize(
    ("points", "modules", "arguments", "told"),
    [
        (
            "[mip6lab.approaches]\nother = nowhere\n",
            {},
            ["schema"],
            "package mine 1.0, entry point mip6lab.approaches: other = nowhere: cannot be loaded:"
            " ModuleNotFoundError: No module named 'nowhere'; mend it, or remove its package:"
            " pip uninstall mine",
        ),
        (
            "[mip6lab.approaches]\nother = broken\n",
            {"broken": "1 / 0"},
            ["schema"],
            "cannot be loaded: ZeroDivisionError: division by zero",
        ),
        (
            "[mip6lab.approaches]\npana-ikev1 = broken\n",
            {"broken": "1 / 0"},
            ["validate", "paper"],
            "the name pana-ikev1 is taken, by mip6lab itself; have it another name, or remove a"
            " package: pip uninstall mine",
        ),
        (
            "[mip6lab.topologies]\npaper = broken\n",
            {"broken": "1 / 0"},
            ["validate", "paper"],
            "the name paper is taken, by mip6lab itself",
        ),
        (
            "[mip6lab.daemons]\ndns.nsd = broken\n",
            {"broken": "1 / 0"},
            ["validate", "paper", "--set", "roles.dns.server=nsd"],
            "the name nsd is taken, by mip6lab itself",
        ),
        (
            "[mip6lab.daemons]\nike.mine = broken\n",
            {"broken": "1 / 0"},
            ["schema"],
            "there is no role 'ike'; have the name begin with dhcpv6. or dns.",
        ),
        (
            "[mip6lab.topologies]\nMy Network = broken\n",
            {"broken": "1 / 0"},
            ["list"],
            "'My Network' cannot be a name; use up to 64 small letters",
        ),
        (
            "[mip6lab.approaches]\nother = lacking\n",
            {"lacking": "NEEDS = ()"},
            ["schema"],
            "module lacking has no Settings, prepare, compose; docs/approaches.md says",
        ),
        (
            "[mip6lab.approaches]\nother = plain\n",
            {"plain": APPROACH},
            ["schema"],
            "Settings of plain have to be a subclass of",
        ),
        (
            "[mip6lab.approaches]\nother = plain2:compose\n",
            {"plain2": APPROACH},
            ["schema"],
            "plain2:compose is no module; name one",
        ),
        (
            "[mip6lab.topologies]\nother = flat\n",
            {"flat": "TOPOLOGY = 3"},
            ["validate", "paper", "--set", "topology=other"],
            "topology other: TOPOLOGY of flat is no topologies.model.Topology",
        ),
    ],
)
def test_what_does_not_do_is_told_in_a_line(beside, points, modules, arguments, told):
    beside("mine", points, **modules)

    done = CliRunner().invoke(main, arguments)

    assert done.exit_code == 2, done.output
    assert told in done.output
    assert done.output.startswith("mip6lab: ")


def test_two_packages_with_one_name_are_told_apart(beside):
    beside("mine", "[mip6lab.topologies]\nother = flat\n", flat="TOPOLOGY = 3")
    beside("yours", "[mip6lab.topologies]\nother = even\n", even="TOPOLOGY = 3")

    done = CliRunner().invoke(main, ["validate", "paper"])

    assert done.exit_code == 2
    assert "the name other is taken, by package " in done.output


def test_the_list_goes_on_behind_what_cannot_be_loaded(beside):
    beside("mine", "[mip6lab.approaches]\nother = nowhere\n")

    done = CliRunner().invoke(main, ["list", "approaches"])

    assert done.exit_code == 0
    assert "No module named 'nowhere'" in done.output
    assert "static" in done.output


def test_a_program_that_a_daemon_needs_is_missed(beside):
    beside(
        "mine",
        "[mip6lab.daemons]\ndns.mine = served\n",
        served="NEEDS = ('no-such-program',)\ndef main(): pass\n",
    )
    arguments = ["--set", "approach=dns-ikev2", "--set", "roles.dns.server=mine"]

    done = CliRunner().invoke(
        main, ["run", EXPERIMENT, "--lab", "uml", "--set", "topology=paper", *arguments]
    )

    assert done.exit_code == 2
    assert "no-such-program (an approach or a daemon of another package): not found" in done.output
