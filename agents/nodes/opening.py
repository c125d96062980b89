"""What a node serves on: opened when its addresses are there, however long after its start."""

from __future__ import annotations

from collections.abc import Callable

from agents.core.eventlog import EventLog
from agents.core.host import Host
from agents.nodes.retry import Retry


class Opening:
    """Tries to open what a node serves on until that is done.

    A host that is started has its addresses some time after its programs, when it has found no
    duplicates of them (RFC 4862 section 5.4). `attempt` raises OSError if one is not to be had yet,
    and goes on from where it was when it is called again.
    """

    def __init__(self, host: Host, attempt: Callable[[], None], log: EventLog) -> None:
        self._attempt = attempt
        self._log = log
        self._retry = Retry(host, self._try)
        self._opened: Callable[[], None] = lambda: None

    def start(self, opened: Callable[[], None]) -> None:
        """Begin; tell once when everything is open."""
        self._opened = opened
        self._try()

    def _try(self) -> None:
        try:
            self._attempt()
        except OSError as error:
            self._log.write("NotReadyYet", reason=str(error))
            self._retry.later()
        else:
            self._opened()

    def close(self) -> None:
        """Try no more; what is open stays so."""
        self._retry.close()
