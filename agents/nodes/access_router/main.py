"""The access router's program."""

from __future__ import annotations

import asyncio
import time
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path

from agents.core.eventlog import EventLog
from agents.kernel.filter import LinuxEnforcementPoint
from agents.kernel.home_agent import LinuxHomeAgent
from agents.kernel.meter import LinuxMeter
from agents.kernel.port import AccessLink
from agents.nodes.access_router.machine import AccessRouter
from agents.nodes.access_router.settings import AccessRouterConfiguration
from agents.shell.host import LinuxHost
from agents.shell.output import OUTPUT
from agents.shell.program import run, serve_until
from agents.shell.tls import TlsFiles


async def serve(configuration: AccessRouterConfiguration, stop: asyncio.Event) -> None:
    """Run the access router until `stop` is set."""
    log = EventLog(configuration.host, "role", OUTPUT)
    router = AccessRouter(
        configuration,
        LinuxHost(TlsFiles.of(configuration.diameter_tls, configuration.keys)),
        closed_filter(configuration),
        log,
        epoch=int(time.time()),
        local_kernel=local_kernel(configuration),
        radius_secret=radius_secret(configuration),
        meter=meter(configuration),
    )
    await serve_until(stop, router, log, router.commands())


def closed_filter(configuration: AccessRouterConfiguration) -> LinuxEnforcementPoint:
    """Return the filter on the access link, which nobody passes yet."""
    link = AccessLink(configuration.access_interface, IPv6Network(configuration.access_prefix))
    enforcement = LinuxEnforcementPoint(link)
    enforcement.close_access()
    return enforcement


def meter(configuration: AccessRouterConfiguration) -> LinuxMeter | None:
    """Return what counts on the access link if that is to be accounted."""
    return LinuxMeter(configuration.access_interface) if configuration.accounting else None


def local_kernel(configuration: AccessRouterConfiguration) -> LinuxHomeAgent | None:
    """Return the kernel of the home agent that is offered on this host, if one is."""
    if configuration.local is None:
        return None
    settings = configuration.local.home_agent
    return LinuxHomeAgent(IPv6Address(settings.address), settings.interface, shared=False)


def radius_secret(configuration: AccessRouterConfiguration) -> bytes:
    """Return the secret with the home AAA server if that is asked by RADIUS."""
    radius = configuration.radius
    return Path(radius.secret_file).read_bytes() if radius else b""


def main() -> None:
    """Run the program."""
    run("agents.nodes.access_router.main", AccessRouterConfiguration, serve)


if __name__ == "__main__":
    main()
