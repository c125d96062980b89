"""A mobile node's search for home agents: SRV by service name, AAAA by name (RFC 5026)."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass
from ipaddress import IPv6Address

from agents.dns.events import Failed, HomeAgent, HomeAgentsFound, Started
from agents.dns.wire import Answer, in_order, normal, query
from agents.folding import ascii_lower
from agents.machine import Address, Discarded, Event, PeerError, Retransmission, Timing
from agents.wire import WireError

SERVICE = "_mip6._ipv6"
"""RFC 5026 section 5.1.2."""

QUERY_TIMING = Timing(initial=2.0, maximum=8.0)
"""RFC 1035 section 4.2.1 wants 2 to 5 seconds at least between two tries."""

_MAX_CANDIDATES = 16


@dataclass(frozen=True, slots=True)
class Idle:
    """No lookup is under way."""


@dataclass(frozen=True, slots=True)
class Asking:
    """A question is out; `candidates` are home agents to try, the one asked about first."""

    name: str
    kind: str
    identifier: int
    packet: bytes
    retransmission: Retransmission
    deadline: float
    candidates: tuple[HomeAgent, ...] = ()


State = Idle | Asking


class HomeAgentLookup:
    """Finds home agents through one DNS server. A Machine.

    Either `domain` is the mobility service provider's, whose SRV records are asked for (section
    5.1.2), or `host` is a home agent's own name (section 5.1.1). `deadline` in seconds ends the
    lookup. The socket should have a random port (RFC 5452).
    """

    def __init__(
        self,
        server: Address,
        *,
        rng: random.Random,
        domain: str | None = None,
        host: str | None = None,
        timing: Timing = QUERY_TIMING,
        deadline: float = 15.0,
    ) -> None:
        if (domain is None) == (host is None):
            raise ValueError("either the domain or the home agent's name is needed")
        self.outbox: deque[tuple[bytes, Address]] = deque()
        self.events: deque[Event] = deque()
        self.state: State = Idle()
        self._server = server
        self._rng = rng
        self._service = None if domain is None else normal(f"{SERVICE}.{domain}")
        self._host = None if host is None else normal(host)
        self._timing = timing
        self._deadline = deadline

    def start(self, now: float) -> None:
        """Send the first query; without effect while a lookup is under way."""
        if isinstance(self.state, Asking):
            return
        self.events.append(Started(now))
        deadline = now + self._deadline
        if self._service is not None:
            self._ask(self._service, "SRV", deadline, now)
        elif self._host is not None:
            self._try((HomeAgent(self._host, ()),), deadline, now)

    def _try(self, candidates: tuple[HomeAgent, ...], deadline: float, now: float) -> None:
        """Conclude if the first candidate has an address, else ask for it."""
        if candidates[0].addresses:
            self.state = Idle()
            self.events.append(HomeAgentsFound(now, candidates))
        else:
            self._ask(candidates[0].fqdn, "AAAA", deadline, now, candidates)

    def _ask(
        self,
        name: str,
        kind: str,
        deadline: float,
        now: float,
        candidates: tuple[HomeAgent, ...] = (),
    ) -> None:
        identifier = self._rng.getrandbits(16)
        packet = query(name, kind, identifier)
        timer = Retransmission(self._timing, self._rng, now)
        self.state = Asking(name, kind, identifier, packet, timer, deadline, candidates)
        self.outbox.append((packet, self._server))

    # Timers.

    def next_timeout(self) -> float | None:
        """Return the earliest deadline in seconds, None if no timer runs."""
        match self.state:
            case Asking(retransmission=timer, deadline=deadline):
                return min(timer.deadline, deadline)
            case _:
                return None

    def handle_timeout(self, now: float) -> None:
        """Send again, or give up."""
        match self.state:
            case Asking(deadline=deadline) as state if now >= deadline:
                self._fail(f"no answer about {state.name} within {self._deadline:g} s", now)
            case Asking(retransmission=timer) as state if now >= timer.deadline:
                if timer.expire(now):
                    self.outbox.append((state.packet, self._server))
                else:
                    self._fail(f"no answer about {state.name}", now)

    def _fail(self, reason: str, now: float) -> None:
        self.state = Idle()
        self.events.append(Failed(now, reason))

    # Receiving.

    def handle_message(self, data: bytes, source: Address, now: float) -> None:
        """Take one datagram; what is not valid is dropped with an event."""
        try:
            self._receive(data, source, now)
        except (WireError, PeerError) as error:
            self.events.append(Discarded(now, source[0], str(error)))

    def _receive(self, data: bytes, source: Address, now: float) -> None:
        state = self.state
        if (_address(source[0]), source[1]) != (_address(self._server[0]), self._server[1]):
            raise PeerError("not from the DNS server")
        if not isinstance(state, Asking):
            raise PeerError("an answer to no question")
        answer = Answer.decode(data)
        name, kind = answer.question
        if (answer.identifier, ascii_lower(name), kind) != (
            state.identifier,
            ascii_lower(state.name),
            state.kind,
        ):
            raise PeerError("an answer to another question")
        if answer.truncated:
            # There is no TCP here: a complete answer fits, as EDNS allows for many records.
            self._fail(f"the answer about {state.name} is truncated", now)
        elif state.kind == "SRV":
            self._take_targets(answer, state, now)
        else:
            self._take_addresses(answer, state, now)

    def _take_targets(self, answer: Answer, state: Asking, now: float) -> None:
        names = in_order(answer.targets, self._rng)[:_MAX_CANDIDATES]
        candidates = tuple(HomeAgent(name, answer.addresses_of(name)) for name in names)
        if answer.error or not candidates:
            self._fail(f"no home agent at {state.name}: {answer.error or 'no SRV record'}", now)
        else:
            self._try(candidates, state.deadline, now)

    def _take_addresses(self, answer: Answer, state: Asking, now: float) -> None:
        addresses, rest = answer.addresses_of(state.name), state.candidates[1:]
        if addresses and not answer.error:
            self._try((HomeAgent(state.name, addresses), *rest), state.deadline, now)
        elif rest:
            self._try(rest, state.deadline, now)
        else:
            self._fail(f"no address of {state.name}: {answer.error or 'no AAAA record'}", now)


def _address(host: str) -> IPv6Address:
    return IPv6Address(host.partition("%")[0])
