"""Throughput on real kernels: what payload takes which way, and what fits into a tunnel."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from testbed.base.places import PROJECT
from testbed.report.interruptions import interruptions
from testbed.results import folder as results
from testbed.results.runs import CARE_OF, HOME, Run, shares
from testbed.runner import Outcome
from tests.lab.experiment import carry_out_here
from tests.lab.needs import needs
from tests.wireshark import rows

pytestmark = needs("esp6", "mip6", "ip6_tunnel", "sch_htb", "iperf3")
TEXT = """
name = "throughput"
approach = "static"
topology = "paper"
runs = 1
settings.duplicate_address_detection = false
expect.throughput = 0.9
links = { access = { rate = 2.0 }, core = { rate = 2.0, delay = 0.005 }, home = { rate = 2.0 } }
[variants.tunnel]
steps = [
    { host = "CN", packets = 5 },
    { host = "CN", measures = "care-of address", throughput = { seconds = 2 }, cuts = true },
    { host = "A", run = "cat /proc/net/dev >FOLDER/tunnel-before" },
    { host = "CN", measures = "home address", throughput = { seconds = 2 } },
    { host = "A", run = "cat /proc/net/dev >FOLDER/tunnel-after" },
    { host = "CN", run = "ping -c 3 -i 0.2 -s 1412 -M do HOME >FOLDER/fits || true" },
    { host = "CN", run = "ping -c 3 -i 0.2 -s 1413 -M do HOME >FOLDER/too-long 2>&1 || true" },
    { host = "CN", run = "ping -c 3 -i 0.2 -s 3000 HOME >FOLDER/fragments || true" },
    { host = "CN", measures = "care-of address", throughput = UDP },
    { host = "CN", measures = "home address", throughput = UDP },
]
[variants.optimised]
settings.route_optimisation = true
steps = [
    { host = "CN", packets = 5, until = "A RouteOptimised" },
    { host = "CN", measures = "care-of address", throughput = { seconds = 2 }, cuts = true },
    { host = "A", run = "cat /proc/net/dev >FOLDER/optimised-before" },
    { host = "CN", measures = "home address", throughput = { seconds = 2 } },
    { host = "A", run = "cat /proc/net/dev >FOLDER/optimised-after" },
]
[variants.narrow]
steps = [
    { host = "B", run = "ip link set B-access mtu 1400" },
    { host = "A", run = "ip link set A-access mtu 1400" },
    { host = "CN", run = "ping -c 3 -i 0.2 -s 1412 -M do HOME >FOLDER/narrow 2>&1 || true" },
    { host = "CN", measures = "care-of address", throughput = { seconds = 2 }, cuts = true },
    { host = "CN", measures = "home address", throughput = { seconds = 2 } },
]
[variants.unreachable]
steps = [
    { host = "CN", run = "ip -6 route add prohibit HOME" },
    { host = "CN", measures = "home address", throughput = { seconds = 1 }, cuts = true },
    { host = "CN", measures = "care-of address", throughput = { seconds = 1 } },
]
"""
HEADER, TIMESTAMPS, FRAME = 40, 12, 1514
SEGMENTS = {"plain": 1500 - HEADER - 20 - TIMESTAMPS}
SEGMENTS["tunnel"] = SEGMENTS["plain"] - HEADER
SEGMENTS["optimised"] = SEGMENTS["plain"] - 24
"""Octets of payload in one of TCP's: a Home Address option or routing header has 24."""


@pytest.fixture(scope="module")
def folder(place: Path) -> Path:
    return place


@pytest.fixture(scope="module")
def done(folder: Path) -> Outcome:
    text = TEXT.replace("HOME", "2001:db8:100::1234").replace("FOLDER", str(folder))
    text = text.replace("UDP", '{ seconds = 1, protocol = "udp", rate = 1.0 }')
    (path := folder / "throughput.toml").write_text(text)
    return carry_out_here(path, folder / "results")


def run_of(done: Outcome, variant: str) -> Run:
    [run] = done.results.of(variant)
    return run


@pytest.mark.parametrize("variant", ["tunnel", "optimised"])
def test_a_path_brings_what_its_links_take_but_for_headers(done, variant):
    run = run_of(done, variant)
    assert run.status == "ok", run.reason
    tcp = [one for one in run.throughput if one.protocol == "tcp"]
    assert [one.path for one in tcp] == [CARE_OF] * 2 + [HOME] * 2
    for one in tcp:
        assert one.segment == SEGMENTS["plain" if one.path == CARE_OF else variant]
        assert one.received <= 1.05 * 2e6 * one.segment / FRAME
    assert min(shares(run.throughput).values()) > 0.9


def test_udp_is_received_as_it_was_sent_where_there_is_room(done):
    udp = [one for one in run_of(done, "tunnel").throughput if one.protocol == "udp"]
    assert len(udp) == 4
    for one in udp:
        assert one.received == pytest.approx(1e6, rel=0.1)
        assert one.repeated is None


def tunnelled(folder: Path, variant: str) -> int:
    """Return how many octets the mobile node's tunnel has carried meanwhile, both ways."""
    both = []
    for moment in ("before", "after"):
        lines = (folder / f"{variant}-{moment}").read_text().splitlines()[2:]
        devices = {
            name.strip(): rest.split() for name, _, rest in (x.partition(":") for x in lines)
        }
        others = [name for name in devices if name not in ("lo", "A-access", "ip6tnl0")]
        both.append(sum(int(devices[name][i]) for name in others for i in (0, 8)))
    return both[1] - both[0]


def test_payload_takes_the_tunnel_unless_its_route_is_optimised(done, folder):
    transferred = 2 * 2 * 2e6 / 8  # Two directions of two seconds.
    assert done.results.runs
    assert tunnelled(folder, "tunnel") > 0.8 * transferred
    assert tunnelled(folder, "optimised") < 0.02 * transferred


def test_what_does_not_fit_into_the_tunnel_is_told_so_or_sent_in_fragments(done, folder):
    """The home agent is the tunnel's entry node (RFC 2473 section 7.1): 1,460 octets fit."""
    assert done.results.runs
    fits, long, fragments = (
        (folder / name).read_text() for name in ("fits", "too-long", "fragments")
    )
    assert "3 received" in fits
    assert "0 received" in long
    assert re.search(r"From 2001:db8:100::1 .*Packet too big: mtu=1460", long)
    assert "3 received" in fragments


def test_the_tunnel_finds_out_what_a_link_on_its_way_takes(done, folder):
    """The tunnel's entry node is told by the router before that link, and tells who sends."""
    run = run_of(done, "narrow")
    assert run.status == "ok", run.reason
    assert re.search(
        r"From 2001:db8:\S+ .*Packet too big: mtu=1360", (folder / "narrow").read_text()
    )
    home = [one for one in run.throughput if one.path == HOME]
    assert [one.segment for one in home] == [SEGMENTS["tunnel"] - 100] * 2


def test_captures_have_of_a_transfer_no_more_than_its_last_segments(done):
    run = run_of(done, "tunnel")
    capture = results.run_folder(done.folder, run.run) / "captures" / "C.pcapng"
    assert len(rows(capture, "frame.number", where="tcp.port == 5201 or udp.port == 5201")) < 100
    assert rows(capture, "frame.number", where="icmpv6.type == 2")  # After it they go on.


def test_tcp_goes_on_after_each_of_three_handovers(place):
    """It is transferred beside the movements, and captured: the figure is made of that."""
    path = PROJECT / "experiments" / "handover_tcp.toml"
    done = carry_out_here(path, place / "moving", variants=("static",))
    run = run_of(done, "static")
    assert run.status == "ok", run.reason
    [transferred] = run.throughput
    assert transferred.received > 1.5e6
    found = list(interruptions(done.results, "static"))
    assert len(found) == len(run.handovers) == 3
    assert all(0.02 < length < 5 for one in found for length in one.lengths)


def test_a_transfer_that_cannot_be_says_why(done):
    run = run_of(done, "unreachable")
    assert run.status == "failed"
    assert run.reason
    assert run.reason.startswith("throughput towards the mobile node: iperf3: ")
    assert run.throughput == []
