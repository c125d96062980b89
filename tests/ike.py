"""A mobile node and a home agent on a link, with an IKE machine of either version."""

from __future__ import annotations

import json
from collections.abc import Iterable
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any, Generic, TypeVar

from agents.core.machine import Address, Event, Machine
from tests.link import Link
from tests.wireshark import tshark, write_datagrams

COA = IPv6Address("2001:db8:a::2")
HA = IPv6Address("2001:db8:100::1")
HOA = IPv6Address("2001:db8:100::1234")
PSK = bytes(range(32))
ENDS = (str(COA), 500), (str(HA), 500)
M = TypeVar("M", bound=Machine)
E = TypeVar("E", bound=Event)


class Ends(Generic[M]):
    """Both machines, joined by `link`."""

    def __init__(self, mn: M, ha: M, **link: object) -> None:
        self.mn, self.ha = mn, ha
        self.link = Link(mn, ENDS[0], ha, ENDS[1], **link)

    def join(self, *, mn: M | None = None, ha: M | None = None, at: Address = ENDS[0]) -> None:
        """Put another machine in the place of one, or the mobile node at another address."""
        self.mn, self.ha = mn or self.mn, ha or self.ha
        now, self.link = self.link.now, Link(self.mn, at, self.ha, ENDS[1])
        self.link.now = now

    @property
    def sent(self) -> list[bytes]:
        """Every datagram of either side."""
        return [data for _, _, data in self.link.sent]

    def reasons(self, machine: M, kind: type[Event]) -> list[str]:
        """Return the reasons in a machine's events of one kind."""
        return [e.reason for e in machine.events if type(e) is kind]

    def dissect(self, folder: Path, tables: Iterable[str]) -> list[dict[str, Any]]:
        """Return what tshark reads of every message, with these rows of decryption tables."""
        capture = folder / "ike.pcap"
        other = dict((ENDS, ENDS[::-1]))
        write_datagrams(capture, [(end, other[end], data) for _, end, data in self.link.sent])
        options = [word for row in tables for word in ("-o", f"uat:{row}")]
        shown = tshark(capture, *options, "-T", "json", "--no-duplicate-keys")
        return [packet["_source"]["layers"] for packet in json.loads(shown)]


def find(machine: Machine, kind: type[E]) -> list[E]:
    """Return a machine's events of one kind."""
    return [e for e in machine.events if type(e) is kind]


def names(machine: Machine) -> list[str]:
    """Return the names of a machine's events in order."""
    return [type(e).__name__ for e in machine.events]


def settle(ha: M, nodes: dict[IPv6Address, M], now: float) -> None:
    """Carry datagrams between a home agent and nodes by their addresses until all is said."""
    while any(machine.outbox for machine in (ha, *nodes.values())):
        for address, node in nodes.items():
            while node.outbox:
                ha.handle_message(node.outbox.popleft()[0], (str(address), 500), now)
        while ha.outbox:
            data, (there, _) = ha.outbox.popleft()
            if (node := nodes.get(IPv6Address(there))) is not None:
                node.handle_message(data, ENDS[1], now)
