"""After any outage whose end is seen the mobile node is back, within the longest of all timers."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

import topologies
from agents.approaches.cast import HOME_ADDRESS
from agents.nodes.crowd import USUAL
from agents.nodes.mobile_node.settings import LIVENESS
from agents.simulation import outages
from agents.simulation.laboratory import PreparedApproach
from agents.simulation.outages import Outage
from agents.simulation.world import World
from testbed.base.places import PROJECT
from tests.simulation.scenes import SIMULATED
from topologies.model import HostRole

CELLS = [(name, *place) for name in SIMULATED for place in outages.places(name)]
MESSAGES_APART = 12


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Return what prepares an approach, once."""
    made = {}

    def prepare(name):
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            topology = topologies.load(outages.topology_of(name))
            made[name] = PreparedApproach(name, folder, {}, topology)
        return made[name]

    return prepare


@pytest.mark.parametrize(("name", "kind", "place"), CELLS)
def test_after_an_outage_it_is_back(prepared, name, kind, place):
    found = list(outages.recoveries(prepared(name), kind, place))
    assert None not in found
    assert all(one.seconds <= outages.LONGEST + outages.BOOTSTRAP for one in found)


@pytest.mark.parametrize("name", ["dhcpv6-ikev2", "pana-fast", "pana-ikev1", "pana-ikev2"])
def test_an_access_router_that_was_started_again_is_found_as_soon_as_it_does_not_answer(
    prepared, name
):
    lab = outages.registered(prepared(name))
    outages.suffer(lab, Outage("host", "B", 5.0))
    found = outages.back(lab)
    assert found.seconds <= LIVENESS + USUAL.patience + outages.BOOTSTRAP


@pytest.mark.parametrize("seconds", [5.0, 100.0])
@pytest.mark.parametrize("name", SIMULATED)
def test_a_home_network_killed_amid_a_bootstrap_is_one_attempt_lost(prepared, name, seconds):
    whole = outages.registered(prepared(name)).world.packets
    for message in range(4, whole, MESSAGES_APART):
        lab = prepared(name).laboratory(World(1, record=False))
        home = lab.topology.host(HostRole.HOME_NETWORK)
        lab.start()
        lab.run(60.0, lambda lab=lab, message=message: lab.world.packets >= message)
        outages.suffer(lab, Outage("host", home, seconds))
        ended = lab.world.clock.now
        assert outages.back(lab) is not None, message
        told = lab.events.named("AttemptFailed")
        assert [one["attempt"] for one in told] == [*range(1, len(told) + 1)]
        assert len([one for one in told if one["t"] / 1e9 > ended]) <= 1


def test_what_is_cut_carries_nothing_and_loses_what_is_under_way(prepared):
    lab = outages.registered(prepared("static"))
    link, end = lab.links["core"], lab.stacks["B"].interfaces["B-core"]

    def reaches():
        return lab.exchanges("CN", "A", HOME_ADDRESS)

    assert reaches()
    shape = link.shape
    link.shape = replace(shape, delay=0.5)
    lab.world.clock.at(lab.world.clock.now + 0.25, lambda: link.cut_off.add(end))
    assert not reaches()
    link.shape = shape
    assert not reaches()
    link.cut_off.clear()
    assert reaches()


def test_the_command_has_a_row_for_each(monkeypatch):
    monkeypatch.setattr(outages, "recoveries", lambda *_: iter(()))
    rows = re.findall(r"^\| (\S+) \| (link|host) (\S+) \|", "\n".join(outages.table()), re.M)
    assert rows == CELLS


def test_the_page_has_a_row_for_each_and_never_says_never():
    page = (PROJECT / "docs" / "reliability.md").read_text()
    rows = re.findall(r"^\| (\S+) \| (link|host) (\S+) \|(.*)\|$", page, re.MULTILINE)
    assert [row[:3] for row in rows] == CELLS
    assert all(len(row[3].split("|")) == len(outages.LENGTHS) for row in rows)
    assert "never" not in "".join(row[3] for row in rows)
