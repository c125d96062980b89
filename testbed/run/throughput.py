"""The throughput of paths, measured by iperf3 between two hosts; captures keep nothing of it."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import msgspec

from testbed.base.files import last_line
from testbed.base.places import how_to_install
from testbed.experiment.throughput import PORT
from testbed.run.net import Network
from testbed.run.nodes import stop
from testbed.run.paths import Payload
from testbed.run.usage import busy

PROGRAM = "iperf3"
_PORT = ("--port", str(PORT))
_WRITTEN = 0.01  # s between two writes to a TCP connection with a rate.
_LONGEST = 1 << 17  # Octets of one without.
_LISTENING = "Server listening"
_POLL = 0.02  # s between two looks at whether the server does.

_Number = Annotated[float, msgspec.Meta(ge=0)]
_MOST = (1 << 63) - 1
_Count = Annotated[int, msgspec.Meta(ge=0, le=_MOST)]


class TransferError(Exception):
    """A transfer that came to nothing; the text says why."""


class _Sum(msgspec.Struct):
    """What one end says of all that was transferred; only a sender of TCP knows `retransmits`."""

    seconds: _Number
    bits_per_second: _Number
    retransmits: _Count | None = None
    packets: _Count | None = None
    lost_packets: Annotated[int, msgspec.Meta(le=_MOST)] = 0  # Below 0: some came twice.


class _End(msgspec.Struct):
    sum_sent: _Sum | None = None
    sum_received: _Sum | None = None


class _Test(msgspec.Struct):
    blksize: _Count = 0


class _Start(msgspec.Struct):
    tcp_mss_default: _Count | None = None
    test_start: _Test = msgspec.field(default_factory=_Test)


class _Report(msgspec.Struct):
    """What is read of the JSON of iperf3's client."""

    start: _Start = msgspec.field(default_factory=_Start)
    end: _End = msgspec.field(default_factory=_End)
    error: str = ""


def read(text: bytes) -> dict[str, Any]:
    """Return what iperf3's client has reported in JSON; TransferError if that is no measurement.

    These are fields of testbed.results.runs.Throughput.
    """
    try:
        report = msgspec.json.decode(text, type=_Report)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise TransferError(f"{PROGRAM}'s report cannot be read: {error}") from None
    if report.error:
        raise TransferError(f"{PROGRAM}: {report.error}")
    sent, received = report.end.sum_sent, report.end.sum_received
    if sent is None or received is None or not received.seconds:
        raise TransferError(f"{PROGRAM} reports no end of the transfer")
    of_udp = received.packets is not None
    return {
        "seconds": round(received.seconds, 6),
        "sent": round(sent.bits_per_second, 3),
        "received": round(received.bits_per_second, 3),
        "repeated": None if of_udp else sent.retransmits,
        "lost": _lost(received) if of_udp else None,
        "segment": report.start.test_start.blksize if of_udp else report.start.tcp_mss_default,
    }


def _lost(received: _Sum) -> float:
    """Return the share of datagrams that were not received, up to the last one that was."""
    return round(max(received.lost_packets, 0) / received.packets, 6) if received.packets else 0.0


def measure(network: Network, payload: Payload, folder: Path) -> dict[str, Any]:
    """Transfer payload, and return what came of it; TransferError if nothing has in time.

    The server is on the mobile node, at the address that is measured. What both programs say is
    kept in `folder`.
    """
    if shutil.which(PROGRAM) is None:
        raise TransferError(
            f"{PROGRAM} is not installed: {how_to_install(PROGRAM, level='approaches')}"
        )
    log, report = folder / "server.log", folder / "report.json"
    server = [PROGRAM, "--server", *_PORT, "--one-off", "--forceflush"]
    server += ["--bind", str(payload.address)]
    with _running(network, payload.mobile_node, server, log) as process:
        _wait_for_server(process, log, payload.until)
        cpu, began = busy(), time.monotonic()
        with _running(network, payload.correspondent_node, _client(payload), report) as one:
            _wait(one, payload.until)
        cpu = (busy() - cpu) / (time.monotonic() - began)
    return {**read(report.read_bytes()), "cpu": round(cpu, 4)}


def _client(payload: Payload) -> list[str]:
    transfer = payload.transfer
    command = [PROGRAM, "--client", str(payload.address), *_PORT, "--json"]
    command += ["--time", str(transfer.seconds)]
    command += ["--udp"] if transfer.protocol == "udp" else []
    command += ["--bitrate", f"{transfer.rate * 1e6:.0f}"] if transfer.rate else []
    if transfer.protocol == "tcp" and transfer.rate:  # Steadily, and not a second's at once.
        octets = round(transfer.rate * 1e6 / 8 * _WRITTEN)
        command += ["--length", str(min(max(octets, 1), _LONGEST))]
    return [*command, *(["--reverse"] if payload.towards == "correspondent node" else [])]


@contextmanager
def _running(
    network: Network, host: str, command: list[str], output: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Have a program run in a host, and end with this; it writes into a file."""
    with output.open("wb") as file:
        process = network.start(host, command, stdout=file, stderr=file)
    try:
        yield process
    finally:
        stop(process)


def _wait_for_server(process: subprocess.Popen[bytes], log: Path, until: float) -> None:
    while _LISTENING not in log.read_text(errors="replace"):
        if process.poll() is not None:
            raise TransferError(last_line(log))
        if time.monotonic() > until:
            raise TransferError(f"{PROGRAM}'s server does not listen in time")
        time.sleep(_POLL)


def _wait(client: subprocess.Popen[bytes], until: float) -> None:
    try:
        client.wait(max(0.0, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise TransferError(f"{PROGRAM} has not come to its end in time") from None
