"""The control socket of hostapd and wpa_supplicant: commands, answers and events in datagrams."""

from __future__ import annotations

import re
import socket
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Self

from agents.core.patience import patient

_DEADLINE = 5.0
_LONGEST = 4096
_EVENT = re.compile(rb"<\d+>")


class ControlError(Exception):
    """A command that was refused, or got no answer; the text says which."""


class ControlSocket:
    """One end of a daemon's control socket, in the daemon's own folder."""

    def __init__(self, server: Path) -> None:
        self._server = str(server)
        self._events: deque[str] = deque()
        self._own = server.with_name(f"{server.name}-own")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._socket.bind(str(self._own))
        except BaseException:
            self._socket.close()
            raise

    def do(self, command: str) -> None:
        """Have a command carried out before this returns; raises ControlError."""
        if (answer := self.ask(command).strip()) != "OK":
            raise ControlError(f"{command}: {answer}")

    def ask(self, command: str) -> str:
        """Return the answer to a command; raises ControlError. Events before it wait."""
        try:
            self._socket.settimeout(patient(_DEADLINE))
            self._socket.sendto(command.encode(), self._server)
            while self._is_event(answer := self._socket.recv(_LONGEST)):
                pass
        except OSError as error:
            raise ControlError(f"{command}: {error.strerror or error}") from None
        return answer.decode(errors="replace")

    def event(self) -> str | None:
        """Return and forget the oldest event, None if there is none; ATTACH asks for them."""
        with suppress(OSError):
            self._socket.setblocking(False)
            if not self._events:
                self._is_event(self._socket.recv(_LONGEST))
        return self._events.popleft() if self._events else None

    @property
    def waiting(self) -> tuple[str, ...]:
        """The events that came before the last answer, and that event() has not returned."""
        return tuple(self._events)

    def _is_event(self, data: bytes) -> bool:
        level = _EVENT.match(data)
        if level:
            self._events.append(data[level.end() :].decode(errors="replace"))
        return level is not None

    def fileno(self) -> int:
        """Return its number, by which an event loop knows when event() has something."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close it."""
        self._socket.close()
        self._own.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
