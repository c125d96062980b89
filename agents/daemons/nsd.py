"""The mobility service provider's DNS server: NSD, with the records of its home agents."""

from __future__ import annotations

import asyncio
from ipaddress import IPv6Address
from pathlib import Path
from typing import Annotated

import msgspec

from agents.core.configuration import Configuration
from agents.core.patience import patient
from agents.core.unicast import home_agent_address
from agents.daemons.daemon import executable, run_daemon, udp_port_bound, wait_for_addresses
from agents.dns.lookup import SERVICE
from agents.dns.wire import PORT, normal
from agents.shell.program import run

_NUMBER = msgspec.Meta(ge=0, le=65535)
_NO_PORT = 0
"""Mobile IPv6 runs over no transport protocol (RFC 5026 section 5.1.2)."""


class HomeAgentRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A home agent by its full name; without `addresses` another zone has them."""

    name: str
    addresses: list[str] = []
    priority: Annotated[int, _NUMBER] = 0
    weight: Annotated[int, _NUMBER] = 0

    def __post_init__(self) -> None:
        for address in self.addresses:
            home_agent_address(address)


class Zone(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A domain; `home_agents` are found by service name, `hosts` by their own name only."""

    domain: str
    home_agents: list[HomeAgentRecord] = []
    hosts: dict[str, list[str]] = {}


class DnsServerConfiguration(Configuration, frozen=True, kw_only=True):
    """The DNS server's configuration; times in seconds."""

    address: str
    work: str
    zones: Annotated[list[Zone], msgspec.Meta(min_length=1)]
    time_to_live: Annotated[int, msgspec.Meta(ge=0, le=0x7FFFFFFF)] = 300
    start_deadline: Annotated[float, msgspec.Meta(gt=0, le=86400)] = 30.0


def zone_text(zone: Zone, server: IPv6Address, time_to_live: int) -> str:
    """Return a zone file (RFC 1035 section 5); ValueError for a bad name or address."""
    domain = normal(zone.domain)
    lines = [
        f"$ORIGIN {domain}.",
        f"$TTL {time_to_live}",
        f"@ SOA ns hostmaster 1 3600 600 86400 {time_to_live}",
        "@ NS ns",
        f"ns AAAA {server}",
    ]
    for agent in zone.home_agents:
        target = f"{normal(agent.name)}."
        lines.append(f"{SERVICE} SRV {agent.priority} {agent.weight} {_NO_PORT} {target}")
        lines += [f"{target} AAAA {IPv6Address(address)}" for address in agent.addresses]
    for name, addresses in zone.hosts.items():
        lines += [f"{normal(name)}. AAAA {IPv6Address(address)}" for address in addresses]
    return "\n".join(lines) + "\n"


def nsd_configuration(configuration: DnsServerConfiguration) -> str:
    """Return NSD's configuration; ValueError for a bad name or address.

    It has room for one zone transfer, for none is made, and for a thousand clients: the defaults
    draw 128 times 128 numbers and fill 32 MB, half a second of a start in user-mode Linux.
    """
    work = Path(configuration.work)
    lines = [
        "server:",
        f"  ip-address: {IPv6Address(configuration.address)}@{PORT}",
        "  server-count: 1",
        '  username: ""',
        '  chroot: ""',
        '  database: ""',
        '  pidfile: ""',
        f'  zonesdir: "{work}"',
        f'  xfrdfile: "{work / "xfrd.state"}"',
        f'  xfrdir: "{work}"',
        f'  zonelistfile: "{work / "zone.list"}"',
        f'  cookie-secret-file: "{work / "cookies"}"',
        "  hide-version: yes",
        "  rrl-size: 1000",
        "  xfrd-tcp-max: 1",
        "  xfrd-tcp-pipeline: 1",
        "remote-control:",
        "  control-enable: no",
    ]
    for zone in configuration.zones:
        domain = normal(zone.domain)
        lines += ["zone:", f'  name: "{domain}"', f'  zonefile: "{domain}.zone"']
    return "\n".join(lines) + "\n"


async def serve(configuration: DnsServerConfiguration, stop: asyncio.Event) -> None:
    """Run NSD until `stop` is set."""
    work, deadline = Path(configuration.work), patient(configuration.start_deadline)
    address = IPv6Address(configuration.address)
    settings = work / "nsd.conf"
    settings.write_text(nsd_configuration(configuration), encoding="utf-8")
    for zone in configuration.zones:
        text = zone_text(zone, address, configuration.time_to_live)
        (work / f"{normal(zone.domain)}.zone").write_text(text, encoding="utf-8")
    await wait_for_addresses([address], deadline)
    await run_daemon(
        [executable("nsd", work), "-d", "-c", str(settings)],
        work / "nsd.log",
        {
            "nsd has started": lambda daemon: daemon.said("nsd started"),
            f"nsd listens on {address}": lambda _: udp_port_bound(address, PORT),
        },
        host=configuration.host,
        deadline=deadline,
        stop=stop,
    )


def main() -> None:
    """Run the program."""
    run("agents.daemons.nsd", DnsServerConfiguration, serve)


if __name__ == "__main__":
    main()
