"""Mininet: networks from topologies. The only module that imports it."""

from __future__ import annotations

import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import IPv6Address
from pathlib import Path
from typing import IO, Any

from mininet.cli import CLI
from mininet.link import TCLink
from mininet.log import setLogLevel
from mininet.net import Mininet
from mininet.node import Node
from mininet.topo import Topo
from pyroute2 import netns

from topologies.model import Host, Interface, Link, Topology

_ADDRESS_DEADLINE = 10.0
_STOP_DEADLINE = 2.0
_POLL = 0.02
_DESCRIPTORS = 1024


class NetError(Exception):
    """The network is not what the topology asks for."""


class Ipv6Host(Node):  # type: ignore[misc]  # Mininet has no types.
    """A Mininet host with IPv6 addresses, routes, and radvd on the links it advertises."""

    def __init__(
        self,
        name: str,
        inNamespace: bool = True,  # noqa: N803  # Mininet's name.
        host: Host | None = None,
        interfaces: Sequence[tuple[str, Interface]] = (),
        **parameters: Any,
    ) -> None:
        self._host = host
        self._interfaces = interfaces
        self._radvd: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None
        super().__init__(name, inNamespace, **{**parameters, "ip": None})
        if host is not None:
            self._set_defaults(host)

    def _set_defaults(self, host: Host) -> None:
        """Set how interfaces behave, before there are any: they inherit it.

        Fixed addresses and one host a link end: there are no duplicates to detect.
        """
        autoconfigure = int(any(interface.autoconfigure for _, interface in self._interfaces))
        settings = {
            "all/forwarding": int(host.forwards),
            "default/accept_dad": 0,
            "default/accept_ra": autoconfigure,
            "default/autoconf": autoconfigure,
            "default/router_solicitation_delay": 0,
        }
        lines = [f"echo {v} > /proc/sys/net/ipv6/conf/{k}" for k, v in settings.items()]
        self._checked("; ".join(lines))

    def config(self, **parameters: Any) -> dict[str, Any]:
        """Apply addresses and routes, and raise NetError if one is refused."""
        result: dict[str, Any] = super().config(**{**parameters, "ip": None})
        if self._host is None:
            return result
        commands = []
        for name, interface in self._interfaces:
            commands += [f"address add {a} dev {name} nodad" for a in interface.addresses]
        commands += [f"route replace {to} via {via}" for to, via in self._host.routes]
        if commands:
            self._checked(f"printf '%s\\n' {shlex.join(commands)} | ip -6 -batch -")
        self._advertise()
        return result

    def _checked(self, script: str) -> None:
        """Run what must succeed, and so say nothing, in the host's shell."""
        output = self.cmd(script).strip()
        if output:
            raise NetError(f"host {self.name}: {output}")

    def _advertise(self) -> None:
        sections = [
            f"interface {name} {{ AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4;\n"
            f"  prefix {interface.advertise} {{ AdvOnLink on; AdvAutonomous on; }}; }};\n"
            for name, interface in self._interfaces
            if interface.advertise
        ]
        if not sections:
            return
        program = shutil.which("radvd", path="/usr/sbin:/usr/local/sbin:/usr/bin")
        if program is None:
            raise NetError(f"host {self.name} advertises a prefix, and radvd is not installed")
        self._folder = Path(tempfile.mkdtemp(prefix="radvd-"))
        settings = self._folder / "radvd.conf"
        settings.write_text("".join(sections))
        command = [program, "--nodaemon", "--config", str(settings)]
        command += ["--pidfile", str(self._folder / "radvd.pid"), "--logmethod", "stderr"]
        with (self._folder / "log").open("wb") as log:
            self._radvd = self.popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def terminate(self) -> None:
        """Stop radvd and the host's shell."""
        if self._radvd:
            stop(self._radvd)
        if self._folder:
            shutil.rmtree(self._folder)
            self._folder = None
        super().terminate()


def stop(process: subprocess.Popen[bytes], *, first: int = signal.SIGTERM) -> int:
    """Ask a process to end, kill it if it does not within 2 s; return its exit status."""
    if process.poll() is None:
        process.send_signal(first)
    try:
        return process.wait(_STOP_DEADLINE)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


class Bridge(Node):  # type: ignore[misc]
    """The switch of a shared link, in a network namespace of its own."""

    def config(self, **_parameters: Any) -> dict[str, Any]:
        """Join the interfaces; raises NetError if the kernel has no bridges."""
        commands = ["link add name bridge type bridge stp_state 0 mcast_snooping 0"]
        commands += [f"link set dev {name} master bridge" for name in self.intfNames()]
        commands += [f"link set dev {name} up" for name in (*self.intfNames(), "bridge")]
        script = (
            "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6; "
            "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6; "
            f"printf '%s\\n' {shlex.join(commands)} | ip -batch -"
        )
        if output := self.cmd(script).strip():
            raise NetError(f"link {self.name}: {output}")
        return {}


def mac_address(topology: Topology, link: Link, end: int) -> str:
    """Return the MAC address of one of a link's ends, counted from 0: locally administered."""
    return f"02:00:00:00:{topology.links.index(link) + 1:02x}:{end + 1:02x}"


def link_local_address(topology: Topology, link: Link, host: str) -> IPv6Address:
    """Return the link-local address of a host on a link (RFC 4291 appendix A)."""
    end = link.ends.index(link.end(host))
    octets = bytes.fromhex(mac_address(topology, link, end).replace(":", ""))
    identifier = bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]
    return IPv6Address(b"\xfe\x80" + bytes(6) + identifier)


def mininet_topology(topology: Topology, **_options: str) -> Topo:
    """Return `topology` as Mininet's own class, for Mininet() and `mn --custom`."""
    topo = Topo()
    for host in topology.hosts:
        interfaces = [
            (topology.interface_name(host.name, link.name), end)
            for link in topology.links
            for end in link.ends
            if end.host == host.name
        ]
        topo.addHost(host.name, cls=Ipv6Host, host=host, interfaces=interfaces)
    for link in topology.links:
        _add_link(topo, topology, link)
    return topo


def _add_link(topo: Topo, topology: Topology, link: Link) -> None:
    """Join the ends of a link; of a shared one each with its bridge, which shapes nothing."""
    shape: dict[str, Any] = {
        "bw": link.shape.rate or None,
        "delay": f"{link.shape.delay * 1000:g}ms" if link.shape.delay else None,
        "loss": link.shape.loss or None,
    }
    names = [topology.interface_name(end.host, link.name) for end in link.ends]
    addresses = [mac_address(topology, link, i) for i in range(len(names))]
    # Without offloads checksums in captures are those on the wire.
    usual: dict[str, Any] = {"cls": TCLink, "txo": False, "rxo": False}
    if not link.is_shared:
        topo.addLink(
            *(end.host for end in link.ends),
            intfName1=names[0],
            intfName2=names[1],
            addr1=addresses[0],
            addr2=addresses[1],
            **usual,
            **shape,
        )
        return
    topo.addHost(link.name, cls=Bridge)
    for end, name, address in zip(link.ends, names, addresses, strict=True):
        topo.addLink(
            end.host,
            link.name,
            intfName1=name,
            intfName2=f"{link.name}-{end.host}",
            addr1=address,
            params1=shape,
            **usual,
        )


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

    def _wait_for_address(self, host: str, interface: str) -> None:
        """Wait until an interface has a usable address of global scope."""
        deadline = time.monotonic() + _ADDRESS_DEADLINE
        table = f"/proc/{self.mininet[host].pid}/net/if_inet6"
        tentative = 0x40
        while time.monotonic() < deadline:
            for line in Path(table).read_text().splitlines():
                _, _, _, scope, flags, name = line.split()
                if name == interface and int(scope, 16) == 0 and not int(flags, 16) & tentative:
                    return
            time.sleep(_POLL)
        raise NetError(f"{host} has no usable address on {interface} after {_ADDRESS_DEADLINE:g} s")

    def wait_until_usable(self) -> None:
        """Wait until every host has an address on each of its links; NetError after 10 s."""
        for link in self.topology.links:
            for end in link.ends:
                if end.addresses or end.autoconfigure:
                    name = self.topology.interface_name(end.host, link.name)
                    self._wait_for_address(end.host, name)


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
    Mininet.inited = True
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (_DESCRIPTORS, max(_DESCRIPTORS, hard)))


@contextmanager
def network(topology: Topology) -> Iterator[Network]:
    """Build a network, check it, and take it down at the end.

    Raises NetError if the kernel or a tool does not give what the topology asks for.
    """
    _prepare_process()
    # Mininet reports harmless warnings of tc as errors; effects are checked below.
    setLogLevel("critical")
    mininet = Mininet(mininet_topology(topology), controller=None, waitConnected=False)
    try:
        running = Network(topology, mininet)
        mininet.start()
        _assert_shaped(running)
        running.wait_until_usable()
        yield running
    finally:
        mininet.stop()


def prompt(network: Network) -> None:
    """Open Mininet's prompt until the user leaves it."""
    CLI(network.mininet)
