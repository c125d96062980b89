"""Runs a part of discovery on real sockets: ROLE JSON-OPTIONS.

The roles are a DHCPv6 client, a relay agent, a DNS lookup, and what a mobile node does of these.
"""

from __future__ import annotations

import asyncio
import json
import sys
from ipaddress import IPv6Address

from agents.bootstrap.assignment import Assignment
from agents.core.eventlog import EventLog
from agents.dhcpv6.client import InformationRequest
from agents.dhcpv6.home import Home
from agents.dhcpv6.wire import CLIENT_PORT
from agents.dns.lookup import HomeAgentLookup
from agents.dns.wire import PORT
from agents.nodes.access_router.relay_agent import RelayAgent
from agents.nodes.access_settings import RelaySettings
from agents.nodes.mobile_node.discovery import Discovery, LookupEndpoint, Tried
from agents.nodes.mobile_node.settings import Dhcpv6Settings
from agents.shell.addresses import care_of_address, link_local_address
from agents.shell.host import LinuxHost

DEADLINE = 10.0


async def client(log: EventLog, interface: str, homes: list[str], source: str = "::") -> None:
    await link_local_address(interface, DEADLINE)
    host = LinuxHost()
    machine = InformationRequest(
        bytes.fromhex("00030001020000000001"),
        [Home[name] for name in homes],
        rng=host.rng,
        network="home.test",
        interface=interface,
        max_delay=0.0,
        deadline=5.0,
    )
    endpoint = host.datagrams(machine, (source, CLIENT_PORT), log, interface=interface)
    endpoint.call(machine.start, host.now())


async def relay(
    log: EventLog,
    assigned: dict[str, list],
    interface: str,
    link_address: str,
    server_interface: str,
    **servers: str,
) -> None:
    await link_local_address(interface, DEADLINE)
    settings = RelaySettings(interface=server_interface, network="home.test", **servers)
    agent = RelayAgent(LinuxHost(), settings, interface, IPv6Address(link_address), log)
    agent.open()
    for number, (address, (home_agent, prefix_length)) in enumerate(assigned.items()):
        assignment = Assignment(IPv6Address(home_agent), prefix_length)
        agent.supply(number, IPv6Address(address), assignment)
    log.write("Ready")


async def lookup(log: EventLog, server: str, **question: str) -> None:
    host = LinuxHost()
    machine = HomeAgentLookup((server, PORT), rng=host.rng, deadline=5.0, tcp=True, **question)
    endpoint = LookupEndpoint(host, machine, ("::", 0), log)
    endpoint.call(machine.start, host.now())


async def mobile_node(log: EventLog, interface: str) -> None:
    Discovery(
        LinuxHost(),
        Dhcpv6Settings(network="home.test", initial_delay=False),
        interface,
        await care_of_address(interface, DEADLINE),
        log=log,
        tried=Tried(),
        on_found=lambda found: log.write("Found", home_agent=found.home_agent),
        on_failure=lambda reason: log.write("NotFound", reason=reason),
    ).start()


ROLES = {"client": client, "relay": relay, "lookup": lookup, "mobile_node": mobile_node}


async def main(role: str, options: str) -> None:
    await ROLES[role](EventLog(role, role), **json.loads(options))
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
