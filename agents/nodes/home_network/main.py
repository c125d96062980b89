"""The home network's program."""

from __future__ import annotations

import asyncio
import os

from agents.core.eventlog import EventLog
from agents.nodes.diameter import diameter_files, node_config
from agents.nodes.home_agent.machine import HomeAgentService
from agents.nodes.home_network.machine import AaaServer, Admission
from agents.nodes.home_network.settings import HomeNetworkConfiguration
from agents.shell.program import run
from agents.shell.tcp import DiameterService


async def serve(configuration: HomeNetworkConfiguration, stop: asyncio.Event) -> None:
    """Run the home network until `stop` is set."""
    log = EventLog(configuration.host, "role")
    home_agent = admission = None
    if configuration.home_agent:
        home_agent = HomeAgentService(configuration.home_agent, log)
        admission = Admission(configuration, home_agent, log)
    server = AaaServer(configuration, admission, log.child("aaa"))
    service = DiameterService(
        node_config(
            configuration.diameter_identity,
            configuration.diameter_realm,
            configuration.diameter_peers,
        ),
        listen=[(configuration.diameter_address, configuration.diameter_port)],
        tls=diameter_files(configuration.diameter_tls, None),
        handler=server.answer,
        on_event=log.child("diameter"),
    )
    await service.start()
    log.write("Ready", pid=os.getpid())
    await stop.wait()
    server.close()
    for part in (admission, home_agent):
        if part:
            part.close()
    await service.close()


if __name__ == "__main__":
    run("agents.nodes.home_network.main", HomeNetworkConfiguration, serve)
