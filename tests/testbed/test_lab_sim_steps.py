"""The sim lab after the bootstraps: hosts that are killed, and who comes to another home agent."""

from __future__ import annotations

import json

import pytest

from testbed.results import folder as results
from tests.testbed.simulated import carry_out

HA1, HA2 = "2001:db8:100::1", "2001:db8:101::1"
FLEET = """
name = "moves"
approach = "pana-ikev2"
topology = "operator"
operator = { mobile_nodes = 4, access_routers = 2, home_agents = 2 }
runs = 1
[settings]
diameter_watchdog = 6.0
binding_lifetime = 20.0
ike.authentication = "psk"
duplicate_address_detection = false
[variants.captured]
steps = [{ host = "HA1", kill = "host", moves = "HA1", cuts = true, timeout = 120.0 }]
[variants.counted]
simulation = { public_keys = "model", captures = 0 }
steps = [{ host = "HA1", kill = "host", moves = "HA1", cuts = true, timeout = 120.0 }]
[variants.drained]
settings.session_lifetime = 60.0
steps = [{ host = "AAA", command = "drain ha1", moves = "HA1", cuts = true, timeout = 90.0 }]
[variants.nowhere]
steps = [
    { host = "AAA", command = "drain ha2", moves = "HA2", cuts = true, timeout = 1.0 },
]
[variants.refused]
steps = [
    { host = "AAA", command = "drain ha2" },
    { host = "AAA", command = "withdraw nobody@home.test", moves = "HA2", timeout = 90.0 },
]
"""
ONE = """
name = "one"
approach = "pana-ikev2"
topology = "paper"
runs = 1
settings.binding_lifetime = 20.0
[variants.killed]
steps = [{ host = "C", kill = "host", cuts = true, until = "A IkeDeleted", timeout = 60.0 }]
[variants.still]
steps = [{ host = "C", kill = "host", packets = 5, timeout = 5.0 }]
"""


def made(folder, text):
    """Carry out an experiment; return its runs by their variants, and their folder."""
    there = carry_out(folder, text)
    return {run.variant: run for run in results.load(there).runs}, there


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    return made(tmp_path_factory.mktemp("fleet"), FLEET)


@pytest.mark.parametrize("variant", ["captured", "counted", "drained"])
def test_who_is_at_a_home_agent_that_goes_comes_to_another(fleet, variant):
    run = fleet[0][variant]
    assert run.status == "ok", run.reason
    assert run.outcome == "4 of 4 mobile nodes bootstrapped; 2 moved from HA1"
    moved = [member for member in run.members if member.moved]
    assert {member.home_agent for member in moved} == {HA1}
    assert {member.moved.home_agent for member in moved} == {HA2}
    homes = [m.moved.home_address if m.moved else m.home_address for m in run.members]
    assert len(set(homes)) == 4


def test_nobody_hears_that_a_host_has_no_power_any_more(fleet):
    """The way to the next Binding Update, the four of them, and IKE's test."""
    for variant in ("captured", "counted"):
        for member in fleet[0][variant].members:
            if member.moved:
                assert 15.0 < member.moved.noticed < 35.0
                assert member.moved.registered - member.moved.noticed < 2.0


def test_a_model_of_public_keys_and_streams_without_segments_change_no_move(fleet):
    moves = [
        sorted(m.moved.registered for m in fleet[0][variant].members if m.moved)
        for variant in ("captured", "counted")
    ]
    assert moves[1] == pytest.approx(moves[0], abs=3.0)


def test_what_is_counted_of_a_storm_ends_with_the_last_bootstrap(fleet):
    counted = fleet[0]["counted"].crowd
    assert counted.seconds < 5.0
    assert counted.messages["MIPv6"] == 8


def test_summary_has_the_recovery_by_its_parts(fleet):
    summary = json.loads((fleet[1] / "summary.json").read_text())
    (found,) = summary["variants"]["captured"]["fleets"]
    moves = found["moves"]
    assert {*moves} == {"detection", "bootstrap", "registration", "recovery"}


def test_who_comes_to_no_other_home_agent_in_time_fails_the_run(fleet):
    run = fleet[0]["nowhere"]
    assert run.status == "failed"
    assert run.reason == "no registration elsewhere of all 2 that were at HA2 within 1 s"


def test_a_command_that_is_refused_is_why_nobody_moves(fleet):
    assert fleet[0]["refused"].reason == "AAA withdraw nobody@home.test: not possible now"


def test_the_host_of_a_single_mobile_nodes_home_agent_can_be_killed(tmp_path):
    runs, _ = made(tmp_path, ONE)
    assert runs["killed"].status == "ok", runs["killed"].reason
    assert runs["still"].status == "failed"
    assert "packets were not answered in time" in runs["still"].reason
