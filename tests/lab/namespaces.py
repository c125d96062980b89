"""Hosts as network namespaces, and programs in them that tell events as JSON lines."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
DEADLINE = 20.0


class Host:
    """A network namespace, held by a process that sleeps."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._holder = subprocess.Popen(
            ["unshare", "-n", "sh", "-c", "echo; exec sleep 600"], stdout=subprocess.PIPE
        )
        assert self._holder.stdout
        self._holder.stdout.readline()
        self.run("ip link set lo up")

    def command(self, *arguments: str) -> list[str]:
        return ["nsenter", "-t", str(self._holder.pid), "-n", *arguments]

    def run(self, line: str) -> str:
        result = subprocess.run(
            self.command(*line.split()), capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, f"{self.name}: {line}: {result.stderr}"
        return result.stdout

    def link(self, interface: str, other: Host, other_interface: str) -> None:
        """Join two hosts by a cable."""
        peer = f"peer name {other_interface} netns {other._holder.pid}"
        self.run(f"ip link add {interface} type veth {peer}")
        self.run(f"ip link set {interface} up")
        other.run(f"ip link set {other_interface} up")

    def close(self) -> None:
        self._holder.kill()
        self._holder.wait()
        assert self._holder.stdout
        self._holder.stdout.close()


class Program:
    """A Python program in a host; keeps its events."""

    def __init__(self, host: Host, *arguments: str) -> None:
        self.events: list[dict[str, object]] = []
        self.process = subprocess.Popen(
            host.command(sys.executable, *arguments),
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        self._rest = b""

    def wait_for(self, *names: str) -> dict[str, object]:
        """Return the next event of one of these names."""
        assert self.process.stdout
        descriptor = self.process.stdout.fileno()
        deadline = time.monotonic() + DEADLINE
        while True:
            while b"\n" in self._rest:
                line, self._rest = self._rest.split(b"\n", 1)
                self.events.append(json.loads(line))
                if self.events[-1]["event"] in names:
                    return self.events[-1]
            left = deadline - time.monotonic()
            assert left > 0, f"no {names} in {self.events}"
            if select.select([descriptor], [], [], left)[0]:
                data = os.read(descriptor, 65536)
                assert data, f"ended without {names}: {self.events}"
                self._rest += data

    def stop(self) -> int:
        """End it in good order; return its exit status."""
        self.process.terminate()
        status = self.process.wait(DEADLINE)
        self.close()
        return status

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout and not self.process.stdout.closed:
            self.process.stdout.close()
