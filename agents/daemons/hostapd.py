"""hostapd's wired driver: EAPOL on an access link, and RADIUS to the program that starts it."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from ipaddress import IPv6Address
from pathlib import Path

from agents.core.patience import patient
from agents.core.record import Record, Secret
from agents.daemons.control import ControlError, ControlSocket
from agents.daemons.daemon import executable, running, wait_until
from agents.nodes.radius_settings import RadiusListenerSettings

NAME = "hostapd"
_START_DEADLINE = 30.0


class HostapdSettings(Record, frozen=True):
    """The interface, what this host calls itself, and the RADIUS server with its secret.

    Stations are authenticated anew after `reauthentication` seconds, 0 means never, unless the
    server names others.
    """

    interface: str
    identity: str
    radius: RadiusListenerSettings
    secret: Secret[str]
    reauthentication: int = 0


def hostapd_configuration(settings: HostapdSettings, control: str) -> str:
    """Return hostapd's configuration; `control` is the folder of its socket."""
    radius = settings.radius
    lines = {
        "driver": "wired",
        "interface": settings.interface,
        "ctrl_interface": control,
        "logger_stdout": -1,
        "logger_stdout_level": 2,
        "logger_syslog": 0,
        "ieee8021x": 1,
        "eap_server": 0,
        "eap_reauth_period": settings.reauthentication,
        "use_pae_group_addr": 0,
        "nas_identifier": settings.identity,
        "auth_server_addr": IPv6Address(radius.address),
        "auth_server_port": radius.port,
        "auth_server_shared_secret": settings.secret,
        "acct_server_addr": IPv6Address(radius.address),
        "acct_server_port": radius.accounting_port,
        "acct_server_shared_secret": settings.secret,
    }
    return "".join(f"{name}={value}\n" for name, value in lines.items())


class Hostapd:
    """What can be asked of it while it runs."""

    def __init__(self, control: ControlSocket) -> None:
        self._control = control

    def reauthenticate(self, station: bytes) -> bool:
        """Have a station authenticated anew; return whether hostapd knows it."""
        try:
            self._control.do(f"EAPOL_REAUTH {station.hex(':')}")
        except ControlError:
            return False
        return True


@asynccontextmanager
async def authenticator(
    host: str, settings: HostapdSettings, work: str, stop: asyncio.Event
) -> AsyncIterator[Hostapd]:
    """Run hostapd; if it ends by itself `stop` is set, and DaemonError raised.

    Its configuration and its log are in the folder `work`, its socket in one of its own: a run's
    folder may have a longer name than a socket can.
    """
    folder = Path(work) / f"{host}-{NAME}"
    folder.mkdir(mode=0o700, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="hostapd-", dir="/run") as place:
        file = folder / "hostapd.conf"
        file.touch(mode=0o600)
        file.write_text(hostapd_configuration(settings, place), encoding="utf-8")
        command = [executable(NAME, folder), str(file)]
        async with running(command, folder / "hostapd.log", stop) as daemon:
            enabled = partial(daemon.said, "AP-ENABLED")
            await wait_until(
                lambda: daemon.alive and enabled(), "hostapd has started", patient(_START_DEADLINE)
            )
            with ControlSocket(Path(place) / settings.interface) as control:
                yield Hostapd(control)
