"""Hosts as network namespaces, and programs in them that tell events as JSON lines."""

from __future__ import annotations

import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest

from testbed.base.places import PROJECT

DEADLINE = 20.0
T = TypeVar("T")


def wait_until(condition: Callable[[], T], what: str, deadline: float = DEADLINE) -> T:
    """Return the first result of `condition` that is true."""
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        if result := condition():
            return result
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {deadline} s")


class Host:
    """A network namespace, held by a process that sleeps."""

    alive: ClassVar[list[Host]] = []

    def __init__(self, name: str) -> None:
        self.name = name
        self._holder = subprocess.Popen(
            ["unshare", "-n", "sh", "-c", "echo; exec sleep 600"], stdout=subprocess.PIPE
        )
        assert self._holder.stdout
        self._holder.stdout.readline()
        self.pid = self._holder.pid
        self.run("ip link set lo up")
        self.alive.append(self)

    def command(self, *arguments: str) -> list[str]:
        return ["nsenter", "-t", str(self.pid), "-n", *arguments]

    def popen(self, command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self.command(*command), **options)

    def run(self, line: str) -> str:
        result = subprocess.run(
            self.command(*line.split()), capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, f"{self.name}: {line}: {result.stderr}"
        return result.stdout

    def pings(self, address: str, *options: str) -> bool:
        command = self.command("ping", "-c1", "-W1", *options, address)
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def inside(self, work: Callable[[], T]) -> T:
        """Do `work` in this namespace, in a thread of its own; return or raise what it does."""

        def enter() -> T:
            with open(f"/proc/{self.pid}/ns/net") as namespace:
                assert ctypes.CDLL(None).setns(namespace.fileno(), 0) == 0
            return work()

        with ThreadPoolExecutor(1) as pool:
            return pool.submit(enter).result(DEADLINE)

    def link(self, interface: str, other: Host, other_interface: str) -> None:
        """Join two hosts by a cable."""
        self.run(f"ip link add {interface} type veth peer name {other_interface} netns {other.pid}")
        self.run(f"ip link set {interface} up")
        other.run(f"ip link set {other_interface} up")

    @contextmanager
    def capturing(self, interface: str, what: str, path: Path) -> Iterator[None]:
        """Capture while the block runs; a ping at its end makes sure of what came before."""
        if not shutil.which("tcpdump"):
            pytest.skip("tcpdump is not installed")
        options = ("-U", "--immediate-mode", "-i", interface, "-w", str(path), what)
        tcpdump = subprocess.Popen(self.command("tcpdump", *options), stderr=subprocess.PIPE)
        try:
            assert tcpdump.stderr
            assert any(b"listening" in line for line in tcpdump.stderr)
            yield
        finally:
            tcpdump.send_signal(signal.SIGINT)
            tcpdump.communicate(timeout=DEADLINE)

    def close(self) -> None:
        self.alive.remove(self)
        self._holder.kill()
        self._holder.wait()
        assert self._holder.stdout
        self._holder.stdout.close()


def trust_addresses(host: Host) -> None:
    """Have addresses of interfaces to come serve at once, the kernel's link-local ones too.

    A router asks for nobody's link-layer address while its own is looked for twice.
    """
    host.run("sysctl -qw net.ipv6.conf.default.accept_dad=0")


class Program:
    """A Python module at work in a host; keeps its events, takes commands."""

    def __init__(self, host: Host, module: str, *arguments: str) -> None:
        self.events: list[dict[str, Any]] = []
        self.process = subprocess.Popen(
            host.command(sys.executable, "-m", module, *arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
        )
        self._rest = b""

    def command(self, line: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def wait_for(self, *names: str) -> dict[str, Any]:
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
        for stream in (self.process.stdin, self.process.stdout):
            if stream and not stream.closed:
                stream.close()


class Scene:
    """Hosts, and the programs that run in them; all end together."""

    def __init__(self, *names: str) -> None:
        self.hosts = [Host(name) for name in names]
        self.programs: list[Program] = []

    def trust_addresses(self) -> None:
        """Have addresses of interfaces to come serve at once on all hosts."""
        for host in self.hosts:
            trust_addresses(host)

    def start(self, host: Host, module: str, *arguments: str) -> Program:
        self.programs.append(Program(host, module, *arguments))
        return self.programs[-1]

    def close(self) -> None:
        for program in self.programs:
            program.close()
        for host in self.hosts:
            host.close()
