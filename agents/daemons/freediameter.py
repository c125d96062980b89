"""The visited network's Diameter relay: freeDiameter, between its access routers and home."""

from __future__ import annotations

import asyncio
import math
import re
from ipaddress import IPv6Address
from pathlib import Path
from typing import Annotated

import msgspec

from agents.core.configuration import Configuration
from agents.core.patience import patient
from agents.daemons.daemon import executable, run_daemon, wait_for_addresses
from agents.diameter.config import PORT
from agents.nodes.diameter_settings import DiameterPeer, Watchdog
from agents.nodes.tls import TlsSettings
from agents.shell.program import run

_NAME = re.compile(r"[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*", re.ASCII)
"""A DiameterIdentity: what needs no quoting in freeDiameter's configuration."""

_DICTIONARIES = ("dict_nasreq", "dict_eap", "dict_nas_mipv6")
_ACCESS_LIST, _ROUTES = "freediameter-acl.conf", "freediameter-routes.conf"
_SCORE = 20
"""That of the first route of a realm, each further one has less."""

_RECONNECTION = 1
"""Seconds until it calls a home AAA server again that was not there."""


class DiameterRelayConfiguration(Configuration, frozen=True, kw_only=True):
    """The relay's configuration; times in seconds.

    `clients` are the Diameter identities of those who may connect to `address`, `home` are the home
    AAA servers: of several of a realm the first that is there is asked. freeDiameter takes no
    address of the loopback network.
    """

    diameter_identity: str
    diameter_realm: str
    address: str
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = PORT
    clients: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    home: Annotated[tuple[DiameterPeer, ...], msgspec.Meta(min_length=1)]
    tls: TlsSettings | None = None
    diameter_watchdog: Watchdog = 30.0
    work: str
    start_deadline: Annotated[float, msgspec.Meta(gt=0, le=86400)] = 30.0

    def __post_init__(self) -> None:
        names = [self.diameter_identity, self.diameter_realm, *self.clients]
        for server in self.home:
            names += [server.host, server.realm]
            if server.address is None:
                raise ValueError(
                    f"home: the relay connects to {server.host}, and needs its address"
                )
        for name in names:
            if not _NAME.fullmatch(name):
                raise ValueError(
                    f"{name!r} is no name of a Diameter node: it has letters, digits, hyphens and "
                    "dots"
                )


def freediameter_configuration(configuration: DiameterRelayConfiguration) -> str:
    """Return freeDiameter's configuration; ValueError for a bad address.

    What is for another realm goes by the realms of its peers, which it knows without a table; that
    says which one of them rather than another.
    """
    tls = configuration.tls
    plain, secure = (0, configuration.port) if tls else (configuration.port, 0)
    lines = [
        f'Identity = "{configuration.diameter_identity}";',
        f'Realm = "{configuration.diameter_realm}";',
        f"Port = {plain};",
        f"SecPort = {secure};",
        "No_SCTP;",
        f'ListenOn = "{IPv6Address(configuration.address)}";',
        f"TwTimer = {math.ceil(configuration.diameter_watchdog)};",
        f"TcTimer = {_RECONNECTION};",
    ]
    if tls:
        lines += [
            f'TLS_Cred = "{tls.certificate}", "{tls.key}";',
            f'TLS_CA = "{tls.ca}";',
            *([f'TLS_CRL = "{tls.crl}";'] if tls.crl else []),
        ]
    acl, routes = (Path(configuration.work) / name for name in (_ACCESS_LIST, _ROUTES))
    lines += [f'LoadExtension = "{name}.fdx";' for name in _DICTIONARIES]
    lines += [
        f'LoadExtension = "acl_wl.fdx" : "{acl}";',
        f'LoadExtension = "rt_default.fdx" : "{routes}";',
    ]
    lines += [
        f'ConnectPeer = "{home.host}" {{ ConnectTo = "{IPv6Address(home.address or "::")}"; '
        f'Port = {home.port}; Realm = "{home.realm}"; {"" if tls else "No_TLS; "}}};'
        for home in configuration.home
    ]
    return "\n".join(lines) + "\n"


def access_list(configuration: DiameterRelayConfiguration) -> str:
    """Return who may connect: by TLS, or without."""
    flag = "" if configuration.tls else "ALLOW_IPSEC "
    return "".join(f"{flag}{client}\n" for client in configuration.clients)


def route_list(configuration: DiameterRelayConfiguration) -> str:
    """Return which of a realm's servers is asked rather than the next one.

    A Destination-Host counts for 100, so that a conversation stays where it is.
    """
    lines = []
    for number, home in enumerate(configuration.home):
        score = max(1, _SCORE - number)
        lines.append(f'dr = "{home.realm}" : "{home.host}" += {score} ;\n')
    return "".join(lines)


async def serve(configuration: DiameterRelayConfiguration, stop: asyncio.Event) -> None:
    """Run freeDiameter until `stop` is set; it is ready when it has reached a home AAA server."""
    work, deadline = Path(configuration.work), patient(configuration.start_deadline)
    settings = work / "freediameter.conf"
    settings.write_text(freediameter_configuration(configuration), encoding="utf-8")
    (work / _ACCESS_LIST).write_text(access_list(configuration), encoding="utf-8")
    (work / _ROUTES).write_text(route_list(configuration), encoding="utf-8")
    await wait_for_addresses([IPv6Address(configuration.address)], deadline)
    await run_daemon(
        [executable("freeDiameterd", work), "-c", str(settings)],
        work / "freediameter.log",
        {
            "freeDiameter has reached a home AAA server": lambda daemon: any(
                daemon.said(rf"-> 'STATE_OPEN'\s+'{re.escape(home.host)}'")
                for home in configuration.home
            )
        },
        host=configuration.host,
        deadline=deadline,
        stop=stop,
    )


def main() -> None:
    """Run the program."""
    run("agents.daemons.freediameter", DiameterRelayConfiguration, serve)


if __name__ == "__main__":
    main()
