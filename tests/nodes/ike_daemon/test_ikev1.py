"""The IKEv1 service of both sides on a kernel and a network that are not there."""

from __future__ import annotations

import asyncio
import errno
import io
import json

import pytest

from agents.core.eventlog import EventLog
from agents.kernel.model_port import ModelHomeAgent, ModelMobileNode
from agents.nodes.ike_daemon import ikev1 as ike
from agents.nodes.ike_daemon.ikev1 import IkeService
from agents.nodes.ike_daemon.settings import IkeSettings
from agents.shell.keylog import KeyLog
from tests.ike import COA, HA, HOA, PSK
from tests.nodes.network import Network

NAME, OTHER = "mn@home.test", "other@home.test"
SETTINGS = IkeSettings(group="ecp256")


class Side:
    """A service with what it has logged and done to its kernel."""

    def __init__(self, address, kernel):
        self.kernel = kernel
        self._log = io.StringIO()
        self.service = IkeService(
            address,
            SETTINGS,
            identity=None,
            kernel=kernel,
            keys=KeyLog(None),
            log=EventLog("X", "ikev1", self._log),
        )

    def events(self):
        return [json.loads(line)["event"] for line in self._log.getvalue().splitlines()]

    async def logged(self, event, times=1):
        async with asyncio.timeout(10):
            while self.events().count(event) < times:
                await asyncio.sleep(0.001)


@pytest.fixture(autouse=True)
def _network(monkeypatch):
    monkeypatch.setattr(ike, "DatagramEndpoint", Network().endpoint)


async def everybody():
    """Return a node, another one, and the home agent with SAs for both."""
    ha = Side(HA, ModelHomeAgent(None, HA))
    nodes = []
    for number, (name, key) in enumerate(((NAME, PSK), (OTHER, b"other"))):
        mn = Side(COA + number, ModelMobileNode())
        home = HOA + number
        ha.service.add_psk(key, peer=COA + number, identity=name, home_address=home)
        mn.service.add_psk(key, peer=HA, identity=None, home_address=home)
        mn.service.initiate(HA, home)
        nodes.append(mn)
    await ha.logged("ChildEstablished", 2)
    return *nodes, ha


def holders(kernel):
    """Return the home addresses that a kernel has SAs for."""
    return {sa.source for sa in kernel.sas.values()} - {HA}


def test_the_end_of_an_authorisation_takes_its_sas_out_of_the_kernel_at_once():
    async def main():
        mn, other, ha = await everybody()
        assert holders(ha.kernel) == {HOA, HOA + 1}
        ha.service.remove_psk(NAME)
        ha.service.delete_identity(NAME)
        assert holders(ha.kernel) == {HOA + 1}
        await mn.logged("Phase1Deleted")
        assert not mn.kernel.sas
        mn.service.initiate(HA, HOA)
        await ha.logged("Failed")
        assert holders(ha.kernel) == {HOA + 1}
        for side in (mn, other, ha):
            side.service.close()

    asyncio.run(main())


def test_a_kernel_that_refuses_does_not_keep_the_others_sas():
    async def main():
        mn, other, ha = await everybody()
        ha.kernel.failures["uninstall"] = errno.ENOMEM
        ha.service.delete_identity(NAME)
        assert "KernelFailed" in ha.events()
        assert "Phase1Deleted" in ha.events()
        for side in (mn, other, ha):
            side.service.close()

    asyncio.run(main())
