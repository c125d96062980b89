"""A lab in which runs take no time, and who watches an experiment."""

import json
import signal
from pathlib import Path

from testbed.results import folder as results
from tests.testbed import synthesis as syn

KERNEL = "Linux 6.1.0 #1 x86_64"


class Lab:
    """Runs take no time in it; Ctrl-C, or its end, comes before run `stop`."""

    name = "uml"

    def __init__(self, *, stop=None, error=None, spoil=None, status="ok"):
        self.stop, self.error, self.spoil, self.status = stop, error, spoil, status
        self.carried_out = []

    def start(self, command, *, cwd, log=None, environment=None):
        del cwd, log, environment
        return Job(self, command[-1])


class Job:
    def __init__(self, lab, folder):
        self.lab, self.folder = lab, Path(folder)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def wait(self, timeout=None):
        del timeout
        return 0

    def lines(self):
        yield json.dumps({"kernel": KERNEL})
        for planned in results.missing_runs(self.folder):
            if planned.run == self.lab.stop:
                if self.lab.error:
                    raise self.lab.error
                signal.raise_signal(signal.SIGINT)
            self.lab.carried_out.append(planned.run)
            run = results.make_run_folder(self.folder, planned.run)
            yield json.dumps({"run": planned.run, "variant": planned.variant, "phase": "pana"})
            syn.write(run / "captures" / "A.pcapng", syn.bootstrap())
            syn.write_events(run / "events.jsonl")
            if self.lab.spoil:
                self.lab.spoil(run)
            line = {"run": planned.run, "variant": planned.variant, "seed": planned.seed}
            yield json.dumps({"result": line | {"status": self.lab.status, "costs": {}}})


class Watcher:
    def __init__(self):
        self.told = []

    def phase(self, variant, phase):
        del variant
        self.told.append(phase)

    def finished(self):
        self.told.append("finished")

    def stopping(self):
        self.told.append("stopping")
