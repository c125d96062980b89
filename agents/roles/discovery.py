"""How the mobile node finds its home agent if network access does not deliver it."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from ipaddress import IPv6Address
from typing import Literal, TypeAlias

import msgspec

from agents.bootstrap import Assignment
from agents.dhcpv6 import events as dhcpv6
from agents.dhcpv6.client import INF_MAX_DELAY, InformationRequest
from agents.dhcpv6.home import Home
from agents.dhcpv6.wire import CLIENT_PORT
from agents.dns import events as dns
from agents.dns.lookup import HomeAgentLookup
from agents.machine import Event
from agents.shell.datagrams import DatagramEndpoint
from agents.shell.eventlog import EventLog

_DNS_PORT = 53
_PREFIX_LENGTH = 64
"""Of a home link whose prefix length nobody has said: that of every link with SLAAC (RFC 4291)."""

Found: TypeAlias = Callable[[Assignment], None]
Failure: TypeAlias = Callable[[str], None]


class StaticSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="static"):
    """Home agent and home address are preconfigured."""

    home_agent: str
    home_address: str | None = None
    prefix_length: int = _PREFIX_LENGTH


class Dhcpv6Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="dhcpv6"):
    """An Information-request on the access link (RFC 6610); `network` is the home domain.

    With `initial_delay` the first one waits for a random time of up to 1 s (RFC 8415 section
    18.2.6).
    """

    network: str
    home: Literal["local", "home"] = "home"
    initial_delay: bool = True


class DnsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="dns"):
    """A query for the home domain's `_mip6._ipv6` (RFC 5026)."""

    server: str
    domain: str


DiscoverySettings: TypeAlias = StaticSettings | Dhcpv6Settings | DnsSettings


def _information_request(settings: Dhcpv6Settings, interface: str) -> InformationRequest:
    # A DUID-UUID (RFC 6355) that stays the same for this interface.
    uuid = hashlib.sha256(f"mip6lab {interface}".encode()).digest()[:16]
    return InformationRequest(
        b"\0\4" + uuid,
        [Home.LOCAL if settings.home == "local" else Home.IDENTIFIED],
        rng=random.SystemRandom(),
        network=settings.network,
        interface=interface,
        max_delay=INF_MAX_DELAY if settings.initial_delay else 0.0,
    )


class Discovery:
    """An Information-request or a DNS lookup on its socket."""

    def __init__(
        self,
        settings: Dhcpv6Settings | DnsSettings,
        interface: str,
        care_of: IPv6Address,
        *,
        log: EventLog,
        on_found: Found,
        on_failure: Failure,
    ) -> None:
        self._on_found = on_found
        self._on_failure = on_failure
        self._machine: InformationRequest | HomeAgentLookup
        device: str | None
        if isinstance(settings, Dhcpv6Settings):
            self._log = log.child("dhcpv6")
            self._machine = _information_request(settings, interface)
            local, device = ("::", CLIENT_PORT), interface
        else:
            self._log = log.child("dns")
            server = settings.server, _DNS_PORT
            rng = random.SystemRandom()
            self._machine = HomeAgentLookup(server, rng=rng, domain=settings.domain)
            local, device = (str(care_of), 0), None
        self._endpoint = DatagramEndpoint(self._machine, local, self._handle, interface=device)

    def start(self) -> None:
        """Send the Information-request or the first query."""
        driver = self._endpoint.driver
        driver.call(self._machine.start, driver.now())

    def _handle(self, event: Event) -> None:
        self._log(event)
        match event:
            case dhcpv6.HomeAgentLearned(addresses=(address, *_), prefix=prefix):
                length = prefix.prefixlen if prefix else _PREFIX_LENGTH
                self._on_found(Assignment(address, length))
            case dhcpv6.HomeAgentLearned():
                self._on_failure("DHCPv6: the home agent has a name only")
            case dhcpv6.Failed():
                self._on_failure(f"DHCPv6: {event.reason}")
            case dns.HomeAgentsFound(home_agents=(agent, *_)) if agent.addresses:
                self._on_found(Assignment(agent.addresses[0], _PREFIX_LENGTH))
            case dns.Failed():
                self._on_failure(f"DNS: {event.reason}")
            case _:
                pass

    def close(self) -> None:
        """Close the socket."""
        self._endpoint.close()
