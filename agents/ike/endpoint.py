"""What one host's exchanges share in either version of IKE."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from typing import Generic, TypeVar

from agents.core.machine import Address, Discarded, Event
from agents.core.timers import Timers
from agents.crypto.dh import KeyPairs
from agents.ike.psk import PskStore

C = TypeVar("C")
K = TypeVar("K", bound=Hashable)


@dataclass(slots=True)
class Endpoint(Generic[C, K]):
    """Settings of type `C`, timers by keys of type `K`, pre-shared keys, and the queues."""

    rng: random.Random
    local: IPv6Address
    config: C
    psks: PskStore = field(default_factory=PskStore, kw_only=True)
    key_pairs: KeyPairs = field(init=False)
    timers: Timers[K] = field(default_factory=Timers, kw_only=True)
    outbox: deque[tuple[bytes, Address]] = field(default_factory=deque, kw_only=True)
    events: deque[Event] = field(default_factory=deque, kw_only=True)

    def __post_init__(self) -> None:
        self.key_pairs = KeyPairs(self.rng)

    def send(self, data: bytes, address: Address) -> None:
        """Queue a datagram."""
        self.outbox.append((data, address))

    def discard(self, source: Address, reason: str, now: float) -> None:
        """Tell the owner that a message had no effect."""
        self.events.append(Discarded(now, source[0], reason))
