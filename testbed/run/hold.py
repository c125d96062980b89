"""A link held: the bootstrap's messages wait in its bridge until they are let go, one by one.

The bridge's ports are taken off it, and frames go from one to the others through this process: what
testbed.trace.dissect names waits, all else, such as neighbour discovery, passes at once. What is
sent again while it waits already waits once.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from testbed.run.capture import packet_socket, receive
from testbed.run.nodes import Bridge
from testbed.trace.dissect import Seen, recognise
from testbed.trace.frames import Frame


@dataclass(frozen=True, slots=True)
class Held:
    """A frame that waits at the port at which it came."""

    port: str
    frame: Frame
    message: Seen

    def line(self, hosts: Mapping[bytes, str]) -> str:
        """Return it in words; `hosts` are named by their MAC addresses."""
        sender = hosts.get(self.frame.source, "?")
        receiver = hosts.get(self.frame.destination, "all")
        return f"{sender} -> {receiver}  {self.message.protocol} {self.message.label}"


class Hold:
    """A link that is held, from when this is made until it is closed."""

    def __init__(self, bridge: Bridge, ports: Sequence[str]) -> None:
        self._bridge = bridge
        self._ports = ports
        self._held: deque[Held] = deque()
        self._coming: deque[Frame] = deque()
        self._recognised = recognise(iter(self._coming.popleft, None))
        self._changed = threading.Condition()
        self._join(master=0)
        with bridge.inside():
            self._sockets = {port: packet_socket(port) for port in ports}
        self._waking, self._wake = os.pipe()
        self._thread = threading.Thread(target=self._forward, daemon=True)
        self._thread.start()

    def _join(self, master: int) -> None:
        """Have the ports on a bridge by its index, or with 0 on none."""
        for port in self._ports:
            with self._bridge.must(f"{port}: off and on the bridge"):
                index = self._bridge.index(port)
                self._bridge.netlink.link("set", index=index, master=master)
        self._bridge.close_netlink()

    def _forward(self) -> None:
        """Take what comes until close() wakes this thread."""
        ports = {one.fileno(): port for port, one in self._sockets.items()}
        while True:
            ready, _, _ = select.select([*ports, self._waking], [], [])
            if self._waking in ready:
                return
            for number in ready:
                while found := receive(self._sockets[ports[number]]):
                    time_ns, leaves, data = found
                    if not leaves:
                        self._take(ports[number], Frame(time_ns, data))

    def _take(self, port: str, frame: Frame) -> None:
        """Let a frame pass, or wait; one that waits already is forgotten."""
        self._coming.append(frame)
        _, _, message = next(self._recognised)
        if message is None:
            self._send(port, frame)
            return
        with self._changed:
            if all(one.frame.data != frame.data for one in self._held):
                self._held.append(Held(port, frame, message))
                self._changed.notify()

    def _send(self, port: str, frame: Frame) -> None:
        for other, opened in self._sockets.items():
            if other != port:
                opened.send(frame.data)

    def first(self, wait: float) -> Held | None:
        """Return what has waited longest, None if nothing comes within so many seconds."""
        deadline = time.monotonic() + wait
        with self._changed:
            while not self._held and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)
            return self._held[0] if self._held else None

    def let_go(self) -> None:
        """Let pass what has waited longest."""
        with self._changed:
            one = self._held.popleft()
        self._send(one.port, one.frame)

    def close(self) -> None:
        """Let pass all that waits, in order, and the link be as before."""
        os.write(self._wake, b"\n")
        self._thread.join()
        while self._held:
            self.let_go()
        for opened in self._sockets.values():
            opened.close()
        for descriptor in (self._waking, self._wake):
            os.close(descriptor)
        self._join(master=self._bridge.bridge)
