"""The program of an access router that lies."""

from __future__ import annotations

import asyncio
import time
from ipaddress import IPv6Address

from agents.core.eventlog import EventLog
from agents.kernel.associations import REQID
from agents.kernel.home_agent import LinuxHomeAgent
from agents.kernel.mobile_node import LinuxMobileNode
from agents.nodes.access_router.main import closed_filter, local_kernel, radius_secret
from agents.nodes.rogue_router.machine import RogueRouter
from agents.nodes.rogue_router.settings import RogueConfiguration
from agents.shell.host import LinuxHost
from agents.shell.output import OUTPUT
from agents.shell.program import run, serve_until
from agents.shell.tls import TlsFiles


async def serve(configuration: RogueConfiguration, stop: asyncio.Event) -> None:
    """Run the rogue until `stop` is set."""
    log = EventLog(configuration.host, "role", OUTPUT)
    false_kernel = None
    if configuration.attack == "alter":
        own = IPv6Address(configuration.own_address)
        false_kernel = LinuxHomeAgent(own, configuration.interface)
    router = RogueRouter(
        configuration,
        LinuxHost(TlsFiles.of(configuration.diameter_tls, configuration.keys)),
        closed_filter(configuration),
        log,
        epoch=int(time.time()),
        local_kernel=local_kernel(configuration),
        radius_secret=radius_secret(configuration),
        victim_kernel=LinuxMobileNode(reqid=REQID + 1, tunnel="rogue0"),
        false_kernel=false_kernel,
    )
    await serve_until(stop, router, log, router.commands())


def main() -> None:
    """Run the program."""
    run("agents.nodes.rogue_router.main", RogueConfiguration, serve)


if __name__ == "__main__":
    main()
