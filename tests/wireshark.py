"""tshark as an independent decoder, and captures for it."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from collections.abc import Iterable
from ipaddress import IPv6Address
from pathlib import Path

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.utils import wrpcap

from agents.core.machine import Address

LINKTYPE_IPV6 = 229
FAULTS = "_ws.malformed or _ws.expert.severity >= 0x600000"
"""Filters messages that tshark has a warning or an error about."""

ERRORS = "_ws.malformed or _ws.expert.severity >= 0x800000"
"""Filters those that it has an error about."""


def write_datagrams(path: Path, datagrams: Iterable[tuple[Address, Address, bytes]]) -> None:
    """Write a capture of UDP datagrams: source, destination, data."""
    packets = [
        Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
        / IPv6(src=source.partition("%")[0], dst=destination.partition("%")[0])
        / UDP(sport=port, dport=destination_port)
        / data
        for (source, port), (destination, destination_port), data in datagrams
    ]
    wrpcap(str(path), packets)


def write_stream(path: Path, sent: Iterable[tuple[bool, bytes]], port: int) -> None:
    """Write a capture of a TCP connection: what its client, if so, and its server have sent."""
    ends = [(IPv6Address("2001:db8::2"), 40000), (IPv6Address("2001:db8::3"), port)]
    sequence = [1, 1]
    records = [struct.pack("!IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, LINKTYPE_IPV6)]
    for number, (from_client, data) in enumerate(sent):
        (source, sport), (target, dport) = ends if from_client else ends[::-1]
        seq, ack = sequence if from_client else sequence[::-1]
        segment = struct.pack("!HHIIHHHH", sport, dport, seq, ack, 0x5018, 65535, 0, 0) + data
        header = struct.pack("!IHBB", 0x60000000, len(segment), 6, 64)
        packet = header + source.packed + target.packed + segment
        records += [struct.pack("!IIII", number, 0, len(packet), len(packet)), packet]
        sequence[0 if from_client else 1] += len(data)
    path.write_bytes(b"".join(records))


def tshark(path: Path, *options: str, profile: Path | None = None) -> str:
    """Return what tshark writes of a capture; `profile` is a folder of its settings."""
    if shutil.which("tshark") is None:
        pytest.skip("tshark is not installed")
    environment = {} if profile is None else {"WIRESHARK_CONFIG_DIR": str(profile)}
    done = subprocess.run(
        ["tshark", "-n", "-r", path, *options],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert not {"Lua", "Error"} & set(done.stderr.split()), done.stderr
    return done.stdout


def rows(
    path: Path,
    *fields: str,
    where: str = "frame",
    options: Iterable[str] = (),
    profile: Path | None = None,
) -> list[str]:
    """Return one line per message that the filter lets through: its fields, parted by tabs."""
    columns = [word for field in fields for word in ("-e", field)]
    shown = tshark(path, *options, "-Y", where, "-T", "fields", *columns, profile=profile)
    return shown.splitlines()
