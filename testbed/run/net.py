"""Networks from topologies, and what the harness does in their hosts."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import IO

import mininet.net
import mininet.node
from mininet.log import lg

from testbed.run import namespaces
from testbed.run.nodes import CLI, Mininet, NetError, bridge_port, cleanup, mininet_topology
from topologies.model import Topology

_DESCRIPTORS = 1024
_FORGET = """
ip xfrm state flush
ip xfrm policy flush
ip xfrm policy flush ptype sub
ip -o link show type ip6tnl | cut -d: -f2 | cut -d@ -f1 | grep -v '^ ip6tnl0$' |
    while read -r tunnel; do ip link del "$tunnel"; done
ip -6 rule flush
ip -6 rule | grep -q '^0:' || ip -6 rule add pref 0 lookup local
ip -6 rule add pref 32766 lookup main
"""


class Network:
    """A running network. Made by `network()`."""

    def __init__(self, topology: Topology, mininet: Mininet) -> None:
        self.topology = topology
        self.mininet = mininet
        self._off: set[str] = set()
        self._attached: dict[str, str] = {}
        """On which link hosts are that have moved."""

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

    def inside(self, host: str) -> AbstractContextManager[None]:
        """Make sockets of this thread in a host's network namespace."""
        within: AbstractContextManager[None] = self.mininet[host].inside()
        return within

    def publish(self, hosts: Iterable[str]) -> None:
        """Let programs find the hosts' network namespaces by their names (ip-netns(8))."""
        for host in hosts:
            namespaces.publish(self.mininet[host].namespace, host)

    def go_wrong(self, *, wrong: bool = True) -> None:
        """Give links their faults, which they do not have before, or take them away."""
        for link in self.topology.links:
            if link.shape.is_faulty:
                bridge = self.mininet[link.name]
                for end in link.ends:
                    port = bridge.intf(bridge_port(link, end))
                    port.emulate(link.shape if wrong else link.shape.calm)
                bridge.close_netlink()

    def cut(self, host: str, link: str) -> None:
        """Drop what passes a host's end of a link; addresses, routes and shape stay as they are.

        So do the classifiers of a program in the host, which come after this one.
        """
        name = self.topology.interface_name(host, link)
        drop = f"tc filter add dev {name} {{}} pref 1 matchall action drop"
        lines = [drop.format(way) for way in ("ingress", "egress")]
        place = f"tc qdisc show dev {name} | grep -q clsact || tc qdisc add dev {name} clsact"
        self.execute(host, "\n".join([place, *lines]))

    def heal(self, host: str, link: str) -> None:
        """Undo cut()."""
        name = self.topology.interface_name(host, link)
        lines = [f"tc filter del dev {name} {way} pref 1" for way in ("ingress", "egress")]
        self.execute(host, "\n".join(lines))

    def attach(self, host: str, link: str) -> None:
        """Move a host's interface on a link that roams to another one, which has its shape then.

        To the host that is a link that goes down and comes up again; it keeps its addresses.
        """
        home, there = self.topology.roaming_at(host), self.topology.link(link)
        if home is None:
            raise NetError(f"host {host} is on no link from which it could move")
        before = self.mininet[self._attached.get(host, home.name)]
        port = bridge_port(home, home.end(host))
        before.send_away(port, self.mininet[link])
        self._attached[host] = link
        self.mininet[host].intf(self.topology.interface_name(host, home.name)).reshape(there.shape)

    def interfaces(self, host: str) -> list[str]:
        """Return the names of a host's interfaces."""
        return [self.topology.interface_name(host, link.name) for link, _ in self.topology.at(host)]

    def power_off(self, host: str) -> None:
        """Take a host off its links, and let its kernel forget all that programs had it do.

        An interface that goes down takes addresses, routes and proxy entries with it. Settings of
        sysctl(8), and what is cut, stay.
        """
        self._off.add(host)
        lines = [f"ip link set {name} down" for name in ("lo", *self.interfaces(host))]
        self.execute(host, "\n".join([*lines, _FORGET]))

    def power_on(self, host: str) -> None:
        """Undo power_off(), if that was: the host has its addresses and routes again."""
        if host in self._off:
            self._off.discard(host)
            lines = [f"ip link set {name} up" for name in self.interfaces(host)]
            self.execute(host, "\n".join(lines))
            self.mininet[host].config()
            self.mininet[host].wait_until_usable()


def _prepare_process(*, shells: bool) -> None:
    """Do what Mininet needs, instead of Mininet.init(), which changes settings of the machine.

    mnexec closes every descriptor that the limit allows, one by one: a low limit saves seconds.
    Only shells need it, and without them there may be many hosts, each with a few descriptors.
    """
    if os.geteuid() != 0:
        raise NetError("hosts can only be made by root")
    mininet.net.Mininet.inited = mininet.node.Node.isSetup = True
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (few if shells else hard, hard))


@contextmanager
def network(topology: Topology, *, shells: bool = False) -> Iterator[Network]:
    """Build a network, and take it down at the end; hosts have shells for the prompt only.

    Raises NetError if the kernel or a tool does not give what the topology asks for.
    """
    _prepare_process(shells=shells)
    try:
        described = mininet_topology(topology, shells=shells)
        built = Mininet(described, controller=None, waitConnected=False)
        built.start()
        yield Network(topology, built)
    finally:
        cleanup()  # With the last namespace all interfaces go at once.


def speak() -> None:
    """Have all that Mininet says on standard output."""
    lg.setLogLevel("info")
    for handler in lg.handlers:
        handler.setStream(sys.stdout)


def prompt(topology: Topology) -> None:
    """Build a network and open Mininet's prompt in it."""
    speak()
    with network(topology, shells=True) as running:
        running.go_wrong()
        CLI(running.mininet)
        running.mininet.stop()
