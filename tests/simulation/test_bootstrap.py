"""Whole bootstraps on the virtual clock: every scene, every message lost, every node restarted.

No socket, no event loop and no sleep: the nodes are those that run in the laboratory, the links
and kernels are models. What a kernel would drop is dropped (agents/kernel/model.py).
"""

from ipaddress import IPv6Address

import pytest

from agents.approaches.cast import HOME_ADDRESS
from agents.mip6.codec import AUTHENTICATION, decode
from agents.mip6.codec import PROTOCOL as MOBILITY_HEADER
from tests.simulation.scenes import (
    LONGER,
    SCENES,
    WITHOUT_IPSEC,
    bootstrapped,
    laboratory,
    messages,
    messages_of,
)

FIRST_ATTEMPT = 60.0
SETTLED = 3.0
"""Seconds after a bootstrap until nothing of it is under way any more."""

RESTART_EVERY = 4
"""Messages between the moments at which a node is restarted; each begins with another one."""

BACK = 600.0
"""Seconds within which a mobile node is reachable again: the longest of IKE's and PANA's timers."""


def is_reachable(lab):
    """Return whether a correspondent node on the home link reaches the mobile node there."""
    return lab.exchanges("CN", "A", HOME_ADDRESS)


def reached_again(lab, within=BACK):
    """Return whether the mobile node is reachable, now or within so many seconds."""
    end = lab.world.clock.now + within
    while not is_reachable(lab):
        if lab.world.clock.now > end:
            return False
        lab.run(lab.world.clock.now + SETTLED)
    return True


def bootstrap(name, **options):
    """Return a laboratory in which the mobile node has been at work for a minute at most."""
    lab = laboratory(name, **options)
    lab.start()
    lab.run(FIRST_ATTEMPT, lambda: bootstrapped(lab))
    return lab


def complaints(lab):
    return [e for e in lab.events.told if e["event"].endswith(("Failed", "Refused"))]


@pytest.mark.parametrize("name", SCENES)
def test_the_mobile_node_becomes_reachable_at_its_home_address(name):
    lab = laboratory(name)
    lab.start()
    lab.run(0.001)
    assert not lab.exchanges("CN", "A", HOME_ADDRESS)
    assert lab.run(FIRST_ATTEMPT, lambda: bootstrapped(lab))
    lab.run(lab.world.clock.now + SETTLED)
    assert is_reachable(lab)
    assert complaints(lab) == []
    [done] = lab.events.named("Bootstrapped")
    assert IPv6Address(done["home_address"]) == HOME_ADDRESS


@pytest.mark.parametrize("name", SCENES)
def test_what_updates_a_binding_is_protected_on_every_link(name):
    lab = bootstrap(name)
    headers = [s.packet for s in lab.world.sent if s.packet.protocol == MOBILITY_HEADER]
    assert len(headers) >= 4
    for packet in headers:
        bears = {option.kind for option in decode(packet.payload).options}
        assert AUTHENTICATION in bears if name in WITHOUT_IPSEC else packet.esp


@pytest.mark.parametrize("name", SCENES)
def test_any_message_may_be_lost(name):
    sent = bootstrap(name).world.sent
    failed = []
    for lost in messages_of(name, sent):
        lab = bootstrap(name, loses=lambda number, _, lost=lost: number == lost)
        if not (bootstrapped(lab) and reached_again(lab, SETTLED)):
            failed.append((lost, lab.world.sent[lost], complaints(lab)))
    assert failed == []


def restarted_at(name, module, message):
    """Return a laboratory in which a node was killed and started when a message was sent."""
    lab = laboratory(name)
    program = lab.program(module)

    def restart():
        if program.host:
            program.restart()

    def kills(number, _):
        if number == message:
            lab.world.clock.at(lab.world.clock.now, restart)
        return False

    lab.world.loses = kills
    lab.start()
    lab.run(FIRST_ATTEMPT, lambda: len(lab.world.sent) > message)
    return lab


def nodes(name):
    """Return the modules of a scene's own nodes; of others what is true without its router is."""
    modules = [program.role.module.split(".") for program in laboratory(name).programs]
    own = ("mobile_node", "pana_relay", "access_router") if name in LONGER else None
    return [m[2] for m in modules if m[1] == "nodes" and (own is None or m[2] in own)]


@pytest.mark.parametrize(
    ("name", "module"), [(name, module) for name in SCENES for module in nodes(name)]
)
def test_any_node_may_be_restarted_at_any_time(name, module):
    sent = messages(bootstrap(name).world.sent)
    failed = []
    first = nodes(name).index(module) % RESTART_EVERY
    for message in [*sent[first::RESTART_EVERY], sent[-1]]:
        lab = restarted_at(name, module, message)
        if not (lab.run(BACK, lambda lab=lab: bootstrapped(lab)) and reached_again(lab)):
            failed.append((message, complaints(lab)[-3:]))
    assert failed == []


@pytest.mark.parametrize("name", SCENES)
def test_a_restarted_mobile_node_begins_with_nothing_in_its_kernel(name):
    lab = bootstrap(name)
    kernel = lab.stacks["A"].kernel
    assert bool(list(kernel.sad)) == (name not in WITHOUT_IPSEC)
    assert kernel.home.tunnel_open
    lab.program("mobile_node").restart()
    assert list(kernel.sad) == []
    assert kernel.home is None or not kernel.home.tunnel_open


@pytest.mark.parametrize("name", SCENES)
def test_the_same_seed_gives_the_same_bootstrap(name):
    runs = [bootstrap(name, seed=seed) for seed in (3, 3)]
    first, second = ([(s.at, s.link, s.packet.protocol) for s in run.world.sent] for run in runs)
    assert first == second
