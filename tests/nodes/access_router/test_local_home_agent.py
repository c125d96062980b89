"""What the access router does with the one home address of its own home agent."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from agents.bootstrap.assignment import Assignment
from agents.diameter.eap import DiameterEapAnswer
from agents.diameter.errors import ResultCode
from agents.nodes.access_router.machine import AccessRouter
from agents.pana import events
from tests.ike import COA, HA, HOA

ANSWER = DiameterEapAnswer(
    "session",
    ResultCode.SUCCESS,
    "aaa.home.test",
    "home.test",
    msk=bytes(64),
    assignment=Assignment(HA, 64, HOA),
    local_home_agent_key=b"key",
    user_name="mn@home.test",
)


class Ike:
    """The local home agent's IKE, which has one home address to give, or none."""

    def __init__(self, *, free):
        self.free = free
        self.shared, self.ended = [], []

    def share(self, *key):
        self.shared.append(key)
        return self.free

    def end(self, identity):
        self.ended.append(identity)


def make(ike):
    """Return an access router with this IKE and nothing else, and what its PaCs are told."""
    told, supplied = [], []
    router = AccessRouter.__new__(AccessRouter)
    router._local = (None, ike)
    router._enforcement = SimpleNamespace(authorise=lambda _: None, revoke=lambda _: None)
    router._client = SimpleNamespace(forget=lambda _: None)
    router._pinholes, router._lifetime, router._served = None, 600.0, {}
    router._open, router._log = [], lambda _: None
    relay = SimpleNamespace(set_information=lambda *it: supplied.append(it), forget=lambda _: None)
    router._relay = (relay, None, "")
    router._paa = SimpleNamespace(accept=None, may_pass=lambda _: False)
    router.endpoint = SimpleNamespace(
        driver=SimpleNamespace(now=lambda: 0.0, call=lambda *given, **_: told.append(given[5]))
    )
    return router, told, supplied


def accept(router, number):
    event = SimpleNamespace(pac=(str(COA), 716), session_id=number, mobility=True)
    router._accept(event, b"", bytes(64), ANSWER)


@pytest.mark.parametrize("free", [True, False])
def test_a_mobile_node_is_not_told_of_a_home_address_that_is_anothers(free):
    ike = Ike(free=free)
    router, told, supplied = make(ike)
    accept(router, 1)
    assert ike.shared == [("mn@home.test", HOA, b"key", COA, 600.0)]
    assert told == [ANSWER.assignment if free else None]
    assert [assignment for *_, assignment, _ in supplied] == [ANSWER.assignment if free else None]


def end(router, number):
    pac = (str(COA), 716)
    router._handle(events.Terminated(1.0, session_id=number, pac=pac, cause="LOGOUT"))


def test_one_who_has_left_keeps_neither_home_agent_nor_home_address():
    ike = Ike(free=True)
    router, _, _ = make(ike)
    accept(router, 1)
    end(router, 1)
    end(router, 1)
    assert ike.ended == ["mn@home.test"]


def test_one_who_has_come_again_keeps_them_when_the_session_before_ends():
    ike = Ike(free=True)
    router, _, _ = make(ike)
    accept(router, 1)
    accept(router, 2)
    end(router, 1)
    assert ike.ended == []
    end(router, 2)
    assert ike.ended == ["mn@home.test"]


def test_one_who_got_none_takes_none_away():
    ike = Ike(free=False)
    router, _, _ = make(ike)
    accept(router, 1)
    end(router, 1)
    assert ike.ended == []
