"""Answers that are not there yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
U = TypeVar("U")


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


def after(answer: T | Later[T], then: Callable[[T], U | Later[U]]) -> U | Later[U]:
    """Return what `then` makes of an answer, later if either is not there yet."""
    if not isinstance(answer, Later):
        return then(answer)
    later = Later[U]()

    def take(told: T) -> None:
        made = then(told)
        if isinstance(made, Later):
            made.then(later.settle)
        else:
            later.settle(made)

    answer.then(take)
    return later
