"""What the mobile node takes from DHCPv6 and DNS, and when it stops listening."""

from __future__ import annotations

import asyncio
import io
from ipaddress import IPv6Address

import pytest

from agents.bootstrap.assignment import Assignment
from agents.core.eventlog import EventLog
from agents.dhcpv6 import events as dhcpv6
from agents.dns import events as dns
from agents.nodes.ike_daemon.ikev2 import Ike2Settings
from agents.nodes.mobile_node.discovery import Discovery
from agents.nodes.mobile_node.settings import (
    Dhcpv6Settings,
    DnsSettings,
    EapSettings,
    MobileNodeConfiguration,
)
from agents.nodes.tls import TlsSettings

HERE = IPv6Address("::1")
HA, OTHER_HA = IPv6Address("2001:db8:100::1"), IPv6Address("2001:db8:100::2")


def learned(*addresses, prefix=None, fqdn=None):
    return dhcpv6.HomeAgentLearned(0.0, addresses, prefix, fqdn, False, None)


def outcomes(*told):
    """Return what a discovery makes of the events of its machine."""
    results = []

    async def main():
        # DNS is asked from a port that needs no privilege; what is told decides the rest.
        discovery = Discovery(
            DnsSettings(server="::1", domain="home.test"),
            "lo",
            HERE,
            log=EventLog("A", "role", io.StringIO()),
            on_found=results.append,
            on_failure=results.append,
        )
        for event in told:
            discovery._handle(event)
            await asyncio.sleep(0)
        discovery.close()

    asyncio.run(main())
    return results


@pytest.mark.parametrize(
    ("event", "outcome"),
    [
        (learned(HA), Assignment(HA, 64)),
        (learned(HERE, HA), Assignment(HA, 64)),
        (learned(HERE), "DHCPv6: the home agent has an address of this host"),
        (learned(fqdn="ha.home.test"), "DHCPv6: the home agent has a name only, ha.home.test"),
        (dhcpv6.Failed(0.0, "silence"), "DHCPv6: silence"),
        (dns.HomeAgentsFound(0.0, (dns.HomeAgent("a", (HA,)),)), Assignment(HA, 64)),
        (
            dns.HomeAgentsFound(0.0, (dns.HomeAgent("a", (HERE,)), dns.HomeAgent("b", (HA,)))),
            Assignment(HA, 64),
        ),
        (dns.Failed(0.0, "silence"), "DNS: silence"),
    ],
)
def test_the_first_outcome_is_the_last(event, outcome):
    assert outcomes(event, learned(OTHER_HA), dhcpv6.Failed(1.0, "late")) == [outcome]


@pytest.mark.parametrize(
    "discovery",
    [
        Dhcpv6Settings(network="home.test"),
        DnsSettings(server="2001:db8::53", domain="home.test"),
    ],
)
def test_a_mobile_node_that_expects_sealed_information_asks_nobody_else(discovery):
    tls = TlsSettings(ca="", certificate="", key="")
    common = {
        "host": "A",
        "interface": "A-eth0",
        "work": "",
        "eap": EapSettings(identity="mn@home.test", server_name="aaa.home.test", tls=tls),
        "discovery": discovery,
        "ikev2": Ike2Settings(),
    }
    MobileNodeConfiguration(**common)
    with pytest.raises(ValueError, match="not sealed"):
        MobileNodeConfiguration(**common, protection="sealed")
