"""The enforcement point (RFC 5193 section 2) as policy-routing rules of the access router.

Forwarding and local delivery both begin with a route lookup, and rules decide which tables are
looked up, for whom. So a handful of rules is the whole filter: nothing but netlink, no packet
filter modules, no program, and authorising an address is one message. The usual first rule (every
packet looks up the local table) is replaced by one for all interfaces but the access interface.

    priority  packets                                       verdict
    1         not in from the access interface              local table
    100, 101  from an authorised address, in from access    local table, main table
    102       to an authorised address                      main table
    103       in from access, from and to a pair let        main table
              through for one port, UDP to that port
    104       back between that pair, UDP to that port      main table
    200       in from access, from its prefix: UDP 716      local table (that is, this host)
    201, 202  in from access: UDP 547, ICMPv6               local table
    300       in from access                                prohibited
    301       made on this host, to the access prefix       main table
    302       to the access prefix                          prohibited

All ICMPv6 to this host passes, echo included: rules do not see ICMPv6 types, and neighbour and
router discovery and MLD need most of them. Fragments have no ports: PANA and DHCPv6 messages must
fit the MTU. There is one such filter, on one interface, in a network namespace. Like every filter
on addresses it trusts the link to carry no forged sources.
"""

from __future__ import annotations

import socket
from ipaddress import IPv6Address, IPv6Network
from typing import Self

from agents.kernel import links, netlink
from agents.kernel.links import Action
from agents.kernel.netlink import NetlinkSocket, Request
from agents.kernel.port import AccessLink

PANA_PORT = 716
DHCPV6_SERVER_PORT = 547


class LinuxEnforcementPoint:
    """The filter on one access interface (agents.kernel.port.EnforcementPoint)."""

    def __init__(self, access: AccessLink) -> None:
        self._access = access
        self._socket = NetlinkSocket(netlink.ROUTE)
        self._authorised: set[IPv6Address] = set()
        self._pinholes: set[tuple[IPv6Address, IPv6Address, int]] = set()

    def close(self) -> None:
        """Close the socket; the filter stays."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close_access(self) -> None:
        """Let only network access, address configuration and neighbour discovery pass."""
        usual = links.rule(0, table=links.LOCAL_TABLE)
        added = [links.add_rule(rule) for rule in self._rules()]
        self._socket.transact([*added, links.remove_rule(usual)])

    def authorise(self, address: IPv6Address) -> None:
        """Let the packets of `address` pass, both ways."""
        self._authorised.add(address)
        self._socket.transact([links.add_rule(rule) for rule in self._admission(address)])

    def revoke(self, address: IPv6Address) -> None:
        """Undo authorise()."""
        self._socket.transact([links.remove_rule(rule) for rule in self._admission(address)])
        self._authorised.discard(address)

    def admit(self, address: IPv6Address, destination: IPv6Address, port: int) -> None:
        """Let UDP between two hosts pass that goes to this port of either, and nothing else."""
        self._pinholes.add((address, destination, port))
        rules = self._pinhole(address, destination, port)
        self._socket.transact([links.add_rule(rule) for rule in rules])

    def dismiss(self, address: IPv6Address, destination: IPv6Address, port: int) -> None:
        """Undo admit()."""
        rules = self._pinhole(address, destination, port)
        self._socket.transact([links.remove_rule(rule) for rule in rules])
        self._pinholes.discard((address, destination, port))

    def release(self) -> None:
        """Remove the filter."""
        usual = links.rule(0, table=links.LOCAL_TABLE)
        requests: list[Request] = [links.add_rule(usual)]
        requests += [links.remove_rule(rule) for rule in self._rules()]
        for address in self._authorised:
            requests += [links.remove_rule(rule) for rule in self._admission(address)]
        for pinhole in self._pinholes:
            requests += [links.remove_rule(rule) for rule in self._pinhole(*pinhole)]
        self._socket.transact(requests)
        self._authorised.clear()
        self._pinholes.clear()

    def _admission(self, address: IPv6Address) -> list[bytes]:
        one, interface = IPv6Network(address), self._access.interface
        return [
            links.rule(100, table=links.LOCAL_TABLE, source=one, incoming=interface),
            links.rule(101, table=links.MAIN_TABLE, source=one, incoming=interface),
            links.rule(102, table=links.MAIN_TABLE, destination=one),
        ]

    def _pinhole(self, address: IPv6Address, destination: IPv6Address, port: int) -> list[bytes]:
        here, there = IPv6Network(address), IPv6Network(destination)
        interface, main, udp = self._access.interface, links.MAIN_TABLE, socket.IPPROTO_UDP
        out = links.rule(
            103,
            table=main,
            source=here,
            destination=there,
            incoming=interface,
            protocol=udp,
            port=port,
        )
        back = links.rule(104, table=main, source=there, destination=here, protocol=udp, port=port)
        return [out, back]

    def _rules(self) -> list[bytes]:
        interface, prefix = self._access.interface, self._access.prefix
        local, main = links.LOCAL_TABLE, links.MAIN_TABLE
        udp, icmp = socket.IPPROTO_UDP, socket.IPPROTO_ICMPV6
        return [
            links.rule(1, table=local, incoming=interface, negated=True),
            links.rule(
                200, table=local, source=prefix, incoming=interface, protocol=udp, port=PANA_PORT
            ),
            links.rule(201, table=local, incoming=interface, protocol=udp, port=DHCPV6_SERVER_PORT),
            links.rule(202, table=local, incoming=interface, protocol=icmp),
            links.rule(300, Action.PROHIBIT, incoming=interface),
            links.rule(301, table=main, destination=prefix, incoming="lo"),
            links.rule(302, Action.PROHIBIT, destination=prefix),
        ]
