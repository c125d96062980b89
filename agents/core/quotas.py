"""Bounded numbers of things that nobody has vouched for: another gives way to a new one."""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

from agents.core.record import Record

K = TypeVar("K", bound=Hashable)


class Share(Record, frozen=True):
    """A group, and how many entries it may have at once."""

    group: Hashable
    limit: int


class NoRoomError(Exception):
    """A group is full of entries that do not give way."""


class _Queue(Generic[K]):
    """Entries of one stage of a group, of which the oldest gives way."""

    def __init__(self) -> None:
        self._keys: OrderedDict[K, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, key: K) -> None:
        self._keys[key] = None

    def remove(self, key: K) -> None:
        del self._keys[key]

    def pick(self) -> K:
        return next(iter(self._keys))


class Lottery(Generic[K]):
    """Entries of which any gives way, drawn at the same cost however many there are."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._keys: list[K] = []
        self._places: dict[K, int] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, key: K) -> None:
        """Take an entry in."""
        self._places[key] = len(self._keys)
        self._keys.append(key)

    def remove(self, key: K) -> None:
        """Take an entry out; the last one gets its place."""
        place, last = self._places.pop(key), self._keys.pop()
        if last != key:
            self._keys[place], self._places[last] = last, place

    def pick(self) -> K:
        """Return one of the entries."""
        return self._rng.choice(self._keys)


class Quotas(Generic[K]):
    """Entries, each of which counts in several groups and is at a stage.

    When a group is full, a new entry displaces one at stage 0, or else at the stage that has most
    (the first of them): so many at one stage do not harm those at another, earlier or later. It
    is the oldest there or, with `rng`, any: the order tells nobody how to reach a certain one.
    Entries at stage `firm` stay. What an entry costs does not grow with their number.
    """

    def __init__(self, firm: int = 1, rng: random.Random | None = None) -> None:
        self._firm = firm
        self._rng = rng
        self._entries: dict[K, tuple[tuple[Share, ...], int]] = {}
        self._groups: dict[Hashable, list[_Queue[K] | Lottery[K]]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def enter(self, key: K, shares: tuple[Share, ...], stage: int = 0) -> list[K]:
        """Take a new entry and return those that it displaces; raises NoRoomError."""
        for share in shares:
            if self._is_full(share) and self._next(share) is None:
                raise NoRoomError(f"{share.limit} of {share.group} are there")
        displaced = []
        for share in shares:
            while self._is_full(share) and (other := self._next(share)) is not None:
                self.leave(other)
                displaced.append(other)
        self._entries[key] = shares, stage
        for share in shares:
            stages = self._groups.get(share.group)
            if stages is None:
                stages = [self._stage() for _ in range(self._firm + 1)]
                self._groups[share.group] = stages
            stages[stage].add(key)
        return displaced

    def next(self, shares: tuple[Share, ...]) -> K | None:
        """Return what a new entry would displace first, None if that is nothing."""
        for share in shares:
            if self._is_full(share):
                return self._next(share)
        return None

    def move(self, key: K, stage: int) -> None:
        """Put an entry into another stage, as the newest there."""
        shares, before = self._entries[key]
        if stage == before:
            return
        self._entries[key] = shares, stage
        for share in shares:
            stages = self._groups[share.group]
            stages[before].remove(key)
            stages[stage].add(key)

    def leave(self, key: K) -> None:
        """Forget an entry, if it is there."""
        shares, stage = self._entries.pop(key, ((), 0))
        for share in shares:
            stages = self._groups[share.group]
            stages[stage].remove(key)
            if not any(stages):
                del self._groups[share.group]

    def _is_full(self, share: Share) -> bool:
        stages = self._groups.get(share.group, ())
        return sum(map(len, stages)) >= share.limit

    def _stage(self) -> _Queue[K] | Lottery[K]:
        return _Queue() if self._rng is None else Lottery(self._rng)

    def _next(self, share: Share) -> K | None:
        """Return the entry that gives way next in a group."""
        stages = self._groups.get(share.group, [])[: self._firm]
        if not any(stages):
            return None
        return (stages[0] or max(stages, key=len)).pick()
