"""The PANA relay's program."""

from __future__ import annotations

import asyncio

from agents.core.eventlog import EventLog
from agents.nodes.pana_relay.machine import PanaRelay
from agents.nodes.pana_relay.settings import PanaRelayConfiguration
from agents.shell.host import LinuxHost
from agents.shell.output import OUTPUT
from agents.shell.program import run, serve_until


async def serve(configuration: PanaRelayConfiguration, stop: asyncio.Event) -> None:
    """Run the relay until `stop` is set."""
    log = EventLog(configuration.host, "role", OUTPUT)
    await serve_until(stop, PanaRelay(configuration, LinuxHost(), log), log)


def main() -> None:
    """Run the program."""
    run("agents.nodes.pana_relay.main", PanaRelayConfiguration, serve)


if __name__ == "__main__":
    main()
