"""Several jobs at once: what they print, as it comes."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from testbed.lab.job import Job, LabError

QUIET = 600.0
"""Seconds without a line after which a job hangs; whoever takes longer over something says so.

A kernel of a lab's own can stand still: then no deadline within it ends anything.
"""


@dataclass(frozen=True, slots=True)
class Line:
    """A line that a job printed; jobs are counted from 0."""

    job: int
    text: str


@dataclass(frozen=True, slots=True)
class Ended:
    """A job is over: its exit status, or why it has none."""

    job: int
    status: int | LabError


class Together:
    """Jobs at work; what becomes of one stops no other. Whoever starts them kills them."""

    def __init__(self, quiet: float | None = QUIET) -> None:
        """A job that prints nothing for `quiet` seconds is killed, and its end is a LabError."""
        self._quiet = quiet
        self._jobs: list[Job] = []
        self._heard: dict[int, float] = {}
        self._hung: set[int] = set()
        self._told: SimpleQueue[Line | int | Exception | None] = SimpleQueue()

    def add(self, job: Job) -> None:
        """Read what a job prints, in a thread."""
        threading.Thread(target=self._read, args=(len(self._jobs), job), daemon=True).start()
        self._jobs.append(job)

    def _read(self, number: int, job: Job) -> None:
        try:
            for text in job.lines():
                self._told.put(Line(number, text))
        except Exception as error:
            self._told.put(number if number in self._hung else error)
        else:
            self._told.put(number)

    def stop(self) -> None:
        """Let told() end with what has been printed until now; for a signal's handler too."""
        self._told.put(None)

    def told(self) -> Iterator[Line | Ended]:
        """Yield the lines of all jobs, and each job's end, until the last one."""
        at_work = len(self._jobs)
        self._heard = dict.fromkeys(range(at_work), time.monotonic())
        while at_work:
            match self._next():
                case Line() as line:
                    self._heard[line.job] = time.monotonic()
                    yield line
                case int(number):
                    at_work -= 1
                    del self._heard[number]
                    yield Ended(number, self._status(number))
                case Exception() as error:
                    raise error
                case None:
                    return

    def _next(self) -> Line | int | Exception | None:
        """Return what is told next; a job that is quiet for too long is killed meanwhile."""
        while self._quiet is not None and (waited := self._heard.keys() - self._hung):
            number = min(waited, key=self._heard.__getitem__)
            rest = self._heard[number] + self._quiet - time.monotonic()
            try:
                # What came while this process was stopped counts, however late that is.
                return self._told.get(timeout=rest) if rest > 0 else self._told.get_nowait()
            except Empty:
                self._hung.add(number)
                self._jobs[number].kill()
        return self._told.get()

    def _status(self, number: int) -> int | LabError:
        if number in self._hung:
            return LabError(f"a lab stood still: it said nothing for {self._quiet:g} s")
        try:
            return self._jobs[number].wait()
        except LabError as error:
            return error
