"""Many mobile nodes: whose frames are whose, what summaries and figures say of them."""

import io
from dataclasses import replace
from ipaddress import IPv6Address

import msgspec
import pytest
from rich.console import Console

from testbed.analysis import fleets
from testbed.analysis.stats import summary
from testbed.report import conclusion, page, tables
from testbed.report import fleets as figures
from testbed.results import folder as results
from testbed.results.runs import Member, Moved, Run
from testbed.runner import analyse
from testbed.trace import counts, fleet, pcapng, phases
from testbed.trace.dissect import dissect
from testbed.trace.frames import read_frames
from tests.testbed import synthesis as syn
from topologies import operator
from topologies.model import HostRole, Shape, mac_address

DELAY = 0.01
SPEC = """
name = "many"
approach = "pana-ikev2"
topology = "operator"
[sweep]
"operator.mobile_nodes" = [10, 20]
[variants.at-once]
"""
OWN = {IPv6Address(syn.LINK_A), IPv6Address(syn.COA)}
ENDS = (0.1, 0.11, 0.15, 0.16, 0.2)


def on_link(frame, router, node):
    """Return a frame with the MAC addresses of an access router and a mobile node."""
    ends = router + node if IPv6Address(frame.data[22:38]) in OWN else node + router
    return replace(frame, data=ends + frame.data[12:])


def macs_at(topology, router):
    """Return an access router's link, and the MAC addresses there."""
    (link, _), _ = topology.at(router)
    return link, {
        one.host: bytes.fromhex(mac_address(topology, link, number).replace(":", ""))
        for number, one in enumerate(link.ends)
    }


def captured(folder, topology, starts):
    """Write what the access routers capture of bootstraps, all of the same length."""
    syn.write(folder / "one.pcapng", syn.bootstrap(ENDS))
    frames = read_frames(folder / "one.pcapng")
    for router in topology.hosts_with(HostRole.ACCESS_ROUTER):
        link, macs = macs_at(topology, router)
        here = macs.pop(router)
        packets = []
        for host, mac in macs.items():
            for frame in frames:
                outward = IPv6Address(frame.data[22:38]) in OWN
                late = starts[host] + (DELAY if outward else -DELAY)
                time = frame.time + round(late * 1e9)
                packets.append(pcapng.Packet(time, 0, on_link(frame, here, mac).data))
        packets.sort(key=lambda packet: packet.time_ns)
        pcapng.write(folder / f"{router}.pcapng", [f"{router}-{link.name}"], packets)


@pytest.fixture
def topology():
    return operator.build(mobile_nodes=3, access_routers=2).with_links(
        {"access": Shape(delay=DELAY)}
    )


def test_each_mobile_node_has_its_own_times_as_at_its_own_interface(tmp_path, topology):
    captured(tmp_path, topology, {"MN0001": 0.0, "MN0002": 0.003, "MN0003": 0.05})
    frames = fleet.frames_of(tmp_path, topology)
    alone = phases.from_capture(tmp_path / "one.pcapng")
    assert set(frames) == {"MN0001", "MN0002", "MN0003"}
    for own in frames.values():
        seen = phases.from_frames(own.passed, tmp_path)
        assert seen.phases == pytest.approx(alone.phases, abs=1e-6)


def test_what_is_sent_again_is_counted_for_its_mobile_node(tmp_path, topology):
    captured(tmp_path, topology, dict.fromkeys(("MN0001", "MN0002", "MN0003"), 0.0))
    found = fleet.frames_of(tmp_path, topology)["MN0001"]
    assert counts.repeated(found) == {}
    again = [replace(frame, time=frame.time + 1) for frame in found.routed for _ in range(2)]
    repeated = counts.repeated(replace(found, passed=again, routed=again))
    assert repeated["PANA"] == sum(1 for m in dissect(found.routed) if m.protocol == "PANA")


def test_on_a_bad_link_each_capture_has_what_its_host_has_sent(tmp_path):
    bad = operator.build(mobile_nodes=1).with_links({"access": Shape(loss=5)})
    assert fleet.captured(bad) == ["AR1", "MN0001"]
    whole = dict(syn.bootstrap((0.020, 0.022, 0.050, 0.051, 1.555), packet=1.6))
    _, macs = macs_at(bad, "AR1")

    def write(host, packets):
        syn.write(tmp_path / "one.pcapng", packets.items())
        frames = read_frames(tmp_path / "one.pcapng")
        own = [on_link(frame, macs["AR1"], macs["MN0001"]) for frame in frames]
        packets = [pcapng.Packet(frame.time, 0, frame.data) for frame in own]
        pcapng.write(tmp_path / f"{host}.pcapng", [f"{host}-access1"], packets)

    # The answer to PANA's result, 0.020, is lost, and so is that to the Binding Update, 0.055.
    result = max(time for time in whole if time < 0.0199)
    again = {1.020: whole[result], 1.021: whole[0.020], 1.551: syn.update(2)}
    write("MN0001", whole | again)
    write("AR1", {t: p for t, p in (whole | again).items() if t != 0.020} | {0.055: syn.ack()})

    found = fleet.frames_of(tmp_path, bad)["MN0001"]

    seen = phases.from_frames(found.passed, tmp_path)
    assert seen.marks == pytest.approx((0.020, 0.022, 0.050, 0.051, 1.555), abs=2e-6)
    assert counts.repeated(found) == {"PANA": 2, "MIPv6": 1}


MOVED = Moved(home_agent="::2", home_address="::a", noticed=1, bootstrapped=2, registered=3)


@pytest.mark.parametrize("moved", [None, msgspec.to_builtins(MOVED)])
def test_no_two_mobile_nodes_may_have_one_home_address(tmp_path, topology, moved):
    own = "::b" if moved else "::a"
    members = [
        {"host": "MN0001", "start": 0.0, "end": 1.0, "home_address": "::a"},
        {"host": "MN0002", "start": 0.0, "end": 1.0, "home_address": own, "moved": moved},
        {"host": "MN0003", "start": 0.0},
    ]
    line = {"run": 1, "variant": "many", "seed": 1, "status": "ok", "members": members}
    run = analyse(tmp_path, line, topology)
    assert (run.status, run.reason) == ("failed", "home address ::a is that of 2 mobile nodes")


def made(root, *, lost=0, spec=SPEC):
    """Write results of two fleets, in the larger of which some have not come to their end."""
    folder = results.create(root, "many", spec, "20260101T000000Z")
    for number, nodes in enumerate((10, 20), 1):
        times = {"pana": 0.1, "pana_to_ike": 0.0, "ike": 0.2, "ike_to_binding": 0.0}
        times |= {"binding": 0.1, "total": 0.4}
        members = [
            Member(host=f"MN{n:04}", start=0.0, end=0.4 + n / 100, phases=times)
            for n in range(nodes)
        ]
        for member in members[: lost if nodes == 20 else 0]:
            member.end, member.failures, member.phases = None, 2, {}
        used = {"cpu": 0.02 * nodes, "seconds": 1.0, "memory": 1e6 + 1e3 * nodes}
        run = Run(
            run=number,
            variant="at-once",
            seed=1,
            status="failed" if lost and nodes == 20 else "ok",
            reason="some are lost" if lost else None,
            phases=times,
            parameters={"operator.mobile_nodes": nodes},
            programs={"AR1-access_router": used, "AR2-access_router": used, "MN0001-fleet": used},
            members=members,
        )
        results.append(folder, run)
    return results.load(folder)


def test_costs_are_for_each_bootstrap_and_role_and_compared_with_those_of_ten(tmp_path):
    found = fleets.as_json(made(tmp_path), "at-once")
    assert found["fleets"][0]["cpu"] == pytest.approx({"access_router": 0.04, "fleet": 0.02})
    assert found["cpu_growth"] == pytest.approx({"10": 1.0, "20": 1.0})
    assert found["memory_growth"] == pytest.approx({"access_router": 2000.0, "fleet": 1000.0})


def test_memory_that_was_not_measured_is_no_growth_and_no_panel(tmp_path):
    many = made(tmp_path)
    simulated = [
        msgspec.structs.replace(run, programs={"all-access_router": {"cpu": 0.1, "seconds": 1.0}})
        for run in many.runs
    ]
    many = replace(many, runs=simulated)
    assert fleets.as_json(many, "at-once")["memory_growth"] == {"access_router": None}
    fig, _ = figures.growth_figure(many)
    (panel,) = fig.axes
    assert panel.get_position().width > 0.8  # It has all the room.


def test_who_did_not_get_through_counts(tmp_path):
    small, large = fleets.fleets(made(tmp_path, lost=5), "at-once")
    assert small.as_json()["success_rate"] == 1.0
    assert large.as_json()["success_rate"] == 0.75
    assert large.failures == 10
    assert large.up(50) == pytest.approx(0.4 + 0.14)
    assert (large.up(75), large.up(99)) == (pytest.approx(0.4 + 0.19), None)


@pytest.mark.usefixtures("one_format")
def test_figures_and_summary_are_drawn_of_fleets_only(tmp_path):
    many = made(tmp_path)
    conclusion.write(many)
    drawn = {path.name for path in (many.folder / "figures").iterdir()}
    assert {"fleet_times.svg", "fleet_growth.svg", "fleet_growth.csv"} <= drawn
    assert "timeline.svg" not in drawn
    variant = summary(many)["variants"]["at-once"]
    assert [one["mobile_nodes"] for one in variant["fleets"]] == [10, 20]


@pytest.mark.usefixtures("one_format")
def test_beside_many_mobile_nodes_there_is_no_paper_and_no_panel_of_nothing(tmp_path):
    many = made(tmp_path)
    conclusion.write(many)
    page = (many.folder / "report.html").read_text()
    assert "the paper's are averages" not in page
    assert "When mobile nodes were up" in page
    fig, rows = figures.growth_figure(many)
    assert {row[2] for row in rows[1:]} == {
        "CPU time of a bootstrap, ms", "peak memory of a program, MiB",
    }  # fmt: skip
    assert len(fig.axes) == 2  # Nothing was sent again.


def test_what_grows_with_a_number_has_several_numbers(tmp_path):
    many = made(tmp_path)
    assert figures.grow(many)
    assert not figures.grow(replace(many, runs=[r for r in many.runs if len(r.members) == 10]))


def test_a_row_tells_when_they_were_up_and_where(tmp_path):
    head, rows = tables.fleet_rows(made(tmp_path, lost=5))
    small, large = (dict(zip(head, row, strict=True)) for row in rows)
    assert (small["nodes"], small["up"], small["100 %"]) == ("10", "10 of 10", "490 ms")
    assert (large["nodes"], large["up"], large["100 %"]) == ("20", "15 of 20", "-")


def dealt(loaded, *runs):
    """Return results of runs with so many mobile nodes up at each home agent, of 20."""
    made = []
    for number, (status, *shares) in enumerate(runs, 1):
        agents = [n for n, share in enumerate(shares, 1) for _ in range(share)]
        members = [
            Member(
                host=f"MN{n:04}", start=0.0, end=1.0, home_agent=str(operator.home_network(a)[1])
            )
            for n, a in enumerate(agents)
        ]
        down = 20 - len(members)
        members += [Member(host=f"MN{n + 100:04}", start=0.0, failures=1) for n in range(down)]
        run = msgspec.structs.replace(loaded.runs[0], run=number, status=status, members=members)
        made.append(run)
    return replace(loaded, runs=made)


@pytest.mark.parametrize(
    ("runs", "cell"),
    [
        ([("ok", 10, 10)] * 3, "HA1: 10, HA2: 10"),
        ([("ok", 9, 11), ("ok", 10, 10)], "HA1: 9, HA2: 11\nHA1: 10, HA2: 10"),
        ([("expected", 7, 5)], "HA1: 7, HA2: 5"),
        ([("failed", 7, 5), ("ok", 10, 10)], "HA1: 7, HA2: 5\nHA1: 10, HA2: 10"),
        ([("failed",)], "-"),
    ],
)
def test_home_agents_have_their_names_and_numbers_whether_all_are_up_or_not(tmp_path, runs, cell):
    head, (row,) = tables.fleet_rows(dealt(made(tmp_path), *runs))
    assert dict(zip(head, row, strict=True))["at home agent"] == cell


def test_the_tables_of_the_terminal_go_into_80_columns(tmp_path):
    console = Console(width=80, file=io.StringIO())
    for table in tables.of_many(dealt(made(tmp_path), ("ok", 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1))):
        console.print(table)
    said = console.file.getvalue()
    assert max(map(len, said.splitlines())) <= 80
    assert "HA1: 2, HA2: 2, HA3: 2, HA4: 2, HA5: 2, HA6: 2, HA7: 2, HA8: 2," in said
    assert "at-once     20" in said


def html(loaded):
    page.write(loaded)
    return (loaded.folder / "report.html").read_text()


def test_a_move_has_its_parts_in_a_row_and_where_nobody_moves_there_is_no_table(tmp_path):
    many = made(tmp_path, spec=f"{SPEC}[variants.moving]\n")
    moved = Moved(
        home_agent="2001:db8::1", home_address="2001:db8::2",
        noticed=2.0, bootstrapped=3.0, registered=3.5,
    )  # fmt: skip
    member = Member(host="MN1", start=0.0, end=0.4, home_agent="2001:db8::1", moved=moved)
    run = msgspec.structs.replace(many.runs[0], run=3, variant="moving", members=[member])
    both = replace(many, runs=[*many.runs, run], variants=["at-once", "moving"])
    head, (row,) = tables.move_rows(both)
    assert head == ["variant", "nodes", "moved", *moved.parts]
    assert row == ("moving", "1", "1", "2.00 s", "1.00 s", "500 ms", "3.50 s")
    assert ">How long mobile nodes took to another home agent" in html(both)
    assert tables.move_rows(many)[1] == []
    assert "another home agent" not in html(many)


def test_times_that_are_about_the_same_have_an_axis_of_a_tenth_of_them(tmp_path):
    many = made(tmp_path)
    for axes in figures.distribution_figure(many)[0].axes:
        low, high = axes.get_xlim()
        assert high - low >= 0.1 * axes.dataLim.x0


@pytest.mark.usefixtures("one_format")
def test_they_are_drawn_before_all_variants_have_runs(tmp_path):
    many = made(tmp_path, spec=f"{SPEC}[variants.not-yet]\n")
    conclusion.write(many)
    assert (many.folder / "figures" / "fleet_growth.svg").is_file()


def test_their_axes_tell_times_and_have_room_for_all(tmp_path):
    many = made(tmp_path)
    for axes in figures.distribution_figure(many)[0].axes:
        low, high = axes.get_xlim()
        assert sum(low <= tick <= high for tick in axes.get_xticks()) >= 2
    for axes in figures.growth_figure(many)[0].axes:
        assert axes.get_ylim()[1] > 1.05 * axes.dataLim.y1
