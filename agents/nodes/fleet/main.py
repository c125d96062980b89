"""The program of many mobile nodes, each in a network namespace of its own."""

from __future__ import annotations

import asyncio
import os
import resource
from functools import partial

from agents.core.eventlog import EventLog
from agents.nodes.fleet.settings import FleetConfiguration
from agents.nodes.mobile_node.machine import MobileNode
from agents.nodes.mobile_node.main import credentials, find_care_of, make_node
from agents.nodes.retry import Attempts
from agents.shell.host import LinuxHost
from agents.shell.keylog import key_log
from agents.shell.namespaces import Namespace
from agents.shell.output import OUTPUT
from agents.shell.program import run, take_commands, unless_ended


class Member:
    """A mobile node with its host, ready to begin."""

    def __init__(self, host: LinuxHost, node: MobileNode) -> None:
        self._host = host
        self._node = node

    def begin(self, at: float) -> None:
        """Begin at a time of the host's clock."""
        self._host.enter(self._host.timer(self._node.start).start_at, at)

    def close(self) -> None:
        """Close all sockets."""
        self._host.enter(self._node.close)


async def _members(configuration: FleetConfiguration) -> dict[str, Member]:
    """Return the mobile nodes by their hosts' names; what they read is read once for all."""
    first = configuration.nodes[0]
    keys, trusted = key_log(first.keys), credentials(first)
    places = []
    for settings in configuration.nodes:
        namespace, log = Namespace(settings.host), EventLog(settings.host, "role", OUTPUT)
        namespace.enter()
        attempts = Attempts(log)
        care_of = await find_care_of(settings, log, attempts)
        places.append((settings, namespace, log, attempts, care_of))
    members = {}
    for settings, namespace, log, attempts, care_of in places:
        host = LinuxHost(namespace=namespace)
        node = host.enter(partial(make_node, settings, host, care_of, log, attempts, keys, trusted))
        members[settings.host] = Member(host, node)
    return members


async def serve(configuration: FleetConfiguration, stop: asyncio.Event) -> None:
    """Run the mobile nodes until `stop` is set; each begins when it is told to."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # A mobile node has about ten.
    log = EventLog(configuration.host, "role", OUTPUT)
    members = await unless_ended(stop, _members(configuration))
    if members is None:
        return

    def begin(host: str, at: str) -> bool:
        members[host].begin(float(at))
        return True

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
