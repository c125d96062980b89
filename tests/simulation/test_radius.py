"""What comes of RADIUS in Diameter's place: the same."""

from __future__ import annotations

from pathlib import Path

import pytest

import topologies
from agents.simulation.laboratory import PreparedApproach
from agents.simulation.world import World

GONE = 600.0
"""Seconds after which nobody serves a mobile node any more that is gone."""

PROTOCOLS = ("diameter", "radius")
LOCAL = {"local_offered": True, "local_allowed": True, "prefer": "local"}
_OF_A_RUN = {"t", "client", "realm"}


def told_of(
    folder: Path, protocol: str, approach: str, where: str, settings: dict
) -> dict[str, list[dict]]:
    """Return what the home AAA server tells of a mobile node that comes, and goes again."""
    settings = settings | {"roles": {"aaa": {"protocol": protocol}}}
    plan = PreparedApproach(approach, folder / protocol, settings, topologies.load(where))
    lab = plan.laboratory(World(1))
    lab.start()
    assert lab.run(60.0, lab.is_bootstrapped)
    mobile_node = lab.program("mobile_node")
    for command in ("deregister", "terminate"):
        mobile_node.obey(command)
        lab.run(lab.world.clock.now + 1.0)
    mobile_node.kill()
    lab.run(lab.world.clock.now + GONE)
    names = ("SubscriberAuthenticated", "SessionEnded", "KeyDelivered")
    return {
        name: [
            {k: v for k, v in event.items() if k not in _OF_A_RUN}
            for event in lab.events.named(name)
        ]
        for name in names
    }


@pytest.mark.parametrize(
    ("approach", "where", "settings"),
    [
        ("pana-ikev1", "paper", {}),
        ("pana-ikev1", "paper", {"protection": "sealed", "psk_source": "emsk"}),
        ("pana-ikev1", "visited", LOCAL),
        ("pana-ikev2", "apart", {"ike": {"authentication": "psk"}}),
        ("pana-fast", "paper", {}),
        ("dhcpv6-ikev2", "dhcpv6", {}),
    ],
)
def test_the_home_aaa_server_does_as_by_diameter(tmp_path, approach, where, settings):
    by_diameter, by_radius = (told_of(tmp_path, p, approach, where, settings) for p in PROTOCOLS)
    assert by_radius["SubscriberAuthenticated"]
    assert by_radius == by_diameter
    if where == "apart":
        assert [event["reason"] for event in by_radius["SessionEnded"]] == ["terminated"]


def test_an_access_router_that_speaks_radius_is_told_nothing_and_that_is_said(tmp_path):
    settings = {"roles": {"aaa": {"protocol": "radius"}}}
    plan = PreparedApproach("pana-ikev1", tmp_path, settings, topologies.load("paper"))
    lab = plan.laboratory(World(1))
    lab.start()
    assert lab.run(60.0, lab.is_bootstrapped)
    home = lab.program("home_network")
    home.obey("reauthenticate mn@home.test")
    (refused,) = lab.events.named("CommandRefused")
    assert "ar.visited.test speaks RADIUS" in refused["reason"]
    home.obey("withdraw mn@home.test")
    lab.run(lab.world.clock.now + 1.0)
    assert lab.events.named("SessionEnded")
    (failed,) = lab.events.named("OrderFailed")
    assert failed["client"] == "ar.visited.test"
    assert "RADIUS" in failed["reason"]
