"""The IKE daemon of the nodes, alone in a host: it obeys `initiate` and `delete`."""

from __future__ import annotations

import asyncio
from ipaddress import IPv6Address
from typing import Literal

from agents.core.configuration import Configuration
from agents.core.eventlog import EventLog
from agents.kernel.associations import LinuxSecurityAssociations
from agents.nodes.ike_daemon.ikev1 import Ikev1Daemon
from agents.nodes.ike_daemon.ikev2 import Ikev2Daemon
from agents.nodes.ike_daemon.ikev2_settings import Ikev2PskSettings
from agents.nodes.ike_daemon.settings import Ikev1Settings
from agents.nodes.keylog import KeyLog
from agents.shell.host import LinuxHost
from agents.shell.output import OUTPUT
from agents.shell.program import run, take_commands


class IkeConfiguration(Configuration, frozen=True, kw_only=True):
    """Both ends, and the key that they share for SAs of this home address."""

    version: Literal[1, 2]
    local: str
    peer: str
    home_address: str
    psk: str


async def serve(configuration: IkeConfiguration, stop: asyncio.Event) -> None:
    """Run the daemon until `stop` is set."""
    log = EventLog(configuration.host, f"ikev{configuration.version}", OUTPUT)
    local, peer, home = (
        IPv6Address(a)
        for a in (configuration.local, configuration.peer, configuration.home_address)
    )
    options = {"kernel": LinuxSecurityAssociations(), "keys": KeyLog(), "log": log}
    service: Ikev1Daemon | Ikev2Daemon
    if configuration.version == 1:
        service = Ikev1Daemon(LinuxHost(), local, Ikev1Settings(), identity=None, **options)
    else:
        service = Ikev2Daemon(LinuxHost(), local, Ikev2PskSettings(), identity=None, **options)
    service.open()
    service.add_psk(configuration.psk.encode(), peer=peer, identity=None, home_address=home)

    def initiate() -> bool:
        service.initiate(peer, home)
        return True

    def delete() -> bool:
        service.leave(peer)
        return True

    take_commands({"initiate": initiate, "delete": delete}, log)
    log.write("Ready")
    await stop.wait()
    service.close()


def main() -> None:
    """Run the program."""
    run("tests.lab.peers.ike_program", IkeConfiguration, serve)
