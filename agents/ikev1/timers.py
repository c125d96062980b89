"""Many named deadlines with one next timeout."""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from itertools import count
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Timers(Generic[K]):
    """Deadlines in seconds by key; setting a key again moves its deadline."""

    def __init__(self) -> None:
        self._deadlines: dict[K, tuple[float, int]] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._order = count()

    def set(self, key: K, deadline: float) -> None:
        """Arm or move the timer `key`."""
        order = next(self._order)
        self._deadlines[key] = (deadline, order)
        heapq.heappush(self._heap, (deadline, order, key))

    def cancel(self, key: K) -> None:
        """Stop the timer `key` if it runs."""
        self._deadlines.pop(key, None)

    def next(self) -> float | None:
        """Return the earliest deadline, or None."""
        while self._heap and self._deadlines.get(self._heap[0][2]) != self._heap[0][:2]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def pop(self, now: float) -> K | None:
        """Stop and return one timer whose deadline is not after `now`, the earliest first."""
        deadline = self.next()
        if deadline is None or deadline > now:
            return None
        key = heapq.heappop(self._heap)[2]
        del self._deadlines[key]
        return key
