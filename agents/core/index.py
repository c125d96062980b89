"""Things by a key that several may share, so that nobody looks through all of them."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

M = TypeVar("M", bound=Hashable)
K = TypeVar("K", bound=Hashable)


class Index(Generic[M, K]):
    """Members by their keys, one each; those that have had a key longest come first."""

    def __init__(self) -> None:
        self._members: dict[K, dict[M, None]] = {}
        self._keys: dict[M, K] = {}

    def __len__(self) -> int:
        return len(self._members)

    def at(self, key: K) -> tuple[M, ...]:
        """Return the members that have a key."""
        return tuple(self._members.get(key, ()))

    def put(self, member: M, key: K | None) -> None:
        """Note a member's key; None forgets the member."""
        before = self._keys.get(member)
        if before == key:
            return
        if before is not None:
            del self._keys[member]
            there = self._members[before]
            del there[member]
            if not there:
                del self._members[before]
        if key is not None:
            self._keys[member] = key
            self._members.setdefault(key, {})[member] = None
