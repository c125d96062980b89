"""The home agent's binding cache (RFC 6275 sections 9.5 and 10.3)."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import IPv6Address, IPv6Network

from agents.machine import Address, Discarded, Event
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
    is_routable,
    link_local_of,
)
from agents.mip6.codec import (
    LIFETIME_UNIT,
    MAX_LIFETIME,
    BindingAck,
    BindingError,
    BindingUpdate,
    ErrorStatus,
    OtherMessage,
    Status,
    decode,
    encode,
    newer,
)
from agents.mip6.neighbour import NONCE_LENGTH, Claim

_LAST_KNOWN_KIND = 7
_LINGER = 10.0  # MAX_DELETE_BCE_TIMEOUT


@dataclass(frozen=True, slots=True)
class Limits:
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
    """Serves the mobile nodes of `prefix` at `address` (None: serves none).

    The kernel's part of a binding is done before the acknowledgement is queued. The owner carries
    out NeighbourSolicited and NeighbourAdvertised events and calls duplicate_seen() for every
    Neighbor Advertisement and every solicitation from :: that it sees on the home link.
    `permitted` tells whether a home address may be registered at all; `key_management` that IKE
    follows a mobile node's movements (the K bit).
    """

    def __init__(
        self,
        address: IPv6Address,
        prefix: IPv6Network | None,
        *,
        kernel: BindingKernel,
        rng: random.Random,
        duplicate_address_detection: bool = True,
        limits: Limits | None = None,
        permitted: Callable[[IPv6Address], bool] = lambda _: True,
        key_management: bool = False,
    ) -> None:
        self.outbox: deque[tuple[bytes, Address]] = deque()
        self.events: deque[Event] = deque()
        self.address = address
        self.bindings: dict[IPv6Address, Entry] = {}
        self._prefix = prefix
        self._kernel = kernel
        self._rng = rng
        self._detect = duplicate_address_detection
        self._limits = limits or Limits()
        self._permitted = permitted
        self._key_management = key_management
        self._lingering: dict[IPv6Address, float] = {}

    def handle_message(self, data: bytes, source: Address, now: float) -> None:
        """Take one Mobility Header message from a home address, authenticated by IPsec."""
        try:
            home = IPv6Address(source[0].partition("%")[0])
            message = decode(data)
        except ValueError as error:
            self._discard(source, str(error), now)
            return
        match message:
            case BindingUpdate(home_registration=True):
                self._update(home, message, source, now)
            case BindingUpdate():
                self._discard(source, "no home registration, and no keys to trust it by", now)
            case OtherMessage(kind=kind) if kind > _LAST_KNOWN_KIND:
                self._discard(source, f"Mobility Header of unknown type {kind}", now)
                reply = BindingError(ErrorStatus.UNKNOWN_TYPE, home)
                self.outbox.append((encode(reply), (str(home), 0)))
            case _:
                self._discard(source, f"unexpected {type(message).__name__}", now)

    def duplicate_seen(self, claim: Claim, now: float) -> None:
        """Another node on the home link has or tries out an address (RFC 4862 section 5.4)."""
        target = claim.target
        for home, entry in tuple(self.bindings.items()):
            if not isinstance(entry, Tentative) or target not in entry.targets:
                continue
            if claim.nonce != entry.nonce:  # Else it is this node's own, come back (RFC 7527).
                del self.bindings[home]
                self.events.append(DuplicateAddress(now, home, target))
                self._reject(home, entry.care_of, entry.update, Status.DUPLICATE_ADDRESS, now)

    def handle_timeout(self, now: float) -> None:
        """Go on with duplicate address detection; end what has expired."""
        for home, entry in tuple(self.bindings.items()):
            if deadline(entry) > now:
                continue
            match entry:
                case Tentative(probes_left=0):
                    del self.bindings[home]
                    self._bind(home, entry.care_of, entry.update, now)
                case Tentative():
                    self._probe(home, entry, now)
                case Bound():
                    del self.bindings[home]
                    self._end(home, "expired", now)
                    self._lingering[home] = now
                case Ended():
                    del self.bindings[home]
        for home, until in tuple(self._lingering.items()):
            if until <= now:
                del self._lingering[home]
                self._try(home, now, self._kernel.unreach, home)

    def next_timeout(self) -> float | None:
        """Return the earliest deadline, or None if no timer runs."""
        entries = (deadline(entry) for entry in self.bindings.values())
        return min((*entries, *self._lingering.values()), default=None)

    def _update(
        self, home: IPv6Address, update: BindingUpdate, source: Address, now: float
    ) -> None:
        care_of = update.care_of or home
        if not is_routable(home) or not is_routable(care_of):
            self._discard(source, f"{home} or {care_of} is no unicast routable address", now)
            return
        entry = self.bindings.get(home)
        match entry:
            case Bound(sequence=last) | Ended(sequence=last) if not newer(update.sequence, last):
                status = Status.SEQUENCE_OUT_OF_WINDOW
                self._reject(home, care_of, replace(update, sequence=last), status, now)
                return
            case Tentative() if not newer(update.sequence, entry.update.sequence):
                self._discard(source, "an older Binding Update than the one being checked", now)
                return
        objection = self._objection(home, care_of, update)
        if objection:
            self._reject(home, care_of, update, objection, now)
        elif update.lifetime == 0:
            self._deregister(home, care_of, update, entry, now)
        elif isinstance(entry, Bound):
            self._bind(home, care_of, update, now)
        elif self._detect:
            self._detect_duplicates(home, care_of, update, entry, now)
        else:
            self._bind(home, care_of, update, now)

    def _objection(
        self, home: IPv6Address, care_of: IPv6Address, update: BindingUpdate
    ) -> Status | None:
        """Return why an update is to be refused (section 10.3.1)."""
        if self._prefix is None:
            return Status.HOME_REGISTRATION_NOT_SUPPORTED
        if home not in self._prefix or home == self.address:
            return Status.NOT_HOME_SUBNET
        if not self._permitted(home):
            return Status.ADMINISTRATIVELY_PROHIBITED
        if update.lifetime == 0:
            return None
        if care_of in (home, self.address):
            return Status.INVALID_CARE_OF_ADDRESS
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
            self.bindings[home] = replace(entry, update=update, care_of=care_of)
        else:
            probes = self._limits.probes
            nonce = self._rng.randbytes(NONCE_LENGTH)
            self._probe(home, Tentative(update, care_of, targets, nonce, probes, now), now)

    def _probe(self, home: IPv6Address, entry: Tentative, now: float) -> None:
        due = now + self._limits.retransmit
        self.bindings[home] = replace(entry, probes_left=entry.probes_left - 1, due=due)
        self.events.extend(NeighbourSolicited(now, target, entry.nonce) for target in entry.targets)

    def _bind(
        self, home: IPv6Address, care_of: IPv6Address, update: BindingUpdate, now: float
    ) -> None:
        """Create or update a binding and acknowledge it."""
        link_local = link_local_of(home) if update.link_local else None
        old = self.bindings.get(home)
        if not self._try(home, now, self._kernel.bind, home, care_of, link_local):
            self._reject(home, care_of, update, Status.INSUFFICIENT_RESOURCES, now)
            return
        granted = min(update.lifetime, self._limits.lifetime // LIFETIME_UNIT * LIFETIME_UNIT)
        self.bindings[home] = Bound(care_of, update.sequence, link_local, now + granted)
        refresh = self._limits.refresh
        ack = BindingAck(
            Status.ACCEPTED,
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
        self._answer(home, care_of, ack, now)

    def _deregister(
        self,
        home: IPv6Address,
        care_of: IPv6Address,
        update: BindingUpdate,
        entry: Entry | None,
        now: float,
    ) -> None:
        """Remove a binding at the mobile node's wish (section 10.3.2)."""
        match entry:
            case Bound():
                self._end(home, "de-registered", now)
            case Tentative():
                pass  # Nothing was intercepted; there is only the detection to end.
            case _:
                self._reject(home, care_of, update, Status.NOT_HOME_AGENT, now)
                return
        self.bindings[home] = Ended(update.sequence, now + _LINGER)
        self._answer(home, care_of, BindingAck(Status.ACCEPTED, update.sequence, 0), now)

    def _end(self, home: IPv6Address, cause: str, now: float) -> None:
        self._try(home, now, self._kernel.unbind, home)
        self.events.append(BindingRemoved(now, home, cause))

    def _reject(
        self,
        home: IPv6Address,
        care_of: IPv6Address,
        update: BindingUpdate,
        status: Status,
        now: float,
    ) -> None:
        self.events.append(BindingRejected(now, home, status))
        self._answer(home, care_of, BindingAck(status, update.sequence, 0), now)

    def _answer(self, home: IPv6Address, care_of: IPv6Address, ack: BindingAck, now: float) -> None:
        """Acknowledge to the care-of address that the update named (section 9.5.4).

        The way there is the kernel's, one a home address; it stays as long as the binding, or a
        while where there is none.
        """
        if isinstance(self.bindings.get(home), Bound):
            self._lingering.pop(home, None)
        else:
            self._lingering[home] = now + _LINGER
        if care_of == home:
            ready = self._try(home, now, self._kernel.unreach, home)
        else:
            ready = self._try(home, now, self._kernel.reach, home, care_of)
        if ready:
            self.outbox.append((encode(ack), (str(home), 0)))

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
