"""The sim lab: no hosts at all, but a model of them in one process (docs/simulator.md)."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from testbed.lab.job import LabError, job_environment
from testbed.lab.process import DIE_WITH_PARENT, ProcessJob


class SimLab:
    """A process of the caller's, in which the machines go on by a virtual clock."""

    name = "sim"
    emulated = False

    def __init__(self, services: Path | None = None, slowness: float | None = None) -> None:
        """`services` is a file of service times; without it they are measured.

        Hosts are `slowness` times slower than that; None is once, or what the file says.
        """
        self.services = services
        self.slowness = slowness

    def start(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        log: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> ProcessJob:
        """Start a command; it ends when its caller does, however that ends."""
        own = {"HOME": str(Path.home()), "TMPDIR": tempfile.gettempdir()}
        variables = job_environment(self.name, {**own, **(environment or {})})
        guarded = (*DIE_WITH_PARENT, *command)
        return ProcessJob.start(guarded, cwd=cwd, log=log, environment=variables)

    def interact(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        environment: Mapping[str, str] | None = None,
        reads: bool = False,
    ) -> int:
        """Refuse: there is no host to run a command in."""
        del command, cwd, environment, reads
        msg = "the sim lab has no hosts to run commands in: use --lab uml, vm or native"
        raise LabError(msg)
