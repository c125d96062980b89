"""The access router's program."""

from __future__ import annotations

import asyncio
import os
from ipaddress import IPv6Network

from agents.core.eventlog import EventLog
from agents.kernel.filter import LinuxEnforcementPoint
from agents.kernel.port import AccessLink
from agents.nodes.aaa_client import AaaClient
from agents.nodes.access_router.machine import AccessRouter
from agents.nodes.access_router.settings import AccessRouterConfiguration
from agents.shell.program import run, take_commands


async def serve(
    configuration: AccessRouterConfiguration,
    stop: asyncio.Event,
    kind: type[AccessRouter] = AccessRouter,
) -> None:
    """Run the access router until `stop` is set."""
    log = EventLog(configuration.host, "role")
    link = AccessLink(configuration.access_interface, IPv6Network(configuration.access_prefix))
    enforcement = LinuxEnforcementPoint(link)
    enforcement.close_access()
    client = AaaClient(configuration, log, configuration.keys)
    router = kind(configuration, client, enforcement, log.child("pana"))
    await client.start()
    take_commands(router.commands(), log)
    log.write("Ready", pid=os.getpid())
    await stop.wait()
    router.close()
    await client.close()


if __name__ == "__main__":
    run("agents.nodes.access_router.main", AccessRouterConfiguration, serve)
