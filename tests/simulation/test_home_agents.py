"""Several home agents apart from the home AAA server: keys, balance, drain, failure, the end."""

import functools
import tempfile
from collections import Counter
from dataclasses import replace
from ipaddress import IPv6Address
from pathlib import Path

import pytest

from agents.core.reader import WireError
from agents.diameter import dictionary as d
from agents.simulation.laboratory import PreparedApproach
from agents.simulation.outages import BOOTSTRAP, LONGEST, Outage, suffer
from agents.simulation.world import World
from tests.simulation.scenes import messages
from topologies import operator

_DELAY = 0.005
HA1, HA2 = "2001:db8:100::1", "2001:db8:101::1"
FIRST = 60.0
"""Seconds within which all are registered."""

RECOVERY = 60.0
"""Seconds from the failure of a home agent until the last of its mobile nodes is served again.

Up to 15 s pass until the next Binding Update, 7 s with four of them, 8 s with the test of the IKE
SA; the rest is for one attempt more, should the AAA server not know of the failure yet.
"""

BRISK = {"binding_lifetime": 20.0, "diameter_watchdog": 6.0}
BACK = 600.0
"""Seconds within which all are reachable after a restart: IKE's and PANA's longest timers."""

PSK2 = {"ike": {"authentication": "psk"}}
APPROACHES = {
    "pana-ikev1": ("pana-ikev1", {}),
    "aggressive mode": ("pana-ikev1", {"ike": {"mode": "aggressive", "group": "ecp256"}}),
    "pana-ikev2 with a key": ("pana-ikev2", PSK2),
    "pana-ikev2 with EAP": ("pana-ikev2", {}),
    "pana-fast": ("pana-fast", {}),
    "dns-ikev2": ("dns-ikev2", {}),
}
WITH_KEYS = [name for name in APPROACHES if name not in ("pana-ikev2 with EAP", "dns-ikev2")]


@functools.cache
def _prepared(name, nodes, agents, more):
    approach, settings = APPROACHES[name]
    plain = operator.build(nodes, 1, agents)
    shapes = {link.name: replace(link.shape, delay=_DELAY) for link in plain.links}
    folder = Path(tempfile.mkdtemp(prefix="simulated-"))
    return PreparedApproach(approach, folder, {**settings, **dict(more)}, plain.with_links(shapes))


class Lab:
    """A network of an operator, with all mobile nodes registered."""

    def __init__(self, name, nodes=4, agents=2, *, bootstraps=True, loses=None, **more):
        prepared = _prepared(name, nodes, agents, tuple(more.items()))
        self.lab = prepared.laboratory(World(1, loses))
        self.events, self.world = self.lab.events, self.lab.world
        self.nodes = nodes
        self.lab.start()
        if bootstraps:
            assert self.until(lambda: len(self.at()) == nodes, FIRST)

    @property
    def now(self):
        return self.world.clock.now

    def run(self, seconds):
        self.lab.run(self.now + seconds)

    def until(self, done, seconds):
        return self.lab.run(self.now + seconds, done)

    def at(self):
        """Return the home agent of each mobile node, as it was registered last."""
        return {e["host"]: e["home_agent"] for e in self.events.named("Bootstrapped")}

    def homes(self):
        """Return the home address of each mobile node, as it was registered last."""
        return {e["host"]: e["home_address"] for e in self.events.named("Bootstrapped")}

    def at_home_agent(self, agent):
        return {host for host, where in self.at().items() if where == agent}

    def program(self, host):
        return self.lab.programs_on(host)[0]

    def command(self, host, name, *arguments):
        program = self.program(host)
        assert program.host.enter(program.node.commands()[name], *arguments)

    def unreachable(self):
        """Return the mobile nodes that a correspondent node does not reach."""
        homes = self.homes().items()
        beside = {HA1: "CN1", HA2: "CN2"}
        return [
            host
            for host, home in homes
            if not self.lab.exchanges(beside[self.at()[host]], host, IPv6Address(home))
        ]

    def ask(self, host, message):
        """Have the Diameter client of a home agent's program send a request; return the answer."""
        program, answers = self.program(host), []
        program.host.enter(program.node._client.submit, message, answers.append)
        assert self.until(lambda: answers, 5.0)
        return answers[0]


def given_twice(lab):
    """Return the home addresses that two subscribers have registered."""
    owners = {}
    for event in lab.events.named("Bootstrapped"):
        owners.setdefault(event["home_address"], set()).add(event["host"])
    return {address for address, hosts in owners.items() if len(hosts) > 1}


@pytest.mark.parametrize("name", APPROACHES)
def test_all_are_reachable_with_as_many_at_each_home_agent(name):
    lab = Lab(name)
    assert Counter(lab.at().values()) == {HA1: 2, HA2: 2}
    lab.run(3.0)
    assert lab.unreachable() == []
    assert lab.events.named("AttemptFailed") == []


@pytest.mark.parametrize("name", WITH_KEYS)
def test_a_key_is_asked_for_once_for_each_ike_sa(name):
    lab = Lab(name)
    assert len(lab.events.named("KeyDelivered", "AAA")) == 4
    assert lab.events.named("KeyRefused", "AAA") == []


@pytest.mark.parametrize("name", WITH_KEYS)
def test_any_message_may_be_lost(name):
    whole = Lab(name, 1, 1)
    failed = []
    for lost in messages(whole.world.sent):
        lab = Lab(name, 1, 1, bootstraps=False, loses=lambda number, _, lost=lost: number == lost)
        if not lab.until(lambda lab=lab: lab.at(), FIRST) or lab.unreachable():
            failed.append((lost, whole.world.sent[lost]))
    assert failed == []


def test_the_stronger_home_agent_gets_more():
    weights = {"ha2": {"weight": 3.0}}
    lab = Lab("pana-ikev1", 8, home_agents=_Frozen(weights), selection="weighted")
    assert Counter(lab.at().values()) == {HA1: 2, HA2: 6}


class _Frozen(dict):
    """Settings that can be a part of a cache's key."""

    def __hash__(self):
        return hash(repr(self))


# Drain


@pytest.mark.parametrize("name", ["pana-ikev1", "pana-ikev2 with a key"])
def test_who_is_at_a_drained_home_agent_moves_when_it_authenticates(name):
    lab = Lab(name, session_lifetime=60.0)
    lab.command("AAA", "drain", "ha1")
    moving = lab.at_home_agent(HA1)
    assert lab.until(lambda: not lab.at_home_agent(HA1), 60.0)
    assert len(moving) == 2
    told = Counter(event["host"] for event in lab.events.named("Authenticated"))
    assert {told[host] for host in moving} == {2}  # The second time it was told to move.
    assert lab.unreachable() == []
    assert given_twice(lab) == set()
    # The old home agent has let go of them, and said so.
    lab.run(60.0)
    assert len(lab.program("HA1").node._home_agent.homes) == 0
    lab.command("AAA", "undrain", "ha1")
    lab.run(60.0)
    assert len(lab.at_home_agent(HA2)) == 4  # They stay where they are.


def test_nobody_new_comes_to_a_drained_home_agent():
    lab = Lab("pana-ikev1", home_agents=_Frozen({"ha1": {"state": "drain"}}))
    assert Counter(lab.at().values()) == {HA2: 4}


# Failure


@pytest.mark.parametrize("how", ["power", "killed"])
@pytest.mark.parametrize("name", APPROACHES)
def test_who_was_at_a_home_agent_that_fails_is_reachable_at_another(name, how):
    lab = Lab(name, **BRISK)
    lab.run(20.0)
    before, victims = lab.homes(), lab.at_home_agent(HA1)
    if how == "power":
        lab.lab.stacks["HA1"].power_off()
    lab.program("HA1").kill()
    assert lab.until(lambda: not lab.at_home_agent(HA1), RECOVERY)
    assert victims
    assert lab.unreachable() == []
    after = lab.homes()
    assert all(after[host] != before[host] for host in victims)
    assert all(after[host] == before[host] for host in before.keys() - victims)
    assert given_twice(lab) == set()


@pytest.mark.parametrize("dead", ["HA1", "HA2"])
def test_who_gets_a_dead_home_agent_from_the_dns_tries_the_next(dead):
    """RFC 5026 section 5.1.2; whom the DNS names first is a draw with weights (RFC 2782)."""
    lab = Lab("dns-ikev2", 8, 2, bootstraps=False)
    assert lab.until(lambda: lab.events.named("Ready", dead), FIRST)
    lab.program(dead).kill()
    assert lab.until(lambda: len(lab.at()) == lab.nodes, FIRST)
    failed = Counter(event["host"] for event in lab.events.named("AttemptFailed"))
    assert 0 < len(failed) < lab.nodes
    assert set(failed.values()) == {1}
    assert set(lab.at().values()) == {HA2 if dead == "HA1" else HA1}
    assert lab.unreachable() == []
    assert given_twice(lab) == set()


def test_a_home_agent_that_is_back_is_chosen_again():
    lab = Lab("pana-ikev2 with a key", **BRISK)
    lab.program("HA1").kill()
    assert lab.until(lambda: not lab.at_home_agent(HA1), RECOVERY)
    lab.program("HA1").restart()
    lab.run(5.0)
    host = min(lab.at())
    lab.program(host).restart()
    lab.program("AAA").restart()  # It has forgotten who was where; the leases have not.
    lab.run(20.0)
    assert lab.at()[host] == HA2
    assert lab.unreachable() == []


@pytest.mark.parametrize("name", ["pana-ikev1", "pana-ikev2 with a key", "pana-fast"])
@pytest.mark.parametrize("host", ["AAA", "HA1", "AR1"])
def test_any_node_may_be_restarted(name, host):
    lab = Lab(name, **BRISK)
    lab.run(10.0)
    lab.program(host).restart()
    while lab.unreachable():
        assert lab.now < BACK
        lab.run(3.0)
    lab.run(30.0)
    assert lab.unreachable() == []
    assert given_twice(lab) == set()


@pytest.mark.parametrize("seconds", [100.0, 3000.0])
@pytest.mark.parametrize("host", ["AAA", "HA1", "AR1"])
@pytest.mark.parametrize("name", ["pana-ikev1", "pana-ikev2 with EAP", "pana-fast"])
@pytest.mark.parametrize("amid", [False, True])
def test_after_an_outage_of_any_node_all_are_back(name, host, seconds, amid):
    lab = Lab(name, 2, 1, bootstraps=not amid)
    lab.run(0.1 if amid else 3.0)
    suffer(lab.lab, Outage("host", host, seconds))
    end = lab.now + LONGEST + BOOTSTRAP
    while len(lab.at()) < lab.nodes or lab.unreachable():
        assert lab.now < end
        lab.run(3.0)
    assert given_twice(lab) == set()


@pytest.mark.parametrize("name", ["pana-ikev1", "pana-ikev2 with a key"])
def test_authorisation_goes_on_at_the_home_agent_after_a_restart_of_the_server(name):
    lab = Lab(name, 2, 1, session_lifetime=30.0)
    lab.run(5.0)
    lab.program("AAA").restart()
    for _ in range(60):
        lab.run(1.0)
        assert lab.unreachable() == []
    assert len(lab.events.named("Bootstrapped")) == 2


def test_what_a_home_agent_has_told_of_its_load_ends_with_its_connection():
    full = _Frozen({"ha1": {"capacity": 10}})
    lab = Lab("pana-ikev2 with a key", 1, 1, home_agents=full)
    [host] = lab.at()
    lab.program(host).kill()
    lab.command("AAA", "withdraw", f"mn{int(host[2:]):04}@home.test")
    lab.run(1.0)
    lab.ask("HA1", key_question("nobody@home.test", host="ha1.home.test", load=10))
    lab.program(host).restart()
    lab.run(30.0)
    assert len(lab.events.named("Bootstrapped")) == 1
    lab.program("HA1").restart()
    assert lab.until(lambda: len(lab.events.named("Bootstrapped")) == 2, FIRST)


def test_the_last_home_agent_that_fails_is_waited_for():
    lab = Lab("pana-ikev2 with a key", 2, 1, **BRISK)
    lab.program("HA1").kill()
    lab.run(120.0)
    lab.program("HA1").restart()
    lab.run(90.0)
    assert lab.unreachable() == []


# The end of sessions


@pytest.mark.parametrize("name", ["pana-ikev1", "pana-ikev2 with a key"])
def test_authorisation_goes_on_at_the_home_agent_as_long_as_the_mobile_node_authenticates(name):
    lab = Lab(name, session_lifetime=30.0)
    lab.run(200.0)
    assert lab.unreachable() == []
    assert len(lab.events.named("Bootstrapped")) == 4
    assert lab.events.named("SessionEnded") == []


@pytest.mark.parametrize("name", ["pana-ikev1", "pana-ikev2 with a key", "pana-ikev2 with EAP"])
def test_a_withdrawn_subscriber_loses_what_it_has_at_once_and_asks_again(name):
    lab = Lab(name)
    lab.run(3.0)
    host = min(lab.at_home_agent(HA1))
    agent = lab.program("HA1").node
    assert len(agent._home_agent.homes) == 2

    def registrations():
        return [e["host"] for e in lab.events.named("BindingAccepted")].count(host)

    before = registrations()
    lab.command("AAA", "withdraw", f"mn{int(host[2:]):04}@home.test")
    lab.run(0.1)
    assert len(agent._home_agent.homes) == 1
    assert lab.events.named("BindingRemoved")
    assert registrations() == before
    assert lab.until(lambda: registrations() > before, FIRST)
    assert lab.unreachable() == []
    assert given_twice(lab) == set()


def test_a_subscriber_is_withdrawn_though_its_home_agent_has_missed_an_answer():
    lab = Lab("pana-ikev2 with a key")
    lab.run(3.0)
    name = f"mn{int(min(lab.at_home_agent(HA1))[2:]):04}@home.test"
    agent = lab.program("HA1").node
    session = agent._client.new_session()
    lab.ask("HA1", key_question(name, session, "ha1.home.test"))  # IKE has given it up meanwhile.
    lab.command("AAA", "withdraw", name)
    lab.run(0.1)
    assert len(agent._home_agent.homes) == 1


@pytest.mark.parametrize("stops", [False, True])
def test_a_lease_ends_when_nas_and_home_agent_have_said_so(stops):
    lab = Lab("pana-ikev2 with a key", 1, 1)
    lab.run(3.0)
    host = min(lab.at())
    lab.command(host, "deregister")
    lab.run(1.0)
    if stops:
        router = lab.program("AR1")
        router.host.enter(router.node.stop, lambda: None)
    else:
        lab.command(host, "terminate")
    lab.run(1.0)
    assert lab.events.named("SessionEnded") == []  # The home agent serves it still.
    lab.program(host).kill()
    lab.run(600.0)  # Nobody answers its test of whether the mobile node lives.
    assert [e["reason"] for e in lab.events.named("SessionEnded")] == ["terminated"]


# Who lies


def key_question(who, session="forged;1;1", host="ha2.home.test", load=None):
    from agents.diameter.sessions import KeyRequest
    from agents.ike.identities import Identity

    return KeyRequest(
        session_id=session,
        origin_host=host,
        origin_realm="home.test",
        destination_realm="home.test",
        identity=Identity.of(who),
        load=load,
    ).to_message()


def result(answer):
    assert not isinstance(answer, WireError)
    return d.RESULT_CODE.find(answer.avps)


def test_a_home_agent_gets_no_key_of_another_ones_subscriber():
    lab = Lab("pana-ikev2 with a key")
    host = min(lab.at_home_agent(HA1))
    answer = lab.ask("HA2", key_question(f"mn{int(host[2:]):04}@home.test"))
    assert result(answer) == 5003
    assert d.KEY.find(answer.avps) is None


def test_a_home_agent_that_speaks_in_the_name_of_another_is_refused():
    lab = Lab("pana-ikev2 with a key")
    host = min(lab.at_home_agent(HA1))
    asked = key_question(f"mn{int(host[2:]):04}@home.test", host="ha1.home.test")
    assert "speaks as" in str(lab.ask("HA2", asked))
