"""strongSwan as the IKE daemon that the launch scripts start."""

from __future__ import annotations

import asyncio
import signal
from ipaddress import IPv6Address
from pathlib import Path

from agents.core.configuration import ConfigurationError
from agents.core.eventlog import EventLog
from agents.daemons.strongswan.daemon import Charon, running
from agents.daemons.strongswan.initiator import StrongswanInitiator
from agents.daemons.strongswan.responder import StrongswanResponder
from agents.nodes.crowd import USUAL
from agents.nodes.ike_daemon import peers
from agents.nodes.ike_daemon.settings import IkeConfiguration
from agents.nodes.retry import Attempts, Retry
from agents.shell.host import LinuxHost
from agents.shell.output import OUTPUT
from agents.shell.program import end_with_owner, run


async def serve(configuration: IkeConfiguration, stop: asyncio.Event) -> None:
    """Run the daemon until `stop` is set."""
    end_with_owner(stop)
    log = EventLog(configuration.host, "ikev1", OUTPUT)
    async with running(configuration.host, configuration.work, stop) as charon:
        if configuration.initiate:
            await _initiate(configuration, charon, log, stop)
        else:
            await _respond(configuration, charon, log, stop)


async def _respond(
    configuration: IkeConfiguration, charon: Charon, log: EventLog, stop: asyncio.Event
) -> None:
    role, local = log.child("role"), IPv6Address(configuration.local)
    service = StrongswanResponder(charon, LinuxHost(), local, configuration.settings, log=log)
    for peer in configuration.peers:
        peers.add(peer, peer.key(), service)
    if configuration.peers_folder:
        folder = peers.PeerFolder(Path(configuration.peers_folder), service, role)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, folder.read)
        folder.read()
    role.write("IkeDaemonReady")
    await stop.wait()
    service.close()


async def _initiate(
    configuration: IkeConfiguration, charon: Charon, log: EventLog, stop: asyncio.Event
) -> None:
    """Make SAs with the first peer, as often as that fails."""
    first, host, role = configuration.peers[0], LinuxHost(), log.child("role")
    if first.address is None:
        raise ConfigurationError("the peer to begin with has no address")
    home_agent, home_address = IPv6Address(first.address), IPv6Address(first.home_address)
    attempts = Attempts(role)

    def initiate() -> None:
        service.initiate(home_agent, home_address, psk=first.key())

    def failed(reason: str) -> None:
        attempts.fail("ike", reason)
        retry.later()

    retry = Retry(host, initiate)
    service = StrongswanInitiator(
        charon,
        host,
        IPv6Address(configuration.local),
        configuration.settings,
        identity=configuration.identity or "",
        patience=USUAL.patience,
        log=log,
        on_failure=failed,
        on_lost=retry.later,
        habits=configuration.habits,
    )
    role.write("IkeDaemonReady")
    retry.begun()
    initiate()
    await stop.wait()
    retry.close()
    service.close()


def main() -> None:
    """Run the program."""
    run("agents.daemons.strongswan.main", IkeConfiguration, serve)


if __name__ == "__main__":
    main()
