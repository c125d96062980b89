"""Who this host is to DHCPv6 servers."""

from __future__ import annotations

import fcntl
import socket
import struct
import uuid
from pathlib import Path

_SIOCGIFHWADDR = 0x8927
_MACHINE_ID = Path("/etc/machine-id")
_DUID_UUID = 4


def node_duid(interface: str, machine_id: Path = _MACHINE_ID) -> bytes:
    """Return a DUID-UUID (RFC 8415 section 11.5) for a host with one interface.

    It is made from the machine's identifier, which is a secret (machine-id(5)), and the interface's
    MAC address, which tells network namespaces of one machine apart. So it stays the same, and
    nobody guesses it who has not heard the host ask. OSError if there is no such interface.
    """
    request = struct.pack("16s16x8x", interface.encode())
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        reply = fcntl.ioctl(sock, _SIOCGIFHWADDR, request)
    mac = reply[18:24]
    return _DUID_UUID.to_bytes(2) + uuid.uuid5(_machine(machine_id), mac.hex()).bytes


def _machine(path: Path) -> uuid.UUID:
    """Return the machine's identifier; without one the MAC address alone tells hosts apart."""
    try:
        return uuid.UUID(hex=path.read_text(encoding="ascii").strip())
    except (OSError, ValueError):
        return uuid.NAMESPACE_OID
