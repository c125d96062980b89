"""A mobile node's search for home agents: SRV by service name, AAAA by name (RFC 5026)."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from ipaddress import IPv6Address
from itertools import islice
from typing import Any

from agents.core.folding import ascii_lower
from agents.core.machine import (
    Address,
    Discarded,
    Event,
    PeerError,
    Retransmission,
    Timing,
    address_of,
)
from agents.core.reader import WireError
from agents.core.record import Record, replace
from agents.core.unicast import is_unicast
from agents.dns.events import Failed, HomeAgent, HomeAgentsFound, Inconclusive, Started
from agents.dns.wire import NO_EDNS, Answer, in_order, normal, query

SERVICE = "_mip6._ipv6"
"""RFC 5026 section 5.1.2."""

QUERY_TIMING = Timing(initial=2.0, maximum=8.0)
"""RFC 1035 section 4.2.1 wants 2 to 5 seconds at least between two tries."""

_MAX_CANDIDATES = 16
_MAX_ALIASES = 16
"""Aliases followed by a question of their own; how many one answer follows is the server's."""

_PATIENCE = 2
"""Transmissions of one question after which it is put in another way, or another one."""


class Idle(Record, frozen=True):
    """No lookup is under way."""


class Question(Record, frozen=True):
    """What is asked, and what has led to it.

    `candidates` are home agents to try, the one asked about first; the next `untried` have not been
    asked about in this round. `aliases` counts those that were followed. `hindrance` is what the
    last inconclusive answer said.
    """

    name: str
    kind: str
    deadline: float
    candidates: tuple[HomeAgent, ...] = ()
    untried: int = 0
    aliases: int = 0
    edns: bool = True
    over_tcp: bool = False
    hindrance: str | None = None

    def about(self, candidates: tuple[HomeAgent, ...], untried: int) -> Question:
        """Return the question for the first candidate's address."""
        return replace(
            self,
            name=candidates[0].fqdn,
            kind="AAAA",
            candidates=candidates,
            untried=untried,
            aliases=0,
            over_tcp=False,
        )


class Asking(Record, frozen=True):
    """A question is out, or waits to be put again since its answer was inconclusive (`put_off`)."""

    question: Question
    identifier: int
    packet: bytes
    retransmission: Retransmission
    put_off: bool = False


State = Idle | Asking


class HomeAgentLookup:
    """Finds home agents through one DNS server. A Machine.

    Either `domain` is the mobility service provider's, whose SRV records are asked for (section
    5.1.2), or `host` is a home agent's own name (section 5.1.1). `deadline` in seconds ends the
    lookup. The socket should have a random port (RFC 5452). `failed` are home agents by their names
    that did not serve, the last one last: they come after all others, in this order.

    With `tcp` the owner sends each query in `streams` over a TCP connection of its own (RFC 7766),
    and calls `handle_message` with what comes back or `handle_lost` if nothing does. Without it a
    truncated answer ends the lookup.
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
        tcp: bool = False,
        failed: Sequence[str] = (),
    ) -> None:
        if (domain is None) == (host is None):
            raise ValueError("either the domain or the home agent's name is needed")
        self.outbox: deque[tuple[bytes, Address]] = deque()
        self.streams: deque[tuple[bytes, Address]] = deque()
        self.events: deque[Event] = deque()
        self.state: State = Idle()
        self._server = server
        self._rng = rng
        self._service = None if domain is None else normal(f"{SERVICE}.{domain}")
        self._host = None if host is None else normal(host)
        self._timing = timing
        self._deadline = deadline
        self._tcp = tcp
        self._failed = {ascii_lower(name): rank for rank, name in enumerate(failed)}

    def start(self, now: float) -> None:
        """Send the first query; without effect while a lookup is under way."""
        if isinstance(self.state, Asking):
            return
        self.events.append(Started(now))
        deadline = now + self._deadline
        if self._service is not None:
            self._ask(Question(self._service, "SRV", deadline), now)
        elif self._host is not None:
            self._ask(Question(self._host, "AAAA", deadline, (HomeAgent(self._host, ()),)), now)

    def _try(
        self,
        question: Question,
        candidates: tuple[HomeAgent, ...],
        untried: int,
        now: float,
        timer: Retransmission | None = None,
    ) -> None:
        """Conclude if the first candidate has an address, else ask for it."""
        if candidates[0].addresses:
            self.state = Idle()
            self.events.append(HomeAgentsFound(now, candidates))
        else:
            self._ask(question.about(candidates, untried), now, timer)

    def _ask(self, question: Question, now: float, timer: Retransmission | None = None) -> None:
        identifier = self._rng.getrandbits(16)
        packet = query(question.name, question.kind, identifier, edns=question.edns)
        timing = self._timing
        if question.over_tcp:  # It takes two round trips, and begins anew if it is given up.
            timing = replace(timing, initial=max(timing.initial, timing.maximum))
        timer = timer or Retransmission(timing, self._rng, now)
        self.state = Asking(question, identifier, packet, timer)
        (self.streams if question.over_tcp else self.outbox).append((packet, self._server))

    # Timers.

    def next_timeout(self) -> float | None:
        """Return the earliest deadline in seconds, None if no timer runs."""
        match self.state:
            case Asking(question=question, retransmission=timer):
                return min(timer.deadline, question.deadline)
            case _:
                return None

    def handle_timeout(self, now: float) -> None:
        """Send again, ask about another home agent, or give up."""
        match self.state:
            case Asking(question=question) if now >= question.deadline:
                self._give_up(question, f"within {self._deadline:g} s", now)
            case Asking(question=question, retransmission=timer) as state if now >= timer.deadline:
                if not timer.expire(now):
                    self._give_up(question, f"to {timer.transmissions} messages", now)
                elif state.put_off or question.over_tcp or timer.transmissions > _PATIENCE:
                    self._begin_round(question, now, timer)
                else:
                    self.outbox.append((state.packet, self._server))

    def _begin_round(self, question: Question, now: float, timer: Retransmission) -> None:
        """Ask about every candidate again, the last one asked about last.

        Without EDNS, for there are servers that fail or say nothing because of it.
        """
        question = replace(question, over_tcp=False, edns=False)
        if question.candidates:
            first, *rest = question.candidates
            self._try(question, (*rest, first), len(rest), now, timer)
        else:
            self._ask(question, now, timer)

    def _give_up(self, question: Question, limit: str, now: float) -> None:
        if question.hindrance is None:
            self._fail(f"no answer about {question.name} {limit}", now)
        else:
            reason = f"no usable answer about {question.name} {limit}: {question.hindrance}"
            self._fail(reason, now)

    def _fail(self, reason: str, now: float) -> None:
        self.state = Idle()
        self.events.append(Failed(now, reason))

    # Receiving.

    def handle_message(self, data: bytes, source: Address, now: float) -> None:
        """Take one datagram or what came by TCP; what is not valid is dropped with an event."""
        try:
            self._receive(data, source, now)
        except (WireError, PeerError) as error:
            self.events.append(Discarded(now, source[0], str(error)))

    def handle_lost(self, reason: str, now: float) -> None:
        """Take note that the last query in `streams` gets no answer."""
        match self.state:
            case Asking(question=question) as state if question.over_tcp and not state.put_off:
                self._put_off(state, f"TCP: {reason}", now)

    def _receive(self, data: bytes, source: Address, now: float) -> None:
        state = self.state
        if (address_of(source[0]), source[1]) != (address_of(self._server[0]), self._server[1]):
            raise PeerError("not from the DNS server")
        if not isinstance(state, Asking):
            raise PeerError("an answer to no question")
        answer, question = Answer.decode(data), state.question
        about = answer.question or (question.name, question.kind)
        if (answer.identifier, ascii_lower(about[0]), about[1]) != (
            state.identifier,
            ascii_lower(question.name),
            question.kind,
        ):
            raise PeerError("an answer to another question")
        if answer.error in NO_EDNS and question.edns:
            self._change(question, f"{answer.error}: without EDNS", now, edns=False)
        elif not answer.conclusive:
            if not self._follow(answer, question, now):
                self._put_off(state, answer.error or "", now)
        elif answer.truncated:
            self._take_truncated(state, now)
        elif question.kind == "SRV":
            self._take_targets(answer, question, now)
        else:
            self._take_addresses(answer, question, now)

    def _change(self, question: Question, reason: str, now: float, **changes: Any) -> None:
        """Put the question in another way."""
        self.events.append(Inconclusive(now, question.name, reason))
        self._ask(replace(question, **changes), now)

    def _put_off(self, state: Asking, hindrance: str, now: float) -> None:
        """Go on to another candidate; if all were asked about, wait before the next round.

        A server that fails, or refuses, may answer the same question later (RFC 2308 section 7).
        """
        question, timer = replace(state.question, hindrance=hindrance), state.retransmission
        if question.over_tcp:
            timer = Retransmission(self._timing, self._rng, now)
        self.events.append(Inconclusive(now, question.name, hindrance))
        if question.untried:
            candidates = (*question.candidates[1:], question.candidates[0])
            self._try(question, candidates, question.untried - 1, now, timer)
        else:
            self.state = replace(state, question=question, retransmission=timer, put_off=True)

    def _take_truncated(self, state: Asking, now: float) -> None:
        question = state.question
        if not self._tcp:
            self._fail(f"the answer about {question.name} is truncated", now)
        elif question.over_tcp:
            self._put_off(state, "truncated over TCP too", now)
        else:
            self._change(question, "truncated: over TCP", now, over_tcp=True)

    def _take_targets(self, answer: Answer, question: Question, now: float) -> None:
        order = sorted(in_order(answer.targets, self._rng), key=self._rank)
        names = islice(order, _MAX_CANDIDATES)
        agents = tuple(HomeAgent(name, _usable(answer.addresses_of(name))) for name in names)
        if agents and not answer.error:
            self._try(replace(question, hindrance=None), agents, len(agents) - 1, now)
        elif not self._follow(answer, question, now):
            lack = answer.error or _alias(answer, question) or "no SRV record"
            self._fail(f"no home agent at {question.name}: {lack}", now)

    def _rank(self, name: str) -> int:
        """Return how late a home agent is tried that has failed, -1 if it has not."""
        return self._failed.get(ascii_lower(name), -1)

    def _take_addresses(self, answer: Answer, question: Question, now: float) -> None:
        all_of_it = answer.addresses_of(question.name)
        addresses = _usable(all_of_it)
        first, *rest = question.candidates
        if addresses and not answer.error:
            found = HomeAgent(first.fqdn, addresses)
            self._try(question, (found, *rest), question.untried, now)
        elif not all_of_it and self._follow(answer, question, now):
            pass
        elif rest:
            self._try(question, tuple(rest), max(question.untried - 1, 0), now)
        else:
            nobodys = f"no home agent can have {all_of_it[0]}" if all_of_it else None
            lack = answer.error or nobodys or _alias(answer, question) or "no AAAA record"
            self._fail(f"no address of {question.name}: {lack}", now)

    def _follow(self, answer: Answer, question: Question, now: float) -> bool:
        """Ask about the name that an alias alone leads to (RFC 1034 section 5.3.3), if it does.

        A server may fail, with the aliases so far, since they are too many for it.
        """
        alias = _alias(answer, question)
        missing = answer.error and answer.conclusive
        if missing or not alias or question.aliases == _MAX_ALIASES:
            return False
        self._change(
            question, alias, now, name=answer.name, aliases=question.aliases + 1, over_tcp=False
        )
        return True


def _alias(answer: Answer, question: Question) -> str | None:
    """Return a sentence about an alias that an answer gives for the name asked about."""
    if ascii_lower(answer.name) in ("", ascii_lower(question.name)):
        return None
    return f"an alias of {answer.name}"


def _usable(addresses: tuple[IPv6Address, ...]) -> tuple[IPv6Address, ...]:
    return tuple(address for address in addresses if is_unicast(address))
