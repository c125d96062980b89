"""News of the kernel, in the running event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol


class _Source(Protocol):
    def fileno(self) -> int:
        """Return what becomes readable."""

    def close(self) -> None:
        """Close it."""


class Watch:
    """News of the kernel, read as they come."""

    def __init__(self, source: _Source, read: Callable[[], None]) -> None:
        self._source: _Source | None = source
        asyncio.get_running_loop().add_reader(source.fileno(), read)

    def close(self) -> None:
        """Close it."""
        if self._source:
            asyncio.get_running_loop().remove_reader(self._source.fileno())
            self._source.close()
            self._source = None
