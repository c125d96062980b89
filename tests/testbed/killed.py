"""Kills `mip6lab run` at a moment, and looks at what is left: of processes, of files, of results.

A program: python -m tests.testbed.killed [MOMENTS [FIRST [LAB]]] tries as many moments.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from testbed.base.jsonl import DataError, read_whole
from testbed.results import folder as results

EXPERIMENT = """
name = "killed"
approach = "{approach}"
topology = "paper"
runs = {runs}
[variants.one]
[variants.two]
settings.pana_start = "stateless"
"""

# Figures take seconds, and are tested by themselves.
COMMAND = """
import runpy, sys, types
sys.modules["testbed.report.plots"] = types.SimpleNamespace(draw=lambda _: [])
runpy.run_module("testbed", run_name="__main__")
"""
PATIENCE = 60.0
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
LABS = ("testbed.run.simulation", "linux.uml", "guard.sh")
"""Words in the command lines of what a lab consists of."""


@dataclass(frozen=True)
class Moment:
    """When what is killed, and how; `under_way`: after the first run has begun."""

    under_way: bool
    after: float
    victim: str
    how: signal.Signals
    jobs: int

    @classmethod
    def of(cls, seed, longest):
        """Draw one; `longest` is about what the whole takes, in seconds."""
        rng = random.Random(seed)
        under_way = rng.random() < 0.5
        return cls(
            under_way=under_way,
            after=rng.uniform(0.0, longest / 4 if under_way else longest),
            victim=rng.choice(("main", "group", "lab")),
            how=rng.choice(SIGNALS),
            jobs=rng.choice((1, 2)),
        )


class Place:
    """A folder for an experiment, its results and all temporary files of its programs."""

    def __init__(self, folder, lab, *, runs=3, services=None):
        self.lab, self.services = lab, services
        self.results = folder / "results"
        self.temporary = folder / "temporary"
        for each in (self.results, self.temporary):
            each.mkdir()
        self.experiment = folder / "killed.toml"
        self.experiment.write_text(EXPERIMENT.format(approach="pana-ikev1", runs=runs))

    def begin(self, *arguments):
        """Start the command, leader of a process group of its own."""
        return subprocess.Popen(
            (sys.executable, "-c", COMMAND, "run", *arguments),
            env={**os.environ, "TMPDIR": str(self.temporary)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, jobs):
        """Start the experiment."""
        services = ("--services", str(self.services)) if self.services else ()
        where = ("--output", str(self.results), "--jobs", str(jobs))
        return self.begin(str(self.experiment), "--lab", self.lab, *where, *services)

    def processes(self):
        """Return those at work here, by number, with their command lines."""
        found, mark = {}, os.fsencode(self.temporary)
        for process in Path("/proc").glob("[0-9]*"):
            try:
                words = (process / "cmdline").read_bytes()
                if words and mark in words + (process / "environ").read_bytes():
                    found[int(process.name)] = words.replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue  # It has ended.
        return found

    def mounts(self):
        """Return the mounts that have to do with this place."""
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        return [line for line in lines if str(self.results.parent) in line]

    @property
    def begun(self):
        """Whether the first run has begun."""
        return next(iter(self.results.glob("killed/2*/runs/0001")), None) is not None

    @property
    def made(self):
        """The results' folder, None before there is one."""
        return next(iter(self.results.glob("killed/2*")), None)


def until(condition):
    """Wait for it, under a deadline; return whether it came."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def kill(place, process, moment):
    """Kill what the moment says, if it is there by then."""
    if moment.victim == "main":
        os.kill(process.pid, moment.how)
    elif moment.victim == "group":
        os.killpg(process.pid, moment.how)
    else:
        lab = [
            pid
            for pid, words in place.processes().items()
            if pid != process.pid and any(word in words for word in LABS)
        ]
        for pid in lab[:1]:
            os.kill(pid, moment.how)


def try_out(place, moment):
    """Kill an experiment, see that nothing is left of it, go on with it; return what happened."""
    process = place.run(moment.jobs)
    if moment.under_way:
        until(lambda: process.poll() is not None or place.begun)
    time.sleep(moment.after)
    if process.poll() is None:
        kill(place, process, moment)
    said, _ = process.communicate(timeout=PATIENCE)
    status = process.returncode
    # An interpreter that has only just been started says what it was about, whoever wrote the rest.
    assert "Traceback" not in said or "Fatal Python error: init_" in said, said
    assert until(lambda: not place.processes()), place.processes()
    assert until(lambda: not list(place.temporary.iterdir())), list(place.temporary.iterdir())
    assert not place.mounts()
    folder = place.made
    if folder is None or not (folder / "plan.json").exists():
        return f"status {status}, nothing begun"
    done = {run.run: stamp(folder, run.run) for run in results.load(folder).runs}
    assert not [p for p in done if not (results.run_folder(folder, p) / "events.jsonl").exists()]
    kept = lines(folder)[: len(done)]
    resumed = place.begin("--resume", str(folder))
    told, _ = resumed.communicate(timeout=PATIENCE * 2)
    loaded = results.load(folder)
    assert not loaded.missing, told
    if len(done) < len(loaded.plan):
        assert resumed.returncode == 0, told
    else:
        assert "planned runs are there" in told, told
    assert [run.run for run in loaded.runs] == [planned.run for planned in loaded.plan]
    assert [run.status for run in loaded.runs] == ["ok"] * len(loaded.plan)
    assert {number: stamp(folder, number) for number in done} == done  # None was carried out twice.
    assert lines(folder)[: len(kept)] == kept
    for number in (run.run for run in loaded.runs):
        read_whole(results.run_folder(folder, number) / "events.jsonl", dict)
    assert not [*folder.rglob(".*"), *folder.parent.glob(".*")]
    assert not place.processes()
    return f"status {status}, {len(done)} of {len(loaded.plan)} done"


def stamp(folder, number):
    """Return what tells a run's folder from another one in its place."""
    found = results.run_folder(folder, number).stat()
    return found.st_ino, found.st_ctime_ns


def lines(folder):
    """Return the lines of runs.jsonl."""
    return (folder / "runs.jsonl").read_bytes().splitlines()


def prepare(folder):
    """Return a file of service times, with which a simulated experiment need not begin."""
    place = Place(folder, "sim", runs=1)
    said, _ = place.run(1).communicate(timeout=PATIENCE)
    assert place.made, said
    return place.made / "services.json"


def main():
    """Try moments; print what came of each."""
    # In the background of a shell it is ignored, and would be by all that is started from here.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    count, first, lab = [*sys.argv[1:], *("100", "0", "sim")[len(sys.argv) - 1 :]]
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        base = Path(name)
        services = None
        if lab == "sim":
            (base / "first").mkdir()
            services = prepare(base / "first")
        failed = 0
        for seed in range(int(first), int(first) + int(count)):
            folder = base / str(seed)
            folder.mkdir()
            runs, longest = (3, 6.0) if lab == "sim" else (1, 20.0)
            moment = Moment.of(seed, longest)
            try:
                came_to = try_out(Place(folder, lab, runs=runs, services=services), moment)
            except (AssertionError, DataError, subprocess.TimeoutExpired) as error:
                failed, came_to = failed + 1, f"FAILED {error}"
            print(seed, moment, came_to, flush=True)
        print(f"{count} moments, {failed} failed")


if __name__ == "__main__":
    main()
