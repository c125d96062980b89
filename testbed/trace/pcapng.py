"""Writing pcapng files (draft-ietf-opsawg-pcapng): interfaces, packets, and TLS secrets."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

_SECTION, _INTERFACE, _PACKET, _SECRETS = 0x0A0D0D0A, 1, 6, 10
_BYTE_ORDER = 0x1A2B3C4D
_UNKNOWN_LENGTH = 0xFFFFFFFFFFFFFFFF
_ETHERNET = 1
_END_OF_OPTIONS, _APPLICATION, _INTERFACE_NAME, _TIME_RESOLUTION = 0, 4, 2, 9
_NANOSECONDS = 9
_TLS_KEY_LOG = 0x544C534B


@dataclass(frozen=True, slots=True)
class Packet:
    """An Ethernet frame: time in nanoseconds since 1970, index of its interface, octets."""

    time_ns: int
    interface: int
    data: bytes


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _block(kind: int, body: bytes) -> bytes:
    length = 12 + len(body)
    return struct.pack("<II", kind, length) + body + struct.pack("<I", length)


def _options(*options: tuple[int, bytes]) -> bytes:
    parts = [struct.pack("<HH", code, len(value)) + _padded(value) for code, value in options]
    return b"".join(parts) + struct.pack("<HH", _END_OF_OPTIONS, 0)


def _section() -> bytes:
    header = struct.pack("<IHHQ", _BYTE_ORDER, 1, 0, _UNKNOWN_LENGTH)
    return _block(_SECTION, header + _options((_APPLICATION, b"mip6lab")))


def _interface(name: str) -> bytes:
    header = struct.pack("<HHI", _ETHERNET, 0, 0)
    options = _options((_INTERFACE_NAME, name.encode()), (_TIME_RESOLUTION, bytes([_NANOSECONDS])))
    return _block(_INTERFACE, header + options)


def block(packet: Packet) -> bytes:
    """Return a packet as it stands in a capture."""
    high, low = packet.time_ns >> 32, packet.time_ns & 0xFFFFFFFF
    length = len(packet.data)
    header = struct.pack("<IIIII", packet.interface, high, low, length, length)
    return _block(_PACKET, header + _padded(packet.data))


def beginning(interfaces: Sequence[str]) -> bytes:
    """Return what a capture of these interfaces begins with."""
    return b"".join([_section(), *(_interface(name) for name in interfaces)])


def write(
    path: Path, interfaces: Sequence[str], packets: Iterable[Packet], tls_key_log: bytes = b""
) -> None:
    """Write a capture, readable by the owner only when it holds secrets.

    `tls_key_log` is in the format of SSLKEYLOGFILE; it goes before the packets that it decrypts.
    """
    blocks = [beginning(interfaces)]
    if tls_key_log:
        secrets = struct.pack("<II", _TLS_KEY_LOG, len(tls_key_log)) + _padded(tls_key_log)
        blocks.append(_block(_SECRETS, secrets))
    blocks += [block(p) for p in packets]
    path.touch(mode=0o600 if tls_key_log else 0o644)
    path.write_bytes(b"".join(blocks))
