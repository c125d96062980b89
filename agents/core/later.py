"""Answers that are not there yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Later(Generic[T]):
    """What is answered when more is known; `settle` is called once."""

    def __init__(self) -> None:
        self._then: Callable[[T], None] | None = None

    def then(self, action: Callable[[T], None]) -> None:
        """Say what to do with the answer."""
        self._then = action

    def settle(self, answer: T) -> None:
        """Answer."""
        if self._then is not None:
            self._then(answer)
