"""The program of many mobile nodes, each in a network namespace of its own."""

from __future__ import annotations

import asyncio
import os
import resource
from collections.abc import Iterable
from functools import partial

from agents.core.eventlog import EventLog
from agents.ikev2.config import Credentials
from agents.nodes.fleet.settings import FleetConfiguration, clock_time
from agents.nodes.keylog import KeyLog
from agents.nodes.mobile_node.machine import MobileNode
from agents.nodes.mobile_node.main import credentials, make_node, seek_care_of
from agents.nodes.mobile_node.settings import MobileNodeConfiguration
from agents.nodes.retry import Attempts, Retry
from agents.shell.host import LinuxHost
from agents.shell.keylog import key_log
from agents.shell.namespaces import Namespace
from agents.shell.output import OUTPUT
from agents.shell.program import run, take_commands, unless_ended


class Member:
    """A mobile node in a network namespace of its own; what it has to do with is its alone.

    It is made when it has an address, and that is tried until it is done.
    """

    def __init__(
        self, settings: MobileNodeConfiguration, keys: KeyLog, trusted: Credentials
    ) -> None:
        self._settings = settings
        self._keys = keys
        self._trusted = trusted
        self._log = EventLog(settings.host, "role", OUTPUT)
        self._attempts = Attempts(self._log)
        self._namespace = Namespace(settings.host)
        self._host = LinuxHost(namespace=self._namespace)
        self._retry = Retry(self._host, self.make)
        self._making: asyncio.Task[None] | None = None
        self._node: MobileNode | None = None
        self._begins: float | None = None
        self.tried = asyncio.Event()
        """Set when it has been made, or could not be at first."""

    def make(self) -> None:
        """Wait for an address, and make the mobile node; try that again if it fails."""
        self._making = asyncio.create_task(self._make())

    async def _make(self) -> None:
        try:
            care_of = await self._namespace.run(seek_care_of(self._settings, self._log))
            made = partial(make_node, self._settings, self._host, care_of, self._log)
            self._node = self._host.enter(made, self._attempts, self._keys, self._trusted)
        except Exception as error:  # A bug, too, is this mobile node's alone, and told.
            self._host.close_endpoints()
            self._attempts.fail("address", str(error) or type(error).__name__)
            self._host.enter(self._retry.later)
        finally:
            self.tried.set()
        self._begin()

    def begin(self, at: float) -> bool:
        """Begin at a time of the host's clock, or later, as soon as the mobile node is there.

        Return whether that has not been asked for before.
        """
        if self._begins is not None:
            return False
        self._begins = at
        self._begin()
        return True

    def _begin(self) -> None:
        if self._node and self._begins is not None:
            self._host.enter(self._host.timer(self._node.start).start_at, self._begins)

    def close(self) -> None:
        """Close all sockets."""
        self._retry.close()
        if self._making:
            self._making.cancel()
        if self._node:
            self._host.enter(self._node.close)


async def _tried(members: Iterable[Member]) -> bool:
    """Wait until all are there, or have told why they are not."""
    for member in members:
        await member.tried.wait()
    return True


async def serve(configuration: FleetConfiguration, stop: asyncio.Event) -> None:
    """Run the mobile nodes until `stop` is set; each begins when it is told to."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # A mobile node has about ten.
    log = EventLog(configuration.host, "role", OUTPUT)
    first = configuration.nodes[0]
    keys, trusted = key_log(first.keys), credentials(first)  # Read once for all.
    members = {one.host: Member(one, keys, trusted) for one in configuration.nodes}
    for member in members.values():
        member.make()

    def begin(host: str, at: str) -> bool:
        if host not in members:
            raise ValueError(f"{host} is no mobile node of this fleet")
        return members[host].begin(clock_time(at))

    if await unless_ended(stop, _tried(members.values())):
        take_commands({"begin": begin}, log)
        log.write("Ready", pid=os.getpid())
        await stop.wait()
    for member in members.values():
        member.close()


def main() -> None:
    """Run the program."""
    run("agents.nodes.fleet.main", FleetConfiguration, serve)


if __name__ == "__main__":
    main()
