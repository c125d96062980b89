"""How far an experiment is and how long it will still take, on a terminal or in plain lines."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from testbed.base.words import about, several
from testbed.trace.phases import TITLES

INTERVAL = 10.0
"""Seconds between two plain lines."""
STARTING, STOPPING = "starting the lab", "stopping ..."


class Forecast:
    """The time that planned runs will still take, from what was guessed of them and what they took.

    Times in seconds of a monotonic clock. Before a run has ended the guess counts; then the guess
    as far as it was wrong until now.
    """

    def __init__(self, guessed: Sequence[float], now: float) -> None:
        self._guessed = guessed
        self._began = self._last = now
        self.done = 0

    @property
    def planned(self) -> int:
        """How many runs there are."""
        return len(self._guessed)

    def begun(self, now: float) -> None:
        """Forget the time until the first run begins: the lab starts once."""
        if not self.done:
            self._began = self._last = now

    def finished(self, now: float) -> None:
        """Count a run."""
        self.done, self._last = self.done + 1, now

    def left(self, now: float) -> float:
        """Return the seconds until the last run ends."""
        guessed = sum(self._guessed[: self.done])
        factor = (self._last - self._began) / guessed if guessed else 1.0
        under_way, rest = self._guessed[self.done :][:1], self._guessed[self.done + 1 :]
        running = max(0.0, factor * sum(under_way) - (now - self._last))
        return running + factor * sum(rest)


class Show:
    """Follows an experiment (a runner's Watcher)."""

    def __init__(self, guessed: Sequence[float], due: threading.Event) -> None:
        """`due` is set when something is to be shown at once."""
        self._forecast = Forecast(guessed, time.monotonic())
        self._due = due
        self.doing = STARTING

    def phase(self, variant: str, phase: str) -> None:
        """Note the phase that a run has entered."""
        if self.doing == STARTING:
            self._forecast.begun(time.monotonic())
        self.doing = f"{variant}: {TITLES.get(phase, phase)}"

    def finished(self) -> None:
        """Count a run."""
        self._forecast.finished(time.monotonic())

    def stopping(self) -> None:
        """Have it said at once that what is under way is being ended."""
        self.doing = STOPPING
        self._due.set()

    @property
    def done(self) -> int:
        """How many runs are over."""
        return self._forecast.done

    @property
    def left(self) -> str:
        """The time that is left, in words."""
        if self.doing == STOPPING:
            return ""
        seconds = self._forecast.left(time.monotonic())
        return f"{about(seconds)} left" if seconds else "any moment"

    @property
    def line(self) -> str:
        """All of it in a line."""
        planned = several(self._forecast.planned, "run")
        return ", ".join(filter(None, [f"{self.done} of {planned}", self.doing, self.left]))


@contextmanager
def following(guessed: Sequence[float], console: Console) -> Iterator[Show]:
    """Show how far the runs are that are guessed to take so many seconds each."""
    if not console.is_terminal:
        with _lines(guessed, console) as show:
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
        yield _OnBar(guessed, bar)


class _OnBar(Show):
    def __init__(self, guessed: Sequence[float], bar: Progress) -> None:
        super().__init__(guessed, threading.Event())  # A bar is drawn ten times per second anyway.
        self._bar = bar
        self._task = bar.add_task(self.doing, total=len(guessed), show=self)

    def phase(self, variant: str, phase: str) -> None:
        super().phase(variant, phase)
        self._bar.update(self._task, description=self.doing)

    def finished(self) -> None:
        super().finished()
        self._bar.advance(self._task)

    def stopping(self) -> None:
        super().stopping()
        self._bar.update(self._task, description=self.doing)


@contextmanager
def _lines(guessed: Sequence[float], console: Console) -> Iterator[Show]:
    due, over = threading.Event(), threading.Event()
    show = Show(guessed, due)

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
