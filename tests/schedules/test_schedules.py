"""Some hundred schedules by fixed seeds, and what was found once, as short as can be.

`make fuzz` carries out any number of them.
"""

import re

import pytest

from tests.schedules.__main__ import main, schedule_of
from tests.schedules.carried_out import carry_out
from tests.schedules.scenes import NAMES, scene
from tests.schedules.schedule import Fault, Schedule, draw

SEEDS = 16
"""Schedules of each scene."""

NODE = "A-mobile_node"
FOUND = {
    "a home agent's address is altered in a DNS answer": Schedule(
        "dns-ikev2", 1, (0.0,), (Fault(14, "alter", number=1108),)
    ),
    "a home agent's address is altered in a Reply of DHCPv6": Schedule(
        "dhcpv6-ikev2", 1, (0.0,), (Fault(52, "alter", number=644),)
    ),
    "the wish for a home agent is altered in the answer to PANA's start": Schedule(
        "pana-ikev1 draft12", 1, (0.0,), (Fault(7, "alter", number=408),)
    ),
    "EAP has no end after its early one, and then there is no home agent": Schedule(
        "pana-fast",
        103215,
        (1.5, 0.0),
        (
            Fault(21, "double", number=0.5419),
            Fault(26, "double", number=0.0009),
            Fault(36, "double", number=0.6544),
            Fault(67, "alter", number=2053),
            Fault(141, "burst", "ike"),
            Fault(193, "crash", "HA1-home_agent", 20.0),
            Fault(392, "alter", number=3027),
        ),
    ),
    "a home agent rekeys what it may have for less long, and the mobile node has its SAs first": (
        Schedule(
            "dns-ikev2",
            1000842,
            (0.0,),
            (
                Fault(0, "delay", number=0.044),
                Fault(12, "crash", "C-home_agent"),
                Fault(63, "forge", "MN0001", 50805),
                Fault(98, "delay", number=0.1686),
                Fault(144, "delay", number=0.4),
                Fault(150, "order", "MN0001-mobile_node rekey-children"),
                Fault(193, "forge", "MN0002", 12824),
            ),
        )
    ),
    "a mobile node that has moved is started again on the other link": Schedule(
        "pana-ikev1 moving", 113, (5.0,), (Fault(31, "move", "access2"), Fault(146, "crash", NODE))
    ),
    "a mobile node moves while it is not running": Schedule(
        "static moving", 149, (0.3,), (Fault(4, "crash", NODE, 2.0), Fault(4, "move", "access2"))
    ),
}
"""Minimal schedules after which once an invariant did not hold, by what happens in them."""


@pytest.mark.parametrize(
    ("name", "seeds"),
    [(name, range(at, at + SEEDS // 2)) for name in NAMES for at in (0, SEEDS // 2)],
)
def test_every_invariant_holds(name, seeds):
    outcomes = [carry_out(draw(seed, scene(name))) for seed in seeds]
    assert [f"{o.schedule}\n{o.reason}" for o in outcomes if o.broken is not None] == []


@pytest.mark.parametrize("what", FOUND)
def test_what_was_found_once_does_not_come_back(what):
    assert carry_out(FOUND[what]).reason == ""


@pytest.mark.parametrize("name", ["pana-ikev2", "pana-fast beside"])
def test_a_seed_is_always_the_same_schedule_with_the_same_events(name):
    told = []
    for _ in range(2):
        events = []
        outcome = carry_out(draw(3, scene(name)), lambda *event, to=events: to.append(event[:4]))
        told.append((outcome, events))
    assert told[0] == told[1]
    assert len(told[0][1]) > 50


def test_the_faults_of_a_schedule_happen():
    """Each kind of fault is one that nodes take note of."""
    quiet = Schedule("pana-ikev2", 1, (0.0,), (Fault(399, "drop"),))
    events = {}
    for kind, what, number in (
        ("", "", 0.0),
        ("drop", "", 0.0),
        ("delay", "", 3.0),
        ("alter", "", 5.0),
        ("crash", "AR1-access_router", 2.0),
        ("cut", "access1", 3.0),
        ("burst", "pana", 0.0),
    ):
        faults = tuple(Fault(step, kind, what, number) for step in (30, 34, 41) if kind)
        events[kind] = []
        outcome = carry_out(
            quiet.with_faults(faults + quiet.faults),
            lambda *event, to=events[kind]: to.append(event[:4]),
        )
        assert outcome.reason == ""
    assert len({tuple(one) for one in events.values()}) == len(events)


def test_the_command_line_tells_what_came_of_a_seed(capsys):
    assert main(["--seed", "12"]) == 0
    told = capsys.readouterr().out
    assert "all invariants hold; all answered" in told
    assert "s after the last fault was healed" in told
    assert "IPv6Address(" not in told
    assert main(["--count", "13", "--jobs", "1"]) == 0
    told = capsys.readouterr().out
    assert "13 schedules" in told
    assert "since the last fault was healed" in told
    assert re.search(r"^  static: \d+ s at the longest, of 1 schedules?$", told, re.M)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--seed", "-1"], "--seed: -1 is too small; use 0 or more"),
        (["--count", "0"], "--count: 0 is too small; use 1 or more"),
        (["--seed", "1", "--faults", "0,x"], "--faults: 0,x: use numbers of faults, as in 0,3,4"),
    ],
)
def test_what_the_command_line_does_not_take_is_said(arguments, complaint, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert complaint in capsys.readouterr().err


def test_each_fault_is_said_with_its_units():
    said = [str(fault) for seed in range(200) for fault in schedule_of(seed).faults]
    kinds = {fault.kind for seed in range(200) for fault in schedule_of(seed).faults}
    assert {"drop", "double", "delay", "alter", "crash", "cut", "order", "move"} <= kinds
    assert all(one.startswith("packet ") for one in said)
    assert str(Fault(32, "cut", "home", 12.0)) == "packet 32: link home is cut for 12 s"
    assert str(Fault(1, "delay", number=0.5)) == "packet 1: late by 0.5 s"
