"""For whom the access router opens its filter, and for how long."""

from __future__ import annotations

import errno
from ipaddress import IPv6Address

import pytest

from agents.diameter import dictionary as d
from agents.diameter.errors import DiameterError, ResultCode
from agents.pana.events import Authenticated, Failed, Rejected, Updated
from agents.pana.pac_table import PacState
from agents.pana.wire import Result
from tests.nodes.access_router.world import World
from tests.nodes.net import COA, NEXT_COA, OTHER_COA, ROUTER

ALICE, NEW, MALLORY = (str(COA), 716), (str(NEXT_COA), 716), (str(OTHER_COA), 716)


def test_it_opens_for_who_is_let_in_and_closes_with_the_session():
    world = World()
    alice = world.bootstrap(ALICE)
    assert alice.pac.state is PacState.OPEN
    assert world.open() == {ALICE[0]}
    alice.do("terminate")
    world.net.run(1.0)
    assert world.open() == set()


@pytest.mark.parametrize(
    ("grants", "lifetime"),
    [
        ({}, 3600.0),
        ({"session_timeout": 600.0}, 600.0),
        ({"session_timeout": 600.0, "authorization_lifetime": 30.0}, 30.0),
        ({"session_timeout": 7200.0}, 3600.0),
    ],
)
def test_it_lets_in_for_as_long_as_the_aaa_server_says(grants, lifetime):
    world = World(reauth_at=0.0)
    world.aaa.granted = grants
    alice = world.bootstrap(ALICE)
    (granted,) = alice.only(Authenticated)
    assert granted.lifetime == lifetime
    alice.vanish()
    world.net.run(lifetime - 1)
    assert world.open() == {ALICE[0]}
    world.net.run(2)
    assert world.open() == set()


def test_who_does_not_renew_his_session_is_asked_to():
    world = World(session_lifetime=100.0)
    alice = world.bootstrap(ALICE)
    world.net.run(1000.0)
    assert len(alice.only(Authenticated)) > 10
    assert world.open() == {ALICE[0]}


def unsupported(_):
    raise DiameterError("Filter-Id", ResultCode.AVP_UNSUPPORTED)


def unauthorised(_):
    raise DiameterError("no", ResultCode.AUTHORIZATION_REJECTED)


def busy(_):
    raise DiameterError("down", ResultCode.TOO_BUSY)


@pytest.mark.parametrize(
    ("fails", "reason", "result"),
    [
        (unsupported, "Filter-Id", Result.AUTHORIZATION_REJECTED),
        (unauthorised, "no", Result.AUTHORIZATION_REJECTED),
        (busy, "down", Result.AUTHENTICATION_REJECTED),
    ],
)
def test_what_the_aaa_client_cannot_take_lets_nobody_in(fails, reason, result):
    world = World()
    world.aaa.answer = fails
    alice = world.bootstrap(ALICE)
    assert alice.pac.state is not PacState.OPEN
    assert world.open() == set()
    (told,) = world.told("AaaFailed")
    assert reason in told["reason"]
    (rejected,) = alice.only(Rejected)
    assert rejected.code == result


def test_an_aaa_server_that_does_not_answer_refuses_nobody():
    """RFC 5609 section 8.4: EAP_TIMEOUT ends the session; the PaC has its own deadline."""
    world = World(aaa_timeout=2.0)
    world.aaa.answer = lambda _: None
    alice = world.bootstrap(ALICE)
    world.net.run(3.0)
    assert world.told("AaaFailed")
    assert [told["reason"] for told in world.told("Failed")] == ["the AAA server cannot be reached"]
    assert alice.only(Rejected) == alice.only(Failed) == []
    world.net.run(30.0)
    assert alice.only(Failed)


def test_who_is_granted_what_cannot_be_kept_is_told_so_under_his_key():
    world = World()
    world.aaa.granted = {"unknown": (d.FILTER_ID.avp("no-net"),)}
    alice = world.bootstrap(ALICE, early=True)
    (rejected,) = alice.only(Rejected)
    assert rejected.code is Result.AUTHORIZATION_REJECTED
    assert alice.pac.state is PacState.CLOSED
    assert world.open() == set()
    (told,) = world.told("AaaFailed")
    assert "Filter-Id" in told["reason"]


def test_a_kernel_that_does_not_close_the_filter_is_asked_again():
    world = World()
    alice = world.bootstrap(ALICE)
    world.filter.failures["revoke"] = errno.ENOBUFS
    alice.do("terminate")
    world.net.run(5.0)
    assert world.open() == {ALICE[0]}
    assert len(world.told("EnforcementFailed")) > 1
    del world.filter.failures["revoke"]
    world.net.run(2.0)
    assert world.open() == set()


def test_a_session_that_begins_meanwhile_keeps_its_address():
    world = World()
    alice = world.bootstrap(ALICE)
    world.filter.failures["revoke"] = errno.ENOBUFS
    alice.do("terminate")
    world.net.run(0.1)
    alice.vanish()
    world.bootstrap(ALICE)
    del world.filter.failures["revoke"]
    world.net.run(5.0)
    assert world.open() == {ALICE[0]}


def test_another_port_closes_nothing():
    world = World()
    alice = world.bootstrap(ALICE)
    alice.move((ALICE[0], 4000))
    alice.do("update")
    world.net.run(1.0)
    assert alice.only(Updated)
    assert world.open() == {ALICE[0]}
    assert "revoke" not in [call[0] for call in world.filter.calls]


def test_it_follows_a_mobile_node_that_moves():
    world = World()
    alice = world.bootstrap(ALICE)
    alice.move(NEW)
    alice.do("update")
    world.net.run(1.0)
    assert world.open() == {NEW[0]}
    assert [call[0] for call in world.filter.calls][-2:] == ["authorise", "revoke"]


def test_a_subscriber_does_not_close_it_for_another():
    world = World()
    world.bootstrap(ALICE)
    mallory = world.bootstrap(MALLORY)
    for source in (ALICE, (ALICE[0], 9), MALLORY):
        world.net.run(2.0)
        mallory.rebind(world.net.forging(source))
        assert mallory.do("ping")
        world.net.run(0.1)
        assert world.open() == {ALICE[0], MALLORY[0]}
        mallory.move(MALLORY)
        world.net.run(2.0)
    # He logs out from there, and fails there.
    mallory.rebind(world.net.forging(ALICE))
    assert mallory.do("terminate")
    world.net.run(0.1)
    assert world.open() == {ALICE[0]}
    world.aaa.answer = busy
    world.bootstrap((ALICE[0], 9))
    assert world.told("AaaFailed")
    assert world.open() == {ALICE[0]}


@pytest.mark.parametrize(
    "address", [ROUTER, "2001:db8:a::", "2001:db8:a::e", "2001:db8:c::2", "fe80::44", "::"]
)
def test_it_opens_for_no_address_but_a_hosts_of_the_link(address):
    world = World(pana_relays=("2001:db8:a::e",))
    alice = world.bootstrap(ALICE)
    world.net.run(1.0)
    said = world.sent()
    stranger = world.client(MALLORY)
    for client, method in ((alice, "ping"), (stranger, "start")):
        client.rebind(world.net.forging((address, 716)))
        client.do(method)
    world.net.run(0.1)
    assert world.sent() == said
    assert world.open() == {ALICE[0]}


def test_whom_the_filter_cannot_be_opened_for_is_told_so_under_his_key():
    world = World()
    world.filter.failures["authorise"] = errno.ENOBUFS
    alice = world.bootstrap(ALICE)
    (rejected,) = alice.only(Rejected)
    assert rejected.code is Result.AUTHORIZATION_REJECTED
    assert alice.pac.state is PacState.CLOSED
    assert world.open() == set()


def test_it_opens_for_nobody_with_whom_it_has_no_key():
    """Success before the nonces are exchanged makes none; the refusal may be lost for minutes."""
    world = World(start="optimized")
    world.aaa.at_once = True
    alice = world.client(ALICE)
    alice.do("start")
    assert world.net.run(1.0, lambda: world.told("EapResponse"))
    alice.vanish()
    said = world.sent()
    world.net.run(1.0)
    assert world.sent() > said
    assert world.open() == set()


@pytest.mark.parametrize("busy", ["reauthenticate", "ping"])
def test_who_is_put_out_while_busy_is_out_when_that_is_over(busy):
    world = World()
    alice = world.bootstrap(ALICE)
    commands = world.router.commands()
    assert commands[busy]()
    assert commands["terminate"]()
    world.net.run(1.0)
    assert world.open() == set()
    assert alice.pac.state is PacState.CLOSED
    assert not commands["terminate"]()


def test_who_is_put_out_has_no_access_until_he_says_so():
    world = World()
    world.bootstrap(ALICE)
    said = world.sent()
    assert world.router.commands()["terminate"]()
    assert world.open() == set()
    assert world.sent() == said + 1


def test_a_word_of_the_aaa_server_that_comes_too_late_opens_nothing():
    world = World(aaa_timeout=100.0)
    world.aaa.holds = lambda request: not world.aaa.asks(request)
    alice = world.bootstrap(ALICE)
    world.net.run(60.0)
    world.aaa.release()
    world.net.run(0.1)
    assert world.told("AaaLate")
    assert world.open() == set()
    assert ("authorise", IPv6Address(ALICE[0])) not in world.filter.calls
    alice.vanish()
    world.bootstrap(ALICE)
    assert world.open() == {ALICE[0]}


def test_it_opens_where_a_mobile_node_is_and_not_where_it_was():
    world = World()
    alice = world.bootstrap(ALICE)
    alice.move(NEW)
    alice.do("update")
    world.net.run(1.0)
    assert world.router.commands()["reauthenticate"]()
    world.net.run(1.0)
    assert len(alice.only(Authenticated)) == 2
    assert world.open() == {NEW[0]}


def test_one_host_has_few_conversations_with_the_aaa_server():
    world = World()
    world.aaa.holds = lambda request: not world.aaa.asks(request)
    for port in range(2000, 2100):
        world.client((MALLORY[0], port)).do("start")
    world.net.run(1.0)
    assert len({request.session_id for request in world.aaa.asked}) == 4
    world.aaa.release()
    world.bootstrap(ALICE)
    assert ALICE[0] in world.open()


def test_it_takes_the_commands_that_its_configuration_names():
    world = World()
    assert world.router.commands().keys() == world.configuration.commands.keys()
