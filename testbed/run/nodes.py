"""Mininet's hosts, links and prompt, for IPv6; also for `mn`, and so without other packages."""

from __future__ import annotations

import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any

from mininet import cli, net
from mininet.link import TCIntf, TCLink
from mininet.log import output
from mininet.node import Node, Switch
from mininet.topo import Topo

from topologies.model import Host, Interface, Link, Topology, mac_address

_ADDRESS_DEADLINE = 10.0
_STOP_DEADLINE = 2.0
_POLL = 0.02
_QUANTUM = 200_000  # Octets. A link's one class takes turns with none; tc warns without a value.
_TENTATIVE = 0x40  # linux/if_addr.h


class NetError(Exception):
    """The network is not what the topology asks for."""


class Ipv6Interface(TCIntf):  # type: ignore[misc]  # Mininet has no types.
    """An end of a link: shaped by tc, and known by its IPv6 address."""

    def bwCmds(self, **parameters: Any) -> tuple[list[str], str]:  # noqa: N802  # Mininet's name.
        """Return the commands that set the rate, in Mbit/s."""
        commands, parent = super().bwCmds(**parameters)
        if commands:
            commands[-1] += f" quantum {_QUANTUM}"
        return commands, parent

    def updateIP(self) -> str | None:  # noqa: N802
        """Return the usable address of global scope, if there is one."""
        for line in Path(f"/proc/{self.node.pid}/net/if_inet6").read_text().splitlines():
            address, _, _, scope, flags, name = line.split()
            if name == self.name and int(scope, 16) == 0 and not int(flags, 16) & _TENTATIVE:
                return str(IPv6Address(bytes.fromhex(address)))
        return None

    def IP(self) -> str | None:  # noqa: N802
        """Return what `updateIP` does: Mininet's tests ping this address."""
        return self.updateIP()


class Ipv6Host(Node):  # type: ignore[misc]
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
        settings = {
            "all/disable_ipv6": 0,
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

    def wait_until_usable(self) -> None:
        """Wait until each interface has the address that it should; NetError after 10 s."""
        deadline = time.monotonic() + _ADDRESS_DEADLINE
        for name, interface in self._interfaces:
            while (interface.addresses or interface.autoconfigure) and not self.intf(name).IP():
                if time.monotonic() > deadline:
                    late = f"after {_ADDRESS_DEADLINE:g} s"
                    raise NetError(f"{self.name} has no usable address on {name} {late}")
                time.sleep(_POLL)

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


class Bridge(Switch):  # type: ignore[misc]
    """The switch of a shared link, in a network namespace of its own."""

    def __init__(self, name: str, **parameters: Any) -> None:
        # OpenFlow's number of a switch: nobody asks this one for it.
        super().__init__(name, **{**parameters, "dpid": "1", "inNamespace": True})

    def start(self, _controllers: Sequence[object]) -> None:
        """Join the interfaces; raises NetError if the kernel has no bridges."""
        commands = ["link add name bridge type bridge stp_state 0 mcast_snooping 0"]
        commands += [f"link set dev {name} master bridge" for name in self.intfNames()]
        commands += [f"link set dev {name} up" for name in (*self.intfNames(), "bridge")]
        script = (
            "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6; "
            "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6; "
            f"printf '%s\\n' {shlex.join(commands)} | ip -batch -"
        )
        if said := self.cmd(script).strip():
            raise NetError(f"link {self.name}: {said}")


def mininet_topology(topology: Topology) -> Topo:
    """Return `topology` as Mininet's own class."""
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
    usual |= {"cls1": Ipv6Interface, "cls2": Ipv6Interface}
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
    topo.addSwitch(link.name, cls=Bridge)
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


class Mininet(net.Mininet):  # type: ignore[misc]
    """Mininet that is started when its hosts have their IPv6 addresses."""

    def start(self) -> None:
        """Start the network; raises NetError if a host gets no address."""
        super().start()
        for host in self.hosts:
            if isinstance(host, Ipv6Host):
                host.wait_until_usable()


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
    """End every host that this process has made and not ended yet."""
    for node in set(Node.outToNode.values()):
        node.terminate()
