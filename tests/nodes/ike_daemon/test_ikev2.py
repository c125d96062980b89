"""The IKEv2 service of both sides on a kernel and a network that are not there."""

from __future__ import annotations

import asyncio
import errno
import io
import json

import pytest

from agents.core.eventlog import EventLog
from agents.kernel.model_port import ModelHomeAgent, ModelMobileNode
from agents.nodes.ike_daemon import ikev2 as ike2
from agents.nodes.ike_daemon.ikev2 import Ike2Service, Ike2Settings
from agents.shell.keylog import KeyLog
from tests.ike import COA, HA, HOA, PSK
from tests.nodes.network import Network

SETTINGS = Ike2Settings(authentication="psk")


class Side:
    """A service with what it has logged and done to its kernel."""

    def __init__(self, address, kernel, settings=SETTINGS, **more):
        self.kernel = kernel
        self.failures = []
        self._log = io.StringIO()
        self.service = Ike2Service(
            address,
            settings,
            identity=None,
            kernel=kernel,
            keys=KeyLog(None),
            log=EventLog("X", "ikev2", self._log),
            on_failure=self.failures.append,
            **more,
        )

    def events(self):
        return [json.loads(line)["event"] for line in self._log.getvalue().splitlines()]

    async def logged(self, event, times=1):
        async with asyncio.timeout(10):
            while self.events().count(event) < times:
                await asyncio.sleep(0.001)


@pytest.fixture(autouse=True)
def _network(monkeypatch):
    monkeypatch.setattr(ike2, "DatagramEndpoint", Network().endpoint)


def both():
    mn, ha = Side(COA, ModelMobileNode()), Side(HA, ModelHomeAgent(None, HA))
    ha.service.add_psk(PSK, peer=COA, identity=None, home_address=HOA)
    mn.service.initiate(HA, HOA, psk=PSK)
    return mn, ha


def test_the_kernel_gets_every_pair_once():
    async def main():
        mn, ha = both()
        await mn.logged("ChildEstablished")
        mn.service.rekey_children(HA)
        await mn.logged("ChildDeleted")
        for side in (mn, ha):
            installed = [name for name, *_ in side.kernel.calls if name == "install"]
            assert len(installed) == 2
            side.service.close()

    asyncio.run(main())


def test_sas_that_the_kernel_refuses_are_deleted_at_the_peer_too():
    async def main():
        mn, ha = Side(COA, ModelMobileNode()), Side(HA, ModelHomeAgent(None, HA))
        ha.kernel.failures = dict.fromkeys(("install", "uninstall"), errno.ENOMEM)
        ha.service.add_psk(PSK, peer=COA, identity=None, home_address=HOA)
        mn.service.initiate(HA, HOA, psk=PSK)
        await mn.logged("ChildDeleted")
        await ha.logged("ChildDeleted")
        assert ha.failures == [
            f"IKE with {COA}: [Errno {errno.ENOMEM}] install: refused as asked",
            f"IKE with {COA}: no ESP SAs are left: deleted",
        ]
        assert mn.failures == [f"IKE with {HA}: no ESP SAs are left: deleted by the peer"]
        assert ha.events().count("KernelFailed") == 2
        assert not mn.kernel.sas
        for side in (mn, ha):
            assert "IkeDeleted" not in side.events()
            side.service.close()

    asyncio.run(main())


def test_an_ike_sa_that_is_left_without_esp_sas_is_a_failure():
    async def main():
        mn, ha = both()
        await mn.logged("ChildEstablished")
        mn.service.rekey_children(HA)
        await mn.logged("ChildDeleted")
        assert not mn.failures  # Another pair has taken over.
        assert mn.service.secured(HA)
        (pair,) = ha.service._machine.sas.children.values()
        driver = ha.service._endpoint.driver
        driver.call(ha.service._machine.delete_child, pair.spi, driver.now())
        await mn.logged("ChildDeleted", 2)
        assert mn.failures == [f"IKE with {HA}: no ESP SAs are left: deleted by the peer"]
        assert not mn.service.secured(HA)
        mn.service.initiate(HA, HOA)
        assert mn.service.secured(HA)
        await mn.logged("ChildEstablished", 3)
        assert mn.events().count("IkeEstablished") == 1
        mn.service.close()
        ha.service.close()

    asyncio.run(main())


def test_the_sas_of_an_earlier_address_do_not_secure_the_next():
    async def main():
        mn, ha = both()
        await mn.logged("ChildEstablished")
        mn.service.move(COA + 1)
        assert not mn.service.secured(HA)
        mn.service.move(COA)
        assert mn.service.secured(HA)
        mn.service.close()
        ha.service.close()

    asyncio.run(main())


def test_the_loss_of_the_last_ike_sa_is_told():
    async def main():
        mn, ha = both()
        lost = []
        mn.service.on_lost = lambda: lost.append(mn.events().count("IkeDeleted"))
        await mn.logged("IkeEstablished")
        mn.service.rekey_ike(HA)
        await mn.logged("IkeDeleted")
        assert not lost  # Another one has taken over.
        ha.service.delete_identity(str(COA))
        await mn.logged("IkeDeleted", 2)
        assert lost == [2]
        mn.service.close()
        ha.service.close()

    asyncio.run(main())


def test_the_home_agent_hears_when_a_peers_last_ike_sa_is_gone():
    async def main():
        mn, ha = both()
        gone = []
        ha.service.on_gone = gone.append
        await mn.logged("IkeEstablished")
        mn.service.rekey_ike(HA)
        await ha.logged("IkeDeleted")
        assert not gone  # Another one has taken over.
        ha.service.delete_identity(str(COA))
        await ha.logged("IkeDeleted", 2)
        assert gone == [str(COA)]
        mn.service.close()
        ha.service.close()

    asyncio.run(main())


def test_a_peer_that_is_silent_is_asked_whether_it_lives():
    assert SETTINGS.config(None, responder=False).liveness_interval == 60.0


def test_a_home_agent_with_eap_takes_no_certificate_instead():
    config = Ike2Settings(authentication="eap").config(None, responder=True)
    assert (config.accept_eap, config.accept_certificates) == (True, False)


def test_a_move_makes_new_sas_and_then_deletes_the_old_ones():
    async def main():
        mn, ha = both()
        ha.service.add_psk(PSK, peer=COA + 1, identity=None, home_address=HOA)
        await mn.logged("IkeEstablished")
        (old,) = (pair for name, pair in mn.kernel.calls if name == "install")
        mn.service.move(COA + 1)
        assert mn.kernel.sas
        mn.service.initiate(HA, HOA)
        for side in (mn, ha):
            await side.logged("IkeDeleted")
            calls = [(name, pair.inbound.spi) for name, pair in side.kernel.calls[-2:]]
            assert [name for name, _ in calls] == ["install", "uninstall"]
            assert len(side.kernel.sas) == 2
        assert mn.kernel.calls[-1] == ("uninstall", old)
        mn.service.close()
        ha.service.close()

    asyncio.run(main())


def test_the_end_of_an_authorisation_takes_its_sas_out_of_the_kernel_at_once():
    async def main():
        mn, ha = both()
        await mn.logged("ChildEstablished")
        assert ha.kernel.sas
        mn.service.close()  # It says nothing any more.
        ha.service.delete_identity(str(COA))
        assert not ha.kernel.sas
        assert "ChildDeleted" in ha.events()
        ha.service.close()

    asyncio.run(main())
