"""How far an experiment is and how long it will still take, on a terminal or in plain lines."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from testbed.base.phases import TITLES
from testbed.base.words import about, several

INTERVAL = 10.0
"""Seconds between two plain lines."""
STARTING, STOPPING = "starting the lab", "stopping ..."
CONCLUDING = "drawing figures and writing the report"


@dataclass(slots=True)
class _UnderWay:
    guessed: float
    since: float | None


class Forecast:
    """The time that planned runs will still take, from what was guessed of them and what they took.

    Times in seconds of a monotonic clock. Before a run has ended, or takes longer than was thought,
    the guess counts; then the guess as far as it was wrong until now. Each of `labs`, counted from
    0, takes the next run when it has none.
    """

    def __init__(self, guessed: Sequence[float], labs: int = 1) -> None:
        self.planned = len(guessed)
        """How many runs there are."""
        self.done = 0
        self._rest = list(reversed(guessed))
        self._took = self._thought = (
            0.0  # All that is over, in seconds, and what was guessed of it.
        )
        self._under_way: dict[int, _UnderWay] = {}
        for lab in range(labs):
            self._take(lab, None)

    def _take(self, lab: int, now: float | None) -> None:
        if self._rest:
            self._under_way[lab] = _UnderWay(self._rest.pop(), now)

    def begun(self, lab: int, now: float) -> None:
        """Begin to count: a lab starts once."""
        run = self._under_way.get(lab)
        if run and run.since is None:
            run.since = now

    def finished(self, lab: int, now: float) -> None:
        """Count a run."""
        self.done += 1
        if run := self._under_way.pop(lab, None):
            self._took += now - (now if run.since is None else run.since)
            self._thought += run.guessed
        self._take(lab, now)

    def ended(self, lab: int) -> None:
        """Forget a lab."""
        self._under_way.pop(lab, None)

    def left(self, now: float) -> float:
        """Return the seconds until the last run ends."""
        under_way = [
            (run.guessed, 0.0 if run.since is None else now - run.since)
            for run in self._under_way.values()
        ]
        factor = self._took / self._thought if self._thought else 1.0
        late = [(thought, took) for thought, took in under_way if took > factor * thought]
        if thought := self._thought + sum(thought for thought, _ in late):
            factor = (self._took + sum(took for _, took in late)) / thought
        running = [max(0.0, factor * thought - took) for thought, took in under_way]
        labs = max(1, len(running))
        return max([(sum(running) + factor * sum(self._rest)) / labs, *running])


class Show:
    """Follows an experiment (a runner's Watcher)."""

    def __init__(self, forecast: Forecast, due: threading.Event, starting: str = STARTING) -> None:
        """`due` is set when something is to be shown at once; `starting` is what comes first."""
        self._forecast = forecast
        self._starting = starting
        self._due = due
        self._doing: dict[int, str] = {}
        self._begun = self._stopping = False

    @property
    def doing(self) -> str:
        """What is under way, in words."""
        if self._stopping:
            return STOPPING
        if self._concludes:
            return CONCLUDING
        return " | ".join(self._doing[lab] for lab in sorted(self._doing)) or self._starting

    def phase(self, lab: int, variant: str, phase: str) -> None:
        """Note the phase that a run has entered."""
        self._begun = True
        self._forecast.begun(lab, time.monotonic())
        self._doing[lab] = f"{variant}: {TITLES.get(phase, phase)}"

    def finished(self, lab: int) -> None:
        """Count a run."""
        self._forecast.finished(lab, time.monotonic())

    def ended(self, lab: int) -> None:
        """Forget a lab."""
        self._forecast.ended(lab)
        self._doing.pop(lab, None)

    def stopping(self) -> None:
        """Have it said at once that what is under way is being ended."""
        self._stopping = True
        self._due.set()

    @property
    def done(self) -> int:
        """How many runs are over."""
        return self._forecast.done

    @property
    def _concludes(self) -> bool:
        return self.done == self._forecast.planned

    @property
    def left(self) -> str:
        """The time that is left, in words; nothing where that is not known."""
        if self._stopping or self._concludes:
            return ""
        seconds = self._forecast.left(time.monotonic())
        if not self._begun:  # Nothing is known of how long a lab takes to boot.
            return f"then {about(seconds)}"
        return f"{about(seconds)} left" if seconds else "longer than expected"

    @property
    def line(self) -> str:
        """All of it in a line."""
        planned = several(self._forecast.planned, "run")
        return ", ".join(filter(None, [f"{self.done} of {planned}", self.doing, self.left]))


@contextmanager
def following(forecast: Forecast, console: Console, starting: str = STARTING) -> Iterator[Show]:
    """Show how far the runs are; `starting` is what comes before the first."""
    if not console.is_terminal:
        with _lines(forecast, console, starting) as show:
            yield show
        return
    columns = (
        TextColumn("{task.description:<32}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[show].left}"),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        yield _OnBar(forecast, bar, starting)


class _OnBar(Show):
    def __init__(self, forecast: Forecast, bar: Progress, starting: str) -> None:
        # A bar is drawn ten times per second anyway.
        super().__init__(forecast, threading.Event(), starting)
        self._bar = bar
        self._task = bar.add_task(self.doing, total=forecast.planned, show=self)

    def phase(self, lab: int, variant: str, phase: str) -> None:
        super().phase(lab, variant, phase)
        self._bar.update(self._task, description=self.doing)

    def finished(self, lab: int) -> None:
        super().finished(lab)
        self._bar.advance(self._task)

    def ended(self, lab: int) -> None:
        super().ended(lab)
        self._bar.update(self._task, description=self.doing)

    def stopping(self) -> None:
        super().stopping()
        self._bar.update(self._task, description=self.doing)


@contextmanager
def _lines(forecast: Forecast, console: Console, starting: str) -> Iterator[Show]:
    due, over = threading.Event(), threading.Event()
    show = Show(forecast, due, starting)

    def tell() -> None:
        while True:
            due.wait(INTERVAL)
            if over.is_set():
                return
            due.clear()
            console.print(show.line, soft_wrap=True, markup=False)

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield show
    finally:
        over.set()
        due.set()
        teller.join()
