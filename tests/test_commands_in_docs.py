"""Commands that the documentation prints exist, with their options, experiments and settings."""

import importlib.util
import re
import shlex
import warnings
from collections.abc import Iterator

import click
import pytest

import topologies
from testbed.base.places import PROJECT
from testbed.cli import main
from testbed.experiment.spec import Spec
from testbed.report.catalogue import load_experiment

PAGES = (*sorted(PROJECT.glob("*.md")), *sorted((PROJECT / "docs").rglob("*.md")))
YOURS = ("FILE", "my.toml")  # What the reader has to write.
INSTALLED = ("tests/plugin/experiment.toml",)  # What needs a package that tests install themselves.
IN_BLOCK = re.compile(r"^(?: {4}|\S*\$ )?(?:sudo )?(?:\.venv/bin/)?mip6lab((?: \S+)*)", re.M)
IN_TEXT = re.compile(r"`(?:sudo )?(?:\.venv/bin/)?mip6lab ([^`]+)`")
MODULE = re.compile(r"(?:(exec(?: --?[a-z]+ \S+)* -- )|(\.venv/bin/))?python3? -m ([a-z_.]+)")
MAKE = re.compile(r"^ {4}(?:sudo )?make ([a-z]+)|`(?:sudo )?make ([a-z]+)", re.M)


def commands(pattern: re.Pattern[str]) -> Iterator[str]:
    for page in PAGES:
        for found in pattern.findall(page.read_text(encoding="utf-8")):
            if line := " ".join(found.split()):
                yield line


NAMED = set(commands(IN_TEXT))  # Perhaps without its arguments.
COMMANDS = sorted({*commands(IN_BLOCK), *NAMED})


@pytest.mark.parametrize("line", COMMANDS)
def test_a_printed_command_is_one_that_the_program_understands(line, monkeypatch):
    monkeypatch.chdir(PROJECT)
    name, *words = (word for word in shlex.split(line, comments=True) if word[0] != ">")
    if name.startswith("-"):
        with pytest.raises(click.exceptions.Exit):
            main.make_context("mip6lab", [name, *words])
        return
    command = main.commands[name]
    try:
        given = command.make_context(name, words).params
    except click.MissingParameter:
        assert line in NAMED or not words
        return
    if (given.get("experiment") or "FILE") not in (*YOURS, *INSTALLED):
        load_experiment(given["experiment"], given["assignments"], given.get("variants", ()))
    if given.get("approach"):
        Spec.of_approach(given["approach"], given["name"], given["assignments"])
    elif name in ("shell", "graph") and given["name"] not in topologies.names():
        load_experiment(given["name"], given["assignments"])


def test_the_commands_of_the_pages_are_found():
    assert {line.split()[0] for line in COMMANDS} >= {"run", "sweep", "shell", "report", "compare"}
    assert len(COMMANDS) > 15


def test_a_command_that_does_not_exist_would_be_found():
    with pytest.raises(click.UsageError):
        main.commands["run"].make_context("run", ["paper", "--nonsense"])
    assert IN_TEXT.findall("`mip6lab fly`") == ["fly"]
    assert IN_BLOCK.findall("    .venv/bin/mip6lab run paper --runs 5  # x") == [
        " run paper --runs 5"
    ]


def test_the_targets_of_make_are_there():
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.M))
    named = {
        name
        for page in PAGES
        for pair in MAKE.findall(page.read_text(encoding="utf-8"))
        for name in pair
        if name
    }
    assert "experiment" in named
    assert named <= targets


def test_modules_that_are_printed_can_be_run():
    """In a lab, by `mip6lab exec`, python is the environment's."""
    printed = [
        (found.group(1) or found.group(2) or "", found.group(3))
        for page in PAGES
        for found in MODULE.finditer(page.read_text(encoding="utf-8"))
    ]
    assert len(printed) > 3
    for before, module in printed:
        assert before, f"python -m {module}: not every machine has the packages outside of .venv"
        with warnings.catch_warnings():  # Setuptools has its own opinion of who else asks for pip.
            warnings.simplefilter("ignore")
            assert importlib.util.find_spec(module), module
