"""Runs a part of discovery on real sockets: ROLE JSON-OPTIONS.

The roles are a DHCPv6 client, a relay agent, a DNS lookup, and what a mobile node does of these.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from ipaddress import IPv6Address

from agents.bootstrap.assignment import Assignment
from agents.core.eventlog import EventLog
from agents.dhcpv6.client import InformationRequest
from agents.dhcpv6.home import Home
from agents.dhcpv6.relay import Relay
from agents.dhcpv6.wire import ALL_SERVERS, CLIENT_PORT, SERVER_PORT, link_layer_duid
from agents.dns.lookup import HomeAgentLookup
from agents.dns.wire import PORT
from agents.nodes.mobile_node.discovery import Discovery
from agents.nodes.mobile_node.settings import Dhcpv6Settings
from agents.shell.addresses import care_of_address, link_local_address
from agents.shell.datagrams import DatagramEndpoint
from agents.shell.lookup import LookupEndpoint
from agents.shell.relay import RelayEndpoint

DEADLINE = 10.0


def start(endpoint, machine) -> None:
    endpoint.driver.call(machine.start, endpoint.driver.now())


async def client(log: EventLog, interface: str, homes: list[str], source: str = "::") -> None:
    await link_local_address(interface, DEADLINE)
    machine = InformationRequest(
        link_layer_duid(bytes.fromhex("020000000001")),
        [Home[name] for name in homes],
        rng=random.SystemRandom(),
        network="home.test",
        interface=interface,
        max_delay=0.0,
        deadline=5.0,
    )
    start(DatagramEndpoint(machine, (source, CLIENT_PORT), log, interface=interface), machine)


async def relay(log: EventLog, assigned: dict[str, list], **options: str) -> None:
    await link_local_address(options["interface"], DEADLINE)
    machine = Relay(
        interface=options["interface"],
        link_address=IPv6Address(options["link_address"]),
        servers=[(options.get("server", ALL_SERVERS), SERVER_PORT)],
    )
    for number, (address, (home_agent, prefix_length)) in enumerate(assigned.items()):
        assignment = Assignment(IPv6Address(home_agent), prefix_length)
        machine.set_information(number, IPv6Address(address), assignment, "home.test")
    RelayEndpoint(
        machine,
        interface=options["interface"],
        server_interface=options["server_interface"],
        address=options["address"],
        on_event=log,
    )
    log.write("Ready")


async def lookup(log: EventLog, server: str, **question: str) -> None:
    rng = random.SystemRandom()
    machine = HomeAgentLookup((server, PORT), rng=rng, deadline=5.0, tcp=True, **question)
    start(LookupEndpoint(machine, ("::", 0), log), machine)


async def mobile_node(log: EventLog, interface: str) -> None:
    Discovery(
        Dhcpv6Settings(network="home.test", initial_delay=False),
        interface,
        await care_of_address(interface, DEADLINE),
        log=log,
        on_found=lambda found: log.write("Found", home_agent=found.home_agent),
        on_failure=lambda reason: log.write("NotFound", reason=reason),
    ).start()


ROLES = {"client": client, "relay": relay, "lookup": lookup, "mobile_node": mobile_node}


async def main(role: str, options: str) -> None:
    await ROLES[role](EventLog(role, role), **json.loads(options))
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
