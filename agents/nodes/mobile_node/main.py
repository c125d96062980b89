"""The mobile node's program."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from ipaddress import IPv6Address
from pathlib import Path

from agents.core.eventlog import EventLog
from agents.core.host import Host
from agents.core.patience import patient
from agents.ikev2.config import Credentials
from agents.kernel.mobile_node import LinuxMobileNode
from agents.nodes.ike_daemon.contract import MakeInitiator
from agents.nodes.ike_daemon.credentials import read_credentials
from agents.nodes.ike_daemon.settings import Ikev1Settings
from agents.nodes.keylog import KeyLog
from agents.nodes.mobile_node.eap import EapPeers
from agents.nodes.mobile_node.machine import MobileNode
from agents.nodes.mobile_node.settings import Dot1xSettings, MobileNodeConfiguration
from agents.nodes.mobile_node.supplicant import Supplicant
from agents.nodes.retry import Attempts
from agents.shell.addresses import NoAddressError, care_of_address
from agents.shell.host import LinuxHost
from agents.shell.keylog import key_log
from agents.shell.launch import Launched, launch
from agents.shell.output import OUTPUT
from agents.shell.program import run, take_commands, unless_ended

_CARE_OF_DEADLINE = 30.0


async def serve(configuration: MobileNodeConfiguration, stop: asyncio.Event) -> None:
    """Run the mobile node until `stop` is set."""
    log = EventLog(configuration.host, "role", OUTPUT)
    attempts = Attempts(log)
    care_of = await unless_ended(stop, find_care_of(configuration, log, attempts))
    if care_of is None:
        return
    keys, trusted = key_log(configuration.keys), credentials(configuration)
    other = configuration.ike_daemon == "strongswan" and configuration.launch == "resident"
    host, make_ike, supplicant = LinuxHost(), None, None
    async with AsyncExitStack() as daemons:
        if other:
            make_ike = await daemons.enter_async_context(_strongswan(configuration, stop))
        if isinstance(configuration.access, Dot1xSettings):
            supplicant = await daemons.enter_async_context(_supplicant(configuration, host, stop))
        node = make_node(
            configuration,
            host,
            care_of,
            log,
            attempts,
            keys,
            trusted,
            make_ike=make_ike,
            supplicant=supplicant,
        )
        take_commands(node.commands(), log)
        node.start()
        await stop.wait()
        node.close()


@asynccontextmanager
async def _strongswan(
    configuration: MobileNodeConfiguration, stop: asyncio.Event
) -> AsyncIterator[MakeInitiator]:
    """Run strongSwan's daemon for the mobile node; who has the agents' IKE starts without it."""
    from agents.daemons.strongswan.daemon import running  # noqa: PLC0415
    from agents.daemons.strongswan.initiator import StrongswanInitiator  # noqa: PLC0415

    patience = configuration.crowd.ike_patience
    eap = configuration.eap if configuration.ike_by_eap else None
    size = eap.fragment_size if eap else None
    host, work = configuration.host, configuration.work
    async with running(host, work, stop, eap_fragment_size=size) as charon:
        yield partial(StrongswanInitiator, charon, patience=patience, eap=eap)


@asynccontextmanager
async def _supplicant(
    configuration: MobileNodeConfiguration, host: Host, stop: asyncio.Event
) -> AsyncIterator[Supplicant]:
    """Run wpa_supplicant for the mobile node; who has PANA starts without it."""
    from agents.daemons.wpa_supplicant import supplicant  # noqa: PLC0415

    async with supplicant(
        configuration.host,
        configuration.interface,
        configuration.eap,
        configuration.work,
        host.enter,
        stop,
        exports=configuration.ike_by_exported_key,
    ) as running:
        yield running


async def find_care_of(
    configuration: MobileNodeConfiguration, log: EventLog, attempts: Attempts
) -> IPv6Address:
    """Return the address from which the mobile node speaks, as soon as there is one."""
    while True:
        try:
            return await seek_care_of(configuration, log)
        except NoAddressError as error:
            attempts.fail("address", str(error))


async def seek_care_of(configuration: MobileNodeConfiguration, log: EventLog) -> IPv6Address:
    """Return the address from which the mobile node speaks; NoAddressError after a while."""
    care_of = await care_of_address(
        configuration.interface,
        patient(_CARE_OF_DEADLINE),
        configuration.first_peer,
        lambda reason: log.write("NoAddressYet", reason=reason),
    )
    log.write("CareOfAddress", address=care_of)
    return care_of


def make_node(
    configuration: MobileNodeConfiguration,
    host: Host,
    care_of: IPv6Address,
    log: EventLog,
    attempts: Attempts,
    keys: KeyLog,
    trusted: Credentials,
    kernel: LinuxMobileNode | None = None,
    make_ike: MakeInitiator | None = None,
    supplicant: Supplicant | None = None,
) -> MobileNode:
    """Return a mobile node of this kernel, in the network namespace in which this program is."""
    psk_file = configuration.psk_file
    return MobileNode(
        configuration,
        host,
        kernel or LinuxMobileNode(protected=not configuration.authentication_option),
        care_of,
        log,
        attempts=attempts,
        keys=keys,
        make_eap=EapPeers(configuration.eap, keys),
        credentials=trusted,
        preshared=Path(psk_file).read_bytes() if psk_file else None,
        launch=partial(_launch, configuration),
        make_ike=make_ike,
        supplicant=supplicant,
    )


def credentials(configuration: MobileNodeConfiguration) -> Credentials:
    """Return whom IKEv2 trusts; IKEv1 needs no certificates."""
    return read_credentials(configuration.eap.tls if configuration.ikev2 else None, own=False)


def _launch(
    configuration: MobileNodeConfiguration,
    psk: bytes,
    home_agent: IPv6Address,
    home_address: IPv6Address,
    care_of: IPv6Address,
) -> Launched:
    """Start the script that the mobile node goes on by (nodes.mobile_node.home.Launch)."""
    return launch(
        "mobile_node.sh",
        configuration.work,
        psk,
        configuration.ikev1 or Ikev1Settings(),
        {
            "HOST": configuration.host,
            "HOME_AGENT": str(home_agent),
            "HOME_ADDRESS": str(home_address),
            "CARE_OF_ADDRESS": str(care_of),
            "IDENTITY": configuration.eap.identity,
            "BINDING_LIFETIME": configuration.binding_lifetime,
            "KEYS": configuration.keys or "",
        },
        configuration.habits,
        configuration.ike_daemon,
    )


def main() -> None:
    """Run the program."""
    run("agents.nodes.mobile_node.main", MobileNodeConfiguration, serve)


if __name__ == "__main__":
    main()
