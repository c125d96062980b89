"""Many named deadlines with one next timeout."""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from itertools import count
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

_SLACK = 64
"""Entries of stopped timers that are not worth clearing away."""


def earliest(*deadlines: float | None) -> float | None:
    """Return the earliest of deadlines, None if there is none."""
    found = None
    for deadline in deadlines:
        if deadline is not None and (found is None or deadline < found):
            found = deadline
    return found


class Timers(Generic[K]):
    """Deadlines in seconds by key; setting a key again moves its deadline."""

    def __init__(self) -> None:
        self._current: dict[K, tuple[float, int]] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._serial = count()

    def __contains__(self, key: K) -> bool:
        return key in self._current

    def set(self, key: K, deadline: float) -> None:
        """Arm or move the timer `key`."""
        before = self._current.get(key)
        if before is not None and before[0] == deadline:
            return
        entry = self._current[key] = (deadline, next(self._serial))
        heapq.heappush(self._heap, (*entry, key))
        if len(self._heap) > 2 * len(self._current) + _SLACK:
            self._heap = [e for e in self._heap if self._current.get(e[2]) == e[:2]]
            heapq.heapify(self._heap)

    def cancel(self, key: K) -> None:
        """Stop the timer `key` if it runs."""
        self._current.pop(key, None)

    def next(self) -> float | None:
        """Return the earliest deadline, or None."""
        while self._heap:
            deadline, serial, key = self._heap[0]
            if self._current.get(key) == (deadline, serial):
                return deadline
            heapq.heappop(self._heap)
        return None

    def pop(self, now: float) -> K | None:
        """Stop and return the earliest timer whose deadline is not after `now`."""
        deadline = self.next()
        if deadline is None or deadline > now:
            return None
        key = heapq.heappop(self._heap)[2]
        del self._current[key]
        return key
