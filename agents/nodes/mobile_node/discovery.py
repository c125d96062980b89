"""How the mobile node finds its home agent if network access does not deliver it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from ipaddress import IPv6Address
from typing import TypeAlias

from agents.bootstrap.assignment import Assignment
from agents.core.eventlog import EventLog
from agents.core.host import Closable, DatagramEndpoint, Host
from agents.core.machine import Address, Event
from agents.dhcpv6 import events as dhcpv6
from agents.dhcpv6.client import INF_MAX_DELAY, InformationRequest
from agents.dhcpv6.home import Home
from agents.dhcpv6.wire import CLIENT_PORT
from agents.dns import events as dns
from agents.dns.lookup import HomeAgentLookup
from agents.dns.wire import PORT
from agents.mip6 import home_agent_discovery as dhaad
from agents.nodes.mobile_node.settings import (
    PREFIX_LENGTH,
    DhaadSettings,
    Dhcpv6Settings,
    SoughtSettings,
)

_MOST_FAILED = 1000
"""Addresses that are remembered: more than any answer has, so that none comes twice before all."""

Found: TypeAlias = Callable[[Assignment], None]
Failure: TypeAlias = Callable[[str], None]


def _information_request(
    settings: Dhcpv6Settings, interface: str, host: Host
) -> InformationRequest:
    return InformationRequest(
        host.duid(interface),
        [Home.LOCAL if settings.home == "local" else Home.IDENTIFIED],
        rng=host.rng,
        network=settings.network,
        interface=interface,
        max_delay=INF_MAX_DELAY if settings.initial_delay else 0.0,
    )


class Tried:
    """Which home agents have failed: whoever looks for one tries them after all others.

    That is what RFC 5026 section 5.1.2 wants, by name, and the same by address for a name that has
    several, or for none. The one that has failed first comes first again.
    """

    def __init__(self) -> None:
        self._names: dict[IPv6Address, tuple[str, ...]] = {}
        self._failed: dict[IPv6Address, tuple[str, ...]] = {}

    def learn(self, agents: Sequence[dns.HomeAgent]) -> None:
        """Note the names of those that are known now."""
        self._names = {}
        for agent in agents:
            for one in agent.addresses:
                self._names[one] = (*self._names.get(one, ()), agent.fqdn)

    def fail(self, home_agent: IPv6Address) -> None:
        """Note that a home agent has not served this host, or does so no more."""
        before = self._failed.pop(home_agent, ())
        now = self._names.get(home_agent, ())
        self._failed[home_agent] = tuple(dict.fromkeys((*before, *now)))
        while len(self._failed) > _MOST_FAILED:
            del self._failed[next(iter(self._failed))]

    @property
    def names(self) -> list[str]:
        """Those that have failed and have names, the last one last."""
        return [name for names in self._failed.values() for name in names]

    def in_order(self, addresses: Sequence[IPv6Address]) -> list[IPv6Address]:
        """Return addresses in the order in which to try them."""
        failed = list(self._failed)
        return sorted(addresses, key=lambda one: failed.index(one) if one in failed else -1)


class LookupEndpoint(DatagramEndpoint):
    """A DNS lookup by UDP, and over a stream for what does not fit a datagram (RFC 7766)."""

    machine: HomeAgentLookup

    def __init__(
        self,
        host: Host,
        lookup: HomeAgentLookup,
        local: Address,
        on_event: Callable[[Event], None],
    ) -> None:
        super().__init__(host, lookup, self._handle, partial(host.open_datagrams, local))
        self._told = on_event
        self._local = local[0], 0
        self._stream: Closable | None = None
        self.open()

    def _handle(self, event: Event) -> None:
        self._told(event)
        while self.machine.streams:
            self._ask(*self.machine.streams.popleft())

    def _ask(self, query: bytes, server: Address) -> None:
        def answered(answer: bytes | OSError) -> None:
            if isinstance(answer, bytes):
                self.receive(answer, server)
                return
            reason = os.strerror(answer.errno) if answer.errno else str(answer)
            self.call(self.machine.handle_lost, reason, self._host.now())

        self._end_stream()
        self._stream = self._host.exchange(query, self._local, server, answered)

    def _end_stream(self) -> None:
        if self._stream:
            self._stream.close()

    def close(self) -> None:
        """Close the socket and the stream; nothing is sent any more."""
        super().close()
        self._end_stream()


class Discovery:
    """An Information-request, a DNS lookup, or a request to the home agents of the home link.

    It asks from the care-of address, which network access has authenticated, and takes answers to
    that address alone. It ends with the first outcome: nobody leads a registered mobile node
    elsewhere by a late answer. A home agent with an address of this host is none; those that have
    been `tried` come last.
    """

    def __init__(
        self,
        host: Host,
        settings: SoughtSettings,
        interface: str,
        care_of: IPv6Address,
        *,
        log: EventLog,
        tried: Tried,
        on_found: Found,
        on_failure: Failure,
    ) -> None:
        self._host = host
        self._tried = tried
        self._on_found = on_found
        self._on_failure = on_failure
        self._prefix_length = PREFIX_LENGTH
        self._machine: InformationRequest | HomeAgentLookup | dhaad.HomeAgentDiscovery
        self._endpoint: DatagramEndpoint
        if isinstance(settings, Dhcpv6Settings):
            self._log = log.child("dhcpv6")
            request = self._machine = _information_request(settings, interface, host)
            local = str(care_of), CLIENT_PORT
            self._endpoint = host.datagrams(request, local, self._handle, interface=interface)
        elif isinstance(settings, DhaadSettings):
            self._log = log.child("dhaad")
            self._prefix_length = settings.network.prefixlen
            asked = self._machine = dhaad.HomeAgentDiscovery(settings.network, rng=host.rng)
            self._endpoint = host.home_agent_discovery(asked, care_of, dhaad.REPLY, self._handle)
        else:
            self._log = log.child("dns")
            lookup = self._machine = HomeAgentLookup(
                (settings.server, PORT),
                rng=host.rng,
                domain=settings.domain,
                tcp=True,
                failed=tried.names,
            )
            self._endpoint = LookupEndpoint(host, lookup, (str(care_of), 0), self._handle)
        self._done = False

    @property
    def is_under_way(self) -> bool:
        """Whether there is no outcome yet."""
        return not self._done

    def start(self) -> None:
        """Send the Information-request or the first query."""
        self._endpoint.call(self._machine.start, self._host.now())

    def _handle(self, event: Event) -> None:
        self._log(event)
        match event:
            case dhcpv6.HomeAgentLearned(addresses=(), fqdn=name):
                self._conclude("DHCPv6", f"the home agent has a name only, {name}")
            case dhcpv6.HomeAgentLearned(addresses=addresses, prefix=prefix):
                self._prefix_length = prefix.prefixlen if prefix else PREFIX_LENGTH
                self._conclude("DHCPv6", addresses)
            case dns.HomeAgentsFound(home_agents=agents):
                self._tried.learn(agents)
                addresses = tuple(address for agent in agents for address in agent.addresses)
                self._conclude("DNS", addresses)
            case dhcpv6.Failed():
                self._conclude("DHCPv6", event.reason)
            case dns.Failed():
                self._conclude("DNS", event.reason)
            case dhaad.HomeAgentsFound(home_agents=found):
                self._conclude("DHAAD", found)
            case dhaad.Failed():
                self._conclude("DHAAD", event.reason)
            case _:
                pass

    def _conclude(self, what: str, outcome: Sequence[IPv6Address] | str) -> None:
        """Pass on the first address that can be used, or why there is none."""
        if self._done:
            return
        self._done = True
        self._host.later(self.close)
        if isinstance(outcome, str):
            self._on_failure(f"{what}: {outcome}")
            return
        order = self._tried.in_order(outcome)
        address = next((one for one in order if not self._host.has_address(one)), None)
        if address is None:
            self._on_failure(f"{what}: the home agent has an address of this host")
        else:
            self._on_found(Assignment(address, self._prefix_length))

    def close(self) -> None:
        """Close what is open."""
        self._endpoint.close()
