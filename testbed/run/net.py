"""Networks from topologies, and what the harness does in their hosts."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO

import mininet.net
from mininet.log import lg
from pyroute2 import netns

from testbed.run.nodes import CLI, Mininet, NetError, cleanup, mininet_topology
from topologies.model import Topology

_DESCRIPTORS = 1024


class Network:
    """A running network. Made by `network()`."""

    def __init__(self, topology: Topology, mininet: Mininet) -> None:
        self.topology = topology
        self.mininet = mininet

    def start(
        self, host: str, command: Sequence[str], *, stdout: IO[bytes] | int, stderr: IO[bytes] | int
    ) -> subprocess.Popen[bytes]:
        """Start a program in a host; its standard input is a pipe."""
        process: subprocess.Popen[bytes] = self.mininet[host].popen(
            list(command), stdin=subprocess.PIPE, stdout=stdout, stderr=stderr
        )
        return process

    def execute(self, host: str, script: str) -> None:
        """Run a shell script in a host to its end; NetError with what it says if it fails."""
        output, errors, status = self.mininet[host].pexec("sh", "-ec", script)
        if status:
            raise NetError(f"host {host}: {(errors or output).strip() or script}")

    @contextmanager
    def inside(self, host: str) -> Iterator[None]:
        """Make sockets of this thread in a host's network namespace."""
        netns.pushns(f"/proc/{self.mininet[host].pid}/ns/net")
        try:
            yield
        finally:
            netns.popns()

    def interfaces(self, host: str) -> list[str]:
        """Return the names of a host's interfaces."""
        links = (link for link in self.topology.links if host in {e.host for e in link.ends})
        return [self.topology.interface_name(host, link.name) for link in links]


def _assert_shaped(network: Network) -> None:
    """Check that the traffic control that Mininet was asked for is there; it fails quietly."""
    for link in network.topology.links:
        for end in link.ends:
            name = network.topology.interface_name(end.host, link.name)
            rules = network.mininet[end.host].cmd("tc", "qdisc", "show", "dev", name)
            wanted = {"htb"} if link.shape.rate else set()
            if link.shape.delay or link.shape.loss:
                wanted.add("netem")
            missing = [w for w in sorted(wanted) if not re.search(rf"qdisc {w}\b", rules)]
            if missing:
                raise NetError(f"{name} lacks {' and '.join(missing)}: does the kernel have it?")


def _prepare_process() -> None:
    """Do what Mininet needs, instead of Mininet.init(), which changes settings of the machine.

    mnexec closes every descriptor that the limit allows, one by one: a low limit saves seconds.
    """
    if os.geteuid() != 0:
        raise NetError("hosts can only be made by root")
    mininet.net.Mininet.inited = True
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (_DESCRIPTORS, max(_DESCRIPTORS, hard)))


@contextmanager
def network(topology: Topology) -> Iterator[Network]:
    """Build a network, check it, and take it down at the end.

    Raises NetError if the kernel or a tool does not give what the topology asks for.
    """
    _prepare_process()
    try:
        built = Mininet(mininet_topology(topology), controller=None, waitConnected=False)
        built.start()
        running = Network(topology, built)
        _assert_shaped(running)
        yield running
        built.stop()
    finally:
        cleanup()


def prompt(topology: Topology) -> None:
    """Build a network and open Mininet's prompt in it, with all that Mininet says on stdout."""
    lg.setLogLevel("info")
    for handler in lg.handlers:
        handler.setStream(sys.stdout)
    with network(topology) as running:
        CLI(running.mininet)
