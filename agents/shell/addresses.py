"""The addresses that a host configures by itself (RFC 4862): waiting for them, choosing one."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path

from agents.kernel import links, netlink
from agents.kernel.links import Advertised
from agents.kernel.netlink import NetlinkSocket

_TENTATIVE, _DEPRECATED, _FAILED, _OPTIMISTIC = 0x40, 0x20, 0x08, 0x04
_UNFIT = _TENTATIVE | _DEPRECATED | _FAILED
_GLOBAL_SCOPE, _LINK_SCOPE = 0, 0x20
_POLL = 0.02
_ANYWHERE = "2000::"
"""Takes the default route."""

_PREFERENCES, _PUBLIC, _CARE_OF = 72, 0x0002, 0x0400
"""IPV6_ADDR_PREFERENCES: not one that changes for privacy, not a home address (RFC 5014)."""


class NoAddressError(OSError):
    """A host has no address that can be used; the text says where and why."""


def _addresses(unwanted: int) -> Iterator[tuple[IPv6Address, int, str]]:
    """Yield address, scope and interface of every address without one of the flags `unwanted`."""
    for line in Path("/proc/net/if_inet6").read_text().splitlines():
        address, _, _, scope, flags, name = line.split()
        state = int(flags, 16)
        if state & _OPTIMISTIC:  # It may be used while it is looked for (RFC 4429).
            state &= ~_TENTATIVE
        if not state & unwanted:
            yield IPv6Address(bytes.fromhex(address)), int(scope, 16), name


def _usable(interface: str, scope: int, unwanted: int) -> list[IPv6Address]:
    found = _addresses(unwanted)
    return [address for address, its, name in found if (its, name) == (scope, interface)]


def usable_in(interface: str, prefix: IPv6Network) -> IPv6Address | None:
    """Return a global address of an interface in a prefix, neither tentative nor deprecated."""
    found = _usable(interface, _GLOBAL_SCOPE, _UNFIT)
    return next((address for address in found if address in prefix), None)


def is_usable(address: IPv6Address) -> bool:
    """Return whether this host has an address and can bind it."""
    return any(address == known for known, _, _ in _addresses(_TENTATIVE | _FAILED))


def source_address(interface: str, destination: IPv6Address | None) -> IPv6Address | None:
    """Return the global address of an interface from which to speak to a host, None without one.

    The kernel chooses as for any packet (RFC 6724); nothing is sent. None while an address there is
    tentative, for it might be the better one, or if there is no way or only a deprecated address.
    Without a destination it is one for the default route, or any.
    """
    preferred = _usable(interface, _GLOBAL_SCOPE, _UNFIT)
    if len(preferred) < len(_usable(interface, _GLOBAL_SCOPE, _DEPRECATED | _FAILED)):
        return None
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        probe.setsockopt(socket.IPPROTO_IPV6, _PREFERENCES, _PUBLIC | _CARE_OF)
        try:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0")
            probe.connect((str(destination or _ANYWHERE), 9))
        except OSError:
            return preferred[0] if preferred and destination is None else None
        chosen = IPv6Address(probe.getsockname()[0])
    return chosen if chosen in preferred else None


async def link_local_address(interface: str, deadline: float) -> IPv6Address:
    """Return an interface's link-local address; NoAddressError as care_of_address."""
    end = time.monotonic() + deadline
    while not (found := _usable(interface, _LINK_SCOPE, _UNFIT)):
        if time.monotonic() >= end:
            why = _obstacle(interface) or "it is still tentative, or there is none"
            raise NoAddressError(f"no link-local address on {interface}: {why}")
        await asyncio.sleep(_POLL)
    return found[0]


async def care_of_address(
    interface: str,
    deadline: float,
    towards: IPv6Address | None = None,
    tell: Callable[[str], object] = lambda _: None,
) -> IPv6Address:
    """Return an interface's address for speaking to a host (`source_address`).

    What this host cannot get over by itself is told at once; somebody else may help, a DHCPv6
    client perhaps. NoAddressError if there is no address within `deadline` seconds.
    """
    end = time.monotonic() + deadline
    before = told = ""
    while (address := source_address(interface, towards)) is None:
        why = _obstacle(interface)
        if time.monotonic() >= end:
            why = why or _shortage(interface, towards)
            raise NoAddressError(f"no address on {interface} after {deadline:g} s: {why}")
        if why and why == before != told:  # Twice, for an advertisement is not taken at one blow.
            told = why
            tell(f"{interface}: {why}")
        before = why
        await asyncio.sleep(_POLL)
    return address


def _obstacle(interface: str) -> str:
    """Return why an interface gets no address by itself, an empty text if it may yet."""
    disabled = Path(f"/proc/sys/net/ipv6/conf/{interface}/disable_ipv6")
    try:
        index = socket.if_nametoindex(interface)
    except OSError:
        return "there is no such interface"
    if not disabled.exists() or disabled.read_text().strip() != "0":
        return f"IPv6 is disabled there; set net.ipv6.conf.{interface}.disable_ipv6 to 0"
    if not _usable(interface, _GLOBAL_SCOPE, 0) and Advertised.MANAGED in _advertised(index):
        return (
            "the network needs stateful DHCPv6: its router says so (M flag) and advertises no "
            "prefix for autoconfiguration (A flag), so a DHCPv6 client has to get an address"
        )
    return ""


def _shortage(interface: str, towards: IPv6Address | None) -> str:
    """Return what is wrong with the addresses of an interface that has no obstacle."""
    if _usable(interface, _GLOBAL_SCOPE, _UNFIT):
        return f"there is no way from there to {towards}, or an address is still tentative"
    if _usable(interface, _GLOBAL_SCOPE, 0):
        return "those there are tentative, duplicates or deprecated"
    if _advertised(socket.if_nametoindex(interface)):
        return "the router advertises no prefix for autoconfiguration"
    return "no router advertisement has come"


def _advertised(index: int) -> Advertised:
    with NetlinkSocket(netlink.ROUTE) as route:
        return links.decode_advertised(route.query(links.find_link(index)))
