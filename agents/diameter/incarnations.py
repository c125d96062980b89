"""Which nodes have lost their state since they were heard of last (RFC 6733 section 8.16)."""

from __future__ import annotations

from collections import OrderedDict

from agents.core.folding import ascii_lower

_MAXIMUM = 4096
"""Nodes that are remembered; who was heard of first gives way."""


class Incarnations:
    """The highest Origin-State-Id of each node: 0, or one that is lower, says nothing."""

    def __init__(self) -> None:
        self._latest: OrderedDict[str, int] = OrderedDict()

    def is_new(self, host: str, state_id: int | None) -> bool:
        """Note what a node says, and return whether it has said a lower number before."""
        if not state_id:
            return False
        name = ascii_lower(host)
        before = self._latest.get(name)
        if before is not None and before >= state_id:
            return False
        self._latest[name] = state_id
        while len(self._latest) > _MAXIMUM:
            self._latest.popitem(last=False)
        return before is not None
