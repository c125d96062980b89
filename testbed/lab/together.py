"""Several jobs at once: what they print, as it comes."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from queue import SimpleQueue

from testbed.lab.job import Job, LabError


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

    def __init__(self) -> None:
        self._jobs: list[Job] = []
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
            self._told.put(error)
        else:
            self._told.put(number)

    def stop(self) -> None:
        """Let told() end with what has been printed until now; for a signal's handler too."""
        self._told.put(None)

    def told(self) -> Iterator[Line | Ended]:
        """Yield the lines of all jobs, and each job's end, until the last one."""
        at_work = len(self._jobs)
        while at_work:
            match self._told.get():
                case Line() as line:
                    yield line
                case int(number):
                    at_work -= 1
                    yield Ended(number, _status(self._jobs[number]))
                case Exception() as error:
                    raise error
                case None:
                    return


def _status(job: Job) -> int | LabError:
    try:
        return job.wait()
    except LabError as error:
        return error
