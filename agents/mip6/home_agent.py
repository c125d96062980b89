"""The home agent's binding cache (RFC 6275 sections 9.5 and 10.3).

It is closed until opened: a home address can be registered while somebody holds it. For all others
there is no answer, no memory, and no work.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from ipaddress import IPv6Address

from agents.core.machine import Address, Carried, Discarded, Event, address_of
from agents.core.record import Record, replace
from agents.core.timers import Timers
from agents.core.unicast import is_unicast
from agents.mip6.authentication import UpdateAuthentication
from agents.mip6.binding_cache import (
    BindingCreated,
    BindingKernel,
    BindingRejected,
    BindingRemoved,
    BindingUpdated,
    Bound,
    DuplicateAddress,
    Ended,
    Entry,
    KernelRefused,
    NeighbourAdvertised,
    NeighbourSolicited,
    Tentative,
    deadline,
    link_local_of,
)
from agents.mip6.codec import (
    LIFETIME_UNIT,
    MAX_LIFETIME,
    BindingAck,
    BindingError,
    BindingUpdate,
    ErrorStatus,
    Message,
    OtherMessage,
    Status,
    decode,
    encode,
    newer,
)
from agents.mip6.home_addresses import HomeAddresses
from agents.mip6.home_prefix import HomePrefix
from agents.mip6.neighbour import NONCE_LENGTH, Claim

_LAST_KNOWN_KIND = 7
_LINGER = 10.0  # MAX_DELETE_BCE_TIMEOUT
_TOLD_EVERY = 1.0
"""Seconds between two answers to what is not authentic, for one home address."""


class _Timer(Enum):
    """What a home address's deadline is for."""

    ENTRY = auto()
    WAY = auto()
    KERNEL = auto()


class Limits(Record, frozen=True):
    """What a home agent grants, and its timers; in seconds.

    `retransmit` is RetransTimer and `probes` DupAddrDetectTransmits of RFC 4862, `refresh` is sent
    as the Binding Refresh Advice.
    """

    lifetime: int = MAX_LIFETIME
    bindings: int = 10_000
    probes: int = 1
    retransmit: float = 1.0
    refresh: int | None = None


class HomeAgent:
    """Serves the mobile nodes whose `homes` are here.

    The kernel's part of a binding is done before the acknowledgement is queued. The owner carries
    out NeighbourSolicited and NeighbourAdvertised events, calls duplicate_seen() for every
    Neighbor Advertisement and every solicitation from :: that it sees on the home link, and end()
    when a home address is held no more. `key_management` tells that IKE follows a mobile node's
    movements (the K bit). Without a `prefix` that of the home link lasts for ever. With
    `authentication` Binding Updates bear it themselves, and IPsec protects nothing (RFC 4285).
    """

    def __init__(
        self,
        homes: HomeAddresses,
        *,
        kernel: BindingKernel,
        rng: random.Random,
        duplicate_address_detection: bool = True,
        limits: Limits | None = None,
        key_management: bool = False,
        prefix: HomePrefix | None = None,
        authentication: UpdateAuthentication | None = None,
    ) -> None:
        self.outbox: deque[tuple[bytes, Address]] = deque()
        self.events: deque[Event] = deque()
        self.homes = homes
        self._prefix = prefix or HomePrefix(homes.prefix, homes.address)
        self.bindings: dict[IPv6Address, Entry] = {}
        self._kernel = kernel
        self._rng = rng
        self._detect = duplicate_address_detection
        self._limits = limits or Limits()
        self._key_management = key_management
        self._authentication = authentication
        self._told: dict[IPv6Address, float] = {}
        """When somebody was told last that what it sent was not authentic."""

        self._probed: dict[IPv6Address, IPv6Address] = {}
        """The home addresses for which an address is being tried out."""

        self._timers: Timers[tuple[_Timer, IPv6Address]] = Timers()

    def end(self, home_address: IPv6Address, now: float) -> bool:
        """End the binding of a home address; return whether the kernel lets go of it."""
        if not self._try(home_address, now, self._kernel.unbind, home_address):
            return False
        if isinstance(self.bindings.get(home_address), Bound):
            self.events.append(BindingRemoved(now, home_address, "no longer authorised"))
        self._drop(home_address)
        self._told.pop(home_address, None)
        self._reset_way(home_address, now)
        return True

    def is_bound(self, home_address: IPv6Address) -> bool:
        """Return whether there is a binding of a home address."""
        return isinstance(self.bindings.get(home_address), Bound)

    def bound(self) -> list[IPv6Address]:
        """Return the home addresses that are bound."""
        return [home for home in self.bindings if self.is_bound(home)]

    def prefix_changed(self) -> None:
        """Have no binding outlast the prefix, whose lifetimes are others (section 10.3.1)."""
        until = self._prefix.valid_until
        for home, entry in tuple(self.bindings.items()):
            if isinstance(entry, Bound) and entry.expires_at > until:
                self._keep(home, replace(entry, expires_at=until))

    # Receiving.

    def handle_message(self, data: bytes, source: Address, now: float) -> None:
        """Take one Mobility Header message from a home address, which IPsec or it authenticates."""
        try:
            home = IPv6Address(source[0].partition("%")[0])
            message = decode(data)
        except ValueError as error:
            self._discard(source, str(error), now)
            return
        if self.homes.holder(home) is None:
            self._discard(source, f"nobody holds {home}", now)
            return
        if not self._is_authentic(home, message, data, source, now):
            return
        match message:
            case BindingUpdate(home_registration=False) if not self.is_bound(home):
                self._discard(source, "no home registration, and no keys to trust it by", now)
            case BindingUpdate():
                self._update(home, message, source, now)
            case OtherMessage(kind=kind) if kind > _LAST_KNOWN_KIND:
                self._discard(source, f"Mobility Header of unknown type {kind}", now)
                reply = BindingError(ErrorStatus.UNKNOWN_TYPE, home)
                self.outbox.append((encode(reply), (str(home), 0)))
            case _:
                self._discard(source, f"unexpected {type(message).__name__}", now)

    def _is_authentic(
        self, home: IPv6Address, message: Message, data: bytes, source: Address, now: float
    ) -> bool:
        """Return whether a message bears its own authentication, and is new (RFC 4285 5.1, 6)."""
        authentication = self._authentication
        if authentication is None:
            return True
        holder, key = self.homes.holder(home), self.homes.key_of(home)
        if not isinstance(message, BindingUpdate) or holder is None or key is None:
            self._discard(source, "no Binding Update of somebody with a key", now)
            return False
        care_of = self._care_of(home, message, source)
        objection = authentication.objection(holder, key, message, data, (care_of, home), now)
        failed = objection == Status.AUTHENTICATION_FAILED
        if isinstance(objection, str):
            self._discard(source, objection, now)
        elif failed and not self._may_be_told(home, care_of, now):
            self._discard(source, "it is not authentic", now)
        elif objection:
            self._reject(home, care_of, message, objection, now)
        return objection is None

    def _may_be_told(self, home: IPv6Address, care_of: IPv6Address, now: float) -> bool:
        """Return whether to answer what is not authentic: only where that harms nobody."""
        bound = home in self.bindings or not self._may_be_care_of(care_of)
        if bound or now < self._told.get(home, -math.inf) + _TOLD_EVERY:
            return False
        self._told[home] = now
        return True

    def duplicate_seen(self, claim: Claim, now: float) -> None:
        """Another node on the home link has or tries out an address (RFC 4862 section 5.4)."""
        home = self._probed.get(claim.target)
        entry = self.bindings.get(home) if home else None
        if home is None or not isinstance(entry, Tentative):
            return
        if claim.nonce != entry.nonce:  # Else it is this node's own, come back (RFC 7527).
            self._drop(home)
            self.events.append(DuplicateAddress(now, home, claim.target))
            self._reject(home, entry.care_of, entry.update, Status.DUPLICATE_ADDRESS, now)

    def handle_timeout(self, now: float) -> None:
        """Go on with duplicate address detection; end what has expired."""
        while (key := self._timers.pop(now)) is not None:
            timer, home = key
            match timer:
                case _Timer.WAY:
                    self._reset_way(home, now)
                case _Timer.ENTRY:
                    self._entry_due(home, now)
                case _Timer.KERNEL if not self.is_bound(home):
                    self._let_go(home, now)

    def _entry_due(self, home: IPv6Address, now: float) -> None:
        match entry := self.bindings[home]:
            case Tentative(probes_left=0):
                self._drop(home)
                self._bind(home, entry.care_of, entry.update, now)
            case Tentative():
                self._probe(home, entry, now)
            case Bound():
                self._drop(home)
                self._end(home, "expired", now)
                self._reset_way(home, now)
            case Ended():
                self._drop(home)

    def next_timeout(self) -> float | None:
        """Return the earliest deadline, or None if no timer runs."""
        return self._timers.next()

    def _keep(self, home: IPv6Address, entry: Entry) -> None:
        self._drop(home)
        self.bindings[home] = entry
        self._timers.set((_Timer.ENTRY, home), deadline(entry))
        if isinstance(entry, Tentative):
            self._probed.update(dict.fromkeys(entry.targets, home))

    def _drop(self, home: IPv6Address) -> None:
        entry = self.bindings.pop(home, None)
        self._timers.cancel((_Timer.ENTRY, home))
        if isinstance(entry, Tentative):
            for target in entry.targets:
                self._probed.pop(target, None)

    def _update(
        self, home: IPv6Address, update: BindingUpdate, source: Address, now: float
    ) -> None:
        care_of = self._care_of(home, update, source)
        if care_of != home and not self._may_be_care_of(care_of):
            self._discard(source, f"{care_of} can be no care-of address", now)
            return
        entry = self.bindings.get(home)
        match entry:
            case _ if self._authentication:  # Timestamps are in the place of sequence numbers.
                pass
            case Bound(sequence=last) | Ended(sequence=last) if not newer(update.sequence, last):
                status = Status.SEQUENCE_OUT_OF_WINDOW
                self._reject(home, care_of, replace(update, sequence=last), status, now)
                return
            case Tentative() if not newer(update.sequence, entry.update.sequence):
                self._discard(source, "an older Binding Update than the one being checked", now)
                return
        if not update.home_registration:
            self._reject(home, care_of, update, Status.REGISTRATION_TYPE_CHANGE, now)
            return
        objection = self._objection(home, update)
        if update.lifetime == 0 or care_of == home:
            self._deregister(home, care_of, update, entry, now)
        elif update.care_of is None and not self._authentication:  # ESP does not protect it there
            # (RFC 3776 section 4.2).
            self._reject(home, care_of, update, Status.ADMINISTRATIVELY_PROHIBITED, now)
        elif objection:
            self._reject(home, care_of, update, objection, now)
        elif self._detect and not isinstance(entry, Bound):
            self._detect_duplicates(home, care_of, update, entry, now)
        else:
            self._bind(home, care_of, update, now)

    @staticmethod
    def _care_of(home: IPv6Address, update: BindingUpdate, source: Address) -> IPv6Address:
        came_from = address_of(source[0].care_of) if isinstance(source[0], Carried) else home
        return update.care_of or came_from

    def _may_be_care_of(self, address: IPv6Address) -> bool:
        """Return whether an address can be a care-of address of a mobile node away from home.

        One of the home link is another's, or leads back here: a tunnel to it would be a loop.
        """
        if not is_unicast(address) or address in self.homes.prefix:
            return False
        try:
            return self._kernel.leads_away(address)
        except OSError:
            return False

    def _objection(self, home: IPv6Address, update: BindingUpdate) -> Status | None:
        """Return why an update is to be refused (section 10.3.1)."""
        if update.link_local and self.homes.is_own(link_local_of(home)):
            return Status.DUPLICATE_ADDRESS
        if home not in self.bindings and len(self.bindings) >= self._limits.bindings:
            return Status.INSUFFICIENT_RESOURCES
        return None

    def _detect_duplicates(
        self,
        home: IPv6Address,
        care_of: IPv6Address,
        update: BindingUpdate,
        entry: Entry | None,
        now: float,
    ) -> None:
        """Begin duplicate address detection, or let the one under way answer this update."""
        targets = (home, link_local_of(home)) if update.link_local else (home,)
        if isinstance(entry, Tentative) and entry.targets == targets:
            self._keep(home, replace(entry, update=update, care_of=care_of))
        else:
            probes = self._limits.probes
            nonce = self._rng.randbytes(NONCE_LENGTH)
            self._probe(home, Tentative(update, care_of, targets, nonce, probes, now), now)

    def _probe(self, home: IPv6Address, entry: Tentative, now: float) -> None:
        due = now + self._limits.retransmit
        self._keep(home, replace(entry, probes_left=entry.probes_left - 1, due=due))
        self.events.extend(NeighbourSolicited(now, target, entry.nonce) for target in entry.targets)

    def _bind(
        self, home: IPv6Address, care_of: IPv6Address, update: BindingUpdate, now: float
    ) -> None:
        """Create or update a binding and acknowledge it."""
        link_local = link_local_of(home) if update.link_local else None
        old = self.bindings.get(home)
        left = max(0.0, self.homes.until(home) - now)  # No binding outlives the hold,
        valid = self._prefix.valid_left(now)  # nor the prefix.
        if valid < LIFETIME_UNIT:
            self._reject(home, care_of, update, Status.NOT_HOME_SUBNET, now)
            return
        seconds = int(min(update.lifetime, self._limits.lifetime, left, valid))
        granted = seconds // LIFETIME_UNIT * LIFETIME_UNIT
        if not granted:
            self._reject(home, care_of, update, Status.ADMINISTRATIVELY_PROHIBITED, now)
            return
        if not self._try(home, now, self._kernel.bind, home, care_of, link_local):
            self._reject(home, care_of, update, Status.INSUFFICIENT_RESOURCES, now)
            return
        self._keep(home, Bound(care_of, update.sequence, link_local, now + granted))
        refresh = self._limits.refresh
        discover = self._prefix.is_to_be_discovered(granted, now)
        ack = BindingAck(
            Status.PREFIX_DISCOVERY_NECESSARY if discover else Status.ACCEPTED,
            update.sequence,
            granted,
            update.key_management and self._key_management,
            refresh if refresh and refresh < granted else None,
        )
        # Section 10.4.1: packets on the home link are drawn to this node as of now.
        if not isinstance(old, Bound):
            self.events.append(NeighbourAdvertised(now, home))
        if link_local and not (isinstance(old, Bound) and old.link_local):
            self.events.append(NeighbourAdvertised(now, link_local))
        kind = BindingUpdated if isinstance(old, Bound) else BindingCreated
        self.events.append(kind(now, home, care_of, granted))
        self._answer(home, care_of, update, ack, now)

    def _deregister(
        self,
        home: IPv6Address,
        care_of: IPv6Address,
        update: BindingUpdate,
        entry: Entry | None,
        now: float,
    ) -> None:
        """Remove a binding at the mobile node's wish (section 10.3.2)."""
        was_bound = isinstance(entry, Bound)
        if was_bound:
            self._end(home, "de-registered", now)
        if was_bound or isinstance(entry, Tentative):  # An update that is late is older.
            self._keep(home, Ended(update.sequence, now + _LINGER))
        if was_bound:
            ack = BindingAck(Status.ACCEPTED, update.sequence, 0)
            self._answer(home, care_of, update, ack, now)
        else:
            self._reject(home, care_of, update, Status.NOT_HOME_AGENT, now)

    def _end(self, home: IPv6Address, cause: str, now: float) -> None:
        self._let_go(home, now)
        self.events.append(BindingRemoved(now, home, cause))

    def _let_go(self, home: IPv6Address, now: float) -> None:
        """Have the kernel intercept nothing any more; if it refuses, once more in a while."""
        if not self._try(home, now, self._kernel.unbind, home):
            self._timers.set((_Timer.KERNEL, home), now + _LINGER)

    def _reject(
        self,
        home: IPv6Address,
        care_of: IPv6Address,
        update: BindingUpdate,
        status: Status,
        now: float,
    ) -> None:
        self.events.append(BindingRejected(now, home, status))
        self._answer(home, care_of, update, BindingAck(status, update.sequence, 0), now)

    def _answer(
        self,
        home: IPv6Address,
        care_of: IPv6Address,
        update: BindingUpdate,
        ack: BindingAck,
        now: float,
    ) -> None:
        """Acknowledge to the care-of address that the update named (section 9.5.4).

        The way there is the kernel's, one per home address: that of the binding; another one, or
        one where there is no binding, is there for a while.
        """
        if self._bound_to(home) != care_of:
            self._timers.set((_Timer.WAY, home), now + _LINGER)
        if self._lead(home, care_of, now):
            ends = care_of, home
            data = self._encoded(ack, update, ends, now)
            self.outbox.append((data, (str(home), 0)))

    def _encoded(
        self,
        ack: BindingAck,
        update: BindingUpdate,
        ends: tuple[IPv6Address, IPv6Address],
        now: float,
    ) -> bytes:
        key = self.homes.key_of(ends[1])
        if self._authentication is None or key is None:
            return encode(ack)
        return self._authentication.answer(ack, update, key, ends, now)

    def _reset_way(self, home: IPv6Address, now: float) -> None:
        self._timers.cancel((_Timer.WAY, home))
        self._lead(home, self._bound_to(home) or home, now)

    def _bound_to(self, home: IPv6Address) -> IPv6Address | None:
        entry = self.bindings.get(home)
        return entry.care_of if isinstance(entry, Bound) else None

    def _lead(self, home: IPv6Address, care_of: IPv6Address, now: float) -> bool:
        if care_of == home:
            return self._try(home, now, self._kernel.unreach, home)
        return self._try(home, now, self._kernel.reach, home, care_of)

    def _try(
        self, home: IPv6Address, now: float, operation: Callable[..., None], *arguments: object
    ) -> bool:
        try:
            operation(*arguments)
        except OSError as error:
            self.events.append(KernelRefused(now, home, str(error)))
            return False
        return True

    def _discard(self, source: Address, reason: str, now: float) -> None:
        self.events.append(Discarded(now, source[0], reason))
