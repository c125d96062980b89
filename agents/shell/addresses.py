"""Waiting for the address that a host configures by itself (RFC 4862)."""

from __future__ import annotations

import asyncio
from ipaddress import IPv6Address
from pathlib import Path

_TENTATIVE, _DEPRECATED = 0x40, 0x20
_GLOBAL_SCOPE = 0
_POLL = 0.02


def usable_address(interface: str) -> IPv6Address | None:
    """Return an address of global scope that is neither tentative nor deprecated."""
    for line in Path("/proc/net/if_inet6").read_text().splitlines():
        address, _, _, scope, flags, name = line.split()
        unusable = int(flags, 16) & (_TENTATIVE | _DEPRECATED)
        if name == interface and int(scope, 16) == _GLOBAL_SCOPE and not unusable:
            return IPv6Address(bytes.fromhex(address))
    return None


async def care_of_address(interface: str, deadline: float) -> IPv6Address:
    """Return an interface's address; TimeoutError if it has none within `deadline` seconds."""
    async with asyncio.timeout(deadline):
        while (address := usable_address(interface)) is None:
            await asyncio.sleep(_POLL)
        return address
