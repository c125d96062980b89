"""A name server in Python: the simulator's, on the sockets of a real host too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from agents.core.documents import fit
from agents.core.eventlog import EventLog
from agents.core.host import Host
from agents.daemons.nsd import DnsServerConfiguration
from agents.shell.host import LinuxHost
from agents.shell.output import OUTPUT
from agents.shell.program import run, serve_until
from agents.simulation.servers import DnsServer

NEEDS = ()


class NameServer:
    """A node that serves at once."""

    def __init__(self, configuration: DnsServerConfiguration, host: Host, log: EventLog) -> None:
        log.write("NameServerStarted", zones=[zone.domain for zone in configuration.zones])
        DnsServer(configuration, host)

    def start(self, ready: Callable[[], None]) -> None:
        """Tell that it serves."""
        ready()

    def stop(self, stopped: Callable[[], None]) -> None:
        """End."""
        stopped()


def simulated(configuration: Mapping[str, object], host: Host, log: EventLog) -> NameServer:
    """Return the same for a host on the virtual clock."""
    return NameServer(fit(configuration, DnsServerConfiguration), host, log)


async def serve(configuration: DnsServerConfiguration, stop: asyncio.Event) -> None:
    """Serve until `stop` is set."""
    log = EventLog(configuration.host, "dns", OUTPUT)
    await serve_until(stop, NameServer(configuration, LinuxHost(), log), log)


def main() -> None:
    """Run the program."""
    run(__spec__.name, DnsServerConfiguration, serve)


if __name__ == "__main__":
    main()
