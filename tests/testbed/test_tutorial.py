"""The tutorial's commands that need no lab; tests/lab/test_tutorial.py has its prompts."""

import re
from statistics import median

import pytest
from click.testing import CliRunner

from testbed import results
from testbed.cli import main
from testbed.run import commands as live
from tests import tutorial
from tests.testbed.simulated import quickly


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Where all of these commands have been carried out, in order."""
    folder = tmp_path_factory.mktemp("tutorial")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        quickly(patch)
        for command in tutorial.commands():
            if command.words[0] != "shell":
                done = CliRunner().invoke(main, command.words)
                assert done.exit_code == 0, (command.words, done.output)
    return folder


def test_its_commands_leave_what_it_speaks_of(place):
    assert {path.name for path in place.iterdir()} >= {"paper.svg", "mobility.svg", "run1.svg"}
    assert (place / "results" / "pana-fast" / "latest" / "report.html").exists()


def test_its_answer_about_round_trips_is_what_the_simulator_counts(place):
    loaded = results.load(place / "results" / "pana-fast" / "latest")
    text = tutorial.PAGE.read_text(encoding="utf-8")
    [access, core, total] = re.findall(
        r"pana-ikev2: (\d+) round trips over the access link and (\d+) over the core link,"
        r" each of 0\.2 s: ([\d.]+) s",
        text,
    )[0]
    [fast] = re.findall(r"pana-fast needs (\d+) and (\d+), ([\d.]+) s", text)

    for variant, told in (("pana-ikev2", (access, core, total)), ("pana-fast", fast)):
        links = loaded.of(variant)[0].traffic.links
        assert [links[name].round_trips for name in ("access", "core")] == [*map(int, told[:2])]
        assert median(loaded.values(variant, "total")) == pytest.approx(float(told[2]), abs=0.03)


def test_every_command_of_the_prompt_is_in_its_table_and_typed_somewhere():
    table = tutorial.PAGE.read_text(encoding="utf-8").partition("## The commands")[2]
    typed = {one.line.split()[0] for command in tutorial.commands() for one in command.typed}

    own = {name.removeprefix("do_") for name in vars(live.LiveCLI) if name.startswith("do_")}
    for name in own - {"help"}:
        assert f"`{name}" in table
        assert name in typed
