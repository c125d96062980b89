"""The earliest of many deadlines."""

from __future__ import annotations

import heapq


class Deadlines:
    """A heap of deadlines in seconds, one a key; entries that no longer hold are skipped."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int]] = []
        self._valid: dict[int, float] = {}

    def __len__(self) -> int:
        return len(self._valid)

    def set(self, key: int, deadline: float | None) -> None:
        """Set a key's only deadline; None removes it."""
        if self._valid.get(key) == deadline:
            return
        if deadline is None:
            del self._valid[key]
        else:
            self._valid[key] = deadline
            heapq.heappush(self._heap, (deadline, key))
        if len(self._heap) > 64 + 2 * len(self._valid):
            self._heap = [(at, other) for other, at in self._valid.items()]
            heapq.heapify(self._heap)

    def next(self) -> float | None:
        """Return the earliest deadline, None if there is none."""
        while self._heap:
            deadline, key = self._heap[0]
            if self._valid.get(key) == deadline:
                return deadline
            heapq.heappop(self._heap)
        return None

    def due(self, now: float) -> list[int]:
        """Remove the keys whose deadline is not after `now` and return them, the earliest first."""
        keys = []
        while (deadline := self.next()) is not None and deadline <= now:
            _, key = heapq.heappop(self._heap)
            del self._valid[key]
            keys.append(key)
        return keys
