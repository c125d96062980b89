"""Mininet's hosts, links and prompt, for IPv6 and by netlink; also for `mn`, in Debian's Python."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cached_property
from ipaddress import IPv6Address
from pathlib import Path
from typing import IO, Any, Protocol

from mininet import cli, net
from mininet.link import Intf, Link
from mininet.log import output
from mininet.node import Node, Switch
from mininet.topo import Topo
from pyroute2 import IPRoute, NetlinkError

from agents.core.patience import patient
from testbed.run import namespaces
from testbed.run.netem import set_netem
from topologies import model
from topologies.model import Host, Interface, Shape, Topology, mac_address

_ADDRESS_DEADLINE = 10.0
_STOP_DEADLINE = 2.0
_POLL = 0.02
_ROOT, _RATE, _CLASS, _NETEM = 0xFFFFFFFF, 0x50000, 0x50001, 0x100000
_BURST = 15 * 1024  # Octets, as Mininet has it.
_QUANTUM = 200_000  # Octets. A link's one class takes turns with none; a warning without a value.
_NODAD, _TENTATIVE, _GLOBAL = 0x02, 0x40, 0  # linux/if_addr.h, linux/rtnetlink.h
_FIRST_INDEX = 1000  # Of one end; the kernel counts from 1 for the other.
_SIOCETHTOOL = 0x8946
_CHECKSUM_OFFLOADS = (0x15, 0x17)  # ETHTOOL_SRXCSUM, ETHTOOL_STXCSUM; linux/ethtool.h


class NetError(Exception):
    """The network is not what the topology asks for."""


class _InNamespace(Node):  # type: ignore[misc]  # Mininet has no types.
    """What hosts and switches are here: Mininet's nodes, by netlink, with a shell if one is wanted.

    A shell and its namespace take four programs to start; a run starts none of them.
    """

    def startShell(self, mnopts: str | None = None) -> None:  # noqa: N802  # Mininet's name.
        """Make the network namespace, and a shell in it for who wants to type."""
        _ALIVE.add(self)
        if self.params.get("shell"):
            super().startShell(mnopts)
            self.namespace = os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        else:
            self.namespace = namespaces.new_network()

    def inside(self) -> AbstractContextManager[None]:
        """Make sockets and start programs of this thread in the node's network namespace."""
        return namespaces.inside(self.namespace)

    def enter(self) -> None:
        """Move this process into the node's network namespace."""
        namespaces.enter(self.namespace, namespaces.NEWNET)

    @cached_property
    def netlink(self) -> IPRoute:
        """A netlink socket in the namespace."""
        with self.inside():
            return IPRoute()

    def close_netlink(self) -> None:
        """Close that socket, which has four descriptors, until it is needed again."""
        if "netlink" in self.__dict__:
            self.netlink.close()
            del self.netlink

    def index(self, interface: str) -> int:
        """Return an interface's index."""
        with self.inside():
            return socket.if_nametoindex(interface)

    def popen(self, *command: Any, **parameters: Any) -> subprocess.Popen[bytes]:
        """Start a program in the node, apart from the caller's terminal."""
        apart = {} if self.shell else {"mncmd": [], "start_new_session": True}
        with self.inside():
            process: subprocess.Popen[bytes] = super().popen(*command, **{**apart, **parameters})
        return process

    @contextmanager
    def must(self, what: str) -> Iterator[None]:
        """Raise NetError, with the kernel's reason, if something is refused."""
        try:
            yield
        except (NetlinkError, OSError) as error:
            number = (error.code if isinstance(error, NetlinkError) else error.errno) or 0
            missing = ": does the kernel have it?" if number == errno.ENOENT else ""
            raise NetError(f"{self.name}: {what}: {os.strerror(number)}{missing}") from None

    def set_ipv6(self, settings: Mapping[str, int]) -> None:
        """Set values below /proc/sys/net/ipv6/conf."""
        with self.inside(), self.must("/proc/sys/net/ipv6"):
            for name, value in settings.items():
                Path("/proc/sys/net/ipv6/conf", name).write_text(f"{value}\n")

    def terminate(self) -> None:
        """End the shell; the namespace goes when nothing is in it any more."""
        super().terminate()
        self.close_netlink()
        if self.namespace >= 0:
            os.close(self.namespace)
            self.namespace = -1
        _ALIVE.discard(self)


_ALIVE: set[_InNamespace] = set()


class Ipv6Interface(Intf):  # type: ignore[misc]  # Mininet has no types.
    """An end of a link: shaped by traffic control, and known by its IPv6 address."""

    _shape: Shape | None = None

    def config(self, shape: Shape | None = None, **_parameters: Any) -> dict[str, Any]:
        """Set it up, without offloads: checksums in captures are those on the wire."""
        node, index = self.node, self.node.index(self.name)
        with node.inside(), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as any_socket:
            for command in _CHECKSUM_OFFLOADS:
                with node.must(f"{self.name}: offloads"):
                    off = ctypes.create_string_buffer(struct.pack("II", command, 0))
                    request = struct.pack("16sP", self.name.encode(), ctypes.addressof(off))
                    fcntl.ioctl(any_socket, _SIOCETHTOOL, request)
        if shape:
            self._take(index, shape)
        with node.must(f"{self.name}: up"):
            joined = {"master": node.bridge} if isinstance(node, Bridge) else {}
            node.netlink.link("set", index=index, state="up", **joined)
        return {}

    def _take(self, index: int, shape: Shape) -> None:
        """Have what leaves limited and delayed; what goes wrong comes later, if at all."""
        self._shape = shape
        self._limit(index, shape)
        if shape.delay or shape.is_faulty:
            self.emulate(shape.calm)

    def _limit(self, index: int, shape: Shape) -> None:
        """Limit the rate, as Mininet's TCIntf does."""
        netlink = self.node.netlink
        self._netem_below = _CLASS if shape.rate else _ROOT
        if shape.rate:
            with self.node.must(f"{self.name}: htb"):
                rate = round(shape.rate * 1e6 / 8)  # In octets/s.
                netlink.tc("add", "htb", index, _RATE, default=1, parent=_ROOT)
                netlink.tc(
                    "add-class",
                    "htb",
                    index,
                    _CLASS,
                    parent=_RATE,
                    rate=rate,
                    ceil=rate,
                    burst=_BURST,
                    quantum=_QUANTUM,
                )

    def reshape(self, shape: Shape) -> None:
        """Have what leaves limited and delayed otherwise than before, if it was."""
        was = self._shape
        if was is None or was.calm == shape.calm:
            return
        index = self.node.index(self.name)
        if was.rate:
            self.node.netlink.tc("del", "htb", index, _RATE, parent=_ROOT)
        elif was.delay:
            self.node.netlink.tc("del", "netem", index, _NETEM, parent=_ROOT)
        self._take(index, shape)
        self.node.close_netlink()

    def emulate(self, shape: Shape) -> None:
        """Have what leaves delayed, and go wrong."""
        with self.node.must(f"{self.name}: netem"):
            index = self.node.index(self.name)
            set_netem(self.node.netlink, index, _NETEM, self._netem_below, shape)

    def updateIP(self) -> str | None:  # noqa: N802
        """Return the usable address of global scope, if there is one."""
        with self.node.inside():
            lines = Path("/proc/thread-self/net/if_inet6").read_text().splitlines()
        for line in lines:
            address, _, _, scope, flags, name = line.split()
            usable = int(scope, 16) == _GLOBAL and not int(flags, 16) & _TENTATIVE
            if name == self.name and usable:
                return str(IPv6Address(bytes.fromhex(address)))
        return None

    def IP(self) -> str | None:  # noqa: N802
        """Return what `updateIP` does: Mininet's tests ping this address."""
        return self.updateIP()

    def delete(self) -> None:
        """Delete the interface, and with it the link's other end."""
        with suppress(OSError, NetlinkError):  # That end has been deleted.
            self.node.netlink.link("delete", index=self.node.index(self.name))
        self.node.delIntf(self)
        self.link = None


class VethLink(Link):  # type: ignore[misc]
    """A link whose ends are made where they belong."""

    @classmethod
    def makeIntfPair(  # noqa: N802  # Mininet's.
        cls,
        intfname1: str,
        intfname2: str,
        addr1: str | None = None,
        addr2: str | None = None,
        node1: Any = None,
        node2: Any = None,
        deleteIntfs: bool = True,  # noqa: N803, ARG003
    ) -> None:
        """Make a pair of interfaces with their MAC addresses, each in its node's namespace.

        Linux tells that a link is up at once if its ends' indices differ; else up to 1 s later,
        and radvd waits one more.
        """
        with node1.must(f"{intfname1}: veth"):
            node1.netlink.link(
                "add",
                kind="veth",
                ifname=intfname1,
                index=_FIRST_INDEX + len(node1.intfs),
                address=addr1,
                peer={"ifname": intfname2, "address": addr2, "net_ns_fd": node2.namespace},
            )


class Ipv6Host(_InNamespace):
    """A Mininet host with IPv6 addresses, routes, and radvd on the links it advertises."""

    def __init__(
        self,
        name: str,
        inNamespace: bool = True,  # noqa: N803
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

        Fixed addresses and one host per end of a link: there are no duplicates to detect.
        """
        autoconfigure = int(any(interface.autoconfigure for _, interface in self._interfaces))
        self.set_ipv6(
            {
                "all/disable_ipv6": 0,
                "all/forwarding": int(host.forwards),
                "default/accept_dad": 0,
                "default/accept_ra": autoconfigure,
                "default/autoconf": autoconfigure,
                "default/router_solicitation_delay": 0,
            }
        )

    def config(self, **_parameters: Any) -> dict[str, Any]:
        """Apply addresses and routes, and raise NetError if one is refused."""
        with self.must("lo"):
            self.netlink.link("set", index=self.index("lo"), state="up")
        for name, interface in self._interfaces:
            for address in interface.addresses:
                with self.must(f"{name}: address {address}"):
                    self.netlink.addr(
                        "add",
                        index=self.index(name),
                        address=str(address.ip),
                        prefixlen=address.network.prefixlen,
                        flags=_NODAD,
                    )
        for to, via in self._host.routes if self._host else ():
            with self.must(f"route to {to} via {via}"):
                self.netlink.route("replace", dst=str(to), gateway=str(via))
        self._advertise()
        return {}

    def _advertise(self) -> None:
        self._advertise_no_more()
        # The prefix is told with the router's address (RFC 6275 section 7.2).
        sections = [
            f"interface {name} {{ AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4;\n"
            f"  prefix {interface.address}/{interface.advertise.prefixlen} {{\n"
            "    AdvOnLink on; AdvAutonomous on; AdvRouterAddr on; }; };\n"
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

    def wait_until_usable(self) -> None:
        """Wait until each interface has the address that it should; NetError after 10 s or more."""
        seconds = patient(_ADDRESS_DEADLINE)
        deadline = time.monotonic() + seconds
        for name, interface in self._interfaces:
            while (interface.addresses or interface.autoconfigure) and not self.intf(name).IP():
                if time.monotonic() > deadline:
                    late = f"after {seconds:g} s"
                    raise NetError(f"{self.name} has no usable address on {name} {late}")
                time.sleep(_POLL)

    def _advertise_no_more(self) -> None:
        if self._radvd:
            stop(self._radvd)
            self._radvd = None
        if self._folder:
            shutil.rmtree(self._folder)
            self._folder = None

    def terminate(self) -> None:
        """Stop radvd and the host's shell."""
        self._advertise_no_more()
        super().terminate()


class Process(Protocol):
    """A process that was started in a host."""

    pid: int
    stdin: IO[bytes] | None
    returncode: int | None

    def poll(self) -> int | None:
        """Return the exit status, or None if it has not ended."""

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status; subprocess.TimeoutExpired after `timeout` seconds."""

    def send_signal(self, sig: int) -> None:
        """Send a signal, unless it has ended."""

    def kill(self) -> None:
        """Kill it, unless it has ended."""


def stop(process: Process, *, first: int = signal.SIGTERM) -> int:
    """Ask a process to end, kill it if it does not within 2 s; return its exit status."""
    if process.poll() is None:
        process.send_signal(first)
    try:
        return process.wait(_STOP_DEADLINE)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


_EAPOL_GROUP = 1 << 3
"""The last digit of 01:80:c2:00:00:03, of which a bridge keeps frames for itself else."""


class Bridge(_InNamespace, Switch):  # type: ignore[misc]
    """The switch of a link, in a network namespace of its own.

    A hub forgets at once where it has seen an address. Frames to the group of IEEE 802.1X pass, as
    those whom a port of their own does not separate need. Raises NetError if the kernel has no
    bridges.
    """

    def __init__(self, name: str, *, hub: bool = False, **parameters: Any) -> None:
        # OpenFlow's number of a switch: nobody asks this one for it.
        super().__init__(name, **{**parameters, "dpid": "1", "inNamespace": True})
        self.set_ipv6({"all/disable_ipv6": 1, "default/disable_ipv6": 1})
        with self.must("bridge"):
            forgets = {"br_ageing_time": 0} if hub else {}
            self.netlink.link(
                "add",
                ifname="bridge",
                kind="bridge",
                br_stp_state=0,
                br_mcast_snooping=0,
                br_group_fwd_mask=_EAPOL_GROUP,
                **forgets,
            )
            self.bridge = self.index("bridge")
            self.netlink.link("set", index=self.bridge, state="up")

    def send_away(self, port: str, other: Bridge) -> None:
        """Have the host behind a port on another bridge; until it is there its link is down."""
        with self.must(f"{port}: to {other.name}"):
            index = self.index(port)
            self.netlink.link("set", index=index, net_ns_fd=other.namespace)
        with other.must(f"{port}: up"):
            there = other.index(port)
            other.netlink.link("set", index=there, master=other.bridge, state="up")
        self.close_netlink()
        other.close_netlink()

    def start(self, _controllers: Sequence[object]) -> None:
        """Do nothing: each interface is joined as it is made, before hosts look for routers."""


def bridge_port(link: model.Link, end: Interface) -> str:
    """Return the name of a bridge's interface towards an end of its link."""
    return f"{link.name}-{end.host}"


def mininet_topology(topology: Topology, *, shells: bool = True) -> Topo:
    """Return `topology` as Mininet's own class; its prompt needs a shell in each host."""
    topo = Topo()
    for host in topology.hosts:
        interfaces = [
            (topology.interface_name(host.name, link.name), end)
            for link, end in topology.at(host.name)
        ]
        topo.addHost(host.name, cls=Ipv6Host, shell=shells, host=host, interfaces=interfaces)
    for link in topology.links:
        _add_link(topo, topology, link, shells=shells)
    return topo


def _add_link(topo: Topo, topology: Topology, link: model.Link, *, shells: bool) -> None:
    """Join the ends of a link, or each with its bridge.

    It is shaped where it leaves a host, but what goes wrong does so where it leaves the bridge:
    there nobody has captured it yet but its sender, and only its receiver will.
    """
    names = [topology.interface_name(end.host, link.name) for end in link.ends]
    addresses = [mac_address(topology, link, i) for i in range(len(names))]
    usual: dict[str, Any] = {"cls": VethLink, "intf": Ipv6Interface}
    if not link.is_bridged:
        topo.addLink(
            *(end.host for end in link.ends),
            intfName1=names[0],
            intfName2=names[1],
            addr1=addresses[0],
            addr2=addresses[1],
            shape=link.shape,
            **usual,
        )
        return
    topo.addSwitch(link.name, cls=Bridge, hub=link.hub, shell=shells)
    shaped = "params2" if link.shape.is_faulty else "params1"
    for end, name, address in zip(link.ends, names, addresses, strict=True):
        topo.addLink(
            end.host,
            link.name,
            intfName1=name,
            intfName2=bridge_port(link, end),
            addr1=address,
            **{shaped: {"shape": link.shape}},
            **usual,
        )


class Mininet(net.Mininet):  # type: ignore[misc]
    """Mininet that is started when its hosts have their IPv6 addresses."""

    def start(self) -> None:
        """Start the network; raises NetError if a host gets no address."""
        super().start()
        for host in self.hosts:
            if isinstance(host, Ipv6Host):
                host.wait_until_usable()
        for node in _ALIVE:
            node.close_netlink()


class CLI(cli.CLI):  # type: ignore[misc]
    """Mininet's prompt, which also reads a script from standard input."""

    def waitForNode(self, node: Node) -> None:  # noqa: N802
        """Print what a host's program says until it ends; it gets nothing of a script."""
        if self.isatty():
            super().waitForNode(node)
            return
        while node.waiting:
            try:
                output(node.monitor())
            except KeyboardInterrupt:
                node.sendInt()


def cleanup() -> None:
    """End every node that this process has made and not ended yet."""
    for node in list(_ALIVE):
        node.terminate()
