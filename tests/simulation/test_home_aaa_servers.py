"""Two home AAA servers, asked directly, by a relay, or as a redirect agent says: one fails."""

from __future__ import annotations

import functools
import tempfile
from dataclasses import replace
from ipaddress import IPv6Address
from pathlib import Path

import pytest

import topologies
from agents.simulation.laboratory import PreparedApproach
from agents.simulation.world import World

FIRST, SECOND = "aaa1.home.test", "aaa2.home.test"
WAYS = ("none", "agent", "redirect")
PSK = {"ike": {"authentication": "psk"}}
BRISK = {"diameter_watchdog": 6.0, "binding_lifetime": 20.0}
AT_ONCE = 5.0
"""Seconds until service is back after a crash, which the kernel tells others of."""

SILENT = 60.0
"""Seconds where nothing tells them: two watchdogs of 8 s at most, and an attempt that waits."""

_DELAY = 0.005


@functools.cache
def _prepared(approach, way, session):
    plain = topologies.load("redundant")
    shapes = {link.name: replace(link.shape, delay=_DELAY) for link in plain.links}
    folder = Path(tempfile.mkdtemp(prefix="simulated-"))
    settings = {"roles": {"aaa": {"relay": way}}, "session_lifetime": session, **BRISK}
    settings |= PSK if approach == "pana-ikev2" else {}
    return PreparedApproach(approach, folder, settings, plain.with_links(shapes))


class Lab:
    """The topology `redundant`, with its programs started."""

    def __init__(self, approach="pana-ikev2", way="none", session=3600.0):
        self.lab = _prepared(approach, way, session).laboratory(World(1))
        self.told = self.lab.events.named
        self.lab.start()

    @property
    def now(self):
        return self.lab.world.clock.now

    def run(self, seconds):
        self.lab.run(self.now + seconds)

    def until(self, done, seconds):
        return self.lab.run(self.now + seconds, done)

    def registers(self, seconds=10.0):
        """Return whether the mobile node is registered once more within so long."""
        before = len(self.told("Bootstrapped"))
        return self.until(lambda: len(self.told("Bootstrapped")) > before, seconds)

    def servers(self):
        """Return the servers that have authenticated the mobile node, by their hosts."""
        return [event["host"] for event in self.told("SubscriberAuthenticated")]

    def program(self, host, name=""):
        return next(p for p in self.lab.programs_on(host) if name in p.role.module)

    def homes(self):
        return {event["home_address"] for event in self.told("Bootstrapped")}

    def is_reachable(self):
        (home,) = self.homes()
        return self.lab.exchanges("CN", "A", IPv6Address(home))

    def authenticate(self):
        """Have the access router authenticate the mobile node; return whether it does."""
        before = len(self.servers())
        self.program("B", "access_router").obey("reauthenticate")
        return self.until(lambda: len(self.servers()) > before, 1.0)


APPROACHES = ("pana-ikev1", "pana-ikev2", "pana-fast")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("approach", APPROACHES)
def test_the_first_is_asked_and_the_home_agent_has_its_key(approach, way):
    lab = Lab(approach, way)
    assert lab.registers()
    lab.run(1.0)
    assert set(lab.servers()) == {"S1"}
    assert lab.is_reachable()
    assert lab.told("AttemptFailed") == []


@pytest.mark.parametrize("way", WAYS)
def test_a_realm_that_nobody_serves_is_refused_at_once(tmp_path, way):
    settings = {"roles": {"aaa": {"relay": way}}, "identity": "mn@strange.test"}
    prepared = PreparedApproach("pana-ikev1", tmp_path, settings, topologies.load("redundant"))
    lab = prepared.laboratory(World(1))
    lab.start()
    assert lab.run(1.0, lambda: lab.events.named("AttemptFailed"))
    (failed,) = lab.events.named("AaaFailed")
    assert failed["reason"] == "no route to realm 'strange.test'"
    assert lab.events.named("RequestReceived") == []


def mid_eap(lab):
    """Let time pass until the first server has answered one round of EAP, and no more.

    Behind the last one the mobile node believes no refusal without the key that it has.
    """
    assert lab.until(lambda: len(lab.told("RequestReceived", "S1")) == 1, 5.0)
    assert lab.servers() == []


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("approach", APPROACHES)
def test_the_first_dies_amid_eap(approach, way):
    """The attempt ends, for the other one has nothing of it; the next begins there."""
    lab = Lab(approach, way)
    mid_eap(lab)
    lab.program("S1").kill()
    assert lab.registers(AT_ONCE)
    assert set(lab.servers()) == {"S2"}
    assert len(lab.told("AttemptFailed")) == 1
    lab.run(1.0)
    assert lab.is_reachable()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("approach", APPROACHES)
def test_the_first_dies_afterwards(approach, way):
    """Who is registered stays so, and is authenticated anew by the other one."""
    lab = Lab(approach, way)
    assert lab.registers()
    lab.run(1.0)
    lab.program("S1").kill()
    assert lab.is_reachable()
    lab.run(1.0)
    assert lab.authenticate()
    assert lab.servers()[-1] == "S2"
    lab.run(5.0)
    assert lab.is_reachable()
    assert len(lab.homes()) == 1


@pytest.mark.parametrize("way", WAYS)
def test_service_goes_on_over_lifetimes_when_the_first_has_died(way):
    """The home agent had the key from it, and asks the other one whether that goes on."""
    lab = Lab(way=way, session=60.0)
    assert lab.registers()
    lab.run(1.0)
    lab.program("S1").kill()
    for _ in range(20):
        lab.run(10.0)
        assert lab.is_reachable()
    assert set(lab.servers()[-3:]) == {"S2"}
    assert lab.told("AttemptFailed") == lab.told("BindingRemoved") == []


@pytest.mark.parametrize("way", WAYS)
def test_the_first_comes_back(way):
    lab = Lab(way=way)
    assert lab.registers()
    lab.program("S1").kill()
    lab.run(2.0)
    assert lab.authenticate()
    lab.program("S1").restart()
    lab.run(60.0)  # Three watchdogs have been answered by then (RFC 3539 section 3.4.1).
    assert lab.authenticate()
    assert lab.servers()[-2:] == ["S2", "S1"]
    lab.run(5.0)
    assert lab.is_reachable()


@pytest.mark.parametrize("way", WAYS)
def test_nothing_tells_that_the_first_has_lost_its_power(way):
    lab = Lab(way=way)
    assert lab.registers()
    lab.run(1.0)
    lab.program("S1").kill()
    lab.lab.stacks["S1"].power_off()
    lab.lab.program("mobile_node").restart()
    assert lab.registers(SILENT)
    assert lab.servers()[-1] == "S2"


def test_what_an_access_router_had_is_over_with_it():
    """It is started again, and says so; the home agent has the subscriber still."""
    lab = Lab()
    assert lab.registers()
    lab.run(1.0)
    lab.program("B", "access_router").restart()
    lab.run(1.0)
    assert [e["origin"] for e in lab.told("Restarted", "S1")] == ["ar.visited.test"]
    assert lab.told("SessionEnded") == []
    assert lab.registers(90.0) or lab.is_reachable()


def test_a_subscriber_that_no_home_agent_has_loses_its_lease_with_the_access_router():
    lab = Lab()
    assert lab.until(lab.servers, 5.0)
    lab.program("A").kill()  # Before it has turned to its home agent.
    lab.run(1.0)
    lab.program("B", "access_router").restart()
    lab.run(1.0)
    (ended,) = lab.told("SessionEnded", "S1")
    assert ended["reason"] == "ar.visited.test has been started again"


def test_a_server_that_stays_hears_that_its_session_is_over():
    """The access router reaches it no more for a while, and has another one meanwhile."""
    lab = Lab()
    assert lab.registers()
    lab.run(1.0)
    core, server = lab.lab.links["core"], lab.lab.stacks["S1"].interfaces["S1-core"]
    core.cut_off.add(server)
    lab.run(40.0)
    assert lab.authenticate()
    assert lab.servers()[-1] == "S2"
    lab.run(11.0)
    sessions = lab.program("S1").node._aaa.sessions
    assert sessions.nas_of("mn@home.test") == "ar.visited.test"
    core.cut_off.discard(server)
    assert lab.until(lambda: sessions.nas_of("mn@home.test") is None, 60.0)
    assert lab.is_reachable()
