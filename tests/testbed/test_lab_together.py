"""Jobs at work together: what they print, and what becomes of one that says nothing."""

import sys

import pytest

from testbed.lab import LabError
from testbed.lab.process import ProcessJob
from testbed.lab.together import Ended, Line, Together


@pytest.fixture
def start(tmp_path):
    jobs = []

    def run(program):
        command = [sys.executable, "-c", program]
        jobs.append(ProcessJob.start(command, cwd=tmp_path, log=None, environment={}))
        return jobs[-1]

    yield run
    for job in jobs:
        job.kill()


def test_lines_and_ends_come_as_they_are_told(start):
    together = Together()
    together.add(start("print('one'); print('two'); raise SystemExit(3)"))

    assert list(together.told()) == [Line(0, "one"), Line(0, "two"), Ended(0, 3)]


def test_a_job_that_says_nothing_is_ended_and_stops_no_other(start):
    speaking = "import time\nfor n in range(20): print(n, flush=True); time.sleep(0.2)"
    together = Together(quiet=2.0)
    together.add(start("import time; print('begun', flush=True); time.sleep(3600)"))
    together.add(start(speaking))

    told = list(together.told())

    assert Line(1, "19") in told
    ends = {event.job: event.status for event in told if isinstance(event, Ended)}
    assert isinstance(ends[0], LabError)
    assert "said nothing for 2 s" in str(ends[0])
    assert ends[1] == 0


def test_what_came_while_nobody_read_counts_however_late_it_is(start):
    together = Together(quiet=0.5)
    job = start("print('begun', flush=True)")
    together.add(job)
    job.wait()
    told = together.told()
    assert next(told) == Line(0, "begun")

    assert list(told) == [Ended(0, 0)]
