"""The home agent's IKE daemon that a script starts, and what could not be done with it yet."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from ipaddress import IPv6Address
from typing import Protocol

from agents.core.eventlog import EventLog
from agents.core.host import Closable, Host
from agents.nodes.retry import Retry


class LaunchedIke(Closable, Protocol):
    """The daemon, and its peers; what cannot be done raises OSError, and may be repeated."""

    def share(
        self, identity: str, home_address: IPv6Address, psk: bytes, care_of: IPv6Address | None
    ) -> None:
        """Let whoever holds the key make SAs for this home address, until it is forgotten."""

    def forget(self, identity: str) -> None:
        """Have the daemon forget a peer's key, and delete the SAs that were made with it."""


class Launching:
    """Tells the daemon of its peers; what cannot be done (no room, no process) is tried again."""

    def __init__(self, host: Host, launched: LaunchedIke, log: EventLog) -> None:
        self._launched = launched
        self._log = log
        self._left: dict[str, Callable[[], None]] = {}
        """The last that was asked for of each peer, if that is yet to be done."""

        self._retry = Retry(host, self._try_again)

    def share(
        self, identity: str, home_address: IPv6Address, psk: bytes, care_of: IPv6Address | None
    ) -> None:
        """Let whoever holds the key make SAs for this home address, until it is forgotten."""
        self._do(identity, partial(self._launched.share, identity, home_address, psk, care_of))

    def forget(self, identity: str) -> None:
        """Have the daemon forget a peer's key, and delete the SAs that were made with it."""
        self._do(identity, partial(self._launched.forget, identity))

    def _do(self, identity: str, operation: Callable[[], None]) -> None:
        try:
            operation()
        except OSError as error:
            self._left[identity] = operation
            self._log.write("LaunchFailed", identity=identity, reason=str(error))
            self._retry.later()
        else:
            self._left.pop(identity, None)

    def _try_again(self) -> None:
        for identity, operation in tuple(self._left.items()):
            self._do(identity, operation)

    def close(self) -> None:
        """End the daemon."""
        self._retry.close()
        self._launched.close()
