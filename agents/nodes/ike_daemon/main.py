"""The IKE daemon's program, which the launch scripts start."""

from __future__ import annotations

import asyncio
import signal
from ipaddress import IPv6Address
from pathlib import Path

from agents.core.configuration import ConfigurationError
from agents.core.eventlog import EventLog
from agents.kernel.associations import LinuxSecurityAssociations
from agents.nodes.ike_daemon import peers
from agents.nodes.ike_daemon.ikev1 import Ikev1Daemon
from agents.nodes.ike_daemon.settings import IkeConfiguration
from agents.nodes.retry import Attempts, Retry
from agents.shell.host import LinuxHost
from agents.shell.keylog import key_log
from agents.shell.output import OUTPUT
from agents.shell.program import end_with_owner, run


async def serve(configuration: IkeConfiguration, stop: asyncio.Event) -> None:
    """Run the daemon until `stop` is set."""
    end_with_owner(stop)
    log = EventLog(configuration.host, "ikev1", OUTPUT)
    role = log.child("role")
    kernel, host = LinuxSecurityAssociations(), LinuxHost()
    attempts, retry = Attempts(role), Retry(host, lambda: _initiate(configuration, service))

    def failed(reason: str) -> None:
        if configuration.initiate:
            attempts.fail("ike", reason)
            retry.later()

    service = Ikev1Daemon(
        host,
        IPv6Address(configuration.local),
        configuration.settings,
        identity=configuration.identity,
        kernel=kernel,
        keys=key_log(configuration.keys),
        log=log,
        on_failure=failed,
        on_lost=retry.later if configuration.initiate else lambda: None,
        habits=configuration.habits,
    )
    service.open()
    for peer in configuration.peers:
        peers.add(peer, peer.key(), service)
    if configuration.peers_folder:
        folder = peers.PeerFolder(Path(configuration.peers_folder), service, role)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, folder.read)
        folder.read()
    role.write("IkeDaemonReady")
    if configuration.initiate:
        retry.begun()
        _initiate(configuration, service)
    await stop.wait()
    retry.close()
    service.close()


def _initiate(configuration: IkeConfiguration, service: Ikev1Daemon) -> None:
    """Make SAs with the first peer."""
    first = configuration.peers[0]
    if first.address is None:
        raise ConfigurationError("the peer to begin with has no address")
    service.initiate(IPv6Address(first.address), IPv6Address(first.home_address))


def main() -> None:
    """Run the program."""
    run("agents.nodes.ike_daemon.main", IkeConfiguration, serve)


if __name__ == "__main__":
    main()
