"""Who owns each home address at a home agent, and until when: this is written down here alone.

IKE asks it whom to make security associations with and for what, the binding cache who may
register.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from ipaddress import IPv6Address, IPv6Network

from agents.core.index import Index
from agents.core.machine import Event
from agents.core.record import Record, Secret
from agents.core.timers import Timers

_RETRY = 1.0
"""Seconds after which what hangs on a hold is ended again, if something of it was left."""


class Key(Record, frozen=True):
    """A pre-shared key; its holder is known by `care_of` too, if that is given."""

    psk: Secret[bytes]
    care_of: IPv6Address | None


class Expected(Record, frozen=True):
    """The home address of somebody who is being authenticated: for SAs, not to register."""

    home_address: IPv6Address
    key: Key


class Held(Record, frozen=True):
    """The home address of somebody who has been authenticated: for SAs, and to register.

    Without a key the holder has to prove anew who it is.
    """

    home_address: IPv6Address
    until: float
    key: Key | None


class HomeAddressRefused(Event, frozen=True):
    """A home address was not given to somebody."""

    home_address: IPv6Address
    identity: str
    reason: str


class HomeAddressReleased(Event, frozen=True):
    """A hold is over, and so is all that hung on it."""

    home_address: IPv6Address
    identity: str


class HomeAddresses:
    """The home addresses of `prefix` at the home agent `address`, and who owns them.

    A home address is one identity's at a time. An identity holds one, and may be expected at one,
    the same or another. `owns` tells whether this host has an address. `end` ends what hangs on a
    hold and tells whether nothing is left of it: until then the address stays its owner's, who can
    do nothing with it, and `end` is called again.
    """

    def __init__(
        self,
        address: IPv6Address,
        prefix: IPv6Network,
        *,
        owns: Callable[[IPv6Address], bool],
        end: Callable[[IPv6Address, str, float], bool],
    ) -> None:
        self.outbox: deque[object] = deque()
        self.events: deque[Event] = deque()
        self.address = address
        self.prefix = prefix
        self._owns = owns
        self._end_all = end
        self._owners: dict[IPv6Address, str] = {}
        """Whose each home address is: held, expected, or not yet cleared."""

        self._held: dict[str, Held] = {}
        self._expected: dict[str, Expected] = {}
        self._sessions = Index[str, int]()
        self._timers: Timers[IPv6Address] = Timers()

    def __len__(self) -> int:
        """Return how many home addresses may be registered at present."""
        return len(self._held)

    # Whose is it?

    def holder(self, home_address: IPv6Address) -> str | None:
        """Return who may register a home address at present."""
        owner = self._owners.get(home_address)
        return owner if owner is not None and self.home_of(owner) == home_address else None

    def home_of(self, identity: str) -> IPv6Address | None:
        """Return the home address that somebody may register at present."""
        held = self._held.get(identity)
        return held.home_address if held else None

    def key_of(self, home_address: IPv6Address) -> bytes | None:
        """Return the key of who may register a home address at present, if it has one."""
        holder = self.holder(home_address)
        key = self._held[holder].key if holder is not None else None
        return key.psk if key else None

    def until(self, home_address: IPv6Address) -> float:
        """Return until when a home address may be registered; minus infinity if it may not be."""
        holder = self.holder(home_address)
        return self._held[holder].until if holder is not None else -math.inf

    def usable(self, identity: str) -> Expected | Held | None:
        """Return what somebody may have SAs for at present: where it is expected comes first."""
        return self._expected.get(identity) or self._held.get(identity)

    def is_own(self, address: IPv6Address) -> bool:
        """Return whether this host has an address; if that is not known, it has."""
        try:
            return address == self.address or self._owns(address)
        except OSError:
            return True

    # Who gets it?

    def expect(self, home_address: IPv6Address, identity: str, key: Key, now: float) -> bool:
        """Let somebody have SAs for a home address, until `hold` or `withdraw`."""
        if not self._may_have(home_address, identity, now):
            return False
        self._expect_no_more(identity, home_address, now)
        self._owners[home_address] = identity
        self._expected[identity] = Expected(home_address, key)
        return True

    def hold(
        self,
        home_address: IPv6Address,
        identity: str,
        until: float,
        now: float,
        *,
        key: Key | None = None,
        session: int | None = None,
    ) -> bool:
        """Let somebody register a home address until then; what it had before ends first.

        With a `session` the hold ends with that too, unless it is brought again.
        """
        if not self._may_have(home_address, identity, now):
            return False
        self._expect_no_more(identity, home_address, now)
        if self.home_of(identity) != home_address:
            self.release(identity, now)
        self._owners[home_address] = identity
        self._held[identity] = Held(home_address, until, key)
        self._sessions.put(identity, session)
        if until == math.inf:
            self._timers.cancel(home_address)
        else:
            self._timers.set(home_address, until)
        return True

    def _may_have(self, home_address: IPv6Address, identity: str, now: float) -> bool:
        owner = self._owners.get(home_address)
        if home_address not in self.prefix or self.is_own(home_address):
            reason = "is no home address here"
        elif owner not in (None, identity):
            reason = f"is {owner}'s"
        else:
            return True
        reason = f"{home_address} for {identity} {reason}"
        self.events.append(HomeAddressRefused(now, home_address, identity, reason))
        return False

    # When does it end?

    def withdraw(self, identity: str, psk: bytes, now: float) -> bool:
        """Expect somebody with this key no more; return whether it was expected.

        What it holds counts again.
        """
        expected = self._expected.get(identity)
        if expected is None or expected.key.psk != psk:
            return False
        self._expect_no_more(identity, None, now)
        return True

    def release(self, identity: str, now: float) -> None:
        """End what somebody holds, before its time or on time."""
        self._sessions.put(identity, None)
        if held := self._held.pop(identity, None):
            self._end(held.home_address, identity, now)

    def release_session(self, session: int, now: float) -> None:
        """End what a session has brought, unless a later one has brought it again."""
        for identity in self._sessions.at(session):
            self.release(identity, now)

    def _expect_no_more(self, identity: str, next_home: IPv6Address | None, now: float) -> None:
        """End what somebody is expected at, unless it holds or is about to get the same address."""
        expected = self._expected.pop(identity, None)
        if expected and expected.home_address not in (next_home, self.home_of(identity)):
            self._end(expected.home_address, identity, now)

    def _end(self, home_address: IPv6Address, identity: str, now: float) -> None:
        if not self._end_all(home_address, identity, now):
            self._timers.set(home_address, now + _RETRY)
            return
        self._timers.cancel(home_address)
        usable = self.usable(identity)
        if not usable or usable.home_address != home_address:
            del self._owners[home_address]
        self.events.append(HomeAddressReleased(now, home_address, identity))

    def next_timeout(self) -> float | None:
        """Return when the next hold ends, or is to be ended again."""
        return self._timers.next()

    def handle_timeout(self, now: float) -> None:
        """End every hold whose time is over."""
        while (home_address := self._timers.pop(now)) is not None:
            owner = self._owners[home_address]
            if self.home_of(owner) == home_address:
                self.release(owner, now)
            else:
                self._end(home_address, owner, now)
