"""The mobile node's program."""

from __future__ import annotations

import asyncio

from agents.core.eventlog import EventLog
from agents.nodes.mobile_node.machine import MobileNode
from agents.nodes.mobile_node.settings import (
    MobileNodeConfiguration,
)
from agents.shell.addresses import NoAddressError, care_of_address
from agents.shell.program import run, take_commands

_CARE_OF_DEADLINE = 30.0


async def serve(configuration: MobileNodeConfiguration, stop: asyncio.Event) -> None:
    """Run the mobile node until `stop` is set."""
    log = EventLog(configuration.host, "role")
    try:
        care_of = await care_of_address(
            configuration.interface,
            _CARE_OF_DEADLINE,
            configuration.first_peer,
            lambda reason: log.write("NoAddressYet", reason=reason),
        )
    except NoAddressError as error:
        log.write("BootstrapFailed", reason=str(error))
        raise
    log.write("CareOfAddress", address=care_of)
    node = MobileNode(configuration, care_of, log)
    take_commands(node.commands(), log)
    node.start()
    await stop.wait()
    node.close()


if __name__ == "__main__":
    run("agents.nodes.mobile_node.main", MobileNodeConfiguration, serve)
