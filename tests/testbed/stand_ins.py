"""A lab in which runs take no time, and who watches an experiment."""

import json
import os
import signal
import threading
from pathlib import Path

from testbed.results import folder as results
from tests.testbed import synthesis as syn

PATIENCE = 30.0
KERNEL = "Linux 6.1.0 #1 x86_64"


class Lab:
    """Runs take no time in it; Ctrl-C, or its end, comes in run `stop`.

    With `at_once` no lab ends its first run before so many have begun theirs.
    """

    name, emulated = "uml", False

    def __init__(self, *, stop=None, error=None, spoil=None, status="ok", at_once=1, refuse=None):
        self.stop, self.error, self.spoil, self.status = stop, error, spoil, status
        self.all_at_work = threading.Barrier(at_once)
        self.refuse = refuse
        self.jobs, self.carried_out = [], []

    def start(self, command, *, cwd, log=None, environment=None):
        del cwd, environment
        if self.refuse == len(self.jobs):
            raise self.error
        log.touch()
        self.jobs.append(Job(self, command[-1]))
        return self.jobs[-1]


class Job:
    def __init__(self, lab, folder):
        self.lab, self.folder = lab, Path(folder)
        self.killed, self.began, self.error = threading.Event(), [], None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.killed.set()

    def wait(self, timeout=None):
        del timeout
        if self.error:
            raise self.error
        return 0

    def lines(self):
        yield json.dumps({"kernel": KERNEL})
        for planned in results.take(self.folder, results.missing_runs(self.folder)):
            run = results.run_folder(self.folder, planned.run)
            self.began.append(planned.run)
            yield json.dumps({"run": planned.run, "variant": planned.variant, "phase": "pana"})
            if len(self.began) == 1:
                self.lab.all_at_work.wait(PATIENCE)
            if planned.run == self.lab.stop:
                self.error = self.lab.error
                if not self.error:
                    os.kill(os.getpid(), signal.SIGINT)
                    assert self.killed.wait(PATIENCE)
                return
            self.lab.carried_out.append(planned.run)
            syn.write(run / "captures" / "A.pcapng", syn.bootstrap())
            syn.write_events(run / "events.jsonl")
            if self.lab.spoil:
                self.lab.spoil(run)
            line = {"run": planned.run, "variant": planned.variant, "seed": planned.seed}
            yield json.dumps({"result": line | {"status": self.lab.status, "costs": {}}})


class Watcher:
    def __init__(self):
        self.told = []

    def phase(self, lab, variant, phase):
        del lab, variant
        self.told.append(phase)

    def finished(self, lab):
        del lab
        self.told.append("finished")

    def ended(self, lab):
        self.told.append(f"lab {lab} ended")

    def stopping(self):
        self.told.append("stopping")
