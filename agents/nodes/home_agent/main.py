"""The program of a home agent apart from the AAA server (RFC 5778)."""

from __future__ import annotations

import asyncio
import time
from ipaddress import IPv6Address

from agents.core.eventlog import EventLog
from agents.ikev2.config import Credentials
from agents.kernel.home_agent import LinuxHomeAgent
from agents.nodes.home_agent.machine import HomeAgentNode
from agents.nodes.home_agent.settings import HomeAgentConfiguration
from agents.nodes.ike_daemon.credentials import read_credentials
from agents.shell.host import LinuxHost
from agents.shell.output import OUTPUT
from agents.shell.program import run, serve_until
from agents.shell.tls import TlsFiles


async def serve(configuration: HomeAgentConfiguration, stop: asyncio.Event) -> None:
    """Run the home agent until `stop` is set."""
    log = EventLog(configuration.host, "role", OUTPUT)
    settings = configuration.home_agent
    kernel = LinuxHomeAgent(IPv6Address(settings.address), settings.interface, shared=False)
    host = LinuxHost(TlsFiles.of(configuration.diameter_tls))
    node = HomeAgentNode(
        configuration,
        host,
        kernel,
        log,
        credentials=credentials(configuration),
        epoch=int(time.time()),
    )
    await serve_until(stop, node, log, node.commands())


def credentials(configuration: HomeAgentConfiguration) -> Credentials:
    """Return what IKEv2 shows and trusts, nothing where the keys are the AAA server's."""
    if configuration.certificate is None:
        return Credentials()
    return read_credentials(configuration.certificate, own=True)


def main() -> None:
    """Run the program."""
    run("agents.nodes.home_agent.main", HomeAgentConfiguration, serve)


if __name__ == "__main__":
    main()
