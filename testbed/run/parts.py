"""What a run needs of its hosts, whether they are a kernel's or a model."""

from __future__ import annotations

from typing import Any, Protocol


class Told(Protocol):
    """The events of all programs, one by one."""

    def next(self, deadline: float) -> dict[str, Any] | None:
        """Return the next event, or None at the deadline."""


class Shells(Protocol):
    """The hosts' shells."""

    def execute(self, host: str, script: str) -> object:
        """Run a script in a host."""

    def power_off(self, host: str) -> None:
        """Take a host off its links, and let its kernel forget all that programs had it do."""

    def power_on(self, host: str) -> None:
        """Undo power_off(), if that was."""

    def cut(self, host: str, link: str) -> None:
        """Let nothing pass a host's end of a link, in neither direction."""

    def heal(self, host: str, link: str) -> None:
        """Undo cut()."""

    def attach(self, host: str, link: str) -> None:
        """Move a mobile node from the link that it is on to another one."""


class Echoes(Protocol):
    """Echo requests to the home address, at a steady pace."""

    def wait_for(self, packets: int, timeout: float) -> None:
        """Wait until this many more requests are answered, for so many seconds."""

    def longest(self) -> float:
        """Return the longest silence in seconds since this was asked before."""

    def stop(self) -> dict[str, float]:
        """Stop; return the requests sent and answered and the longest silence in seconds."""
