"""The home network's program."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from ipaddress import IPv6Address
from pathlib import Path

from agents.aaa import subscribers
from agents.aaa.config import HomeAaaConfig
from agents.aaa.home_aaa import HomeAaa
from agents.aaa.leases import Leases
from agents.core.eventlog import EventLog
from agents.eap.tls import TlsServerConfig
from agents.kernel.home_agent import LinuxHomeAgent
from agents.nodes.home_network.machine import HomeNetwork
from agents.nodes.home_network.settings import HomeNetworkConfiguration
from agents.nodes.ike_daemon.contract import MakeResponder
from agents.nodes.ike_daemon.settings import Ikev1Settings
from agents.shell.host import LinuxHost
from agents.shell.launch import LaunchedIke
from agents.shell.output import OUTPUT
from agents.shell.program import run, serve_until
from agents.shell.tls import TlsFiles


async def serve(configuration: HomeNetworkConfiguration, stop: asyncio.Event) -> None:
    """Run the home network until `stop` is set."""
    log = EventLog(configuration.host, "role", OUTPUT)
    settings = configuration.home_agent
    kernel = launched = None
    if settings:
        address = IPv6Address(settings.address)
        script = configuration.launch == "script"
        others = script or configuration.ike_daemon != "agent"
        protected = not settings.authentication_option
        kernel = LinuxHomeAgent(address, settings.interface, shared=others, protected=protected)
        if script:
            ike = configuration.ikev1 or Ikev1Settings()
            daemon = configuration.ike_daemon
            launched = LaunchedIke(configuration.work, ike, configuration.host, address, daemon)
    other = configuration.ike_daemon == "strongswan" and kernel and not launched
    async with _strongswan(configuration, stop) if other else nullcontext() as make_ike:
        node = HomeNetwork(
            configuration,
            LinuxHost(TlsFiles.of(configuration.diameter_tls)),
            kernel,
            home_aaa(configuration),
            log,
            keys=preshared_keys(configuration),
            launched=launched,
            make_ike=make_ike,
            epoch=int(time.time()),
        )
        await serve_until(stop, node, log, node.commands())


@asynccontextmanager
async def _strongswan(
    configuration: HomeNetworkConfiguration, stop: asyncio.Event
) -> AsyncIterator[MakeResponder]:
    """Run strongSwan's daemon for the home agent; who has the agents' IKE starts without it."""
    from agents.daemons.strongswan.daemon import running  # noqa: PLC0415
    from agents.daemons.strongswan.responder import StrongswanResponder  # noqa: PLC0415

    async with running(configuration.host, configuration.work, stop) as charon:
        yield partial(StrongswanResponder, charon)


def preshared_keys(configuration: HomeNetworkConfiguration) -> dict[str, bytes]:
    """Return preconfigured keys, and secrets of RADIUS, by the files that they are read from."""
    files = [peer.psk_file for peer in configuration.preshared]
    if configuration.radius:
        files += [client.secret_file for client in configuration.radius.clients]
    if configuration.eap_server:
        files.append(configuration.eap_server.secret_file)
    return {file: Path(file).read_bytes() for file in files}


def home_aaa(
    configuration: HomeNetworkConfiguration,
    clock: Callable[[], float] = time.monotonic,
    *,
    durable: bool = True,
    tls: Callable[..., TlsServerConfig] = TlsServerConfig,
    rng: random.Random | None = None,
) -> HomeAaa:
    """Return the home AAA server that is configured, with its files read.

    `clock` is the leases' (agents.aaa.leases), which outlive a power cut too if they are `durable`.
    `tls` makes the sessions of EAP-TLS, `rng` chooses who gives way.
    """
    return HomeAaa(
        subscribers.load(Path(configuration.subscribers)).shared(configuration.share),
        Leases(Path(configuration.leases), clock, durable=durable),
        HomeAaaConfig(
            origin_host=configuration.diameter_identity,
            origin_realm=configuration.diameter_realm,
            tls=tls(**configuration.tls.arguments()),
            fragment_size=configuration.eap_fragment_size,
            session_timeout=configuration.session_lifetime,
            protection=configuration.protection,
            psk_source=configuration.psk_source,
            early=configuration.early,
            pick_up=configuration.pick_up,
            home_agents=configuration.diameter_home_agents,
            peers=[peer.host for peer in configuration.diameter_peers],
            selection=configuration.selection,
            accounting=configuration.accounting,
            interim_interval=configuration.interim_interval,
        ),
        rng=rng,
    )


def main() -> None:
    """Run the program."""
    run("agents.nodes.home_network.main", HomeNetworkConfiguration, serve)


if __name__ == "__main__":
    main()
