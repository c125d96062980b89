"""What a lab is: a way to run a command as root in a place of its own."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, Self

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Folders that a lab covers with its own: nothing of the caller's can be reached below them.
COVERED = ("/dev", "/proc", "/run", "/sys")
INSIDE = "MIP6LAB_INSIDE"
EMULATED = "MIP6LAB_EMULATED"
KEPT = (
    *("CI", "COLUMNS", "FORCE_COLOR", "NO_COLOR", "PYTHONDONTWRITEBYTECODE", "TERM"),
    EMULATED,  # The native lab in one that is emulated is so too.
)


class LabError(Exception):
    """A lab cannot be had, or ended before its command did; the message says what to do."""


class Job(Protocol):
    """A command at work in a lab; leaving its `with` block kills what is left of it."""

    def lines(self) -> Iterator[str]:
        """Yield the command's standard output, a line at a time, until the command ends."""
        ...

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status; TimeoutError after `timeout` seconds. Read the lines first."""
        ...

    def kill(self) -> None:
        """End the command and all that it started, at once."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...


class Lab(Protocol):
    """A place to run commands as root, with its own network, mounts and processes."""

    @property
    def name(self) -> str:
        """`native`, `uml`, `vm` or `sim`."""
        ...

    @property
    def emulated(self) -> bool:
        """Whether its processor is emulated, so that all that takes time takes another time."""
        ...

    def start(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        log: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Job:
        """Start a command; its standard error goes to the end of `log`, or with its output.

        To be called in a thread that outlives the job: the job ends when that thread does.
        """
        ...

    def interact(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        environment: Mapping[str, str] | None = None,
        reads: bool = False,
    ) -> int:
        """Run a command on the caller's terminal and return its exit status.

        Where there is no terminal and the lab has a kernel of its own, a command that `reads` gets
        what standard input has until its end, another nothing.
        """
        ...


def inside() -> str | None:
    """Return the name of the lab that this process runs in, if any."""
    return os.environ.get(INSIDE)


def is_emulated() -> bool:
    """Whether this process runs in a lab with an emulated processor."""
    return bool(os.environ.get(EMULATED))


def job_environment(lab: str, extra: Mapping[str, str] | None) -> dict[str, str]:
    """Return the environment of a job: the same in every lab, little of the caller's."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    if paths := os.environ.get("PYTHONPATH"):  # Approaches and daemons of others may be there.
        kept["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, paths.split(os.pathsep)))
    return {
        "PATH": f"{Path(sys.executable).parent}:{SYSTEM_PATH}",
        "LANG": "C.UTF-8",
        "HOME": "/run/home",
        "TMPDIR": "/run/tmp",
        **kept,
        INSIDE: lab,
        **(extra or {}),
    }


def check_reachable(*paths: Path) -> None:
    """Raise LabError if one of the paths is below a folder that a lab covers."""
    for path in paths:
        for folder in COVERED:
            if path.resolve().is_relative_to(folder):
                msg = f"{path} is below {folder}, which a lab hides from its hosts: move it"
                raise LabError(msg)
