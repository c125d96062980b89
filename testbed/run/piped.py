"""A capture that another program reads while it is made, such as Wireshark."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import threading
from contextlib import suppress

from agents.core.patience import patient
from testbed.run.capture import packet_socket, receive
from testbed.run.net import Network
from testbed.trace import pcapng

_STOP_DEADLINE = 10.0


class Piped:
    """A capture of a host's interfaces into the standard input of a command of the shell."""

    def __init__(self, network: Network, host: str, command: str) -> None:
        interfaces = network.interfaces(host)
        with network.inside(host):
            self._sockets = [packet_socket(name) for name in interfaces]
        self._reader = subprocess.Popen(
            ["sh", "-c", command], stdin=subprocess.PIPE, start_new_session=True
        )
        self._waking, self._wake = os.pipe()
        beginning = pcapng.beginning(interfaces)
        self._thread = threading.Thread(target=self._hand_on, args=(beginning,), daemon=True)
        self._thread.start()

    def _hand_on(self, beginning: bytes) -> None:
        """Write what comes until close(), or until nobody reads it any more."""
        into = self._reader.stdin
        assert into is not None  # noqa: S101  # It is a pipe.
        with suppress(BrokenPipeError), into:
            into.write(beginning)
            into.flush()
            while True:
                heard = [one.fileno() for one in self._sockets]
                ready, _, _ = select.select([*heard, self._waking], [], [])
                for index, opened in enumerate(self._sockets):
                    while found := receive(opened):
                        into.write(pcapng.block(pcapng.Packet(found[0], index, found[2])))
                into.flush()
                if self._waking in ready:
                    return

    def close(self) -> None:
        """End it: the program reads the end of its input, and has 10 s, or more, to end."""
        os.write(self._wake, b"\n")
        with suppress(subprocess.TimeoutExpired):
            self._reader.wait(patient(_STOP_DEADLINE))
        with suppress(ProcessLookupError):
            os.killpg(self._reader.pid, signal.SIGKILL)  # What it has not read is not awaited.
        self._reader.wait()
        self._thread.join()
        for opened in self._sockets:
            opened.close()
        for descriptor in (self._waking, self._wake):
            os.close(descriptor)
