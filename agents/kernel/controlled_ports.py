"""Controlled ports (IEEE 802.1X-2020 section 6.4) as classifiers of the access interface.

What IEEE 802.1X authorises is a station, and a station is a MAC address: policy-routing rules, by
which agents.kernel.filter goes, do not see that. Classifiers of traffic control see whole frames,
where they come in and where they leave; each of them is looked up by hash, so that a frame does not
cost more the more stations are authorised.

    preference  coming in                                             verdict
    30010       EAPOL                                                 passes
    30020       IPv6 of an authorised station, from the access        passes
                prefix, a link-local address or ::
    30090       all                                                   dropped

    preference  leaving                                               verdict
    30010       EAPOL                                                 passes
    30020       to an authorised station, or to a group               passes
    30090       all                                                   dropped

So nothing of an unauthorised station reaches this host, not even address configuration: that comes
after access, as on any controlled port. What goes to groups leaves, for groups have no station:
router advertisements, and solicitations. Sources beside the prefix do not pass whoever sends them
(BCP 38). Whoever is authorised may still take an address of a neighbour within the prefix.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterable
from ipaddress import IPv6Network
from typing import Self

from agents.kernel import netlink
from agents.kernel.filter import LINK_LOCAL, UNSPECIFIED
from agents.kernel.netlink import CREATE, EXCLUSIVE, NetlinkSocket, Request, attribute
from agents.kernel.port import AccessLink
from agents.kernel.traffic import DROP, PASS, Way, add_place, verdict

EAPOL = 0x888E
_IPV6, _ALL = 0x86DD, 0x0003
_NEW_FILTER, _DELETE_FILTER = 44, 45
_MESSAGE = struct.Struct("=BxxxiIII")
_IN, _OUT = Way.IN, Way.OUT

_KIND, _OPTIONS = 1, 2
_MATCHALL_ACTION, _FLOWER_ACTION = 2, 3
_TO, _FROM = 4, 6
"""Fields of a frame; each one's mask has the next number."""

_TYPE, _SOURCE, _SOURCE_MASK = 8, 14, 15
_UNCONDITIONAL, _STATIONS, _REST = 30010, 30020, 30090
"""Preferences, behind those of whoever cuts a link off."""

_WHOLE = b"\xff" * 6
_GROUP = b"\x01" + bytes(5)
"""The bit that tells a group from a station."""


class LinuxControlledPorts:
    """The ports on one access interface (agents.kernel.port.ControlledPorts)."""

    def __init__(self, access: AccessLink) -> None:
        self._index = socket.if_nametoindex(access.interface)
        self._sources = (access.prefix, LINK_LOCAL, UNSPECIFIED)
        self._socket = NetlinkSocket(netlink.ROUTE)
        self._handles: dict[bytes, int] = {}
        self._authorised: set[bytes] = set()
        """Those of whom the kernel has all; of others with a handle it may have a part."""

        self._last = 0

    def close(self) -> None:
        """Close the socket; the filter stays."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close_access(self) -> None:
        """Let only EAPOL pass; whom a predecessor has authorised is so no more."""
        drop = _matchall(DROP)
        self._handles.clear()
        self._authorised.clear()
        self._socket.transact(
            [
                add_place(self._index),
                *(self._add(side, _REST, _ALL, drop) for side in (_IN, _OUT)),
                *(self._remove(side, _STATIONS, protocol) for side, protocol in _BY_STATION),
                *(self._add(side, _UNCONDITIONAL, EAPOL, _matchall(PASS)) for side in (_IN, _OUT)),
                self._add(_OUT, _STATIONS, _ALL, _flower(_ends(_TO, _GROUP, _GROUP)), 1),
            ]
        )

    def authorise(self, station: bytes) -> None:
        """Let the frames of a station pass, both ways; a second time does nothing."""
        if station in self._authorised:
            return
        if station not in self._handles:
            self._last += 2 * len(self._sources)
            self._handles[station] = self._last
        self._socket.transact([*self._station(station, add=True)])
        self._authorised.add(station)

    def revoke(self, station: bytes) -> None:
        """Undo authorise()."""
        self._authorised.discard(station)
        if station in self._handles:
            self._socket.transact([*self._station(station, add=False)])
            del self._handles[station]

    def release(self) -> None:
        """Remove the filter."""
        self._handles.clear()
        self._authorised.clear()
        self._socket.transact(
            [
                self._remove(side, preference, protocol)
                for side, stations in _BY_STATION
                for preference, protocol in (
                    (_STATIONS, stations),
                    (_UNCONDITIONAL, EAPOL),
                    (_REST, _ALL),
                )
            ]
        )

    def _station(self, station: bytes, *, add: bool) -> Iterable[Request]:
        handle = self._handles[station]
        change = self._add if add else self._remove
        to = _flower(_ends(_TO, station, _WHOLE))
        yield change(_OUT, _STATIONS, _ALL, to, handle)
        for number, network in enumerate(self._sources):
            options = _flower(_ends(_FROM, station, _WHOLE) + _of_network(network))
            yield change(_IN, _STATIONS, _IPV6, options, handle + number)

    def _filter(self, side: int, preference: int, protocol: int, handle: int) -> bytes:
        information = preference << 16 | socket.htons(protocol)
        return _MESSAGE.pack(0, self._index, handle, side, information)

    def _add(
        self, side: int, preference: int, protocol: int, options: bytes, handle: int = 0
    ) -> Request:
        body = self._filter(side, preference, protocol, handle) + options
        return Request("add classifier", _NEW_FILTER, CREATE | EXCLUSIVE, body, (errno.EEXIST,))

    def _remove(
        self, side: int, preference: int, protocol: int, options: bytes = b"", handle: int = 0
    ) -> Request:
        body = self._filter(side, preference, protocol, handle)
        body += options and attribute(_KIND, b"flower\0")
        gone = (errno.ENOENT, errno.EINVAL)
        return Request("delete classifier", _DELETE_FILTER, 0, body, gone)


_BY_STATION = ((_IN, _IPV6), (_OUT, _ALL))
"""The protocol of the classifiers by station, on either side."""


def _matchall(what: int) -> bytes:
    options = verdict(_MATCHALL_ACTION, what)
    return attribute(_KIND, b"matchall\0") + attribute(_OPTIONS, options)


def _flower(keys: bytes) -> bytes:
    """Return a classifier by fields of the frame, of which what has these passes."""
    options = keys + verdict(_FLOWER_ACTION, PASS)
    return attribute(_KIND, b"flower\0") + attribute(_OPTIONS, options)


def _ends(which: int, mac: bytes, mask: bytes) -> bytes:
    return attribute(which, mac) + attribute(which + 1, mask)


def _of_network(network: IPv6Network) -> bytes:
    kind = attribute(_TYPE, _IPV6.to_bytes(2))
    address = attribute(_SOURCE, network.network_address.packed)
    return kind + address + attribute(_SOURCE_MASK, network.netmask.packed)
