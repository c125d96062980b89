"""Events as JSON lines on standard output, for the harness to collect."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from ipaddress import IPv6Address, IPv6Network
from typing import Any, Literal, Protocol, TypeAlias, get_args

import msgspec

from agents.core.machine import Discarded, Event, text_of
from agents.core.rate import TokenBucket
from agents.core.record import Record, shown_fields

RoleEvent: TypeAlias = Literal[
    "AaaFailed",
    "AaaLate",
    "AaaRefused",
    "AccessFailed",
    "AddressTaken",
    "AssignmentChanged",
    "AttemptFailed",
    "BindingUpdateDropped",
    "Bootstrapped",
    "Breached",
    "CareOfAddress",
    "CommandRefused",
    "EarlyStartRefused",
    "EnforcementFailed",
    "EventsLost",
    "Flooded",
    "IkeDaemonReady",
    "Impersonated",
    "ImpersonationFailed",
    "KernelFailed",
    "LaunchFailed",
    "MeterFailed",
    "NoAddressYet",
    "NotReadyYet",
    "OrderFailed",
    "PeerRefused",
    "PinholeClosed",
    "PinholeOpened",
    "PinholeRefused",
    "Ready",
    "RecordLost",
    "Repelled",
    "ReturnedHome",
]
"""What roles tell of themselves, beside the events of their machines."""


def known_events() -> frozenset[str]:
    """Return the names of all events that can be told: roles', and imported machines'."""

    def below(kind: type[Event]) -> Iterator[str]:
        for one in kind.__subclasses__():
            yield one.__name__
            yield from below(one)

    return frozenset((*get_args(RoleEvent), *below(Event)))


DISCARDED_AT_ONCE = 100
DISCARDED_PER_SECOND = 10.0
"""How much of what anybody can send is told of; the rest is counted."""


_AS_IT_IS = frozenset({type(None), bool, int, float, str})


def _plain(value: object) -> object:
    kind = type(value)
    if kind in _AS_IT_IS:
        return value
    way = _WAYS.get(kind)
    if way is None:
        way = _WAYS[kind] = next(_WAYS[above] for above in kind.__mro__ if above in _WAYS)
    return way(value)


def _fields(value: Record) -> dict[str, object]:
    return {
        name: one if type(one := getattr(value, name)) in _AS_IT_IS else _plain(one)
        for name in shown_fields(type(value))
    }


_WAYS: dict[type, Callable[[Any], object]] = {
    Enum: lambda value: value.name,
    IPv6Address: text_of,
    IPv6Network: str,
    bytes: lambda value: f"{len(value)} octets",
    tuple: lambda value: [_plain(v) for v in value],
    list: lambda value: [_plain(v) for v in value],
    dict: lambda value: {str(k): _plain(v) for k, v in value.items()},
    Record: _fields,
    object: repr,
}
"""How to write what JSON has no type for: by its class, or the next one above that is here."""


class Lines(Protocol):
    """Where an event log writes."""

    def write(self, line: str, /) -> object:
        """Take one line."""

    def flush(self) -> object:
        """Let it be read as soon as may be."""


class EventLog:
    """Writes one line per event: {"t": ns, "host": ..., "agent": ..., "event": ..., fields}.

    `t` is time.monotonic_ns(), which every process on one kernel shares. Octet strings are shown
    by their length only. Of a flood of messages without effect it tells some, and with the next
    one how many it has `omitted`: strangers fill no disk.
    """

    def __init__(
        self,
        host: str,
        agent: str,
        stream: Lines = sys.stdout,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._host = host
        self._agent = agent
        self.stream = stream
        self.clock = clock
        self._discarded = TokenBucket(DISCARDED_PER_SECOND, DISCARDED_AT_ONCE)
        self._omitted = 0

    def child(self, agent: str) -> EventLog:
        """Return a log for another agent in the same host."""
        return EventLog(self._host, agent, self.stream, self.clock)

    def __call__(self, event: Event) -> None:
        """Log a machine's event; its own time `at` is left out in favour of `t`."""
        discarded = isinstance(event, Discarded)
        if discarded and not self._discarded.take(self.clock() / 1e9):
            self._omitted += 1
            return
        fields = _fields(event)
        del fields["at"]
        if discarded and self._omitted:
            fields["omitted"], self._omitted = self._omitted, 0
        self._write(type(event).__name__, fields)

    def write(self, event: RoleEvent, **fields: object) -> None:
        """Log an event of the role itself."""
        self._write(event, {name: _plain(value) for name, value in fields.items()})

    def _write(self, event: str, fields: Mapping[str, object]) -> None:
        line = {
            "t": self.clock(),
            "host": self._host,
            "agent": self._agent,
            "event": event,
            **fields,
        }
        self.stream.write(msgspec.json.encode(line).decode() + "\n")
        self.stream.flush()
