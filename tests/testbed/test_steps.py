"""Expectations and steps: what hosts and programs cannot do is refused before anything runs."""

from __future__ import annotations

import math

import pytest

from testbed.experiment.spec import Spec, SpecError


def spec(variant: dict[str, object], approach: str = "pana-ikev2") -> Spec:
    document = {
        "name": "one",
        "approach": approach,
        "topology": "paper",
        "variants": {"v": variant},
    }
    return Spec(document, "one.toml")


GOOD = {"host": "A", "command": "ping", "until": "A PingAnswered"}


@pytest.mark.parametrize(
    "step",
    [
        GOOD,
        {"host": "B", "command": " terminate  "},
        {"host": "A", "command": "move 2001:db8:a::abcd"},
        {"host": "CN", "run": "true"},
        {"host": "A", "until": "C ChildRekeyed", "timeout": 60.0},
        {"host": "A", "packets": 25},
        {"host": "B", "cut": "core", "lasts": 200.0},
        {"host": "CN", "cut": "home", "lasts": 1.0, "heal": "home", "packets": 1},
        {"host": "B", "kill": "program", "lasts": 5.0, "start": True, "packets": 25},
    ],
)
def test_a_step_that_can_be_taken_is_accepted(step):
    assert len(spec({"steps": [GOOD, step]}).variants["v"].steps) == 2


CRASH = {"host": "B", "kill": "program"}
START = {"host": "B", "start": True}


@pytest.mark.parametrize(
    "steps",
    [
        [CRASH | {"at": "ike"}, CRASH | {"host": "C"}],
        [CRASH | {"at": "B Authorised", "lasts": 1.0, "start": True}, GOOD],
        [CRASH | {"at": "ike_to_binding"}, START | {"at": "binding"}, CRASH, START],
        [CRASH, START | {"until": "B Ready"}, {"host": "B", "command": "ping"}],
    ],
)
def test_programs_can_be_killed_in_and_after_a_bootstrap_and_started(steps):
    assert spec({"steps": steps}).variants["v"].steps


@pytest.mark.parametrize(
    ("steps", "complaint"),
    [
        ([START], r"steps\[0\]\.start: the program in host B runs"),
        ([CRASH, CRASH], r"steps\[1\]\.kill: the program in host B is dead since steps\[0\]"),
        ([CRASH, START, START], r"steps\[2\]\.start: the program in host B runs"),
        ([CRASH | {"kill": "power"}], r"steps\[0\]\.kill: .*use host or program"),
        ([CRASH | {"kill": True}], r"steps\[0\]\.kill: true is not known; use host or program"),
        ([{"host": "CN", "start": True}], r"steps\[0\]\.start: no program runs in host CN"),
        ([{"host": "Z", "start": True}], r"steps\[0\]\.host: there is no host 'Z'"),
        (
            [CRASH, {"host": "B", "command": "ping"}],
            r"steps\[1\]\.command: the program in host B is dead since steps\[0\]",
        ),
        ([CRASH | {"at": "pna"}], r"steps\[0\]\.at: there is no phase 'pna', perhaps pana;"),
        ([CRASH | {"at": "B Authorized"}], r"at: no program tells of 'Authorized'"),
        ([CRASH | {"at": "CN Ready"}], r"at: there is no host with a program, 'CN'"),
        ([GOOD, CRASH | {"at": "ike"}], r"steps\[1\]\.at: the bootstrap is over by then"),
        ([CRASH | {"at": "ike", "packets": 1}], "has no `until`, `packets`"),
        ([{"host": "B", "at": "ike"}], "a step needs"),
    ],
)
def test_a_crash_that_cannot_be_is_refused(steps, complaint):
    with pytest.raises(SpecError, match=complaint):
        spec({"steps": steps})


CUT = {"host": "B", "cut": "core"}
HEAL = {"host": "B", "heal": "core"}


def test_a_link_is_cut_where_it_is_whole_and_healed_where_it_is_cut():
    assert spec({"steps": [CUT, {"host": "C", "cut": "core"}, HEAL, CUT, HEAL]})
    assert spec({"steps": [CUT, HEAL], "cycles": 2})


@pytest.mark.parametrize(
    ("steps", "cycles", "complaint"),
    [
        ([HEAL], 1, r"steps\[0\]\.heal: link 'core' of host B is whole; .* `cut` it first"),
        ([CUT, {"host": "C", "heal": "core"}], 1, r"steps\[1\]\.heal: link 'core' of host C"),
        ([CUT, HEAL, HEAL], 1, r"steps\[2\]\.heal: link 'core' of host B is whole"),
        ([CUT | {"heal": "access"}], 1, r"steps\[0\]\.heal: link 'access' of host B is whole"),
        ([CUT, CUT], 1, r"steps\[1\]\.cut: link 'core' of host B is cut since steps\[0\]"),
        ([CUT], 2, r"cycle 2: steps\[0\]\.cut: .* is cut since steps\[0\]"),
        ([CRASH], 2, r"cycle 2: steps\[0\]\.kill: .* is dead since steps\[0\]"),
    ],
)
def test_a_link_that_is_cut_or_whole_already_is_refused(steps, cycles, complaint):
    with pytest.raises(SpecError, match=complaint):
        spec({"steps": steps, "cycles": cycles})


def test_the_mobile_nodes_of_a_fleet_are_not_killed_one_by_one_nor_in_their_bootstraps():
    with pytest.raises(SpecError, match="the mobile nodes of a fleet are one program"):
        fleet({"host": "MN0001", "kill": "program"})
    with pytest.raises(SpecError, match="there are many bootstraps"):
        fleet({"host": "HA1", "kill": "program", "at": "ike"})


def of_many(expect: dict[str, object]) -> Spec:
    document = {
        "name": "one",
        "approach": "pana-ikev1",
        "topology": "operator",
        "operator": {"mobile_nodes": 2},
        "variants": {"v": {"expect": expect}},
    }
    return Spec(document, "one.toml")


def test_no_more_mobile_nodes_must_be_registered_than_there_are():
    with pytest.raises(SpecError, match=r"expect\.up: there are 2 mobile nodes, fewer than 3"):
        of_many({"up": 3})
    assert of_many({"up": 2})


@pytest.mark.parametrize(
    ("expect", "complaint"),
    [
        ({"reason": "x", "up": 0}, "expect: `reason` is .* must fail for, and `up` is what it"),
        ({"event": "B Authorised"}, r"expect\.event: there are many mobile nodes; this is for one"),
        ({"attempt": "x"}, r"expect\.attempt: there are many mobile nodes; this is for one"),
        ({"home_agent": "2001:db8:b::2"}, "no home agent's address; use one of 2001:db8:100::1$"),
    ],
)
def test_of_many_no_run_can_come_to_this(expect, complaint):
    with pytest.raises(SpecError, match=complaint):
        of_many(expect)


def fleet(*steps: dict[str, object], agents: int = 2, approach: str = "pana-ikev1") -> Spec:
    variant = {"steps": list(steps), "operator": {"mobile_nodes": 2, "home_agents": agents}}
    document = {
        "name": "one",
        "approach": approach,
        "topology": "operator",
        "variants": {"v": variant},
    }
    return Spec(document, "one.toml")


@pytest.mark.parametrize(
    "step",
    [
        {"host": "HA1", "kill": "host", "moves": "HA1"},
        {"host": "HA2", "kill": "host"},
        {"host": "AAA", "command": "drain ha1", "moves": "HA1"},
    ],
)
def test_a_step_of_a_fleet_that_can_be_taken_is_accepted(step):
    assert len(fleet(step).variants["v"].steps) == 1


@pytest.mark.parametrize(
    ("step", "complaint"),
    [
        ({"host": "CN1", "kill": "host"}, r"steps\[0\]\.kill: no program runs in host CN1"),
        (
            {"host": "HA1", "kill": "host", "command": "drain ha1"},
            "cannot `kill` a program and give",
        ),
        ({"host": "AAA", "moves": "AAA"}, "there is no home agent 'AAA'; use one of HA1, HA2"),
    ],
)
def test_a_step_that_no_fleet_can_take_is_refused(step, complaint):
    with pytest.raises(SpecError, match=complaint):
        fleet(step)


MOVES = {"host": "AAA", "moves": "HA1"}


@pytest.mark.parametrize(
    "steps",
    [
        [MOVES | {"command": "drain ha1"}],
        [{"host": "AAA", "command": "drain ha1"}, MOVES],
        [{"host": "HA1", "kill": "program"}, MOVES],
        [MOVES | {"host": "HA1", "cut": "core"}],
        [MOVES | {"host": "HA1", "run": "ip link set HA1-core down"}],
    ],
)
def test_who_moves_has_a_reason(steps):
    assert fleet(*steps).variants["v"].steps


@pytest.mark.parametrize(
    "steps",
    [
        [MOVES],
        [MOVES | {"command": "drain ha2"}],
        [MOVES | {"host": "HA2", "kill": "host"}],
        [MOVES | {"host": "HA1", "cut": "home1"}],
        [MOVES, {"host": "AAA", "command": "drain ha1"}],
        [{"host": "AAA", "command": "drain ha1"}, MOVES | {"command": "undrain ha1"}],
    ],
)
def test_nobody_moves_without_a_reason(steps):
    complaint = r"\.moves: no mobile node has to leave HA1 by then; .*command = drain ha1"
    with pytest.raises(SpecError, match=complaint):
        fleet(*steps)


@pytest.mark.parametrize("command", ["drain ha3", "undrain HA1"])
def test_no_home_agent_is_drained_that_is_not_there(command):
    with pytest.raises(SpecError, match=r"\.command: \w+: there is no home agent .* ha1, ha2"):
        fleet({"host": "AAA", "command": command})


def test_of_many_hosts_the_first_and_the_last_are_named():
    document = {
        "name": "one",
        "approach": "pana-ikev1",
        "topology": "operator",
        "operator": {"mobile_nodes": 200, "access_routers": 11, "home_agents": 2},
        "variants": {"v": {"steps": [{"host": "HA3", "run": "true"}]}},
    }
    known = "AAA, AR1 to AR11, CN1, CN2, HA1, HA2, MN0001 to MN0200$"
    with pytest.raises(SpecError, match=rf"no host 'HA3', perhaps HA\d; use one of {known}"):
        Spec(document, "one.toml")


def test_nobody_moves_where_there_is_no_other_home_agent_or_none_is_asked_for():
    step = {"host": "HA1", "kill": "host", "moves": "HA1"}
    with pytest.raises(SpecError, match=r"steps\[0\]\.moves: there is no other home agent"):
        fleet(step, agents=1)
    with pytest.raises(SpecError, match=r"by DNS a mobile node asks for the same home agent"):
        fleet(step, approach="dns-ikev2")


def test_one_mobile_node_alone_is_not_followed_to_another_home_agent():
    with pytest.raises(SpecError, match=r"steps\[0\]\.moves: there is one mobile node only"):
        spec({"steps": [{"host": "C", "moves": "C"}]})


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"host": "Z"}, r"steps\[1\]\.host: there is no host 'Z'; use one of A, B, C, CN"),
        ({"host": "a" * 300}, r"steps\[1\]\.host: there is no host"),
        ({"host": "A\n"}, r"steps\[1\]\.host: 'A\\n' is not allowed; use one line"),
        ({"command": "pong"}, "there is no command 'pong', perhaps ping; use one of deregister"),
        ({"command": "ping now"}, "ping takes 0 arguments, not 1"),
        ({"command": "move"}, "move takes 1 arguments, not 0"),
        ({"command": "move there"}, "move: .*'there'"),
        ({"command": "ping\nping"}, r"steps\[1\]\.command: .* use one line"),
        ({"host": "C"}, "there is no command 'ping'; use one of drain, reauth"),
        ({"host": "CN"}, "no program runs in host CN"),
        ({"until": "A PingAnsered"}, "no program tells of 'PingAnsered', perhaps PingAnswered"),
        ({"until": "PingAnswered"}, "there is no host with a program, 'PingAnswered'"),
        ({"until": "CN Ready"}, "there is no host with a program, 'CN', perhaps C; use one of A"),
        ({"command": "", "until": ""}, r"steps\[1\]: a step needs `command`, `run`,"),
        ({"cut": "home"}, "there is no link 'home' of host A; use one of access"),
        ({"host": "B", "command": "", "heal": "cor"}, "there is no link 'cor' .* perhaps core"),
        ({"lasts": -1.0}, r"steps\[1\]\.lasts"),
        ({"run": "true\0"}, r"steps\[1\]\.run: .* use a shell script"),
        ({"packets": 1000}, "1000 packets take 20 s at least; the step's timeout is 15 s"),
        ({"timeout": 1e9}, r"steps\[1\]\.timeout: 1000000000\.0 is not allowed"),
        ({"while": 1}, "unknown key while"),
    ],
)
def test_a_step_that_cannot_be_taken_is_refused(changes, complaint):
    with pytest.raises(SpecError, match=complaint):
        spec({"steps": [GOOD, GOOD | changes]})


def test_a_daemon_beside_a_program_leaves_its_commands_to_that():
    step = {"host": "B", "command": "ping", "until": "B PingAnswered"}
    spec({"roles": {"aaa": {"relay": "freediameter"}}, "steps": [step]})


def test_traffic_that_was_cut_is_not_waited_for():
    with pytest.raises(SpecError, match=r"steps\[1\]\.packets: the traffic is over"):
        spec({"steps": [GOOD | {"cuts": True}, GOOD | {"packets": 1}]})


def test_commands_are_those_of_the_approach():
    rekey, ping = {"host": "A", "command": "rekey-ike"}, {"host": "A", "command": "ping"}

    assert spec({"steps": [rekey]}, "static")
    with pytest.raises(SpecError, match="there is no command 'ping'"):
        spec({"steps": [ping]}, "static")
    with pytest.raises(SpecError, match="there is no command 'rekey-ike'"):
        spec({"steps": [rekey]}, "pana-ikev1")
    script = {"settings": {"launch": "script"}}
    with pytest.raises(SpecError, match="there is no command 'refresh'"):
        spec({**script, "steps": [{"host": "A", "command": "refresh"}]}, "pana-ikev1")
    with pytest.raises(SpecError, match="no program runs in host B"):
        spec({"steps": [{"host": "B", "command": "ping"}]}, "dns-ikev2")


EXPECTED = {"expect": {"silence": 1, "lost": 0}, "steps": [GOOD]}


@pytest.mark.parametrize(
    ("variant", "complaint"),
    [
        ({"expect": {"silence": 1}}, "traffic to judge during `steps` after the bootstrap only"),
        ({"expect": {"lost": 0}}, "traffic to judge during `steps` after the bootstrap only"),
        ({"expect": {"silence": -1}, "steps": [GOOD]}, r"expect\.silence: -1 is not allowed"),
        ({"expect": {"silence": math.inf}, "steps": [GOOD]}, r"expect\.silence: inf"),
        ({"expect": {"reason": "x"}, "steps": [GOOD]}, "the steps would never be taken"),
        ({"expect": {"event": "A Ready"}, "steps": [GOOD]}, "the steps would never be taken"),
        ({"expect": {"event": "B Impersonate"}}, "tells of 'Impersonate', perhaps Impersonated"),
        ({"expect": {"event": "Impersonated"}}, r"expect\.event: there is no host"),
        ({"expect": {"event": "CN Ready"}}, r"expect\.event: there is no host with a program"),
        ({"expect": {"home_agent": "2001:DB8:100::1"}}, "use one of .*2001:db8:100::1"),
        ({"expect": {"home_agent": "2001:db8::99"}}, "'2001:db8::99' is no host's address"),
        (
            {"expect": {"reason": "x", "home_agent": "2001:db8:100::1"}},
            "`home_agent` is what it must come to: leave one of them out",
        ),
        ({"expect": {"reason": "x", "attempt": "y"}}, "`attempt` is what it must come to"),
        ({"expect": {"reason": "("}}, "expect: reason: no regular expression"),
        ({"expect": {"reason": "a{99999999999}"}}, "expect: reason: no regular expression"),
    ],
)
def test_an_expectation_that_no_run_can_meet_is_refused(variant, complaint):
    assert spec(EXPECTED).variants["v"].expect
    with pytest.raises(SpecError, match=complaint):
        spec(variant)
