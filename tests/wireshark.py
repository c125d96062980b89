"""tshark as an independent decoder, and captures for it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.utils import wrpcap

from agents.core.machine import Address

FAULTS = "_ws.malformed or _ws.expert.severity >= 0x600000"
"""Filters messages that tshark has a warning or an error about."""


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
