"""The Diameter agent's program."""

from __future__ import annotations

import asyncio
import time

from agents.core.eventlog import EventLog
from agents.nodes.diameter_agent.machine import DiameterAgent
from agents.nodes.diameter_agent.settings import DiameterAgentConfiguration
from agents.shell.host import LinuxHost
from agents.shell.output import OUTPUT
from agents.shell.program import run, serve_until
from agents.shell.tls import TlsFiles


async def serve(configuration: DiameterAgentConfiguration, stop: asyncio.Event) -> None:
    """Run the agent until `stop` is set."""
    log = EventLog(configuration.host, "role", OUTPUT)
    host = LinuxHost(TlsFiles.of(configuration.tls))
    agent = DiameterAgent(configuration, host, log, epoch=int(time.time()))
    await serve_until(stop, agent, log)


def main() -> None:
    """Run the program."""
    run("agents.nodes.diameter_agent.main", DiameterAgentConfiguration, serve)


if __name__ == "__main__":
    main()
