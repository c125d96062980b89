"""Profiles and their habits; timers of the Binding Update; IKE that waits for its phases."""

from __future__ import annotations

import random
from ipaddress import IPv6Address

import msgspec
import pytest

from agents.approaches.pana_ikev1 import Settings
from agents.ike.selectors import Selectors
from agents.ikev1 import Ikev1
from agents.mip6.mobile_node import BindingUpdateSent, HomeRegistration
from agents.nodes.habits import PROFILES, Habits, habits
from tests.ikev1.peers import HA, SELECTORS, Peers


def settings(**values):
    return msgspec.convert(values, Settings)


def test_a_profile_has_all_its_habits():
    modern, paper = settings(), settings(profile="paper2006")
    assert (modern.all_habits, modern.launch_mode) == (Habits(), "resident")
    assert (paper.all_habits, paper.launch_mode) == (PROFILES["paper2006"], "script")


def test_each_habit_can_be_changed_by_itself():
    defaults = msgspec.to_builtins(Habits())
    for name, value in msgspec.to_builtins(PROFILES["paper2006"]).items():
        one = settings(habits={name: value}).all_habits
        assert msgspec.to_builtins(one) == defaults | {name: value}
        without = settings(profile="paper2006", habits={name: defaults[name]}).all_habits
        assert getattr(without, name) == defaults[name]
    assert settings(profile="paper2006", launch="resident").launch_mode == "resident"


@pytest.mark.parametrize(
    "wrong", [{"phase1_pole": 1.0}, {"phase1_poll": -1.0}, {"ike_trigger": "prayer"}]
)
def test_a_bad_habit_is_refused(wrong):
    with pytest.raises(msgspec.ValidationError):
        settings(habits=wrong)


@pytest.mark.parametrize(
    ("profile", "times"),
    [("modern", [0.0, 1.5, 4.5, 10.5, 22.5]), ("paper2006", [0.0, 2.0, 6.0, 14.0, 30.0])],
)
def test_when_binding_updates_leave(profile, times):
    home, agent, care_of = map(IPv6Address, ("2001:db8:1::2", "2001:db8:1::1", "2001:db8:2::2"))
    timers = habits(profile, {}).timers
    machine = HomeRegistration(
        home, agent, care_of, lifetime=420, rng=random.Random(1), timers=timers
    )
    machine.start(0.0)
    while (now := machine.next_timeout()) is not None and now <= times[-1]:
        machine.handle_timeout(now)
    assert [e.at for e in machine.events if isinstance(e, BindingUpdateSent)] == times


def names(machine: Ikev1) -> list[str]:
    return [type(event).__name__ for event in machine.events]


def test_phase_1_alone_and_quick_mode_later():
    peers = Peers()
    peers.mn.initiate(HA, None, 0.0)
    peers.link.run(5.0)
    assert names(peers.mn) == ["Phase1Started", "Phase1Established"]
    peers.mn.initiate(HA, None, peers.link.now)
    assert not peers.mn.outbox
    peers.mn.initiate(HA, SELECTORS, peers.link.now)
    peers.link.run(10.0)
    assert "ChildEstablished" in names(peers.mn)


def test_phase_1_alone_takes_selectors_that_come_meanwhile():
    peers = Peers()
    peers.mn.initiate(HA, None, 0.0)
    peers.mn.initiate(HA, Selectors(*SELECTORS), 0.0)
    peers.link.run(5.0)
    assert names(peers.mn).count("Phase1Started") == 1
    assert "ChildEstablished" in names(peers.mn)
