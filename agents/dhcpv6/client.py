"""A DHCPv6 client that asks for home agents by Information-request (RFC 8415, RFC 6610)."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Sequence

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
from agents.core.record import Record
from agents.dhcpv6.events import Failed, HomeAgentLearned, Started
from agents.dhcpv6.grammar import check
from agents.dhcpv6.home import Home, HomeInformation, read_first
from agents.dhcpv6.wire import (
    ALL_RELAY_AGENTS_AND_SERVERS,
    SERVER_PORT,
    Message,
    MessageType,
    Option,
    OptionCode,
    Status,
    encode_name,
    is_duid,
    is_host,
    label,
)

INF_TIMING = Timing(initial=1.0, maximum=3600.0)
"""INF_TIMEOUT and INF_MAX_RT."""

INF_MAX_DELAY = 1.0
IRT_DEFAULT, IRT_MINIMUM = 86400, 600
"""RFC 8415 section 7.6, in seconds."""

_INF_MAX_RT_RANGE = (60, 86400)
_INFINITY = 0xFFFFFFFF
_ASKED_WITH_EVERY_HOME = (
    OptionCode.MIP6_HNIDF,
    OptionCode.MIP6_HNP,
    OptionCode.MIP6_HAA,
    OptionCode.MIP6_HAF,
)
_ALWAYS_ASKED = (OptionCode.INFORMATION_REFRESH_TIME, OptionCode.INF_MAX_RT)


class Idle(Record, frozen=True):
    """Before the first exchange, and after one that failed."""


class Delaying(Record, frozen=True):
    """The first message of an exchange is held back for a random time."""

    until: float
    deadline: float


class Requesting(Record, frozen=True):
    """An Information-request is out."""

    transaction_id: int
    first_sent: float
    retransmission: Retransmission
    deadline: float


class Informed(Record, frozen=True):
    """The home agent is known until the information is to be refreshed."""

    refresh_at: float


State = Idle | Delaying | Requesting | Informed


class InformationRequest:
    """A client that learns the home agent of one interface. A Machine.

    `homes` are the home networks asked for, the preferred one first; `network` is the domain that
    identifies an IDENTIFIED one. `interface` is where the multicast goes; without it the socket
    must know. `max_delay` bounds the random wait before the first message; RFC 8415 section
    18.2.6 demands INF_MAX_DELAY. `deadline` ends an exchange. Times in seconds.
    """

    def __init__(
        self,
        duid: bytes,
        homes: Sequence[Home],
        *,
        rng: random.Random,
        network: str | None = None,
        interface: str | None = None,
        timing: Timing = INF_TIMING,
        max_delay: float = INF_MAX_DELAY,
        deadline: float = 30.0,
    ) -> None:
        if not is_duid(duid):
            raise ValueError(f"a DUID of {len(duid)} octets")
        if not homes:
            raise ValueError("no home network to ask for")
        if Home.IDENTIFIED in homes and network is None:
            raise ValueError("an identified home network needs a name")
        self.outbox: deque[tuple[bytes, Address]] = deque()
        self.events: deque[Event] = deque()
        self.state: State = Idle()
        self._duid = duid
        self._homes = tuple(homes)
        self._network = network if Home.IDENTIFIED in homes else None
        self._identifier = b"" if self._network is None else encode_name(self._network)
        zone = f"%{interface}" if interface else ""
        self._destination = (ALL_RELAY_AGENTS_AND_SERVERS + zone, SERVER_PORT)
        self._rng = rng
        self._timing = timing
        self._max_delay = max_delay
        self._deadline = deadline
        self._hindrance = ""

    def start(self, now: float) -> None:
        """Begin an exchange; without effect while one is under way."""
        if isinstance(self.state, Delaying | Requesting):
            return
        self._hindrance = ""
        delay = self._rng.uniform(0.0, self._max_delay)
        self.state = Delaying(now + delay, now + self._deadline)
        if delay == 0:
            self.handle_timeout(now)

    # Timers.

    def next_timeout(self) -> float | None:
        """Return the earliest deadline in seconds, None if no timer runs."""
        match self.state:
            case Delaying(until=until, deadline=deadline):
                return min(until, deadline)
            case Requesting(retransmission=retransmission, deadline=deadline):
                return min(retransmission.deadline, deadline)
            case Informed(refresh_at=at) if math.isfinite(at):
                return at
            case _:
                return None

    def handle_timeout(self, now: float) -> None:
        """Send, send again, give up, or refresh."""
        match self.state:
            case Delaying(deadline=deadline) | Requesting(deadline=deadline) if now >= deadline:
                self._fail(f"no valid Reply within {self._deadline:g} s", now)
            case Delaying(until=until, deadline=deadline) if now >= until:
                self._request(deadline, now)
            case Requesting(retransmission=timer) as state if now >= timer.deadline:
                if timer.expire(now):
                    self._send(state, now)
                else:
                    self._fail(f"no valid Reply to {timer.transmissions} messages", now)
            case Informed(refresh_at=at) if now >= at:
                self.start(now)

    def _fail(self, reason: str, now: float) -> None:
        self.state = Idle()
        suffix = f"; {self._hindrance}" if self._hindrance else ""
        self.events.append(Failed(now, reason + suffix))

    def _request(self, deadline: float, now: float) -> None:
        timer = Retransmission(self._timing, self._rng, now)
        self.state = Requesting(self._rng.getrandbits(24), now, timer, deadline)
        self.events.append(Started(now))
        self._send(self.state, now)

    def _send(self, state: Requesting, now: float) -> None:
        elapsed = min(int((now - state.first_sent) * 100), 0xFFFF)
        asked = (*_ASKED_WITH_EVERY_HOME, *self._homes, *_ALWAYS_ASKED)
        options = [
            Option(OptionCode.CLIENT_ID, self._duid),
            Option(OptionCode.ORO, b"".join(code.to_bytes(2) for code in asked)),
            Option.number(OptionCode.ELAPSED_TIME, elapsed, 2),
        ]
        if self._identifier:
            options.append(Option(OptionCode.MIP6_HNIDF, self._identifier))
        request = Message(MessageType.INFORMATION_REQUEST, state.transaction_id, tuple(options))
        self.outbox.append((request.encode(), self._destination))

    # Receiving.

    def handle_message(self, data: bytes, source: Address, now: float) -> None:
        """Take one datagram; what is not valid is dropped with an event."""
        try:
            self._receive(data, source, now)
        except (WireError, PeerError) as error:
            self.events.append(Discarded(now, source[0], str(error)))

    def _receive(self, data: bytes, source: Address, now: float) -> None:
        if not is_host(address_of(source[0])):
            raise PeerError("a source that no host can have")
        message = Message.decode(data)
        if message.kind != MessageType.REPLY:
            raise PeerError(f"{label(message.kind)} at a client")
        state = self.state
        if not isinstance(state, Requesting) or message.transaction_id != state.transaction_id:
            raise PeerError("Reply to no message that waits for one")
        check(message)
        if not is_duid(message.value(OptionCode.SERVER_ID) or b""):
            raise PeerError("Reply with a broken server identifier")
        if message.value(OptionCode.CLIENT_ID) != self._duid:
            raise PeerError("Reply to another client, or to none")
        refresh = _refresh_time(message)
        self._take_inf_max_rt(message)
        self._check_status(message)
        self._conclude(message, refresh, now)

    def _take_inf_max_rt(self, message: Message) -> None:
        """Adopt the server's INF_MAX_RT (section 21.25), from the next exchange on."""
        option = message.first(OptionCode.INF_MAX_RT)
        value = 0 if option is None else option.as_number(4)
        if _INF_MAX_RT_RANGE[0] <= value <= _INF_MAX_RT_RANGE[1]:
            old = self._timing
            self._timing = Timing(old.initial, value, old.count, old.duration, old.jitter)

    def _check_status(self, message: Message) -> None:
        """Raise PeerError for a status after which the request is sent again (section 18.2.10).

        The retransmission in progress and the deadline limit rate and duration. Another failure
        does not concern a client that asks for no lease.
        """
        value = message.value(OptionCode.STATUS_CODE)
        if value is None:
            return
        if len(value) < 2:
            raise WireError("a status code without a code")
        code = int.from_bytes(value[:2])
        if code in (Status.UNSPEC_FAIL, Status.USE_MULTICAST):
            text = value[2:].decode("utf-8", "replace")
            self._hindrance = f"the server's status is {Status(code).name}" + (
                f" ({text})" if text.isprintable() and text else ""
            )
            raise PeerError(self._hindrance)

    def _conclude(self, message: Message, refresh: float, now: float) -> None:
        """Take the first home agent in the order of preference.

        Options of RFC 6610 outside the containers are not looked at, as it demands.
        """
        reasons = []
        for home in self._homes:
            try:
                information = read_first(message.all(home), self._network)
            except PeerError as error:
                reasons.append(f"{home.name.lower()}: {error}")
            else:
                self._learn(information, refresh, now)
                return
        self._fail("the Reply is of no use (" + ", ".join(reasons) + ")", now)

    def _learn(self, information: HomeInformation, refresh: float, now: float) -> None:
        self.state = Informed(now + refresh)
        self.events.append(
            HomeAgentLearned(
                now,
                information.addresses,
                next(iter(information.prefixes), None),
                next(iter(information.names), None),
                information.home is Home.LOCAL,
                refresh if math.isfinite(refresh) else None,
            )
        )


def _refresh_time(message: Message) -> float:
    """Return after how many seconds to ask again (RFC 8415 section 21.23)."""
    option = message.first(OptionCode.INFORMATION_REFRESH_TIME)
    seconds = IRT_DEFAULT if option is None else option.as_number(4)
    return math.inf if seconds == _INFINITY else max(seconds, IRT_MINIMUM)
