"""A correspondent node's part in route optimisation (RFC 6275 section 9).

Address tests leave nothing behind; what does not prove that its sender has heard both answers
changes nothing, and is not answered unless its nonces have grown old.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from ipaddress import IPv6Address

from agents.core.machine import Address, Carried, Discarded, Event, address_of
from agents.core.quotas import NoRoomError
from agents.core.rate import TokenBucket
from agents.core.reader import WireError
from agents.core.record import Record, replace
from agents.core.timers import Timers
from agents.core.unicast import is_unicast
from agents.mip6.binding_keys import (
    NODE_KEY_LENGTH,
    binding_key,
    care_of_token,
    home_token,
    indices_of,
    is_authentic,
    is_sealed,
    sealed,
)
from agents.mip6.codec import (
    LIFETIME_UNIT,
    BindingAck,
    BindingError,
    BindingRefreshRequest,
    BindingUpdate,
    CareOfTest,
    CareOfTestInit,
    ErrorStatus,
    HomeTest,
    HomeTestInit,
    Message,
    OtherMessage,
    Status,
    decode,
    encode,
    newer,
)
from agents.mip6.correspondent_cache import (
    CorrespondentBindingCreated,
    CorrespondentBindingRejected,
    CorrespondentBindingRemoved,
    CorrespondentBindingUpdated,
    CorrespondentBound,
    CorrespondentKernel,
    CorrespondentLimits,
    Forgotten,
    RefreshRequested,
    UnknownBinding,
)
from agents.mip6.correspondent_room import Room
from agents.mip6.nonces import MAX_NONCE_LIFETIME, Nonces

_LINGER = 10.0  # MAX_DELETE_BCE_TIMEOUT
_WAY, _ENTRY = "way", "entry"


class _ExpiredError(Exception):
    """A Binding Update whose nonces have grown old."""

    def __init__(self, status: Status) -> None:
        super().__init__(status.name)
        self.status = status


class _UnprovenError(Exception):
    """A Binding Update that is to be dropped without a word; the text is the reason."""


class CorrespondentNode:
    """Keeps the care-of addresses of mobile nodes that speak to `address`.

    The kernel's part of a binding is done before the acknowledgement is queued. The owner calls
    unknown_binding() for every packet with a Home Address option that the kernel has dropped.
    """

    def __init__(
        self,
        address: IPv6Address,
        *,
        kernel: CorrespondentKernel,
        rng: random.Random,
        limits: CorrespondentLimits | None = None,
    ) -> None:
        self.outbox: deque[tuple[bytes, Address]] = deque()
        self.events: deque[Event] = deque()
        self.address = address
        self.bindings: dict[IPv6Address, CorrespondentBound] = {}
        self._forgotten: dict[IPv6Address, Forgotten] = {}
        self._kernel = kernel
        self._limits = limits = limits or CorrespondentLimits()
        self._room = Room(limits, self._is_in_use)
        self._key = rng.randbytes(NODE_KEY_LENGTH)
        self._nonces = Nonces(rng)
        self._tests = TokenBucket(limits.tests, limits.tests)
        self._refusals = TokenBucket(limits.refusals, limits.refusals)
        self._home_refusals = TokenBucket(limits.refusals, limits.refusals)
        self._errors = TokenBucket(limits.errors, limits.errors)
        self._timers: Timers[tuple[str, IPv6Address]] = Timers()

    # Receiving

    def handle_message(self, data: bytes, source: Address, now: float) -> None:
        """Take one Mobility Header message; `source` is the home address if it carries one."""
        try:
            sender, message = address_of(source[0]), decode(data)
        except (WireError, ValueError) as error:
            self._discard(source, str(error), now)
            return
        if not is_unicast(sender):
            self._discard(source, "not from a unicast address", now)
            return
        carrier = source[0].care_of if isinstance(source[0], Carried) else None
        match message:
            case HomeTestInit() | CareOfTestInit() if carrier is None:
                self._test(sender, message, now)
            case BindingUpdate():
                came_from = address_of(carrier) if carrier else sender
                self._update(sender, came_from, message, data, now)
            case OtherMessage(kind=kind):
                self._discard(source, f"Mobility Header of unknown type {kind}", now)
                unspecified = IPv6Address(0)
                self._tell_error(ErrorStatus.UNKNOWN_TYPE, unspecified, sender, now)
            case _:
                self._discard(source, f"unexpected {type(message).__name__}", now)

    def _test(self, sender: IPv6Address, init: HomeTestInit | CareOfTestInit, now: float) -> None:
        """Answer an address test to the address that it came from (sections 9.4.1 to 9.4.4)."""
        if not self._tests.take(now):
            return
        index, nonce = self._nonces.current(now)
        test: Message
        if isinstance(init, HomeTestInit):
            test = HomeTest(index, init.cookie, home_token(self._key, sender, nonce))
        else:
            test = CareOfTest(index, init.cookie, care_of_token(self._key, sender, nonce))
        self.outbox.append((encode(test), (str(sender), 0)))

    def unknown_binding(self, home: IPv6Address, care_of: IPv6Address, now: float) -> None:
        """A packet with a Home Address option came from `care_of`, and is dropped (9.3.1)."""
        if is_unicast(care_of) and self._tell_error(
            ErrorStatus.UNKNOWN_BINDING, home, care_of, now
        ):
            self.events.append(UnknownBinding(now, home, care_of))

    def _tell_error(
        self, status: ErrorStatus, home: IPv6Address, to: IPv6Address, now: float
    ) -> bool:
        """Send a Binding Error, as often as ICMPv6 errors may be sent (section 9.3.3)."""
        allowed = self._errors.take(now)
        if allowed:
            self.outbox.append((encode(BindingError(status, home)), (str(to), 0)))
        return allowed

    # Binding Updates

    def _update(
        self,
        home: IPv6Address,
        came_from: IPv6Address,
        update: BindingUpdate,
        data: bytes,
        now: float,
    ) -> None:
        care_of = update.care_of or came_from
        removes = update.lifetime == 0 or care_of == home
        try:
            key = self._proven(home, home if removes else care_of, update, data, now, removes)
        except _UnprovenError as reason:
            self._discard((str(home), 0), str(reason), now)
        except _ExpiredError as expired:
            self._refuse_unproven(home, came_from, update, expired.status, now)
        else:
            self._carry_out(_Proven(home, care_of, update, key, removes), now)

    def _proven(
        self,
        home: IPv6Address,
        care_of: IPv6Address,
        update: BindingUpdate,
        data: bytes,
        now: float,
        removes: bool,
    ) -> bytes:
        """Return Kbm of an update that is authentic; else raise (section 9.5.1)."""
        if update.home_registration:
            raise _ExpiredError(Status.HOME_REGISTRATION_NOT_SUPPORTED)
        indices = indices_of(update)
        if indices is None or not is_sealed(data):
            raise _UnprovenError("a Binding Update without nonce indices or authorisation")
        if not is_unicast(care_of) or self._kernel.owns(care_of):
            raise _UnprovenError(f"{care_of} can be no care-of address")
        nonce, other = (self._nonces.find(index, now) for index in indices)
        if nonce is None or (other is None and not removes):
            raise _ExpiredError(_expired(home=nonce is None, care_of=other is None and not removes))
        token = home_token(self._key, home, nonce)
        second = b"" if removes or other is None else care_of_token(self._key, care_of, other)
        key = binding_key(token, second)
        if not is_authentic(data, key, care_of, self.address):
            raise _UnprovenError("a Binding Update with a wrong authenticator")
        return key

    def _carry_out(self, proven: _Proven, now: float) -> None:
        home, update = proven.home, proven.update
        entry = self.bindings.get(home) or self._forgotten.get(home)
        if entry and not newer(update.sequence, entry.sequence):
            self._reject(proven, Status.SEQUENCE_OUT_OF_WINDOW, now, entry.sequence)
        elif proven.removes:
            self._remove(proven, now)
        elif home not in self.bindings and not self._make_room(home, now):
            self._reject(proven, Status.INSUFFICIENT_RESOURCES, now)
        else:
            self._bind(proven, now)

    def _make_room(self, home: IPv6Address, now: float) -> bool:
        """Return whether there may be one more binding."""
        try:
            displaced = self._room.enter(home)
        except NoRoomError:
            return False
        for other in displaced:
            self._end_early(other, self.bindings[other], "displaced", now)
        return True

    def _bind(self, proven: _Proven, now: float) -> None:
        home, update = proven.home, proven.update
        before = self.bindings.get(home)
        granted = min(update.lifetime, self._limits.lifetime) // LIFETIME_UNIT * LIFETIME_UNIT
        if not self._try(home, now, self._kernel.bind, home, proven.care_of):
            if before is None:
                self._room.leave(home)
            elif not self._try(home, now, self._kernel.bind, home, before.care_of):
                self._end_early(home, before, "refused", now)
            self._reject(proven, Status.INSUFFICIENT_RESOURCES, now)
            return
        self._room.renew(home)
        self._forgotten.pop(home, None)
        ask_at = now + granted * self._limits.ask
        bound = CorrespondentBound(proven.care_of, update.sequence, now, now + granted, ask_at)
        self._timers.cancel((_WAY, home))  # The binding's own.
        self._keep(home, replace(bound, used=self._used(home, 0)))
        kind = CorrespondentBindingUpdated if before else CorrespondentBindingCreated
        self.events.append(kind(now, home, proven.care_of, granted))
        self._acknowledge(proven, BindingAck(Status.ACCEPTED, update.sequence, granted), now)

    def _remove(self, proven: _Proven, now: float) -> None:
        """Remove a binding; where there was none, nothing is kept (section 9.5.3)."""
        home, sequence = proven.home, proven.update.sequence
        if home in self.bindings:
            self._end(home, "removed", now)
            self._forget(home, Forgotten(sequence, now + MAX_NONCE_LIFETIME))
        elif home in self._forgotten:
            self._forget(home, Forgotten(sequence, now + MAX_NONCE_LIFETIME))
        self._acknowledge(proven, BindingAck(Status.ACCEPTED, sequence, 0), now)

    def _end(self, home: IPv6Address, cause: str, now: float) -> None:
        del self.bindings[home]
        self._room.leave(home)
        self._timers.cancel((_ENTRY, home))
        self._let_go(home, now)
        self.events.append(CorrespondentBindingRemoved(now, home, cause))

    def _let_go(self, home: IPv6Address, now: float) -> None:
        """Have the kernel carry nothing of a home address; if it refuses, once more in a while."""
        if not self._try(home, now, self._kernel.unbind, home):
            self._timers.set((_WAY, home), now + _LINGER)

    def _end_early(
        self, home: IPv6Address, entry: CorrespondentBound, cause: str, now: float
    ) -> None:
        """End a binding that nobody has removed: its Binding Update is not to be used again."""
        self._end(home, cause, now)
        forget_at = entry.updated_at + MAX_NONCE_LIFETIME
        if forget_at > now:
            self._forget(home, Forgotten(entry.sequence, forget_at))

    def _forget(self, home: IPv6Address, entry: Forgotten) -> None:
        """Keep the sequence number of a binding that is over as long as its nonces count.

        Where there are too many, all nonces are over instead (section 5.2.8).
        """
        if home not in self._forgotten and len(self._forgotten) >= self._limits.bindings:
            self._nonces.end()
            for other in self._forgotten:
                self._timers.cancel((_ENTRY, other))
            self._forgotten.clear()
        self._forgotten[home] = entry
        self._timers.set((_ENTRY, home), entry.forget_at)

    # Acknowledging

    def _reject(
        self, proven: _Proven, status: Status, now: float, sequence: int | None = None
    ) -> None:
        self.events.append(CorrespondentBindingRejected(now, proven.home, status))
        number = proven.update.sequence if sequence is None else sequence
        self._acknowledge(proven, BindingAck(status, number, 0), now)

    def _acknowledge(self, proven: _Proven, ack: BindingAck, now: float) -> None:
        """Answer an authentic update under its key (section 9.5.4)."""
        if not proven.update.acknowledge and ack.status == Status.ACCEPTED:
            return
        subject = proven.home if proven.removes else proven.care_of
        self._answer(
            proven.home, proven.care_of, sealed(ack, proven.key, subject, self.address), now
        )

    def _refuse_unproven(
        self,
        home: IPv6Address,
        came_from: IPv6Address,
        update: BindingUpdate,
        status: Status,
        now: float,
    ) -> None:
        """Answer without a key, and not often: anybody can have this said (section 9.5.4)."""
        is_home = status == Status.HOME_REGISTRATION_NOT_SUPPORTED
        if (self._home_refusals if is_home else self._refusals).take(now):
            self.events.append(CorrespondentBindingRejected(now, home, status))
            self._answer(home, came_from, encode(BindingAck(status, update.sequence, 0)), now)

    def _answer(self, home: IPv6Address, care_of: IPv6Address, ack: bytes, now: float) -> None:
        """Send an acknowledgement to the care-of address, by way of a type 2 routing header.

        The kernel has one such way for a home address: that of a binding stays as it is, and who
        speaks from elsewhere meanwhile gets no answer.
        """
        bound = self.bindings.get(home)
        if bound:
            ready = care_of == bound.care_of
        elif care_of == home:
            ready = self._try(home, now, self._kernel.unreach, home)
        else:
            ready = self._try(home, now, self._kernel.reach, home, care_of)
            self._timers.set((_WAY, home), now + _LINGER)
        if ready:
            self.outbox.append((ack, (str(home), 0)))

    # Time

    def handle_timeout(self, now: float) -> None:
        """Ask for a refresh; end what has expired."""
        while (due := self._timers.pop(now)) is not None:
            what, home = due
            if what == _WAY:
                if home not in self.bindings:
                    self._let_go(home, now)
            else:
                self._entry_due(home, now)

    def _entry_due(self, home: IPv6Address, now: float) -> None:
        entry = self.bindings.get(home)
        if entry is None:
            del self._forgotten[home]
        elif entry.expires_at > now:
            self._ask(home, entry, now)
        else:
            self._end_early(home, entry, "expired", now)

    def _ask(self, home: IPv6Address, entry: CorrespondentBound, now: float) -> None:
        """Ask for a refresh of a binding that is in use (section 9.5.5)."""
        ask_at = now + max((entry.expires_at - now) / 2, self._limits.interval)
        self._keep(home, replace(entry, ask_at=ask_at))
        if self._is_in_use(home):
            self.events.append(RefreshRequested(now, home))
            self.outbox.append((encode(BindingRefreshRequest()), (str(home), 0)))

    def _is_in_use(self, home: IPv6Address) -> bool:
        """Return whether packets have gone by a binding since it was made or renewed."""
        before = self.bindings[home].used
        return self._used(home, before) != before

    def _used(self, home: IPv6Address, otherwise: int) -> int:
        """Return how many packets have gone by a binding, `otherwise` if the kernel has no say."""
        try:
            return self._kernel.used(home)
        except OSError:
            return otherwise

    def next_timeout(self) -> float | None:
        """Return the earliest deadline, or None if no timer runs."""
        return self._timers.next()

    def _keep(self, home: IPv6Address, entry: CorrespondentBound) -> None:
        self.bindings[home] = entry
        self._timers.set((_ENTRY, home), min(entry.expires_at, entry.ask_at))

    def _try(
        self, home: IPv6Address, now: float, operation: Callable[..., None], *arguments: object
    ) -> bool:
        try:
            operation(*arguments)
        except OSError as error:
            self._discard((str(home), 0), f"the kernel refused: {error}", now)
            return False
        return True

    def _discard(self, source: Address, reason: str, now: float) -> None:
        self.events.append(Discarded(now, source[0], reason))


class _Proven(Record, frozen=True):
    """A Binding Update of somebody who has heard both tests; `removes` a binding."""

    home: IPv6Address
    care_of: IPv6Address
    update: BindingUpdate
    key: bytes
    removes: bool


def _expired(*, home: bool, care_of: bool) -> Status:
    if home and care_of:
        return Status.EXPIRED_NONCES
    return Status.EXPIRED_HOME_NONCE if home else Status.EXPIRED_CARE_OF_NONCE
