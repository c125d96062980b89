"""The mobile node's part in route optimisation (RFC 6275 sections 11.6 to 11.8)."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from ipaddress import IPv6Address
from itertools import chain

from agents.core.machine import Address, Discarded, Event, address_of
from agents.core.rate import TokenBucket
from agents.core.reader import WireError
from agents.core.record import replace
from agents.core.timers import Timers
from agents.core.unicast import is_unicast
from agents.mip6.binding_keys import is_authentic, nonce_indices, sealed
from agents.mip6.codec import (
    COOKIE_LENGTH,
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
    Status,
    decode,
    encode,
)
from agents.mip6.update_list import (
    AddressesTested,
    AddressTestSent,
    Avoided,
    CorrespondentForgotten,
    CorrespondentUpdateSent,
    OptimisationBegun,
    OptimisationFailed,
    Optimised,
    Probe,
    Probing,
    RouteLost,
    RouteOptimised,
    RouteTimers,
    State,
    Token,
    Updating,
    Waiting,
    deadline,
    is_recent,
)

_INITIAL, _MAXIMUM = 1.0, 32.0  # INITIAL_BINDACK_TIMEOUT, MAX_BINDACK_TIMEOUT
_MAX_FAILURES = 3  # MAX_RO_FAILURE
_MAX_UPDATES, _RATE_PERIOD = 3, 1.0  # MAX_UPDATE_RATE per second.
_EXPIRED = (Status.EXPIRED_HOME_NONCE, Status.EXPIRED_CARE_OF_NONCE, Status.EXPIRED_NONCES)


class RouteOptimisation:
    """Keeps the bindings of one home address at correspondent nodes (section 11.7.2).

    Items of the outbox are datagrams, each with its destination and its own address, home or
    care-of. The owner carries out the kernel's part: after CorrespondentUpdateSent packets with
    the Home Address option may leave, after RouteOptimised all packets have it. `used` tells how
    many packets have gone to a correspondent node like this: a binding without use is not renewed.
    """

    def __init__(
        self,
        home_address: IPv6Address,
        care_of: IPv6Address,
        *,
        rng: random.Random,
        used: Callable[[IPv6Address], int],
        timers: RouteTimers | None = None,
    ) -> None:
        self.outbox: deque[tuple[bytes, Address, IPv6Address]] = deque()
        self.events: deque[Event] = deque()
        self.home_address = home_address
        self.care_of = care_of
        self.correspondents: dict[IPv6Address, State] = {}
        self._rng = rng
        self._used = used
        self._timers = timers or RouteTimers()
        self._news = TokenBucket(self._timers.rate, self._timers.rate)
        self._home_until: float | None = None
        self._home_tokens: dict[IPv6Address, Token] = {}
        self._begun: dict[IPv6Address, deque[float]] = {}
        """When the last procedures were begun with each correspondent node."""

        self._answered: set[IPv6Address] = set()
        """Those that have answered an address test: they know Mobile IPv6."""

        self._due: Timers[IPv6Address] = Timers()
        self._sequences: dict[IPv6Address, int] = {}

    # What the owner tells

    def registered(self, until: float, now: float) -> None:
        """The home agent has the binding until then; correspondent nodes may hear of it."""
        self._home_until = until
        for correspondent, state in tuple(self.correspondents.items()):
            if isinstance(state, Waiting):
                self._test(correspondent, now)

    def wanted(self, correspondent: IPv6Address, now: float) -> None:
        """There is traffic with a correspondent node (section 11.7.2)."""
        if correspondent in self.correspondents or self._home_until is None:
            return
        if not is_unicast(correspondent):
            return
        if self._news.take(now) and self._make_room(now):
            self.events.append(OptimisationBegun(now, correspondent))
            self._test(correspondent, now)

    def _make_room(self, now: float) -> bool:
        """Have one give way where there are too many: anybody can make this host speak to many.

        It is the first of those that do not take part, else of those that have not answered yet.
        """
        known = self.correspondents
        if len(known) < self._timers.most:
            return True
        avoided = (one for one, state in known.items() if isinstance(state, Avoided))
        silent = (one for one in known if one not in self._answered)
        victim = next(chain(avoided, silent), None)
        if victim is not None:
            self._forget(victim, now)
        return victim is not None

    def knows(self, address: IPv6Address) -> bool:
        """Return whether an address is a correspondent node's that is spoken to."""
        return address in self.correspondents

    def move(self, care_of: IPv6Address, now: float) -> None:
        """Another care-of address is in use; the home agent is told first (section 11.7.2)."""
        self.care_of = care_of
        for correspondent, state in tuple(self.correspondents.items()):
            if not isinstance(state, Avoided):
                self._lose(correspondent, state, "the care-of address is another", now)
                self._set(correspondent, Waiting())

    def come_home(self, now: float) -> None:
        """The home address needs no other any more: remove all bindings from it."""
        self.care_of = self.home_address
        self.stop(now)

    def stop(self, now: float) -> None:
        """The home registration is over: remove all bindings whose keys are at hand."""
        self._home_until = None
        for correspondent, state in tuple(self.correspondents.items()):
            if isinstance(state, Updating) and state.lifetime == 0:
                continue  # That is under way.
            self._lose(correspondent, state, "the home registration is over", now)
            token = self._home_tokens.get(correspondent)
            is_bound = getattr(state, "expires_at", None) is not None
            if is_bound and token and is_recent(token, now):
                self._update(correspondent, token, token, 0, None, now)
            else:
                self._forget(correspondent, now)

    # Receiving

    def handle_message(self, data: bytes, source: Address, local: IPv6Address, now: float) -> None:
        """Take one Mobility Header message that came to the address `local` of this host."""
        correspondent = address_of(source[0])
        state = self.correspondents.get(correspondent)
        if state is None:  # The home agent's are another machine's.
            return
        try:
            message = decode(data)
        except WireError as error:
            self._discard(source, str(error), now)
            return
        if not self._handle(correspondent, state, message, data, local, now):
            text = f"unexpected {type(message).__name__} in state {type(state).__name__}"
            self._discard(source, text, now)

    def _handle(
        self,
        correspondent: IPv6Address,
        state: State,
        message: Message,
        data: bytes,
        local: IPv6Address,
        now: float,
    ) -> bool:
        """Act on a message; return whether it had a place."""
        match state, message:
            case Probing(home=Probe(cookie=cookie)), HomeTest() if (
                message.cookie == cookie and local == self.home_address
            ):
                token = Token(message.token, message.nonce_index, now)
                self._answered.add(correspondent)
                self._home_tokens[correspondent] = token
                self._go_on(correspondent, replace(state, home=token), now)
            case Probing(care_of=Probe(cookie=cookie)), CareOfTest() if (
                message.cookie == cookie and local == self.care_of
            ):
                token = Token(message.token, message.nonce_index, now)
                self._answered.add(correspondent)
                self._go_on(correspondent, replace(state, care_of=token), now)
            case Updating(), BindingAck():
                return self._acknowledged(correspondent, state, message, data, now)
            case Optimised(), BindingRefreshRequest():
                self._test(correspondent, now)
            case (
                (Optimised() | Updating() | Probing()),
                BindingError(status=ErrorStatus.UNKNOWN_BINDING, home_address=self.home_address),
            ):
                self._unknown(correspondent, state, now)
            case Probing(), BindingError(status=ErrorStatus.UNKNOWN_TYPE) if (
                correspondent not in self._answered
            ):
                self._avoid(correspondent, state, "it does not know Mobile IPv6", now)
            case _:
                return False
        return True

    def _unknown(
        self, correspondent: IPv6Address, state: Optimised | Updating | Probing, now: float
    ) -> None:
        """The correspondent node has no binding: go by way of the home agent (section 11.3.6)."""
        self._lose(correspondent, state, "the correspondent node knows no binding", now)
        if isinstance(state, Optimised):
            self._set(correspondent, Waiting())
            self._test(correspondent, now)
        else:
            self._set(correspondent, replace(state, expires_at=None))

    def _acknowledged(
        self,
        correspondent: IPv6Address,
        state: Updating,
        ack: BindingAck,
        data: bytes,
        now: float,
    ) -> bool:
        if ack.status in _EXPIRED:
            return self._retest(correspondent, state, ack, now)
        if not is_authentic(data, state.key, self._subject(state), correspondent):
            return False
        if ack.status == Status.SEQUENCE_OUT_OF_WINDOW:
            return self._resynchronise(correspondent, state, ack.sequence, now)
        if ack.sequence != state.sequence:
            return False
        status = Status.of(ack.status)
        if status >= Status.UNSPECIFIED:
            self._avoid(correspondent, state, f"it refused the binding: {status.name}", now)
        elif state.lifetime == 0:
            self._forget(correspondent, now)
        else:
            granted = min(ack.lifetime, state.lifetime)
            self._bound(correspondent, state, granted, now)
        return True

    def _resynchronise(
        self, correspondent: IPv6Address, state: Updating, last: int, now: float
    ) -> bool:
        """Go on from the sequence number that was accepted last (section 11.7.3)."""
        if state.sent > _MAX_FAILURES:
            return False
        self._sequences[correspondent] = last
        self._resend(correspondent, state, now)
        return True

    def _retest(
        self, correspondent: IPv6Address, state: Updating, ack: BindingAck, now: float
    ) -> bool:
        """Test anew what has grown old; nobody vouches for this answer (section 9.5.4)."""
        if ack.sequence != state.sequence:
            return False
        self._home_tokens.pop(correspondent, None)
        if state.lifetime == 0:
            self._forget(correspondent, now)
        else:
            self._test(correspondent, now)
        return True

    def _bound(self, correspondent: IPv6Address, state: Updating, granted: int, now: float) -> None:
        expires_at = state.sent_at + granted
        if not granted or expires_at <= now:
            self._avoid(correspondent, state, "it grants no time", now)
            return
        refresh_at = max(now, state.sent_at + self._timers.refresh * granted)
        used = self._used(correspondent)
        optimised = Optimised(state.home, state.care_of, refresh_at, expires_at, used)
        self._set(correspondent, optimised)
        self.events.append(RouteOptimised(now, correspondent, granted))

    # Sending

    def _test(self, correspondent: IPv6Address, now: float) -> None:
        """Begin the tests of both addresses, but for a home address tested of late (11.6.1)."""
        before = self.correspondents.get(correspondent)
        expires_at = getattr(before, "expires_at", None)
        known = self._home_tokens.get(correspondent)
        probe = Probe(b"", self._begin(correspondent, now), _INITIAL, 0)
        home = known if known and is_recent(known, now) else probe
        state = Probing(home, probe, expires_at)
        self._set(correspondent, state)
        self._go_on(correspondent, state, now)

    def _begin(self, correspondent: IPv6Address, now: float) -> float:
        """Return when the tests may begin: anybody may ask for them, with errors and requests."""
        begun = self._begun.setdefault(correspondent, deque(maxlen=_MAX_UPDATES))
        is_often = len(begun) == _MAX_UPDATES
        begin = max(now, begun[0] + _RATE_PERIOD) if is_often else now
        begun.append(begin)
        return begin

    def _go_on(self, correspondent: IPv6Address, state: Probing, now: float) -> None:
        """Send the tests that are due, or the update once both tokens are there."""
        if isinstance(state.home, Token) and isinstance(state.care_of, Token):
            self._set(correspondent, state)
            self.events.append(AddressesTested(now, correspondent))
            lifetime = self._lifetime(now)
            self._update(correspondent, state.home, state.care_of, lifetime, state.expires_at, now)
            return
        home, care_of = state.home, state.care_of
        if isinstance(home, Probe) and home.due <= now:
            home = self._probe(correspondent, home, "home", now)
        if isinstance(care_of, Probe) and care_of.due <= now:
            care_of = self._probe(correspondent, care_of, "care-of", now)
        self._set(correspondent, replace(state, home=home, care_of=care_of))

    def _probe(self, correspondent: IPv6Address, probe: Probe, test: str, now: float) -> Probe:
        """Send a test with a new cookie (section 11.8)."""
        cookie = self._rng.randbytes(COOKIE_LENGTH)
        is_home = test == "home"
        message = HomeTestInit(cookie) if is_home else CareOfTestInit(cookie)
        local = self.home_address if is_home else self.care_of
        self.events.append(AddressTestSent(now, correspondent, test))
        self.outbox.append((encode(message), (str(correspondent), 0), local))
        timeout = min(2 * probe.timeout, _MAXIMUM)
        return Probe(cookie, now + probe.timeout, timeout, probe.sent + 1)

    def _update(
        self,
        correspondent: IPv6Address,
        home: Token,
        care_of: Token,
        lifetime: int,
        expires_at: float | None,
        now: float,
    ) -> None:
        state = Updating(home, care_of, lifetime, 0, now, now, _INITIAL, 0, expires_at)
        self._resend(correspondent, state, now)

    def _resend(self, correspondent: IPv6Address, state: Updating, now: float) -> None:
        """Send an update with a new sequence number."""
        before = self._sequences.get(correspondent, self._rng.getrandbits(16))
        sequence = self._sequences[correspondent] = (before + 1) % 65536
        state = replace(
            state,
            sequence=sequence,
            sent_at=now,
            due=now + state.timeout,
            timeout=min(2 * state.timeout, _MAXIMUM),
            sent=state.sent + 1,
        )
        self._set(correspondent, state)
        removes = state.lifetime == 0
        update = BindingUpdate(
            state.sequence,
            state.lifetime,
            home_registration=False,
            care_of=None if self.care_of == self.home_address else self.care_of,
            options=(nonce_indices(state.home.index, 0 if removes else state.care_of.index),),
        )
        data = sealed(update, state.key, self._subject(state), correspondent)
        self.events.append(
            CorrespondentUpdateSent(now, correspondent, state.sequence, state.lifetime)
        )
        self.outbox.append((data, (str(correspondent), 0), self.home_address))

    def _subject(self, state: Updating) -> IPv6Address:
        """Return the address that the seal is about (section 6.2.7)."""
        return self.care_of if state.lifetime else self.home_address

    def _lifetime(self, now: float) -> int:
        """Return what to ask for: no more than is left of the home registration."""
        left = (self._home_until or now) - now
        seconds = int(min(self._timers.lifetime, left))
        return max(LIFETIME_UNIT, seconds // LIFETIME_UNIT * LIFETIME_UNIT)

    # Time

    def handle_timeout(self, now: float) -> None:
        """Retransmit, renew, or give up."""
        while (correspondent := self._due.pop(now)) is not None:
            self._act(correspondent, self.correspondents[correspondent], now)

    def _act(self, correspondent: IPv6Address, state: State, now: float) -> None:
        match state:
            case Probing(expires_at=float() as end) | Updating(expires_at=float() as end) if (
                end <= now
            ):
                self._lose(correspondent, state, "the binding has expired", now)
                self._set(correspondent, replace(state, expires_at=None))
            case Probing() if any(
                isinstance(p, Probe) and p.due <= now and p.sent > _MAX_FAILURES
                for p in (state.home, state.care_of)
            ):
                self._avoid(correspondent, state, "no answer to the address tests", now)
            case Probing():
                self._go_on(correspondent, state, now)
            case Updating(lifetime=0, sent=sent) if sent > _MAX_FAILURES:
                self._forget(correspondent, now)
            case Updating(sent=sent) if sent > _MAX_FAILURES:
                self._avoid(correspondent, state, "no answer to Binding Updates", now)
            case Updating():
                self._resend(correspondent, state, now)
            case Optimised(expires_at=end) if end <= now:
                self._lose(correspondent, state, "nobody has used it", now)
                self._forget(correspondent, now)
            case Optimised(used=used) if used != self._used(correspondent):
                self._test(correspondent, now)
            case Optimised():
                self._set(correspondent, replace(state, refresh_at=None))
            case Avoided():
                self._forget(correspondent, now)

    def next_timeout(self) -> float | None:
        """Return the earliest deadline, or None if no timer runs."""
        return self._due.next()

    def _set(self, correspondent: IPv6Address, state: State) -> None:
        self.correspondents[correspondent] = state
        if (due := deadline(state)) is None:
            self._due.cancel(correspondent)
        else:
            self._due.set(correspondent, due)

    # Ends

    def _lose(self, correspondent: IPv6Address, state: State, reason: str, now: float) -> None:
        """Tell that packets do not go directly any more, if they did."""
        if getattr(state, "expires_at", None) is not None:
            self.events.append(RouteLost(now, correspondent, reason))

    def _avoid(self, correspondent: IPv6Address, state: State, reason: str, now: float) -> None:
        self._lose(correspondent, state, reason, now)
        self._home_tokens.pop(correspondent, None)
        if isinstance(state, Updating) and state.lifetime == 0:
            self._forget(correspondent, now)
            return
        self._set(correspondent, Avoided(now + self._timers.avoid))
        self.events.append(OptimisationFailed(now, correspondent, reason))

    def _forget(self, correspondent: IPv6Address, now: float) -> None:
        del self.correspondents[correspondent]
        self._due.cancel(correspondent)
        self._begun.pop(correspondent, None)
        self._answered.discard(correspondent)
        self._sequences.pop(correspondent, None)
        self._home_tokens.pop(correspondent, None)
        self.events.append(CorrespondentForgotten(now, correspondent))

    def _discard(self, source: Address, reason: str, now: float) -> None:
        self.events.append(Discarded(now, source[0], reason))
