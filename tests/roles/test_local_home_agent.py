"""What the access router does with the one home address of its own home agent."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from agents.bootstrap import Assignment
from agents.diameter.eap import DiameterEapAnswer
from agents.diameter.errors import ResultCode
from agents.roles.access_router import AccessRouter
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


@pytest.mark.parametrize("free", [True, False])
def test_a_mobile_node_is_not_told_of_a_home_address_that_is_anothers(free):
    shared, told, supplied = [], [], []

    class Ike:
        def share(self, *key):
            shared.append(key)
            return free

    router = AccessRouter.__new__(AccessRouter)
    router._local = (None, Ike())
    router._enforcement = SimpleNamespace(authorise=lambda _: None)
    router._client = SimpleNamespace(forget=lambda _: None)
    router._pinholes, router._lifetime, router._served = None, 600.0, {}
    router._relay = (SimpleNamespace(set_information=lambda *it: supplied.append(it)), None, "")
    router._paa = SimpleNamespace(accept=None)
    router.endpoint = SimpleNamespace(
        driver=SimpleNamespace(now=lambda: 0.0, call=lambda *given, **_: told.append(given[5]))
    )
    event = SimpleNamespace(pac=(str(COA), 716), session_id=1, mobility=True)

    router._accept(event, b"", bytes(64), ANSWER)

    assert shared == [("mn@home.test", HOA, b"key", COA, 600.0)]
    assert told == [ANSWER.assignment if free else None]
    assert [(number, known) for number, _, known, _ in supplied] == [(1, told[0])]
