from __future__ import annotations

import errno
import inspect
from ipaddress import IPv6Address, IPv6Network

import pytest

from agents.ike.esp import Encryption, EspPair, EspSa, Integrity
from agents.kernel import port
from agents.kernel.filter import LinuxEnforcementPoint
from agents.kernel.home_agent import LinuxHomeAgent
from agents.kernel.mobile_node import LinuxMobileNode
from agents.kernel.model_port import (
    ModelEnforcementPoint,
    ModelHomeAgent,
    ModelMobileNode,
)

HOME, AGENT = IPv6Address("2001:db8:100::1234"), IPv6Address("2001:db8:100::1")
CARE_OF = IPv6Address("2001:db8:a::2")


def pair() -> EspPair:
    def sa(source, destination, spi):
        keys = (Encryption.AES_CBC, bytes(16), Integrity.HMAC_SHA2_256_128, bytes(32))
        return EspSa(source, destination, spi, 135, *keys, 3600.0)

    return EspPair(sa(AGENT, HOME, 0x2000), sa(HOME, AGENT, 0x1000))


@pytest.mark.parametrize(
    ("protocol", "implementations"),
    [
        (port.MobileNodeKernel, (ModelMobileNode, LinuxMobileNode)),
        (port.HomeAgentKernel, (ModelHomeAgent, LinuxHomeAgent)),
        (port.EnforcementPoint, (ModelEnforcementPoint, LinuxEnforcementPoint)),
    ],
)
def test_every_implementation_has_the_ports_signatures(protocol, implementations):
    for name, operation in inspect.getmembers(protocol, inspect.isfunction):
        if name.startswith("_"):
            continue
        for implementation in implementations:
            assert inspect.signature(getattr(implementation, name)) == inspect.signature(operation)


def test_security_associations_are_kept_and_announced():
    kernel, news = ModelMobileNode(), []
    watch = kernel.kernel.watch_sas(lambda: news.append(len(kernel.sas)))
    kernel.prepare(HOME, AGENT, CARE_OF)
    kernel.install(pair())
    assert [sa.spi for sa in kernel.sas_between(HOME, AGENT)] == [0x1000]
    kernel.uninstall(pair())
    assert kernel.sas_between(HOME, AGENT) == []
    assert news == [1, 2, 1, 0]
    watch.close()
    watch.close()
    kernel.install(pair())
    assert len(news) == 4


def test_a_failure_as_asked():
    kernel = ModelHomeAgent(None, AGENT)
    kernel.failures["bind"] = errno.ENOMEM
    with pytest.raises(port.KernelError) as caught:
        kernel.bind(HOME, CARE_OF, None)
    assert caught.value.errno == errno.ENOMEM
    assert kernel.bound == {}
    assert kernel.calls == [("bind", HOME, CARE_OF, None)]


def test_enforcement_point():
    ep = ModelEnforcementPoint(None, port.AccessLink("acc", IPv6Network("2001:db8:a::/64")))
    assert ep.passes(CARE_OF)
    ep.close_access()
    assert not ep.passes(CARE_OF)
    ep.authorise(CARE_OF)
    assert ep.passes(CARE_OF)
    ep.revoke(CARE_OF)
    assert not ep.passes(CARE_OF)
    ep.release()
    assert ep.passes(HOME)


def test_pinholes():
    ep = ModelEnforcementPoint(None, port.AccessLink("acc", IPv6Network("2001:db8:a::/64")))
    ep.close_access()
    ep.admit(CARE_OF, AGENT, 500)
    assert ep.pinholes == {(CARE_OF, AGENT, 500)}
    assert not ep.passes(CARE_OF)
    for _ in range(2):
        ep.dismiss(CARE_OF, AGENT, 500)
    assert not ep.pinholes
