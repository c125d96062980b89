"""What an access router opens before an authentication is over, and when it closes."""

from __future__ import annotations

import asyncio
import errno
import io
import json
from ipaddress import IPv6Address, IPv6Network

import pytest

from agents.core.eventlog import EventLog
from agents.kernel.model_port import ModelEnforcementPoint
from agents.kernel.port import AccessLink
from agents.nodes.access_router import pinholes
from agents.nodes.access_router.pinholes import IKE_PORT, Pinholes

LINK = AccessLink("access", IPv6Network("2001:db8:a::/64"))
NODE, OTHER = IPv6Address("2001:db8:a::2"), IPv6Address("2001:db8:a::3")
AGENT, SECOND = IPv6Address("2001:db8:100::1"), IPv6Address("2001:db8:100::2")
HOLE = (NODE, AGENT, IKE_PORT)


class Router:
    def __init__(self, lifetime: float = 5.0) -> None:
        self.told = io.StringIO()
        self.filter = ModelEnforcementPoint(None, LINK)
        self.filter.close_access()
        self.ways = Pinholes(self.filter, LINK, EventLog("B", "pana", self.told), lifetime=lifetime)


def run(work):
    """Run a coroutine function with a router; return what it returns."""

    async def main():
        router = Router()
        try:
            return await work(router)
        finally:
            router.ways.close_all()

    return asyncio.run(main())


def test_a_pinhole_is_for_ike_to_one_home_agent():
    async def work(router):
        assert router.ways.open(1, NODE, AGENT)
        assert router.filter.pinholes == {(NODE, AGENT, 500)}
        assert not router.filter.passes(NODE)
        router.ways.close(1)
        router.ways.close(1)
        assert not router.filter.pinholes

    run(work)


def test_it_closes_by_itself():
    async def main():
        router = Router(lifetime=0.0)
        router.ways.open(1, NODE, AGENT)
        while router.filter.pinholes:
            await asyncio.sleep(0)
        return router.told.getvalue()

    lines = asyncio.run(asyncio.wait_for(main(), 10)).splitlines()
    told = [json.loads(line)["event"] for line in lines]
    assert told == ["PinholeOpened", "PinholeClosed"]


def test_a_session_has_one_at_most():
    async def work(router):
        router.ways.open(1, NODE, AGENT)
        router.ways.open(1, NODE, SECOND)
        assert router.filter.pinholes == {(NODE, SECOND, IKE_PORT)}

    run(work)


def test_one_session_does_not_close_what_another_needs():
    async def work(router):
        router.ways.open(1, NODE, AGENT)
        router.ways.open(2, NODE, AGENT)
        router.ways.close(1)
        assert router.filter.pinholes == {HOLE}
        router.ways.close(2)
        assert not router.filter.pinholes

    run(work)


@pytest.mark.parametrize("address", ["ff02::1", "fe80::1", "::1", "::", str(OTHER)])
def test_not_every_address_can_be_a_home_agents(address):
    async def work(router):
        assert not router.ways.open(1, NODE, IPv6Address(address))
        assert not router.filter.pinholes

    run(work)


def test_there_is_an_end_to_their_number(monkeypatch):
    monkeypatch.setattr(pinholes, "MAXIMUM", 2)

    async def work(router):
        assert [router.ways.open(n, NODE, AGENT) for n in range(3)] == [True, True, False]
        router.ways.close(0)
        assert router.ways.open(3, OTHER, AGENT)

    run(work)


def test_a_kernel_that_refuses_opens_nothing():
    async def work(router):
        router.filter.failures["admit"] = errno.ENOMEM
        assert not router.ways.open(1, NODE, AGENT)
        router.ways.close(1)
        assert [call[0] for call in router.filter.calls] == ["close_access", "admit"]

    run(work)
