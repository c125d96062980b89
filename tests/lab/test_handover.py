"""Handovers between two access networks: the mobile node stays reachable, and TCP goes on."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from testbed.base.places import PROJECT
from testbed.results import folder as results
from testbed.runner import Outcome
from tests.lab.experiment import NEEDS, carry_out_here
from tests.wireshark import rows

pytestmark = NEEDS
VARIANTS = ("static", "pana-ikev1")
"""The others are made of the same parts; on the virtual clock all are carried out."""

FAULTY = "_ws.malformed or (_ws.expert.severity >= 0x800000 and (mipv6 or icmpv6 or pana))"
STREAM = f"{sys.executable} {Path(__file__).with_name('tcp_stream.py')}"
TEXT = """
name = "tcp"
approach = "pana-ikev2"
topology = "mobility"
runs = 1
timeout = 60.0
settings.duplicate_address_detection = false
[links]
access.delay = 0.002
core.delay = 0.005
[variants.tcp]
steps = [
    { host = "A", run = "nohup STREAM serve >/dev/null 2>&1 &" },
    { host = "CN", run = "nohup STREAM ask HOME FOLDER/tcp >/dev/null 2>&1 &", packets = 50 },
    MOVES
    { host = "CN", run = "touch FOLDER/tcp.end; WAIT", packets = 5 },
    { host = "A", run = "ip -6 address show dev A-access >FOLDER/addresses" },
    { host = "A", run = "ip -6 route show dev A-access >FOLDER/routes" },
]
"""
WAIT = "timeout 30 sh -c 'until test -s FOLDER/tcp; do sleep 0.1; done'"
MOVE = '{ host = "A", attach = "%s", until = "A BindingAccepted", packets = 10, timeout = 30.0 },'


@pytest.fixture(scope="module")
def done(place: Path) -> Outcome:
    """The experiment that ships."""
    path = PROJECT / "experiments" / "handover.toml"
    return carry_out_here(path, place / "shipped", variants=VARIANTS)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_mobile_node_is_reachable_after_each_of_twenty(done, variant):
    [run] = [run for run in done.results.runs if run.variant == variant]
    assert run.status == "ok", run.reason
    assert len(run.handovers) == 20
    assert all(one.gap is not None for one in run.handovers)


@pytest.mark.parametrize("variant", VARIANTS)
def test_wireshark_finds_nothing_wrong_with_what_the_mobile_node_says(done, variant):
    [run] = [run for run in done.results.runs if run.variant == variant]
    capture = results.run_folder(done.folder, run.run) / "captures" / "A.pcapng"
    asked = rows(capture, "ipv6.src", "ipv6.hlim", where="icmpv6.type == 133")
    assert len(asked) >= 20
    told = rows(capture, "icmpv6.opt.prefix.flag.r", where="icmpv6.type == 134")
    assert told
    assert rows(capture, "frame.number", where=FAULTY) == []


def test_a_tcp_connection_outlasts_twenty_handovers(place: Path):
    folder = place / "tcp"
    folder.mkdir()
    moves = "\n    ".join(MOVE % ("access2", "access")[number % 2] for number in range(21))
    text = TEXT
    for name, value in (
        ("WAIT", WAIT),
        ("STREAM", STREAM),
        ("HOME", "2001:db8:100::1234"),
        ("FOLDER", str(folder)),
        ("MOVES", moves),
    ):
        text = text.replace(name, value)
    (path := folder / "tcp.toml").write_text(text)

    [run] = carry_out_here(path, folder / "results").results.runs

    assert run.status == "ok", run.reason
    assert len(run.handovers) == 21
    assert int((folder / "tcp").read_text()) > 100  # Else why it has ended.
    addresses, routes = ((folder / name).read_text() for name in ("addresses", "routes"))
    assert "2001:db8:a2:" in addresses
    assert "2001:db8:a:" not in addresses
    assert routes.count("default via") == 1
