"""Service times: what is measured of a bootstrap, and how a program is given them."""

from pathlib import Path

import pytest

import topologies
from agents import approaches
from agents.bench.services import hop, measure
from agents.kernel.packet import MOBILITY_HEADER, TCP, UDP
from agents.simulation.laboratory import Laboratory
from agents.simulation.services import Known, Services, Took, kind_of
from agents.simulation.world import World

PAPER = topologies.load("paper")
PANA, REQUEST, ANSWER = 716, bytes(4) + b"\x80\x00\x00\x02", bytes(4) + b"\x00\x00\x00\x02"


def known(shortest, longest, seconds, message="80000002"):
    return Known(UDP, 0, message, shortest, longest, Took((seconds / 2,), seconds))


def test_an_event_takes_what_the_one_took_that_is_most_like_it():
    services = Services([known(40, 48, 1.0), known(80, 88, 2.0), known(40, 44, 4.0, "00000002")])
    assert services(UDP, PANA, REQUEST + bytes(36)).total == 1.0
    assert services(UDP, PANA, REQUEST + bytes(44)).total == 1.0
    assert services(UDP, PANA, REQUEST + bytes(200)).total == 2.0
    assert services(UDP, PANA, ANSWER + bytes(200)).total == 4.0


def test_what_is_not_known_takes_what_a_kernel_takes():
    assert Services([], hop=0.1)(TCP, 0, b"").total == 0.1
    assert Services([known(40, 48, 1.0)], hop=0.1)(UDP, PANA, REQUEST + bytes(36)) == Took(
        (0.6,), 1.1
    )


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    shared = tmp_path_factory.mktemp("shared")
    approach = approaches.load("static")
    settings = approach.Settings(duplicate_address_detection=False)
    approach.prepare(shared, settings, PAPER)
    found = measure(approach, settings, PAPER, shared)
    return approach, settings, shared, found


def test_every_program_has_its_share(measured):
    *_, found = measured
    assert set(found) == {"mobile_node", "home_network"}
    for events in found.values():
        assert all(0 < known.took.total < 1 for known in events)
        assert all(list(known.took.sends) == sorted(known.took.sends) for known in events)
    [update] = [k for k in found["home_network"] if k.protocol == MOBILITY_HEADER]
    assert len(update.took.sends) == 2  # The acknowledgement, and the claim on the home link.
    assert not list(Path(measured[2]).glob("tmp*"))


def bootstrap(measured, folder, service):
    """Return how long a bootstrap takes on the virtual clock."""
    approach, settings, shared, _ = measured
    for part in ("configuration", "keys"):
        (folder / part).mkdir(parents=True)
    roles = approach.compose(settings, PAPER, shared, folder)
    laboratory = Laboratory(PAPER, roles, World(1), service=service)
    laboratory.start()
    assert laboratory.run(60.0, laboratory.is_bootstrapped)
    [ready] = laboratory.events.named("Ready")
    [done] = laboratory.events.named("Bootstrapped")
    return (done["t"] - ready["t"]) / 1e9


def test_programs_take_their_time_on_the_virtual_clock(measured, tmp_path):
    *_, found = measured

    def slowed(factor):
        def after(took):
            return Took(tuple(s * factor for s in took.sends), took.total * factor)

        programs = {
            name: Services([Known(*k.kind, k.shortest, k.longest, after(k.took)) for k in events])
            for name, events in found.items()
        }
        return lambda role: programs[role.module.split(".")[2]]

    none = bootstrap(measured, tmp_path / "none", None)
    own = bootstrap(measured, tmp_path / "own", slowed(1))
    slow = bootstrap(measured, tmp_path / "slow", slowed(100))
    assert none < own < slow
    assert slow - none == pytest.approx(100 * (own - none), rel=0.01)


def test_a_kernel_takes_time_to_hand_something_on():
    assert 0 < hop() < 0.1


def test_radius_is_known_by_its_code_at_any_port():
    def packet(code):
        return bytes((code, 7, 0, 30)) + bytes(range(26))

    assert kind_of(UDP, 1812, packet(1)) == (UDP, 1812, "01")
    assert kind_of(UDP, 1813, packet(4)) == (UDP, 1813, "04")
    for code in (2, 3, 5, 11):
        assert kind_of(UDP, 40000, packet(code)) == (UDP, 1812, f"{code:02x}")
    assert kind_of(UDP, PANA, packet(1)) == (UDP, 0, "00010203")  # As a draft's request begins.
