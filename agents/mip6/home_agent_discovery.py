"""Dynamic Home Agent Address Discovery (RFC 6275 sections 6.5, 6.6, 10.5 and 11.4.1)."""

from __future__ import annotations

import random
from collections import deque
from ipaddress import IPv6Address, IPv6Network

from agents.core.machine import Address, Discarded, Event, address_of
from agents.core.reader import Reader, WireError
from agents.core.record import Record
from agents.core.unicast import is_unicast

REQUEST, REPLY = 144, 145
"""ICMPv6 types."""

_HOME_AGENTS = 0x7E
"""The identifier among a subnet's anycast addresses (RFC 2526 section 3)."""

_INTERFACE_IDENTIFIER = 0xFDFFFFFFFFFFFF80
"""Of a subnet's anycast addresses, where it has 64 bits: not universal, all else ones."""

_SLAAC = 64
_MOST = 64
"""Addresses that are read of one reply: more than fit into IPv6's least MTU make no better list."""


def anycast_address(prefix: IPv6Network) -> IPv6Address:
    """Return the Mobile IPv6 Home-Agents anycast address of a subnet (RFC 2526 section 2)."""
    if prefix.prefixlen == _SLAAC:
        return prefix.network_address + (_INTERFACE_IDENTIFIER | _HOME_AGENTS)
    ones = prefix.num_addresses - 1
    return prefix.network_address + (ones & ~0x7F | _HOME_AGENTS)


class AddressRequest(Record, frozen=True):
    """A mobile node's question for home agents of its home link."""

    identifier: int

    def encode(self) -> bytes:
        """Return the ICMPv6 message with a checksum of 0, which the kernel fills in."""
        return bytes((REQUEST, 0, 0, 0)) + self.identifier.to_bytes(2) + bytes(2)


class AddressReply(Record, frozen=True):
    """A home agent's answer: home agents of its link, the one to be preferred first."""

    identifier: int
    home_agents: tuple[IPv6Address, ...]

    def encode(self) -> bytes:
        """Return the ICMPv6 message with a checksum of 0, which the kernel fills in."""
        head = bytes((REPLY, 0, 0, 0)) + self.identifier.to_bytes(2) + bytes(2)
        return head + b"".join(one.packed for one in self.home_agents)


def decode(data: bytes) -> AddressRequest | AddressReply:
    """Read an ICMPv6 message whose checksum has been verified; raise WireError."""
    r = Reader(data)
    kind, code, _, identifier, _ = r.u8(), r.u8(), r.u16(), r.u16(), r.u16()
    if kind not in (REQUEST, REPLY) or code:
        raise WireError(f"ICMPv6 type {kind} code {code}")
    if kind == REQUEST:
        return AddressRequest(identifier)
    home_agents = []
    while r.remaining:
        home_agents.append(IPv6Address(r.take(16)))
    return AddressReply(identifier, tuple(home_agents[:_MOST]))


class DiscoveryTimers(Record, frozen=True):
    """Times in seconds, and a number, by their names in section 12."""

    initial: float = 3.0  # INITIAL_DHAAD_TIMEOUT
    retries: int = 4  # DHAAD_RETRIES


class Started(Event, frozen=True):
    """The first request is about to leave, to this anycast address."""

    anycast: IPv6Address


class RequestRepeated(Event, frozen=True):
    """No home agent has answered yet; the request is about to leave again."""

    attempt: int


class HomeAgentsFound(Event, frozen=True):
    """A home agent has told those of its link."""

    home_agents: tuple[IPv6Address, ...]


class Failed(Event, frozen=True):
    """No home agent was found."""

    reason: str


class _Asking(Record, frozen=True):
    identifier: int
    due: float
    timeout: float
    attempt: int


class HomeAgentDiscovery:
    """Asks the home agents of a home link for their addresses. A Machine.

    The same request leaves again after 3, 6, 12 and 24 s; 48 s after the last one it is given up.
    """

    def __init__(
        self,
        prefix: IPv6Network,
        *,
        rng: random.Random,
        timers: DiscoveryTimers | None = None,
    ) -> None:
        self.outbox: deque[tuple[bytes, Address]] = deque()
        self.events: deque[Event] = deque()
        self._anycast = anycast_address(prefix)
        self._rng = rng
        self._timers = timers or DiscoveryTimers()
        self._state: _Asking | None = None

    def start(self, now: float) -> None:
        """Send the first request; without effect while one is under way."""
        if self._state is None:
            self.events.append(Started(now, self._anycast))
            self._ask(_Asking(self._rng.getrandbits(16), now, self._timers.initial, 0), now)

    def handle_message(self, data: bytes, source: Address, now: float) -> None:
        """Take a reply, which nothing protects but its identifier: IKE finds out who it names."""
        try:
            message = decode(data)
        except WireError as error:
            self.events.append(Discarded(now, source[0], str(error)))
            return
        match message, self._state:
            case AddressReply(identifier=got), _Asking(identifier=sent) if got == sent:
                self._take(message.home_agents, source, now)
            case _:
                self.events.append(Discarded(now, source[0], "no answer to the request"))

    def _take(self, told: tuple[IPv6Address, ...], source: Address, now: float) -> None:
        if found := tuple(one for one in told if is_unicast(one)):
            self._state = None
            self.events.append(HomeAgentsFound(now, found))
        else:
            self.events.append(Discarded(now, source[0], "an answer without a usable address"))

    def next_timeout(self) -> float | None:
        """Return when to ask again or to give up, or None."""
        return self._state.due if self._state else None

    def handle_timeout(self, now: float) -> None:
        """Ask again, each time after twice as long, or give up."""
        state = self._state
        if state is None or state.due > now:
            return
        if state.attempt > self._timers.retries:
            self._state = None
            self.events.append(Failed(now, f"no answer from {self._anycast}"))
            return
        self.events.append(RequestRepeated(now, state.attempt))
        self._ask(state, now)

    def _ask(self, state: _Asking, now: float) -> None:
        data = AddressRequest(state.identifier).encode()
        self.outbox.append((data, (str(self._anycast), 0)))
        due, timeout = now + state.timeout, 2 * state.timeout
        self._state = _Asking(state.identifier, due, timeout, state.attempt + 1)


class HomeAgentsTold(Event, frozen=True):
    """A reply is about to leave to a mobile node."""

    care_of: IPv6Address


class DiscoveryResponder:
    """A home agent's answers to who looks for one. A Machine.

    It tells its own `address`. A reply has 64 octets with its header, a request 48.
    """

    def __init__(self, address: IPv6Address) -> None:
        self.outbox: deque[tuple[bytes, Address]] = deque()
        self.events: deque[Event] = deque()
        self._address = address

    def handle_message(self, data: bytes, source: Address, now: float) -> None:
        """Take a request; whoever asks is told."""
        try:
            message = decode(data)
            care_of = address_of(source[0])
        except ValueError as error:  # WireError is one.
            self.events.append(Discarded(now, source[0], str(error)))
            return
        if not isinstance(message, AddressRequest) or not is_unicast(care_of):
            self.events.append(Discarded(now, source[0], "no request, or from no unicast address"))
            return
        self.events.append(HomeAgentsTold(now, care_of))
        reply = AddressReply(message.identifier, (self._address,))
        self.outbox.append((reply.encode(), (str(care_of), 0)))

    def next_timeout(self) -> float | None:
        """Return None: nothing is waited for."""
        return None

    def handle_timeout(self, now: float) -> None:
        """Do nothing."""
