"""The program of a home agent apart from the AAA server (RFC 5778)."""

from __future__ import annotations

import asyncio
import os

from agents.core.eventlog import EventLog
from agents.nodes.aaa_client import AaaClient
from agents.nodes.home_agent.machine import EapAuthenticator, HomeAgentService
from agents.nodes.home_agent.settings import HomeAgentConfiguration
from agents.shell.program import run


async def serve(configuration: HomeAgentConfiguration, stop: asyncio.Event) -> None:
    """Run the home agent until `stop` is set."""
    log = EventLog(configuration.host, "role")
    home_agent = HomeAgentService(configuration.home_agent, log)
    client = AaaClient(configuration, log)
    authenticator = EapAuthenticator(configuration, client, home_agent, log)
    await client.start()
    log.write("Ready", pid=os.getpid())
    await stop.wait()
    authenticator.close()
    home_agent.close()
    await client.close()


if __name__ == "__main__":
    run("agents.nodes.home_agent.main", HomeAgentConfiguration, serve)
