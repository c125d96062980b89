"""The program of an access router that is an authenticator by IEEE 802.1X."""

from __future__ import annotations

import asyncio
import secrets
import time
from ipaddress import IPv6Network
from pathlib import Path

from agents.core.eventlog import EventLog
from agents.daemons.hostapd import HostapdSettings, authenticator
from agents.kernel.controlled_ports import LinuxControlledPorts
from agents.kernel.port import AccessLink
from agents.nodes.authenticator.machine import Authenticator
from agents.nodes.authenticator.settings import AuthenticatorConfiguration
from agents.nodes.radius_settings import RadiusClientSettings, RadiusListenerSettings
from agents.shell.host import LinuxHost
from agents.shell.output import OUTPUT
from agents.shell.program import run, serve_until
from agents.shell.tls import TlsFiles

_LOOPBACK = "::1"
_SECRET_OCTETS = 16
_HOSTAPD = "hostapd"


async def serve(configuration: AuthenticatorConfiguration, stop: asyncio.Event) -> None:
    """Run the authenticator, and hostapd, until `stop` is set."""
    log = EventLog(configuration.host, "role", OUTPUT)
    ports = LinuxControlledPorts(
        AccessLink(configuration.access_interface, IPv6Network(configuration.access_prefix))
    )
    ports.close_access()
    secret = secrets.token_hex(_SECRET_OCTETS)
    served = RadiusListenerSettings(
        address=_LOOPBACK,
        clients=(
            RadiusClientSettings(
                name=configuration.diameter_identity, address=_LOOPBACK, secret_file=_HOSTAPD
            ),
        ),
    )
    radius = configuration.radius
    node = Authenticator(
        configuration,
        LinuxHost(TlsFiles.of(configuration.diameter_tls, configuration.keys)),
        ports,
        log,
        epoch=int(time.time()),
        served=served,
        secrets={_HOSTAPD: secret.encode()},
        radius_secret=Path(radius.secret_file).read_bytes() if radius else b"",
    )
    settings = HostapdSettings(
        configuration.access_interface,
        configuration.diameter_identity,
        served,
        secret,
        configuration.reauthentication,
    )
    async with authenticator(configuration.host, settings, configuration.work, stop) as hostapd:
        node.hostapd = hostapd
        await serve_until(stop, node, log, node.commands())


def main() -> None:
    """Run the program."""
    run("agents.nodes.authenticator.main", AuthenticatorConfiguration, serve)


if __name__ == "__main__":
    main()
