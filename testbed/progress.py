"""How far an experiment is and how long it will still take, on a terminal or in plain lines."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from testbed.phases import TITLES
from testbed.words import about, several

INTERVAL = 10.0
"""Seconds between two plain lines."""


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

    def __init__(self, guessed: Sequence[float], say: Callable[[str], None]) -> None:
        """`say` is told at once what cannot wait."""
        self._forecast = Forecast(guessed, time.monotonic())
        self._say = say
        self.doing = "starting the lab"

    def phase(self, variant: str, phase: str) -> None:
        """Note the phase that a run has entered."""
        self.doing = f"{variant}: {TITLES.get(phase, phase)}"

    def finished(self) -> None:
        """Count a run."""
        self._forecast.finished(time.monotonic())

    def stopping(self) -> None:
        """Say that what is under way is being ended."""
        self.doing = "stopping"
        self._say("stopping ...")

    @property
    def done(self) -> int:
        """How many runs are over."""
        return self._forecast.done

    @property
    def left(self) -> str:
        """The time that is left, in words."""
        seconds = self._forecast.left(time.monotonic())
        return f"{about(seconds)} left" if seconds else "any moment"

    @property
    def line(self) -> str:
        """All of it in a line."""
        planned = several(self._forecast.planned, "run")
        return f"{self.done} of {planned}, {self.doing}, {self.left}"


@contextmanager
def progress(guessed: Sequence[float], console: Console) -> Iterator[Show]:
    """Show how far the runs are that are guessed to take so many seconds each."""
    if not console.is_terminal:
        with _lines(Show(guessed, console.print), console) as show:
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
        show = _OnBar(guessed, console.print, bar)
        yield show


class _OnBar(Show):
    def __init__(self, guessed: Sequence[float], say: Callable[[str], None], bar: Progress) -> None:
        super().__init__(guessed, say)
        self._bar = bar
        self._task = bar.add_task(self.doing, total=len(guessed), show=self)

    def phase(self, variant: str, phase: str) -> None:
        super().phase(variant, phase)
        self._bar.update(self._task, description=self.doing)

    def finished(self) -> None:
        super().finished()
        self._bar.advance(self._task)


@contextmanager
def _lines(show: Show, console: Console) -> Iterator[Show]:
    over = threading.Event()

    def tell() -> None:
        while not over.wait(INTERVAL):
            console.print(show.line, soft_wrap=True, markup=False)

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield show
    finally:
        over.set()
        teller.join()
