"""The native lab: this kernel, in network, mount and PID namespaces of its own."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from testbed.lab.job import LabError, check_reachable, is_emulated, job_environment
from testbed.lab.process import DIE_WITH_PARENT, ProcessJob

ENTER = Path(__file__).with_name("enter.sh")


def isolated(command: Sequence[str]) -> list[str]:
    """Return the command wrapped into namespaces of its own, gone when its parent is.

    Also for each run inside a lab. Needs root; start it from a thread that outlives it.
    """
    apart = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--")
    return [*DIE_WITH_PARENT, *apart, "/bin/sh", str(ENTER), *command]


class NativeLab:
    """Hosts on this kernel. Needs root."""

    name = "native"

    @property
    def emulated(self) -> bool:
        """Whether this kernel's processor is emulated, as within the vm lab."""
        return is_emulated()

    def start(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        log: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> ProcessJob:
        """Start a command in namespaces of its own."""
        check(cwd)
        variables = job_environment(self.name, environment)
        return ProcessJob.start(isolated(command), cwd=cwd, log=log, environment=variables)

    def interact(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        environment: Mapping[str, str] | None = None,
        reads: bool = False,  # noqa: ARG002  # Here it can always.
    ) -> int:
        """Run a command on the caller's terminal."""
        check(cwd)
        # Ctrl-C is for the command alone; what stands between inherits that it is ignored.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            process = subprocess.Popen(
                isolated(("env", "--default-signal=INT", *command)),
                cwd=cwd,
                env=job_environment(self.name, environment),
            )
            return ProcessJob(process).wait()
        finally:
            signal.signal(signal.SIGINT, before)


def check(cwd: Path) -> None:
    """Raise LabError if namespaces cannot be had, or would hide the folder to work in."""
    if os.geteuid() != 0:
        msg = "the native lab needs root: use sudo, or the uml lab"
        raise LabError(msg)
    check_reachable(cwd)
