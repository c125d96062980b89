"""Network access by PANA: the mobile node's first stage."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv6Address

import msgspec

from agents.bootstrap import Assignment
from agents.eap.peer import EapPeer
from agents.eap.tls import EapKeys, TlsClientConfig
from agents.machine import Event
from agents.pana import events
from agents.pana.dialect import PORT
from agents.pana.pac import Pac
from agents.roles.keylog import KeyLog
from agents.roles.tls import TlsSettings
from agents.shell.eventlog import EventLog
from agents.shell.udp import UdpEndpoint


class EapSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who the mobile node is, and how it proves it by EAP-TLS."""

    identity: str
    server_name: str
    tls: TlsSettings
    fragment_size: int = 1000


class PanaSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The PAA's address, and whether it is asked for a home agent."""

    paa: str
    mobility: bool = True


class EapPeers:
    """Makes EAP peers that share one TLS context; raises TlsConfigError for a bad file."""

    def __init__(self, settings: EapSettings, keys: KeyLog) -> None:
        self._settings = settings
        self._tls = TlsClientConfig(
            **settings.tls.arguments(), server_names=(settings.server_name,), keylog=keys.tls
        )
        _ = self._tls.context  # Built now: a bad file shows at the start, and no run waits for it.

    def __call__(self) -> EapPeer:
        """Return a peer for one conversation."""
        settings = self._settings
        return EapPeer(settings.identity, self._tls, fragment_size=settings.fragment_size)


@dataclass(frozen=True, slots=True)
class Granted:
    """Access was granted; the assignment is None unless one was asked for and given."""

    assignment: Assignment | None
    keys: EapKeys = field(repr=False)


class PanaAccess:
    """A PaC on its socket. Must be made inside a running event loop."""

    def __init__(
        self,
        settings: PanaSettings,
        peers: EapPeers,
        care_of: IPv6Address,
        *,
        log: EventLog,
        on_granted: Callable[[Granted], None],
        on_failure: Callable[[str], None],
    ) -> None:
        self._log = log
        self._on_granted = on_granted
        self._on_failure = on_failure
        self._eap = peers()
        self._pac = Pac(
            (settings.paa, PORT),
            self._eap,
            rng=random.SystemRandom(),
            mobility=settings.mobility,
            renew_eap=peers,
        )
        self._endpoint = UdpEndpoint(self._pac, (str(care_of), 0), self._handle)

    def start(self) -> None:
        """Send the first PANA-Client-Initiation."""
        driver = self._endpoint.driver
        driver.call(self._pac.start, driver.now())

    def _handle(self, event: Event) -> None:
        self._log(event)
        match event:
            case events.Authenticated() if self._eap.keys:
                self._on_granted(Granted(event.assignment, self._eap.keys))
            case events.Rejected() | events.Failed():
                self._on_failure(f"PANA: {event.reason}")
            case _:
                pass

    def close(self) -> None:
        """Close the socket."""
        self._endpoint.close()
