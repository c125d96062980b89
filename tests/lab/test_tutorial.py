"""What the tutorial has its reader type at prompts, and see: each in a lab of its own."""

import os
import re
import subprocess
import sys
from functools import cache

import pytest

from testbed.base.places import PROJECT
from testbed.trace.frames import read_frames
from tests import tutorial
from tests.lab.experiment import NEEDS
from tests.lab.needs import needs

pytestmark = [NEEDS, needs("namespaces", "veth", "bridge", "sch_netem")]

SHELLS = [command for command in tutorial.commands() if command.words[0] == "shell"]
PASSED = re.compile(r"^(?:mininet> )*\w+ -> \w+  (\S+)", re.M)


@cache
def carried_out(number, place):
    """Carry out a prompt of the page; return the answer to each line, and the exit status."""
    command = SHELLS[number]
    done = subprocess.run(
        [sys.executable, "-m", "testbed", *command.words, "--lab", "native"],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        input="".join(f"{one.line}\n" for one in command.typed),
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout.partition("*** Starting CLI:\n")[2]
    assert said, done.stdout + done.stderr
    return said.split(tutorial.PROMPT)[1:], done.returncode


def where(start):
    """Return the number of the one prompt at which such a line is typed."""
    [number] = [
        number
        for number, command in enumerate(SHELLS)
        if any(one.line.startswith(start) for one in command.typed)
    ]
    return number


@pytest.mark.parametrize("number", range(len(SHELLS)))
def test_what_is_typed_is_answered_as_the_page_shows(number, place):
    typed = SHELLS[number].typed

    answers, status = carried_out(number, place)

    assert len(answers) > len(typed)
    for one, answer in zip(typed, answers, strict=False):
        assert tutorial.missing(answer, one.shown) is None, (one.line, one.shown, answer)
        fails = any(line.startswith("***") for line in one.shown)
        assert ("***" in answer) == fails, (one.line, answer)
    assert status == int(any(line.startswith("***") for one in typed for line in one.shown))


def test_the_messages_are_as_many_as_its_answer_says(place):
    text = tutorial.PAGE.read_text(encoding="utf-8")
    [told] = re.findall(r"^(\d+) of PANA, .*; (\d+) of IKE, .* binding: (\d+)\.", text, re.M)

    passed = PASSED.findall("".join(carried_out(where("step 100"), place)[0]))

    pana, ike = passed.count("PANA"), passed.count("IKEv2")
    assert (pana, ike, len(passed)) == tuple(map(int, told))


def test_the_capture_that_it_makes_is_one(place):
    carried_out(where("capture A"), place)

    assert len(read_frames(place / "moved.pcapng")) > 10


def test_a_line_that_is_not_shown_would_be_found():
    answer = "x\n   0.1234 s  A    role       Bootstrapped  home_address=1\nPANA: 1.0 ms\n"

    assert tutorial.missing(answer, ["… A    role       Bootstrapped  …", "PANA: … ms"]) is None
    assert tutorial.missing(answer, ["PANA: … ms", "x"]) == "x"
    assert tutorial.missing(answer, ["IKE: … ms"]) == "IKE: … ms"
