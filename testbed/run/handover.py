"""One handover as it is followed: what the mobile node tells of its parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_MOMENTS = {
    ("mip6", "LinkUp"): "link",
    ("mip6", "Moved"): "moved",
    ("role", "CareOfAddress"): "address",
    ("pana", "Authenticated"): "access",
    ("mip6", "BindingAccepted"): "bound",
}
"""By agent and event."""

_PARTS = ("detection", "address", "access", "binding")
"""Each from one moment to the next."""

_NS = 1_000_000_000


class Following:
    """The handover of a mobile node's host to a link, from when that is up to the binding.

    It `is_heard` once packets of the correspondent node have been answered after it.
    """

    def __init__(self, host: str, link: str, cycle: int) -> None:
        self.link = link
        self.cycle = cycle
        self.is_heard = False
        self._host = host
        self._at: dict[str, int] = {}

    def note(self, event: Mapping[str, Any]) -> None:
        """Take note of when it comes to its next part; what the old address has does not count."""
        moment = _MOMENTS.get((event["agent"], event["event"]))
        if event["host"] != self._host or moment is None:
            return
        if moment not in ("access", "bound") or "address" in self._at:
            self._at.setdefault(moment, event["t"])

    @property
    def parts(self) -> dict[str, float]:
        """How long each part took, in seconds; empty if it has not come to its end."""
        at = dict(self._at)
        if "address" in at:
            at.setdefault("access", at["address"])  # Where it is free.
        if at.keys() < set(_MOMENTS.values()):
            return {}
        moments = [at[name] for name in _MOMENTS.values()]
        pairs = zip(_PARTS, moments, moments[1:], strict=False)
        return {name: round((end - begin) / _NS, 6) for name, begin, end in pairs}
