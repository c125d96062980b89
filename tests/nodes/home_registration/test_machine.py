"""When the mobile node's daemon sends Binding Updates, and from where."""

from __future__ import annotations

import asyncio
import io
import os

import pytest

from agents.core.eventlog import EventLog
from agents.kernel.model_port import ModelMobileNode
from agents.mip6.codec import decode
from agents.nodes.home_registration import machine as home_registration
from agents.nodes.home_registration.machine import RegistrationService
from agents.shell.driver import Driver
from tests.ike import COA, HA, HOA


class Watch:
    """Stands in for the watch of the kernel's SAs."""

    def __init__(self):
        self._pipe = os.pipe()

    def fileno(self):
        return self._pipe[0]

    def added(self):
        return []

    def close(self):
        for end in self._pipe:
            os.close(end)


@pytest.fixture
def make(monkeypatch):
    """Return what makes a service and a list of the care-of addresses that it has registered."""
    sent = []

    class Endpoint:
        def __init__(self, machine, _home_address, on_event):
            self.driver = Driver(machine, lambda data, _: sent.append(decode(data)), on_event)
            self.close = self.driver.close

    monkeypatch.setattr(home_registration, "MobileNodeEndpoint", Endpoint)
    monkeypatch.setattr(home_registration, "SaWatch", Watch)

    def make():
        service = RegistrationService(
            home_address=HOA,
            home_agent=HA,
            care_of=COA,
            lifetime=420.0,
            kernel=ModelMobileNode(),
            log=EventLog("A", "role", io.StringIO()),
        )
        return service, sent

    return make


def test_deregistered_it_waits_for_sas_no_more(make):
    async def main():
        service, sent = make()
        assert service._watch  # There are no SAs yet.
        service.deregister()
        assert service._watch is None
        assert not sent
        service.close()

    asyncio.run(main())


def test_a_movement_is_registered_unless_it_is_not_to_be(make):
    async def main():
        service, sent = make()
        service.move(COA + 1, register=False)
        assert service._kernel.care_of == COA + 1
        assert not sent
        service._start()
        service.move(COA + 2)
        assert [update.care_of for update in sent] == [COA + 1, COA + 2]
        service.close()

    asyncio.run(main())
