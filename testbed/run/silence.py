"""Silences in a stream of answers, which kernels and models measure alike."""

from __future__ import annotations


class Silences:
    """The longest silence in seconds, of all and of late."""

    def __init__(self) -> None:
        self.longest = self._lately = 0.0

    def note(self, seconds: float) -> None:
        """Take note of one that is over."""
        self.longest = max(self.longest, seconds)
        self._lately = max(self._lately, seconds)

    def take(self) -> float:
        """Return the longest one since this was asked before."""
        found, self._lately = self._lately, 0.0
        return found
