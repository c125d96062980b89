"""The command line as a program: what it imports, says and refuses before any lab starts."""

import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

import testbed.lab.choice
from testbed.base.jsonl import DataError
from testbed.base.places import PROJECT, experiments
from testbed.cli import main
from testbed.experiment.spec import PlannedRun
from testbed.results import folder as results
from testbed.results import paper

HEAVY = "{'matplotlib', 'mininet', 'numpy', 'pyroute2', 'rich', 'scapy', 'scipy', 'cryptography'}"
NO_HOME = {"PATH": os.environ["PATH"], "HOME": "/proc/none"}


def python(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=PROJECT,
        env=environment or None,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("argument", "environment", "said"),
    [
        ("--help", {}, "MIP6LAB_RESULTS"),
        ("--version", {}, "version"),
        (
            "",
            {
                "_MIP6LAB_COMPLETE": "bash_complete",
                "COMP_WORDS": "mip6lab run pap",
                "COMP_CWORD": "2",
            },
            "plain,paper\n",
        ),
        (
            "",
            {
                "_MIP6LAB_COMPLETE": "bash_complete",
                "COMP_WORDS": "mip6lab shell dhcpv6",
                "COMP_CWORD": "2",
            },
            "plain,dhcpv6-visited\n",
        ),
    ],
)
def test_help_version_and_completion_wait_for_no_library(argument, environment, said):
    program = (
        "import atexit, sys\n"
        f"atexit.register(lambda: print(sorted({HEAVY} & sys.modules.keys())))\n"
        "from testbed.__main__ import main\n"
        f"main({[argument] if argument else []}, prog_name='mip6lab')"
    )

    done = python(program, PATH=os.environ["PATH"], **environment)

    assert said in done.stdout
    assert done.stdout.endswith("\n[]\n"), done.stdout + done.stderr


def test_topologies_need_neither_mininet_nor_the_harness():
    program = (
        "import sys, topologies\n"
        "found = [topologies.load(name).name for name in topologies.names()]\n"
        "assert found == topologies.names()\n"
        "print(sorted({'testbed', 'mininet', 'agents'} & sys.modules.keys()))"
    )

    assert python(program).stdout == "[]\n"


def test_reading_a_capture_needs_no_mininet():
    program = (
        "import importlib, pkgutil, sys, testbed.trace\n"
        "for found in pkgutil.iter_modules(testbed.trace.__path__):\n"
        "    importlib.import_module(f'testbed.trace.{found.name}')\n"
        "print('testbed.trace.phases' in sys.modules, 'mininet' in sys.modules)"
    )

    assert python(program).stdout == "True False\n"


@pytest.mark.parametrize("module", ["testbed.cli", "scipy.stats", "matplotlib"])
def test_ctrl_c_during_an_import_ends_the_program_without_a_traceback(module):
    program = (
        "import os, signal, sys\n"
        "class Interrupted:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupted())\n"
        "from testbed.__main__ import main\n"
        "main(['report', 'none'])"
    )

    done = python(program)

    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


@pytest.mark.parametrize("arguments", [["run", "paper"], ["exec", "true"], ["shell"]])
def test_ctrl_c_can_be_handled_before_a_lab_is_chosen(arguments):
    program = (
        "import signal, sys, testbed.lab.choice\n"
        "from testbed.__main__ import main\n"
        "def choose(*_):\n"
        "    sys.exit(str(signal.getsignal(signal.SIGINT) is signal.default_int_handler))\n"
        "testbed.lab.choice.choose = choose\n"
        f"main({arguments})"
    )

    assert python(program).stderr == "True\n"


def test_without_a_home_nothing_but_the_error_is_said(tmp_path):
    program = f"from testbed.__main__ import main\nmain(['report', {str(tmp_path / 'none')!r}])"

    done = python(program, **NO_HOME, TMPDIR=str(tmp_path))

    assert done.returncode == 2
    assert done.stderr == f"mip6lab: {tmp_path / 'none'}: no such results folder\n"


def invoke(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, arguments)
    return done.exit_code, done.output


def test_an_experiment_has_a_path_or_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shipped = PROJECT / "experiments" / "rogue_router.toml"

    by_path = invoke("validate", str(shipped))
    assert by_path[0] == 0
    assert invoke("validate", "rogue_router") == by_path
    assert invoke("validate", "rogue-router") == by_path

    shutil.copy(PROJECT / "experiments" / "paper.toml", "rogue_router")
    assert "resident-no-dad" in invoke("validate", "rogue_router")[1]  # A file goes first.
    status, said = invoke("validate", "nothing")
    assert status == 2
    assert all(name in said for name in experiments())


LOOP = "loop"
LONG = 5000 * "a"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("validate", LONG), "File name too long"),
        (("run", LOOP), "Too many levels of symbolic links"),
        (("run", "--resume", LOOP), "Too many levels of symbolic links"),
        (("run", "--resume", LONG), "File name too long"),
        (("run", "paper", "--output", LOOP), "Too many levels of symbolic links"),
        (("run", "paper", "--lab", "sim", "--services", LOOP), "Too many levels of symbolic links"),
        (("report", LOOP), "Too many levels of symbolic links"),
        (("plot", LONG), "File name too long"),
        (("compare", LOOP), "Too many levels of symbolic links"),
        (("agree", ".", LOOP), "Too many levels of symbolic links"),
        (("bench", "--nodes", "9" * 30), "use a whole number from 1 to 1000000"),
        (("bench", "--nodes", "0"), "0 is not allowed; use a whole number from 1 to 1000000"),
        (("bench", "--nodes", "x"), "'x' is not allowed; use a whole number from 1 to 1000000"),
        (("run", "paper", "--runs", "x"), "'x' is not allowed; use a whole number from 1"),
        (("run", "paper", "--seed", "-1"), "-1 is not allowed; use a whole number from 0"),
        (("run", "paper", "--jobs", "all"), "'all' is not allowed; use auto, or a whole number"),
        (("run", "paper", "--slowness", "nan"), "nan is not allowed; use a number from 0.01"),
        (("sweep", "--resume", "results/rtt/1"), "mip6lab run --resume results/rtt/1"),
        (("sweep", "rtt", "--resume=results/rtt/1"), "mip6lab run --resume results/rtt/1"),
        (("validate", "paper", "--set", f"settings.launch={LONG}"), "use resident or script"),
        (("validate", "paper", "--set", f"sweep.{LONG}=1"), "letters)"),
        (("compare", ".", "--at", LONG), "expected KEY=VALUE"),
    ],
)
def test_odd_arguments_are_refused_in_a_few_words(arguments, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path(LOOP).symlink_to(LOOP)
    status, said = invoke(*arguments)
    assert status == 2
    assert told in said
    assert len(said) < 1500


@pytest.fixture
def no_lab(monkeypatch):
    """A machine on which it is an error to choose a lab."""

    def choose(*_arguments: object) -> None:
        raise AssertionError("a lab was chosen")

    monkeypatch.setattr(testbed.lab.choice, "choose", choose)


@pytest.mark.usefixtures("no_lab")
def test_what_is_asked_for_wrongly_is_found_before_the_lab(monkeypatch):
    status, said = invoke("run", "paper", "--variant", "fast")
    assert status == 2
    assert "no variant fast; use one of script, resident" in said
    status, said = invoke("shell", "paper2")
    assert status == 2
    assert "no topology or experiment paper2, perhaps paper; use one of aaa_failover" in said

    def missing() -> None:
        raise DataError("paper.toml: No such file or directory")

    monkeypatch.setattr(paper, "load_paper", missing)
    assert invoke("run", "paper") == (2, "mip6lab: paper.toml: No such file or directory\n")


@pytest.mark.parametrize("way", ["option", "environment"])
def test_results_that_cannot_be_kept_are_refused_before_the_lab_starts(monkeypatch, way):
    # The lab is chosen, but it could not do anything.
    lab = SimpleNamespace(name="native", emulated=False)
    monkeypatch.setattr(testbed.lab.choice, "choose", lambda *_: (lab, "lab: none"))
    if way == "environment":
        monkeypatch.setenv("MIP6LAB_RESULTS", "/proc/results")
    option = ["--output", "/proc/results"] if way == "option" else []

    status, said = invoke("run", "paper", "--runs", "1", *option)

    assert status == 2
    assert "/proc/results is below /proc" in said


def test_what_there_is_can_be_listed(tmp_path):
    folder = results.create(tmp_path, "paper", run_id="1")
    (folder / "runs.jsonl").write_text("{}\n")
    results.link_latest(folder)
    interrupted = results.create(tmp_path, "paper", run_id="2")
    results.write_plan(interrupted, [PlannedRun(1, "script", 1), PlannedRun(2, "script", 2)])

    status, said = invoke("list", "--json", "--output", str(tmp_path))

    found = json.loads(said)
    assert status == 0
    assert found["experiments"].keys() == experiments().keys()
    assert "mip6lab sweep rtt" in found["experiments"]["rtt"]
    assert {"paper", "dhcpv6-visited"} <= found["topologies"].keys()
    assert {"pana-fast", "static"} <= found["approaches"].keys()
    assert "scene" not in found["approaches"]
    assert found["results"] == {
        str(tmp_path / "paper" / "1"): "1 run, the latest",
        str(tmp_path / "paper" / "2"): "0 of 2 runs",
    }
    assert invoke("list", "topologies")[1].startswith("apart ")


def test_results_that_cannot_be_read_are_listed_as_such(tmp_path):
    (tmp_path / "paper" / "1" / "runs.jsonl").mkdir(parents=True)
    results.create(tmp_path, "paper", run_id="2")
    (tmp_path / "paper" / "latest").symlink_to("latest")

    status, said = invoke("list", "results", "--output", str(tmp_path))

    assert status == 0
    assert said.splitlines() == [
        f"{tmp_path}/paper/1  runs.jsonl cannot be read: Is a directory",
        f"{tmp_path}/paper/2  0 runs",
    ]


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder with what `pip install` would put into site-packages."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    for name in ("agents", "experiments", "testbed", "topologies"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(PROJECT / name, source / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, source)
    (source / "results" / "old").mkdir(parents=True)
    (source / "results" / "old" / "summary.json").touch()
    command = ["-m", "pip", "wheel", "-q", "--no-build-isolation", "--no-deps", "--no-index"]
    subprocess.run([sys.executable, *command, "-w", built, source], check=True)
    [wheel] = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(built / "site-packages")
    return built / "site-packages"


def test_a_wheel_has_all_that_the_program_reads_and_no_results(installed):
    def files(root: Path) -> set[str]:
        wanted = ("agents", "experiments", "testbed", "topologies")
        every = (path for name in wanted for path in (root / name).rglob("*") if path.is_file())
        return {str(path.relative_to(root)) for path in every if "__pycache__" not in path.parts}

    assert files(installed) == files(PROJECT)
    assert not (installed / "results").exists()


def test_an_installed_package_knows_its_experiments_in_any_folder(installed, tmp_path):
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "testbed", *arguments],
            cwd=tmp_path,
            env={"PATH": "/nowhere", "PYTHONPATH": str(installed)},
            capture_output=True,
            text=True,
            check=False,
        )

    assert run("validate", "paper").stdout.startswith("script: approach pana-ikev1")
    assert list(json.loads(run("list", "experiments", "--json").stdout)["experiments"]) == list(
        experiments()
    )
    refused = run("run", "paper", "--output", "/proc/results", "--lab", "native")
    assert refused.returncode == 2
    assert "make setup" not in refused.stderr
    assert not list(tmp_path.iterdir())
