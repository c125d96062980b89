"""The visited network's DHCPv6 server: Kea, with home agents of its own and those of relays."""

from __future__ import annotations

import asyncio
import json
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from typing import Annotated, Any

import msgspec

from agents.core.configuration import Configuration
from agents.core.patience import patient
from agents.core.unicast import home_agent_address
from agents.daemons.daemon import executable, run_daemon, udp_port_bound, wait_for_addresses
from agents.dhcpv6.wire import SERVER_PORT, OptionCode
from agents.shell.addresses import link_local_address
from agents.shell.program import run

_VISITED = "mip6-visited"
_ENTERPRISE = 32473
"""The enterprise number for examples (RFC 5612): the server identifier is always the same."""


class LocalHomeAgent(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A home agent in the visited network: an address with its prefix length, or a name."""

    address: str | None = None
    prefix_length: Annotated[int, msgspec.Meta(ge=0, le=128)] = 64
    fqdn: str | None = None

    def __post_init__(self) -> None:
        if self.address is not None:
            home_agent_address(self.address)


class DhcpServerConfiguration(Configuration, frozen=True, kw_only=True):
    """The DHCPv6 server's configuration; times in seconds.

    `address` is where relay agents send to; without it clients on the link alone are served.
    Without `local` there is no home agent in the visited network; `relayed` lets what relay
    agents supply about home networks through to the client.
    """

    interface: str
    work: str
    address: str | None = None
    local: LocalHomeAgent | None = None
    relayed: bool = True
    start_deadline: Annotated[float, msgspec.Meta(gt=0, le=86400)] = 30.0


def _home_agent_options(agent: LocalHomeAgent) -> list[dict[str, Any]]:
    options: list[dict[str, Any]] = [{"name": _VISITED}]
    if agent.address is not None:
        network = IPv6Network((IPv6Address(agent.address), agent.prefix_length), strict=False)
        prefix = f"{network.prefixlen}, {network.network_address}"
        options += [
            {"space": _VISITED, "name": "prefix", "data": prefix},
            {"space": _VISITED, "name": "address", "data": str(IPv6Address(agent.address))},
        ]
    if agent.fqdn is not None:
        options.append({"space": _VISITED, "name": "fqdn", "data": agent.fqdn})
    return options


def kea_configuration(configuration: DhcpServerConfiguration) -> dict[str, Any]:
    """Return Kea's configuration; ValueError if an address is none."""
    interface, codes = configuration.interface, OptionCode
    interfaces = [interface]
    if configuration.address is not None:  # Kea takes unicast where it is told to only.
        interfaces.append(f"{interface}/{IPv6Address(configuration.address)}")
    inner = (
        ("prefix", codes.MIP6_HNP, {"type": "record", "record-types": "uint8, ipv6-address"}),
        ("address", codes.MIP6_HAA, {"type": "ipv6-address"}),
        ("fqdn", codes.MIP6_HAF, {"type": "fqdn"}),
    )
    container = {"name": _VISITED, "code": codes.MIP6_VDINF, "type": "empty"}
    supplied = (codes.MIP6_IDINF, codes.MIP6_UDINF) if configuration.relayed else ()
    return {
        "Dhcp6": {
            "interfaces-config": {"interfaces": interfaces, "re-detect": False},
            "lease-database": {"type": "memfile", "persist": False},
            "server-id": {
                "type": "EN",
                "enterprise-id": _ENTERPRISE,
                "identifier": "01",
                "persist": False,
            },
            "option-def": [
                {**container, "encapsulate": _VISITED},
                *({"name": n, "code": c, "space": _VISITED, **kind} for n, c, kind in inner),
            ],
            "option-data": _home_agent_options(configuration.local) if configuration.local else [],
            "relay-supplied-options": [str(int(code)) for code in supplied],
            "loggers": [
                {
                    "name": "kea-dhcp6",
                    "output_options": [{"output": "stdout", "flush": True}],
                    "severity": "INFO",
                }
            ],
        }
    }


async def serve(configuration: DhcpServerConfiguration, stop: asyncio.Event) -> None:
    """Run Kea until `stop` is set."""
    work, deadline = Path(configuration.work), patient(configuration.start_deadline)
    settings = work / "kea-dhcp6.json"
    settings.write_text(json.dumps(kea_configuration(configuration), indent=1), encoding="utf-8")
    addresses = [await link_local_address(configuration.interface, deadline)]
    if configuration.address is not None:
        addresses.append(IPv6Address(configuration.address))
    await wait_for_addresses(addresses, deadline)
    # Of a Kea that was killed with its program: it would not start beside a process of that number.
    (work / "kea-dhcp6.kea-dhcp6.pid").unlink(missing_ok=True)
    listens = "kea-dhcp6 listens on " + ", ".join(map(str, addresses))
    await run_daemon(
        [executable("kea-dhcp6", work), "-c", str(settings)],
        work / "kea-dhcp6.log",
        {
            "kea-dhcp6 has started": lambda daemon: daemon.said("DHCP6_STARTED"),
            listens: lambda _: all(udp_port_bound(one, SERVER_PORT) for one in addresses),
        },
        host=configuration.host,
        deadline=deadline,
        stop=stop,
        environment={
            "KEA_PIDFILE_DIR": str(work),
            "KEA_LOCKFILE_DIR": str(work),
            "KEA_DHCP_DATA_DIR": str(work),
        },
    )


def main() -> None:
    """Run the program."""
    run("agents.daemons.kea", DhcpServerConfiguration, serve)


if __name__ == "__main__":
    main()
