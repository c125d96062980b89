"""What is charged for is what has passed: records beside the captures of the same run."""

from __future__ import annotations

import json
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any

import pytest

from agents.core.usage import Usage
from testbed.trace.dissect import Pana, dissect
from testbed.trace.frames import Frame, read_frames
from tests.lab.experiment import NEEDS, carry_out_here
from tests.lab.needs import needs
from tests.wireshark import ERRORS, rows

pytestmark = [NEEDS, needs("cls_flower")]
EXPERIMENT = """
name = "charged"
approach = "pana-ikev2"
topology = "apart"
settings = { duplicate_address_detection = false, accounting = true, interim_interval = 1 }
[variants.diameter]
steps = [
    { host = "A", command = "ping", until = "A PingAnswered", packets = 200 },
    { host = "A", command = "deregister", until = "A BindingAccepted", cuts = true },
    { host = "A", command = "terminate", until = "S SessionAccounted" },
]
[variants.radius]
roles.aaa.protocol = "radius"
steps = [
    { host = "A", command = "ping", until = "A PingAnswered", packets = 200 },
    { host = "A", command = "deregister", until = "A BindingAccepted", cuts = true },
    { host = "A", command = "terminate", until = "S SessionAccounted" },
]
"""
HEADER, IPV6, IN_IPV6 = 40, b"\x86\xdd", 41


class Run:
    """What one run told, and what was seen at the mobile node."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        lines = (folder / "events.jsonl").read_text().splitlines()
        self.events: list[dict[str, Any]] = [json.loads(line) for line in lines]
        self.frames = [
            frame
            for frame in read_frames(folder / "captures" / "A.pcapng")
            if frame.data[12:14] == IPV6
        ]
        (told, *_) = self.named("CareOfAddress")
        self.care_of = IPv6Address(told["address"])

    def named(self, name: str, **fields: object) -> list[dict[str, Any]]:
        """Return the events of a name that have these fields."""
        return [
            event
            for event in self.events
            if event["event"] == name and fields.items() <= event.items()
        ]

    def records(self, client: str) -> list[dict[str, Any]]:
        """Return what a client has told of its sessions."""
        return self.named("SessionAccounted", client=client)

    def access(self) -> Usage:
        """Return what passed from PANA's final request to the mobile node's last."""
        pana = [m for m in dissect(self.frames) if isinstance(m, Pana)]
        final = next(m.time for m in pana if m.final and m.request and m.result_ok)
        last = max(m.time for m in pana if m.request and m.source == self.care_of)
        return self._usage([f for f in self.frames if final <= f.time <= last])

    def _usage(self, frames: list[Frame]) -> Usage:
        came = [f.data for f in frames if f.data[22:38] == self.care_of.packed]
        went = [f.data for f in frames if f.data[38:54] == self.care_of.packed]
        return Usage(sum(map(_length, came)), len(came), sum(map(_length, went)), len(went))

    def tunnelled(self) -> Usage:
        """Return what went through the home agent's tunnel, without the tunnel's header."""
        found = self._usage([f for f in self.frames if f.data[20] == IN_IPV6])
        return Usage(
            found.input_octets - HEADER * found.input_packets,
            found.input_packets,
            found.output_octets - HEADER * found.output_packets,
            found.output_packets,
        )


def _length(frame: bytes) -> int:
    return HEADER + int.from_bytes(frame[18:20])


@pytest.fixture(scope="module")
def runs(place: Path) -> dict[str, Run]:
    path = place / "charged.toml"
    path.write_text(EXPERIMENT)
    outcome = carry_out_here(path, place / "results")
    assert [run.reason for run in outcome.results.failed] == []
    return {
        run.variant: Run(outcome.folder / "runs" / f"{run.run:04}") for run in outcome.results.runs
    }


@pytest.mark.parametrize("variant", ["diameter", "radius"])
def test_the_access_routers_last_record_is_what_the_link_carried(runs, variant):
    run = runs[variant]
    start, *between, stop = run.records("ar.visited.test")
    assert [start["record_type"], stop["record_type"]] == ["START", "STOP"]
    assert {record["record_type"] for record in between} == {"INTERIM"}
    assert [record["record_number"] for record in (start, *between, stop)] == list(
        range(len(between) + 2)
    )
    assert Usage(**stop["usage"]) == run.access()
    assert stop["usage"]["input_packets"] > 200
    _grows([record["usage"] for record in (*between, stop)])
    assert run.named("RecordLost") == run.named("RecordRefused") == []


@pytest.mark.parametrize("variant", ["diameter", "radius"])
def test_the_home_agents_last_record_is_what_its_tunnel_carried(runs, variant):
    run = runs[variant]
    start, *between, stop = run.records("ha1.home.test")
    assert [start["record_type"], stop["record_type"]] == ["START", "STOP"]
    assert Usage(**stop["usage"]) == run.tunnelled()
    assert stop["usage"]["output_packets"] >= 200
    _grows([record["usage"] for record in (*between, stop)])


def _grows(sums: list[dict[str, int]]) -> None:
    assert len(sums) >= 3
    for name in sums[0]:
        values = [one[name] for one in sums]
        assert values == sorted(values)


def test_tshark_finds_no_fault_in_any_diameter_message(runs):
    capture = runs["diameter"].folder / "captures" / "S.pcapng"
    # It warns of AVPs that it does not know: those of which below.
    assert rows(capture, "frame.number", where=f"diameter and ({ERRORS})") == []
    applications = {
        tuple(value.split(",")[0] for value in row.split("\t"))
        for row in rows(
            capture, "diameter.cmd.code", "diameter.applicationId", where="diameter.cmd.code > 260"
        )
    }
    assert {("268", "5"), ("268", "7"), ("271", "3"), ("275", "5")} <= applications
    # The project's own (RFC 5612) alone are not in Wireshark's dictionary.
    unknown = rows(capture, "diameter.avp.vendorId", where="diameter.avp.unknown")
    assert {vendor for row in unknown for vendor in row.split(",") if vendor} <= {"32473"}


def test_nobody_waits_for_a_record(runs):
    for run in runs.values():
        (bootstrapped, *_) = run.named("Bootstrapped")
        assert all(bootstrapped["t"] < event["t"] for event in run.named("SessionAccounted"))
