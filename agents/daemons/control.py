"""The control socket of hostapd and wpa_supplicant: datagrams, a command and its answer."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Self

from agents.core.patience import patient

_DEADLINE = 5.0
_LONGEST = 4096


class ControlError(Exception):
    """A command that was refused, or got no answer; the text says which."""


class ControlSocket:
    """One end of a daemon's control socket, in the daemon's own folder."""

    def __init__(self, server: Path) -> None:
        self._server = str(server)
        self._own = server.with_name(f"{server.name}-own")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._socket.settimeout(patient(_DEADLINE))
            self._socket.bind(str(self._own))
        except BaseException:
            self._socket.close()
            raise

    def do(self, command: str) -> None:
        """Have a command carried out before this returns; raises ControlError."""
        try:
            self._socket.sendto(command.encode(), self._server)
            answer = self._socket.recv(_LONGEST)
        except OSError as error:
            raise ControlError(f"{command}: {error.strerror or error}") from None
        if answer.strip() != b"OK":
            raise ControlError(f"{command}: {answer.decode(errors='replace').strip()}")

    def close(self) -> None:
        """Close it."""
        self._socket.close()
        self._own.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
