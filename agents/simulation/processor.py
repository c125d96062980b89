"""The processors of a simulated host: what a program does takes time, and what comes next waits."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial

from agents.simulation.world import Clock


class Thread:
    """A program's one thread: it does one thing after the other."""

    def __init__(self) -> None:
        self.work: deque[tuple[float, Callable[[], None]]] = deque()

    def __len__(self) -> int:
        """Return how much waits for it."""
        return len(self.work)


class Processor:
    """So many processors, and the threads that wait for one in the order of their coming."""

    def __init__(self, clock: Clock, count: int = 1) -> None:
        self._clock = clock
        self._idle = count
        self._ready: deque[Thread] = deque()
        self.busy = 0.0
        """Seconds of processors that were used."""

    def serve(self, thread: Thread, seconds: float, action: Callable[[], None]) -> None:
        """Let a thread act at the end of so many seconds of its own on a processor."""
        if not seconds and not thread.work:
            action()
            return
        thread.work.append((seconds, action))
        if len(thread.work) == 1:
            self._ready.append(thread)
            self._start()

    def _start(self) -> None:
        while self._idle and self._ready:
            self._idle -= 1
            thread = self._ready.popleft()
            seconds, _ = thread.work[0]
            self.busy += seconds
            self._clock.at(self._clock.now + seconds, partial(self._finish, thread))

    def _finish(self, thread: Thread) -> None:
        _, action = thread.work[0]
        try:
            action()
        finally:
            thread.work.popleft()
            self._idle += 1
            if thread.work:
                self._ready.append(thread)
            self._start()
