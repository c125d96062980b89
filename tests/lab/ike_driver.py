"""An IKE machine on UDP port 500 that keeps the kernel's SAs and tells events as JSON lines.

Commands come by stdin, one per line; one that the machine does not know ends it.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from ipaddress import IPv6Address
from typing import Generic, TypeVar

from agents import ikev1, ikev2
from agents.core.machine import Event
from agents.kernel.associations import LinuxSecurityAssociations

M = TypeVar("M", ikev1.Ikev1, ikev2.Ikev2)
MAX_LIFE = 60.0
TOLD = ("reason", "identity", "method", "home_address", "prefix", "prefix_lifetime")


def describe(event: Event) -> dict[str, object]:
    line: dict[str, object] = {"event": type(event).__name__}
    line |= {name: str(getattr(event, name)) for name in TOLD if hasattr(event, name)}
    if hasattr(event, "pair"):
        line["sas"] = [
            {
                "src": str(sa.source),
                "dst": str(sa.destination),
                "spi": sa.spi,
                "cipher": sa.encryption.value,
                "key": sa.encryption_key.hex(),
                "integrity": sa.integrity.value[0],
                "integrity_key": sa.integrity_key.hex(),
                "bits": sa.integrity.value[1],
                "mode": "transport",
            }
            for sa in sorted((event.pair.inbound, event.pair.outbound), key=lambda sa: sa.spi)
        ]
    return line


class Driver(ABC, Generic[M]):
    """A machine between its peer and the kernel; with `selectors` in `spec` it initiates."""

    def __init__(self, spec: dict) -> None:
        self.spec = spec
        self.peer = IPv6Address(spec["peer"])
        self.kernel = LinuxSecurityAssociations()
        self.machine: M = self.build()
        self.commands: dict[str, Callable[[IPv6Address, float], object]] = {
            "delete": self.machine.delete
        }

    @abstractmethod
    def build(self) -> M:
        """Return the machine."""

    @abstractmethod
    def initiate(self, now: float) -> None:
        """Have it make SAs."""

    def handle(self, event: Event) -> None:
        print(json.dumps(describe(event)), flush=True)
        match event:
            case ikev1.ChildKeyed() | ikev1.ChildEstablished():
                self.kernel.install(event.pair)
            case ikev2.ChildEstablished():
                self.kernel.install(event.pair)
            case ikev1.ChildAbandoned() | ikev1.ChildDeleted() | ikev2.ChildDeleted():
                self.kernel.uninstall(event.pair)

    def run(self) -> None:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.bind((self.spec["local"], 500))
            sock.setblocking(False)
            print(json.dumps({"event": "Ready"}), flush=True)
            if self.spec.get("selectors"):
                self.initiate(time.monotonic())
            self._serve(sock)

    def _serve(self, sock: socket.socket) -> None:
        machine, end = self.machine, time.monotonic() + MAX_LIFE
        while (now := time.monotonic()) < end:
            while machine.events:
                self.handle(machine.events.popleft())
            while machine.outbox:
                data, address = machine.outbox.popleft()
                sock.sendto(data, address)
            if machine.events:
                continue
            deadline = min(end, machine.next_timeout() or end)
            ready, _, _ = select.select([sock, sys.stdin], [], [], max(0.0, deadline - now))
            if sock in ready:
                data, source = sock.recvfrom(65535)
                machine.handle_message(data, source[:2], time.monotonic())
            if sys.stdin in ready:
                command = self.commands.get(sys.stdin.readline().strip())
                if command is None:
                    return
                command(self.peer, time.monotonic())
            machine.handle_timeout(time.monotonic())
