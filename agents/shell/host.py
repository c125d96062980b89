"""A node's host as it is: the event loop of this process, and the sockets of this machine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from ipaddress import IPv6Address
from typing import ParamSpec, TypeVar

from agents.core.host import (
    Anycast,
    Attachment,
    Closable,
    Host,
    LinkTransport,
    Receive,
    Streams,
    StreamUser,
    Transport,
)
from agents.core.machine import Address
from agents.kernel.associations import AcquireWatch, SaWatch
from agents.kernel.correspondent import ReportWatch
from agents.kernel.mobility import discovery_policy
from agents.kernel.xfrm import ESP, Extension
from agents.shell.addresses import is_usable
from agents.shell.attachment import LinuxAttachment
from agents.shell.duid import node_duid
from agents.shell.namespaces import Namespace
from agents.shell.output import OUTPUT
from agents.shell.randomness import RANDOM
from agents.shell.sockets import (
    AnycastSocket,
    DatagramSocket,
    IcmpSocket,
    LinkSocket,
    MobilitySocket,
)
from agents.shell.streams import Exchange, TcpStreams
from agents.shell.tls import TlsFiles
from agents.shell.watch import Watch

_REST = 0.1
"""Seconds after which nothing of a negotiation, nor of what it was for, is under way any more."""

P = ParamSpec("P")
T = TypeVar("T")


class LinuxHost(Host):
    """The host of this process, in the running event loop.

    With `tls` its streams are mutually authenticated TLS. A process with several hosts has a
    `namespace` for each.
    """

    def __init__(self, tls: TlsFiles | None = None, namespace: Namespace | None = None) -> None:
        super().__init__(RANDOM)
        self._loop = asyncio.get_running_loop()
        self._zero = time.time() - self._loop.time()
        self._handle: asyncio.TimerHandle | None = None
        self._tls = tls
        self._namespace = namespace

    def enter(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do what comes from outside (agents.core.host); its events are told in one go."""
        if self.entered:
            return function(*args, **kwargs)
        if self._namespace:
            self._namespace.enter()
        OUTPUT.hold()
        try:
            return super().enter(function, *args, **kwargs)
        finally:
            OUTPUT.release()

    def before_sending(self) -> None:
        """Tell what has happened before others do who have heard of it."""
        OUTPUT.release()
        OUTPUT.hold()

    def now(self) -> float:
        """Return the event loop's time, which is time.monotonic()."""
        return self._loop.time()

    def time_of_day(self, at: float) -> float:
        """Return seconds since 1970; a clock that is set meanwhile changes nothing."""
        return self._zero + at

    def wake_at(self, deadline: float) -> None:
        """Call `handle_timeout` at this time, and not when it was to be before."""
        if self._handle:
            self._handle.cancel()
        self._handle = self._loop.call_at(deadline, self._wake, deadline)

    def after_turn(self, action: Callable[[], None]) -> None:
        """Act when the event loop has handled all sockets that had something to read."""
        self._loop.call_soon(self.enter, action)

    def when_idle(self, action: Callable[[], None]) -> None:
        """Act in a while, when what is under way is over."""
        self._loop.call_later(_REST, action)

    def _wake(self, deadline: float) -> None:
        self._handle = None
        # The loop may call up to its clock's resolution early; a machine must see its deadline.
        self.handle_timeout(max(self.now(), deadline))

    def report(self, error: Exception, what: str) -> None:
        """Tell of a bug that this program outlives, with its traceback, on standard error."""
        self._loop.call_exception_handler({"message": what, "exception": error})

    def open_datagrams(
        self,
        local: Address,
        receive: Receive,
        *,
        interface: str | None = None,
        multicast: str | None = None,
        multicast_hops: int = 1,
    ) -> Transport:
        """Open a UDP socket; it joins `multicast` on its interface."""
        return DatagramSocket(
            local,
            receive,
            interface=interface,
            multicast=multicast,
            multicast_hops=multicast_hops,
        )

    def open_mobility_headers(self, local: IPv6Address, receive: Receive) -> Transport:
        """Open a raw socket for Mobility Headers.

        The kernel fills in and verifies checksums, adds and removes ESP, the Home Address option
        and the type 2 routing header; messages run between home address and home agent.
        """
        return MobilitySocket(local, receive)

    def open_prefix_discovery(self, local: IPv6Address, kind: int, receive: Receive) -> Transport:
        """Open a raw socket for one of prefix discovery's messages, type `kind`.

        The kernel does for them what it does for Mobility Headers.
        """
        return IcmpSocket(local, kind, receive, policy=discovery_policy(kind))

    def open_home_agent_discovery(
        self, local: IPv6Address, kind: int, receive: Receive, *, anycast: Anycast | None = None
    ) -> Transport:
        """Open a raw socket for one of home agent discovery's messages, type `kind`."""
        if anycast is None:
            return IcmpSocket(local, kind, receive)
        return AnycastSocket(*anycast, local, kind, receive)

    def open_link(self, interface: str, receive: Callable[[bytes], None]) -> LinkTransport:
        """Hear the claims to addresses on a link, and send Neighbor Discovery there."""
        return LinkSocket(interface, receive)

    def attachment(
        self,
        interface: str,
        receive: Receive,
        linked: Callable[[bool], None],
        changed: Callable[[], None],
    ) -> Attachment:
        """Hear of what becomes of an interface's link, and of the routers there."""
        return LinuxAttachment(
            interface,
            receive,
            lambda up: self.enter(linked, up),
            lambda: self.enter(changed),
        )

    def open_streams(self, user: StreamUser, listen: Sequence[Address] = ()) -> Streams:
        """Open streams, and accept them at the addresses to listen on."""
        return TcpStreams(user, listen, self._tls)

    def exchange(
        self,
        query: bytes,
        local: Address,
        server: Address,
        answered: Callable[[bytes | OSError], None],
    ) -> Closable:
        """Put one question over a stream of its own, a length before it (RFC 7766 section 8)."""
        return Exchange(query, local, server, lambda answer: self.enter(answered, answer))

    def watch_sas(self, changed: Callable[[], None]) -> Closable:
        """Tell whenever a security association of this host changes, whoever installed it."""
        watch = SaWatch()

        def read() -> None:
            watch.added()  # Only the news matters; what there is, is looked up.
            changed()

        return Watch(watch, partial(self.enter, read))

    def watch_acquires(self, wanted: Callable[[IPv6Address, IPv6Address], None]) -> Closable:
        """Tell from where to where the kernel wants a security association."""
        return self._watch_wanted(ESP, wanted)

    def watch_routes(self, wanted: Callable[[IPv6Address, IPv6Address], None]) -> Closable:
        """Tell from which home address to whom packets go that could go directly."""
        return self._watch_wanted(Extension.HOME_ADDRESS_OPTION, wanted)

    def _watch_wanted(
        self, protocol: int, wanted: Callable[[IPv6Address, IPv6Address], None]
    ) -> Closable:
        watch = AcquireWatch()

        def read() -> None:
            for sa in watch.wanted():
                if sa.protocol == protocol:
                    wanted(sa.source, sa.destination)

        return Watch(watch, partial(self.enter, read))

    def watch_refused(self, refused: Callable[[IPv6Address, IPv6Address], None]) -> Closable:
        """Tell of packets, by home and care-of address, that no binding allows."""
        watch = ReportWatch()

        def read() -> None:
            for packet in watch.refused():
                refused(packet.home_address, packet.care_of)

        return Watch(watch, partial(self.enter, read))

    def has_address(self, address: IPv6Address) -> bool:
        """Return whether this host has an address and can bind it."""
        return is_usable(address)

    def duid(self, interface: str) -> bytes:
        """Return who this host is to DHCPv6 servers."""
        return node_duid(interface)
