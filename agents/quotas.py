"""Bounded numbers of things that nobody has vouched for: the oldest gives way to a new one."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Share:
    """A group, and how many entries it may have at once."""

    group: Hashable
    limit: int


class NoRoomError(Exception):
    """A group is full of entries that do not give way."""


class Quotas(Generic[K]):
    """Entries, each of which counts in several groups and is at a stage.

    When a group is full, a new entry displaces the group's oldest at the lowest stage. Entries at
    stage `firm` stay. What an entry costs does not grow with their number.
    """

    def __init__(self, firm: int = 1) -> None:
        self._firm = firm
        self._entries: dict[K, tuple[tuple[Share, ...], int]] = {}
        self._groups: dict[Hashable, list[OrderedDict[K, None]]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def enter(self, key: K, shares: tuple[Share, ...], stage: int = 0) -> list[K]:
        """Take a new entry and return those that it displaces; raises NoRoomError."""
        for share in shares:
            if self._is_full(share) and self._oldest(share) is None:
                raise NoRoomError(f"{share.limit} of {share.group} are there")
        displaced = []
        for share in shares:
            while self._is_full(share) and (oldest := self._oldest(share)) is not None:
                self.leave(oldest)
                displaced.append(oldest)
        self._entries[key] = shares, stage
        for share in shares:
            stages = self._groups.get(share.group)
            if stages is None:
                stages = [OrderedDict() for _ in range(self._firm + 1)]
                self._groups[share.group] = stages
            stages[stage][key] = None
        return displaced

    def move(self, key: K, stage: int) -> None:
        """Put an entry into another stage, as the newest there."""
        shares, before = self._entries[key]
        if stage == before:
            return
        self._entries[key] = shares, stage
        for share in shares:
            stages = self._groups[share.group]
            del stages[before][key]
            stages[stage][key] = None

    def leave(self, key: K) -> None:
        """Forget an entry, if it is there."""
        shares, stage = self._entries.pop(key, ((), 0))
        for share in shares:
            stages = self._groups[share.group]
            del stages[stage][key]
            if not any(stages):
                del self._groups[share.group]

    def _is_full(self, share: Share) -> bool:
        stages = self._groups.get(share.group, ())
        return sum(map(len, stages)) >= share.limit

    def _oldest(self, share: Share) -> K | None:
        for entries in self._groups.get(share.group, [])[: self._firm]:
            for key in entries:
                return key
        return None
