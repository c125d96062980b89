"""A Dask cluster of processes of this machine."""

import json
import multiprocessing
import os
import sys
import time

from testbed.base.places import PROJECT

PATIENCE = 60.0

# All processes are forked from one that has imported what takes each of them a second.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["distributed.cli", "testbed.cluster.worker"])


def until(met):
    """Wait until something is so, and return it."""
    deadline = time.monotonic() + PATIENCE
    while not (found := met()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def _dask(arguments, environment, log):
    """Be `dask` on the command line."""
    with open(log, "wb") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    os.chdir(PROJECT)
    os.environ.update(environment)
    sys.argv = ["dask", *arguments]

    import dask.config
    from dask.__main__ import main

    dask.config.refresh()
    main()


class DaskCluster:
    """A scheduler and workers; whatever of it is left ends with the `with` block.

    `place` keeps what they say, and is their folder for temporary files.
    """

    def __init__(self, place, preload=None, **configuration):
        self.place, self.preload = place, preload
        self.temporary = place / "tmp"
        self.temporary.mkdir()
        self._environment = {
            "TMPDIR": str(self.temporary),
            "MIP6LAB_TEST": str(place),
            "DASK_TEMPORARY_DIRECTORY": str(place),
            **configuration,
        }
        self._processes = []
        file = place / "scheduler.json"
        self.scheduler = self._start(
            *("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"),
            *("--scheduler-file", str(file)),
        )
        self.address = json.loads(until(lambda: file.exists() and file.read_text()))["address"]

    def _start(self, what, *options, **environment):
        log = self.place / f"{what}-{len(self._processes)}.log"
        arguments = (what, *options), self._environment | environment, log
        process = _processes.Process(target=_dask, args=arguments)
        process.start()
        self._processes.append(process)
        return process

    def add_worker(self, asked=""):
        """Start a worker with one slot, and no nanny that would start it again."""
        preload = ("--preload", self.preload) if self.preload else ()
        return self._start(
            *("worker", self.address, "--nthreads", "1", "--no-nanny", "--no-dashboard", *preload),
            MIP6LAB_TEST_WORKER=asked,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in reversed(self._processes):
            process.kill()
            process.join()
