"""The enforcement point (RFC 5193 section 2) as policy-routing rules of the access router.

Forwarding and local delivery both begin with a route lookup, and rules decide which tables are
looked up, for whom. So a handful of rules is the whole filter: nothing but netlink, no packet
filter modules, no program. The usual first rule (every packet looks up the local table) is replaced
by rule 203, behind those for the access interface.

    priority  packets                                          verdict
    102       in from access, from and to a pair let           main table
              through for one port, UDP to that port
    110       in from access, from its prefix: UDP 716         local table (that is, this host)
    111       in from access, on-link source: UDP 547          local table
    112       in from access, on-link source or ::: ICMPv6     local table
    120       in from access                                   dropped, unless it is
                                                               from an authorised address
    121, 122  in from access                                   local table, main table
    199       in from access                                   dropped
    200, 201  made on this host                                local table, goes on at 204
    202       from the access prefix, in from elsewhere        dropped (BCP 38)
    203       all                                              local table
    211       back between that pair, UDP to that port         main table
    220       made on this host, to the access prefix or out   dropped, unless it is
              to access: ICMPv6 errors, echo replies           to an authorised address
    230       made on this host, to the access prefix          main table
    240       to the access prefix                             dropped, unless it is
                                                               to an authorised address
    241       to the access prefix                             main table

Who is authorised is written in two tables of routes, by source and by destination. A route to
nowhere drops all in a table; of an authorised address it says "throw": go on with the next rule.
Rules are a list, which every lookup goes through, and tables are trees: so neither a packet nor an
authorisation costs more the more addresses are authorised. By source there is a tree in kernels
with CONFIG_IPV6_SUBTREES, others refuse to close the filter.

On-link sources are those of the access prefix and link-local ones. ICMPv6 to this host passes
whatever its type, which a route lookup does not see in what comes in: neighbour and router
discovery and MLD need most types. It does see the type of what this host makes, so that nothing
of an unauthorised packet goes on in an answer to it: no echo reply, no error that quotes it.
Drops are silent for the same reason.

A socket of this host that is connected remembers the routes of its packets, and the kernel looks up
none until the route or any rule has changed: whoever loses his authorisation is looked up anew.

Fragments have no ports: PANA and DHCPv6 messages must fit the MTU. There is one such filter, on
one interface, in a network namespace; its rules carry a mark, by which those of a predecessor that
was killed are found. Like every filter on addresses it trusts the link to carry no sources forged
within the prefix.
"""

from __future__ import annotations

import socket
from functools import partial
from ipaddress import IPv6Address, IPv6Network
from typing import Self

from agents.kernel import links, netlink
from agents.kernel.links import Action
from agents.kernel.netlink import NetlinkSocket, Request
from agents.kernel.port import AccessLink

PANA_PORT = 716
DHCPV6_PORT = 547

LINK_LOCAL = IPv6Network("fe80::/10")
UNSPECIFIED = IPv6Network("::/128")
"""The source of duplicate address detection (RFC 4862 section 5.4.2)."""

ERRORS = (1 << 8, 127 << 8 | 255)
ECHO_REPLIES = (129 << 8, 129 << 8 | 255)
"""Ranges of ICMPv6 type and code, which stand in the place of the ports of a route lookup."""


SOURCES, DESTINATIONS = 7101, 7102
"""The tables of authorised addresses."""

_rule = partial(links.rule, owner=links.OWNER)
_USUAL = links.rule(0, table=links.LOCAL_TABLE)
_FLUSH = _rule(205, Action.NOTHING)
"""Comes and goes, so that connections look up their routes anew."""

_DROP = Action.BLACKHOLE
_UDP = socket.IPPROTO_UDP
_ICMPV6 = socket.IPPROTO_ICMPV6


class LinuxEnforcementPoint:
    """The filter on one access interface (agents.kernel.port.EnforcementPoint)."""

    def __init__(self, access: AccessLink) -> None:
        self._access = access
        self._socket = NetlinkSocket(netlink.ROUTE)

    def close(self) -> None:
        """Close the socket; the filter stays."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close_access(self) -> None:
        """Let only network access, address configuration and neighbour discovery pass.

        What a predecessor has left goes, and meanwhile nothing passes at all.
        """
        guards = self._guards()
        self._socket.transact(
            [
                *map(links.add_rule, guards),
                *self._sweep(),
                *map(links.add_verdict, self._closed()),
                *map(links.add_rule, self._rules()),
                links.remove_rule(_USUAL),
                *map(links.remove_rule, guards),
            ]
        )

    def authorise(self, address: IPv6Address) -> None:
        """Let the packets of `address` pass, both ways."""
        self._socket.transact([links.add_verdict(route) for route in self._admission(address)])

    def revoke(self, address: IPv6Address) -> None:
        """Undo authorise(), also for connections with this host."""
        self._socket.transact(
            [
                *map(links.remove_verdict, self._admission(address)),
                links.add_rule(_FLUSH),
                links.remove_rule(_FLUSH),
            ]
        )

    def admit(self, address: IPv6Address, destination: IPv6Address, port: int) -> None:
        """Let UDP between two hosts pass that goes to this port of either, and nothing else."""
        rules = self._pinhole(address, destination, port)
        self._socket.transact([links.add_rule(rule) for rule in rules])

    def dismiss(self, address: IPv6Address, destination: IPv6Address, port: int) -> None:
        """Undo admit()."""
        rules = self._pinhole(address, destination, port)
        self._socket.transact([links.remove_rule(rule) for rule in rules])

    def release(self) -> None:
        """Remove the filter."""
        self._socket.transact([links.add_rule(_USUAL), *self._sweep()])

    def _sweep(self) -> list[Request]:
        """Return the requests that remove every part of such a filter, whoever made it."""
        rules = links.owned_rules(self._socket.dump(links.list_rules()), links.OWNER)
        routes = links.owned_verdicts(self._socket.dump(links.list_routes()))
        return [*map(links.remove_rule, rules), *map(links.remove_verdict, routes)]

    def _guards(self) -> list[bytes]:
        interface, prefix = self._access.interface, self._access.prefix
        return [
            _rule(1, _DROP, incoming=interface),
            _rule(1, _DROP, destination=prefix),
        ]

    def _closed(self) -> list[bytes]:
        return [links.verdict(table, links.BLACKHOLE) for table in (SOURCES, DESTINATIONS)]

    def _admission(self, address: IPv6Address) -> list[bytes]:
        return [
            links.verdict(SOURCES, links.THROW, source=address),
            links.verdict(DESTINATIONS, links.THROW, destination=address),
        ]

    def _pinhole(self, address: IPv6Address, destination: IPv6Address, port: int) -> list[bytes]:
        here, there = IPv6Network(address), IPv6Network(destination)
        way = partial(_rule, table=links.MAIN_TABLE, protocol=_UDP, ports=(port, port))
        return [
            way(102, source=here, destination=there, incoming=self._access.interface),
            way(211, source=there, destination=here),
        ]

    def _rules(self) -> list[bytes]:
        interface, prefix = self._access.interface, self._access.prefix
        heard = partial(_rule, table=links.LOCAL_TABLE, incoming=interface)
        made = partial(_rule, incoming="lo")
        return [
            heard(110, source=prefix, protocol=_UDP, ports=(PANA_PORT, PANA_PORT)),
            *(
                heard(111, source=source, protocol=_UDP, ports=(DHCPV6_PORT, DHCPV6_PORT))
                for source in (prefix, LINK_LOCAL)
            ),
            *(
                heard(112, source=source, protocol=_ICMPV6)
                for source in (prefix, LINK_LOCAL, UNSPECIFIED)
            ),
            heard(120, table=SOURCES),
            heard(121),
            heard(122, table=links.MAIN_TABLE),
            _rule(199, _DROP, incoming=interface),
            made(200, table=links.LOCAL_TABLE),
            made(201, Action.GOTO, target=204),
            _rule(202, _DROP, source=prefix),
            _rule(203, table=links.LOCAL_TABLE),
            _rule(204, Action.NOTHING),
            *(
                made(220, table=DESTINATIONS, **where, protocol=_ICMPV6, ports=types)
                for types in (ERRORS, ECHO_REPLIES)
                for where in ({"destination": prefix}, {"outgoing": interface})
            ),
            made(230, table=links.MAIN_TABLE, destination=prefix),
            _rule(240, table=DESTINATIONS, destination=prefix),
            _rule(241, table=links.MAIN_TABLE, destination=prefix),
        ]
