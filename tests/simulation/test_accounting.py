"""What is charged for in whole runs: by either protocol, with losses, crashes and restarts."""

from __future__ import annotations

from pathlib import Path

import pytest

import topologies
from agents.aaa.accounts import GRACE
from agents.core.usage import Usage
from agents.kernel.packet import UDP
from agents.nodes.accounting import REST
from agents.radius.wire import ACCOUNTING_PORT
from agents.simulation import frames
from agents.simulation.laboratory import Laboratory, PreparedApproach
from agents.simulation.world import World

NAS, AGENT, LIFETIME = "ar.visited.test", "ha1.home.test", 60.0


def laboratory(
    folder: Path,
    approach: str = "pana-ikev2",
    protocol: str = "diameter",
    *,
    loses=None,
    **settings,
) -> Laboratory:
    """Return a laboratory in which a mobile node is registered and accounted."""
    usual = {
        "accounting": True,
        "duplicate_address_detection": False,
        "roles": {"aaa": {"protocol": protocol}},
    }
    plan = PreparedApproach(approach, folder, usual | settings, topologies.load("apart"))
    lab = plan.laboratory(World(1, loses))
    lab.start()
    assert lab.run(60.0, lab.is_bootstrapped)
    return lab


def wait(lab: Laboratory, seconds: float) -> None:
    lab.run(lab.world.clock.now + seconds)


def traffic(lab: Laboratory, packets: int) -> None:
    """Have the correspondent node and the mobile node exchange packets."""
    (told, *_) = lab.events.named("Bootstrapped")
    for _ in range(packets):
        assert lab.exchanges("CN", "A", told["home_address"])


def leave(lab: Laboratory) -> None:
    for command in ("deregister", "terminate"):
        lab.program("mobile_node").obey(command)
        wait(lab, 1.0)


def records(lab: Laboratory, client: str) -> list[dict]:
    return [event for event in lab.events.named("SessionAccounted") if event["client"] == client]


def kind(record: dict) -> str:
    return record["record_type"]


def on_access_link(lab: Laboratory) -> Usage:
    """Return what the access link carried from and to the mobile node, from first to last."""
    (told, *_) = lab.events.named("CareOfAddress")
    care_of = told["address"]
    link = [sent.packet for sent in lab.world.sent if sent.link == "access"]
    came = [frames.length(packet) for packet in link if str(packet.source) == care_of]
    went = [frames.length(packet) for packet in link if str(packet.destination) == care_of]
    return Usage(sum(came), len(came), sum(went), len(went))


@pytest.mark.parametrize("approach", ["pana-ikev1", "pana-ikev2"])
def test_both_protocols_tell_the_same(tmp_path, approach):
    found = {}
    for protocol in ("diameter", "radius"):
        lab = laboratory(tmp_path / protocol, approach, protocol)
        traffic(lab, 20)
        leave(lab)
        found[protocol] = [records(lab, who) for who in (NAS, AGENT)]
        assert lab.events.named("RecordLost") == lab.events.named("RecordRefused") == []
    for ours, theirs in zip(found["diameter"], found["radius"], strict=True):
        assert [kind(one) for one in ours] == [kind(one) for one in theirs] == ["START", "STOP"]
        one, other = (Usage(**records[-1]["usage"]) for records in (ours, theirs))
        assert (one.input_packets, one.output_packets) == (
            other.input_packets,
            other.output_packets,
        )
        # Signatures have some octets more or less.
        assert one.input_octets == pytest.approx(other.input_octets, abs=20)
        assert one.output_octets == pytest.approx(other.output_octets, abs=20)
    access, home = (records[-1]["usage"] for records in found["diameter"])
    assert home["input_packets"] == home["output_packets"] == 20
    assert access["input_packets"] > 20


@pytest.mark.parametrize("protocol", ["diameter", "radius"])
def test_what_is_charged_for_never_exceeds_what_has_passed(tmp_path, protocol):
    """Sessions end and begin by authentications anew, and each counts for itself."""
    settings = {"session_lifetime": 20.0, "interim_interval": 3}
    lab = laboratory(tmp_path, "pana-ikev1", protocol, **settings)
    for _ in range(10):
        traffic(lab, 5)
        wait(lab, 10.0)
    leave(lab)
    passed = on_access_link(lab)
    sums: dict[str, Usage] = {}
    for record in records(lab, NAS):
        if record["usage"]:
            sums[record["session_id"]] = Usage(**record["usage"])
    assert len(sums) > 3
    assert len({record["multi_session_id"] for record in records(lab, NAS)}) == 1
    charged = sum(sums.values(), start=Usage())
    assert charged.input_packets > 50
    for name in ("input_octets", "input_packets", "output_octets", "output_packets"):
        assert getattr(charged, name) <= getattr(passed, name)
    # What is not charged is the first authentication and the last answer.
    assert passed.input_packets - charged.input_packets < 15


def test_accounting_costs_the_bootstrap_nothing(tmp_path):
    cost = {}
    for accounting in (False, True):
        lab = laboratory(tmp_path / str(accounting), accounting=accounting)
        (done, *_) = lab.events.named("Bootstrapped")
        cost[accounting] = done["t"], len(lab.world.sent)
        wait(lab, 2 * REST)
        assert bool(records(lab, NAS)) is accounting
    assert cost[True] == cost[False]


def test_a_record_that_radius_loses_counts_once(tmp_path):
    lost = []

    def loses(_number, packet):
        its = packet.protocol == UDP and packet.destination_port == ACCOUNTING_PORT
        if its and len(lost) < 2:
            lost.append(packet)
            return True
        return False

    lab = laboratory(tmp_path, protocol="radius", loses=loses)
    wait(lab, 10.0)
    leave(lab)
    wait(lab, 10.0)
    assert len(lost) == 2
    assert [*map(kind, records(lab, NAS))] == ["START", "STOP"]


def test_an_answer_that_radius_loses_has_the_record_come_twice_and_count_once(tmp_path):
    lost = []

    def loses(_number, packet):
        its = packet.protocol == UDP and packet.source_port == ACCOUNTING_PORT
        if its and len(lost) < 2:
            lost.append(packet)
            return True
        return False

    lab = laboratory(tmp_path, protocol="radius", loses=loses)
    wait(lab, 10.0)
    assert len(lost) == 2
    assert [*map(kind, records(lab, NAS))] == ["START"]


def test_of_an_access_router_that_has_crashed_what_it_told_last_is_left(tmp_path):
    lab = laboratory(tmp_path, session_lifetime=LIFETIME, interim_interval=5)
    traffic(lab, 10)
    wait(lab, 12.0)
    before = records(lab, NAS)
    lab.program("access_router").kill()
    lab.program("mobile_node").kill()
    wait(lab, LIFETIME + GRACE + 10.0)
    unfinished = [e for e in lab.events.named("AccountUnfinished") if e["client"] == NAS]
    assert unfinished
    assert unfinished[0]["usage"] == before[-1]["usage"]
    assert unfinished[0]["usage"]["input_packets"] > 10
    assert not [one for one in records(lab, NAS) if one["record_type"] == "STOP"]


def test_an_access_router_that_has_crashed_and_come_back_is_known_by_that(tmp_path):
    lab = laboratory(tmp_path, interim_interval=5)
    traffic(lab, 10)
    wait(lab, 12.0)
    before = records(lab, NAS)
    lab.program("access_router").restart()
    assert lab.run(lab.world.clock.now + 60.0, lambda: bool(lab.events.named("AccountUnfinished")))
    (unfinished,) = lab.events.named("AccountUnfinished")
    assert unfinished["usage"] == before[-1]["usage"]
    assert "started again" in unfinished["reason"]


def test_an_access_router_that_ends_tells_of_its_sessions(tmp_path):
    lab = laboratory(tmp_path)
    traffic(lab, 10)
    router = lab.program("access_router")
    router.host.enter(router.node.stop, lambda: None)
    wait(lab, 3.0)
    assert [*map(kind, records(lab, NAS))] == ["START", "STOP"]
    assert lab.events.named("RecordLost") == []


def test_a_server_that_was_restarted_knows_no_sessions_and_that_is_said(tmp_path):
    lab = laboratory(tmp_path)
    wait(lab, 2 * REST)
    lab.program("home_network").restart()
    wait(lab, 5.0)
    leave(lab)
    wait(lab, 5.0)
    assert {event["client"] for event in lab.events.named("RecordRefused")} == {NAS, AGENT}
    lost = lab.events.named("RecordLost")
    assert {event["host"] for event in lost} == {"B", "H"}
    assert all("UNKNOWN_SESSION_ID" in event["reason"] for event in lost)


def test_a_binding_that_is_made_anew_is_charged_for_anew(tmp_path):
    """What is granted goes on meanwhile, at the home agent as well."""
    lab = laboratory(tmp_path)
    traffic(lab, 5)
    mobile_node = lab.program("mobile_node")
    mobile_node.obey("deregister")
    wait(lab, 2.0)
    mobile_node.obey("refresh")
    wait(lab, 2.0)
    traffic(lab, 7)
    mobile_node.obey("deregister")
    wait(lab, 2.0)
    told = records(lab, AGENT)
    assert [*map(kind, told)] == ["START", "STOP"] * 2
    assert len({one["session_id"] for one in told}) == 2
    assert {one["multi_session_id"] for one in told} == {told[0]["session_id"]}
    assert [one["usage"]["output_packets"] for one in told[1::2]] == [5, 7]


def test_a_home_agent_that_ends_tells_of_its_bindings(tmp_path):
    lab = laboratory(tmp_path)
    traffic(lab, 10)
    agent = lab.program("home_agent")
    agent.host.enter(agent.node.stop, lambda: None)
    wait(lab, 3.0)
    told = records(lab, AGENT)
    assert [*map(kind, told)] == ["START", "STOP"]
    assert told[1]["usage"]["input_packets"] == 10
