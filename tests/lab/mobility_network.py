"""A network for home registrations with static ESP keys: four hosts, namespaces all."""

from __future__ import annotations

import json
from ipaddress import IPv6Address

from tests.lab.namespaces import Host, Program, Scene, trust_addresses, wait_until

ANOTHER = "2001:db8:100::5678"  # Another subscriber's home address.
HOME_ADDRESS, HOME_AGENT = "2001:db8:100::1234", "2001:db8:100::1"
CARE_OF, OTHER_CARE_OF = "2001:db8:a::2", "2001:db8:b::2"
CORRESPONDENT = "2001:db8:100::99"


class Network(Scene):
    """Mobile node, access router, home agent, correspondent node."""

    def __init__(self) -> None:
        super().__init__("mn", "router", "ha", "cn")
        self.mn, self.router, self.ha, self.cn = self.hosts
        self.trust_addresses()
        self.mn.link("eth0", self.router, "access")
        self.router.link("core", self.ha, "core")
        self.ha.link("home", self.cn, "eth0")
        for host, interface, addresses in (
            (self.mn, "eth0", (CARE_OF, OTHER_CARE_OF)),
            (self.router, "access", ("2001:db8:a::1", "2001:db8:b::1")),
            (self.router, "core", ("2001:db8:c::1",)),
            (self.ha, "core", ("2001:db8:c::2",)),
            (self.ha, "home", (HOME_AGENT,)),
            (self.cn, "eth0", (CORRESPONDENT,)),
        ):
            for address in addresses:
                host.run(f"ip -6 addr add {address}/64 dev {interface} nodad")
        for host in (self.mn, self.ha):  # Some hosts make interfaces without IPv6.
            host.run("sysctl -qw net.ipv6.conf.default.disable_ipv6=1")
        for host in (self.router, self.ha):
            host.run("sysctl -qw net.ipv6.conf.all.forwarding=1")
        for host, gateway in (
            (self.mn, "2001:db8:a::1"),
            (self.router, "2001:db8:c::2"),
            (self.ha, "2001:db8:c::1"),
            (self.cn, HOME_AGENT),
        ):
            host.run(f"ip -6 route add default via {gateway}")
        wait_until(lambda: self.mn.pings(HOME_AGENT, "-I", CARE_OF), "a ping passes")

    def add_mobile_node(self, number: int) -> Host:
        """Add a mobile node on an access link of its own."""
        node = Host(f"mn{number}")
        self.hosts.append(node)
        trust_addresses(node)
        access = f"access{number}"
        node.link("eth0", self.router, access)
        self.router.run(f"ip -6 addr add 2001:db8:a{number}::1/64 dev {access} nodad")
        node.run(f"ip -6 addr add 2001:db8:a{number}::2/64 dev eth0 nodad")
        node.run(f"ip -6 route add default via 2001:db8:a{number}::1")
        return node

    def bring_home(self, node: Host) -> str:
        """Join a host to the home link by an interface "home0"; the access link is left.

        Return the address that it has there.
        """
        switch = self.cn
        if "br0" not in switch.run("ip link"):
            switch.run("ip link add br0 type bridge")
            switch.run("ip link set eth0 master br0")
            switch.run("ip link set br0 up")
            switch.run(f"ip -6 addr del {CORRESPONDENT}/64 dev eth0")
            switch.run(f"ip -6 addr add {CORRESPONDENT}/64 dev br0 nodad")
            switch.run(f"ip -6 route replace default via {HOME_AGENT}")
        port = f"to-{node.name}"
        node.run("ip link set eth0 down")
        node.link("home0", switch, port)
        switch.run(f"ip link set {port} master br0")
        node.run("sysctl -qw net.ipv6.conf.home0.disable_ipv6=0")
        address = str(IPv6Address(HOME_AGENT) + 0xA000 + len(node.name))
        node.run(f"ip -6 addr add {address}/64 dev home0 nodad")
        return address

    def _start(self, host: Host, role: str, **options: object) -> Program:
        agent = self.start(host, "tests.lab.mobility_host", role, json.dumps(options))
        agent.wait_for("Ready")
        return agent

    def home_agent(self, *, detect: bool = False) -> Program:
        return self._start(self.ha, "ha", detect=detect)

    def mobile_node(self, lifetime: float = 420) -> Program:
        options = {"home_address": HOME_ADDRESS, "care_of": CARE_OF, "lifetime": lifetime}
        return self._start(self.mn, "mn", **options)

    def carry_anything(self) -> None:
        """Have both ends send what they exchange with the extension headers, as other stacks do.

        Home Address option from the home address to the home agent, type 2 routing header back.
        """
        up, down = (HOME_ADDRESS, HOME_AGENT), (HOME_AGENT, HOME_ADDRESS)
        for host, (source, destination), header in (
            (self.mn, up, "hao"),
            (self.ha, down, "route2"),
        ):
            ends = f"src {source} dst {destination}"
            template = f"tmpl {ends} proto {header} mode ro"
            host.run(f"ip xfrm policy add {ends} dir out priority 7 ptype sub {template}")
