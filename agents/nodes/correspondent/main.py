"""The program of a correspondent node that takes part in route optimisation."""

from __future__ import annotations

import asyncio
from ipaddress import IPv6Address

from agents.core.eventlog import EventLog
from agents.kernel.correspondent import LinuxCorrespondent
from agents.nodes.correspondent.machine import Correspondent
from agents.nodes.correspondent.settings import CorrespondentConfiguration
from agents.shell.host import LinuxHost
from agents.shell.output import OUTPUT
from agents.shell.program import run, serve_until


async def serve(configuration: CorrespondentConfiguration, stop: asyncio.Event) -> None:
    """Run the correspondent node until `stop` is set."""
    log = EventLog(configuration.host, "role", OUTPUT)
    kernel = LinuxCorrespondent(IPv6Address(configuration.address))
    await serve_until(stop, Correspondent(configuration, LinuxHost(), kernel, log), log)


def main() -> None:
    """Run the program."""
    run("agents.nodes.correspondent.main", CorrespondentConfiguration, serve)


if __name__ == "__main__":
    main()
