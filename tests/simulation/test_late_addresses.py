"""Hosts whose addresses come some time after their programs (RFC 4862 section 5.4)."""

import pytest

import topologies
from agents.simulation.laboratory import PreparedApproach
from agents.simulation.world import World

LOCAL = {"local_offered": True, "local_allowed": True, "prefer": "local"}
BY_RADIUS = {"roles": {"aaa": {"protocol": "radius"}}}
ROUTES = {"route_optimisation": True}
HOSTS = {
    "access router": ("pana-ikev2", "paper", {}, "B"),
    "access router with a home agent": ("pana-ikev1", "visited", LOCAL, "B"),
    "access router with a relay agent": ("dhcpv6-ikev2", "dhcpv6", {}, "B"),
    "home network and home agent": ("pana-ikev1", "paper", {}, "C"),
    "home agent beside the AAA server": ("pana-ikev2", "paper", {}, "C"),
    "home agent that tells who asks": ("dhaad-ikev2", "paper", {}, "C"),
    "home agent apart": ("pana-ikev2", "apart", {}, "H"),
    "home agent with EAP": ("dhcpv6-ikev2", "dhcpv6", {}, "C"),
    "home AAA server alone": ("pana-ikev1", "apart", {}, "S"),
    "home AAA server by RADIUS": ("pana-ikev1", "paper", BY_RADIUS, "C"),
    "PANA relay": ("pana-ikev2", "relayed", {}, "R"),
    "correspondent node": ("pana-ikev2", "paper", ROUTES, "CN"),
}


def laboratory(folder, approach, topology, settings):
    """Return a laboratory, not started yet."""
    prepared = PreparedApproach(approach, folder, settings, topologies.load(topology))
    return prepared.laboratory(World(1))


def bare(lab, host):
    """Take a host's addresses from it, and return them with their interfaces."""
    interfaces = lab.stacks[host].interfaces.values()
    gone = [(i, a) for i in interfaces for a in i.addresses if not a.is_link_local]
    for interface, address in gone:
        interface.remove(address)
    return gone


def kill(lab, host):
    """Take a host's power and addresses from it, and give the power back; return the addresses."""
    lab.stacks[host].power_off()
    for program in lab.programs_on(host):
        program.kill()
    lab.run(lab.world.clock.now + 5.0)
    lab.stacks[host].power_on()
    return bare(lab, host)


@pytest.mark.parametrize("case", HOSTS)
def test_a_host_whose_addresses_come_later_serves_when_it_has_them(tmp_path, case):
    approach, topology, settings, host = HOSTS[case]
    lab = laboratory(tmp_path, approach, topology, settings)
    lab.start()
    assert lab.run(60.0, lab.is_bootstrapped)
    gone = kill(lab, host)
    programs, before = lab.programs_on(host), len(lab.events.named("Ready", host))
    for program in programs:
        program.restart()
    for interface, address in gone:
        lab.run(lab.world.clock.now + 3.0)
        assert len(lab.events.named("Ready", host)) < before + len(programs)
        interface.add(address)
    ready = lab.world.clock.now + 61.0
    assert lab.run(ready, lambda: len(lab.events.named("Ready", host)) == before + len(programs))
    assert lab.events.named("NotReadyYet", host)
    count = len(lab.events.named("Bootstrapped"))
    lab.program("mobile_node").restart()
    assert lab.run(ready + 300.0, lambda: len(lab.events.named("Bootstrapped")) > count)


@pytest.mark.parametrize("case", HOSTS)
def test_a_program_ends_that_is_still_waiting_for_its_addresses(tmp_path, case):
    approach, topology, settings, host = HOSTS[case]
    lab = laboratory(tmp_path, approach, topology, settings)
    gone, ended = bare(lab, host), []
    for program in lab.programs_on(host):
        program.start(lambda: None)
    interface, address = gone[0]
    interface.add(address)  # Of several sockets one can be opened.
    lab.run(3.0)
    for program in lab.programs_on(host):
        program.host.enter(program.node.stop, lambda: ended.append(True))
    lab.run(10.0)
    assert len(ended) == len(lab.programs_on(host))
    told = len(lab.events.told)
    for interface, address in gone[1:]:
        interface.add(address)
    lab.run(200.0)
    assert len(lab.events.told) == told
    assert not lab.stacks[host].sockets
    assert not lab.stacks[host].link_listeners
