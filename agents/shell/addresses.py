"""Waiting for the addresses that a host configures by itself (RFC 4862)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from ipaddress import IPv6Address
from pathlib import Path

_TENTATIVE, _DEPRECATED, _FAILED = 0x40, 0x20, 0x08
_GLOBAL_SCOPE, _LINK_SCOPE = 0, 0x20
_POLL = 0.02


def _addresses(unwanted: int) -> Iterator[tuple[IPv6Address, int, str]]:
    """Yield address, scope and interface of every address without one of the flags `unwanted`."""
    for line in Path("/proc/net/if_inet6").read_text().splitlines():
        address, _, _, scope, flags, name = line.split()
        if not int(flags, 16) & unwanted:
            yield IPv6Address(bytes.fromhex(address)), int(scope, 16), name


def usable_address(interface: str, scope: int = _GLOBAL_SCOPE) -> IPv6Address | None:
    """Return an address of a scope, global by default, that is neither tentative nor deprecated."""
    for address, its_scope, name in _addresses(_TENTATIVE | _DEPRECATED | _FAILED):
        if name == interface and its_scope == scope:
            return address
    return None


def is_usable(address: IPv6Address) -> bool:
    """Return whether this host has an address and can bind it."""
    return any(address == known for known, _, _ in _addresses(_TENTATIVE | _FAILED))


async def _wait(interface: str, scope: int, deadline: float) -> IPv6Address:
    async with asyncio.timeout(deadline):
        while (address := usable_address(interface, scope)) is None:
            await asyncio.sleep(_POLL)
        return address


async def link_local_address(interface: str, deadline: float) -> IPv6Address:
    """Return an interface's link-local address; TimeoutError as care_of_address."""
    return await _wait(interface, _LINK_SCOPE, deadline)


async def care_of_address(interface: str, deadline: float) -> IPv6Address:
    """Return an interface's address; TimeoutError if it has none within `deadline` seconds."""
    return await _wait(interface, _GLOBAL_SCOPE, deadline)
