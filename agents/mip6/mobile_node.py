"""The mobile node's home registration (RFC 6275 section 11)."""

from __future__ import annotations

import math
import random
from collections import deque
from ipaddress import IPv6Address

from agents.core.machine import Address, Discarded, Event, address_of
from agents.core.reader import WireError
from agents.core.record import Record, replace
from agents.mip6.authentication import RegistrationAuthentication
from agents.mip6.codec import (
    LIFETIME_UNIT,
    MAX_LIFETIME,
    BindingAck,
    BindingError,
    BindingRefreshRequest,
    BindingUpdate,
    ErrorStatus,
    Message,
    Status,
    decode,
    encode,
)

_MAX_UPDATES, _RATE_PERIOD = 3, 1.0  # MAX_UPDATE_RATE per second (section 12).
_MAX_SEQUENCE_RETRIES = 3
_REMEMBERED = 16
"""Updates of which a late acknowledgement counts."""


class BindingTimers(Record, frozen=True):
    """Times in seconds by their names in sections 12 and 13.

    `refresh` is the part of the granted lifetime after which the binding is refreshed (section
    11.7.1: "well before the expiration"), `last` the same where the home agent has not told yet
    whether the home prefix lasts. `patience` is after how long without an answer that is
    told, again and again, and how long one is tried to be removed that there may not be.
    """

    first: float = 1.5  # InitialBindackTimeoutFirstReg
    initial: float = 1.0  # INITIAL_BINDACK_TIMEOUT
    maximum: float = 32.0  # MAX_BINDACK_TIMEOUT
    refresh: float = 0.75
    last: float = 0.95
    patience: float = 120.0


class BindingUpdateSent(Event, frozen=True):
    """A Binding Update is about to leave; a lifetime of 0 removes the binding."""

    sequence: int
    lifetime: int
    care_of: IPv6Address


class BindingAccepted(Event, frozen=True):
    """The home agent has the binding for `lifetime` seconds; 0 means that it is removed."""

    sequence: int
    lifetime: int
    status: Status = Status.ACCEPTED


class BindingRefused(Event, frozen=True):
    """The home agent refused; nothing is tried again until start() or move()."""

    sequence: int
    status: Status


class BindingExpired(Event, frozen=True):
    """The lifetime ended before a refresh was accepted; trying goes on."""


class Unanswered(Event, frozen=True):
    """No answer has come; trying goes on, every MAX_BINDACK_TIMEOUT (section 11.8)."""

    reason: str


class Failed(Event, frozen=True):
    """Nothing comes of it; nothing is tried again until start() or move()."""

    reason: str


class Idle(Record, frozen=True):
    """There is no binding, and none is wanted."""


class Registering(Record, frozen=True):
    """Binding Updates are under way; `sent` holds sequence number and time of the last ones.

    `due` is when the next one leaves, `timeout` the back-off, `expires_at` the end of an older
    binding that is still valid. At `impatient_at` there has been no answer for long.
    """

    lifetime: int
    sent: tuple[tuple[int, float], ...]
    due: float
    timeout: float
    impatient_at: float
    expires_at: float | None
    sequence_retries: int = 0


class Registered(Record, frozen=True):
    """The home agent has the binding.

    If `in_doubt`, it is refreshed as late as can be unless the prefixes are learnt before.
    """

    expires_at: float
    refresh_at: float
    in_doubt: bool = False


State = Idle | Registering | Registered


class HomeRegistration:
    """Keeps one home address bound to the current care-of address.

    `lifetime` is in seconds and asked for in whole units of 4. `link_local` is the mobile node's
    link-local address on the home link: the L bit is set if it shares the home address's
    interface identifier. `key_management` says that IKE survives movements (the K bit). With
    `authentication` messages bear it themselves, and IPsec protects nothing (RFC 4285).
    """

    def __init__(
        self,
        home_address: IPv6Address,
        home_agent: IPv6Address,
        care_of: IPv6Address,
        *,
        lifetime: float,
        rng: random.Random,
        timers: BindingTimers | None = None,
        link_local: IPv6Address | None = None,
        key_management: bool = False,
        authentication: RegistrationAuthentication | None = None,
    ) -> None:
        self.outbox: deque[tuple[bytes, Address]] = deque()
        self.events: deque[Event] = deque()
        self.state: State = Idle()
        self.home_address = home_address
        self.home_agent = home_agent
        self.care_of = care_of
        self._lifetime = _whole_units(lifetime)
        self._timers = timers or BindingTimers()
        self._link_local = link_local is not None and _identifier(link_local) == _identifier(
            home_address
        )
        self._key_management = key_management
        self._authentication = authentication
        self._valid_until = math.inf
        self._sequence = rng.getrandbits(16)
        self._recent: deque[float] = deque(maxlen=_MAX_UPDATES)

    def start(self, now: float) -> None:
        """Register the care-of address."""
        self._register(self._lifetime, now)

    def move(self, care_of: IPv6Address, now: float) -> None:
        """Register another care-of address (section 11.5.1)."""
        self.care_of = care_of
        self._register(self._lifetime, now)

    def prefix_learnt(self, valid: float, now: float) -> None:
        """Take note that the home prefix is valid for so many seconds, which bounds bindings.

        A binding that was accepted until this is known is refreshed in time (section 11.7.1).
        """
        self._valid_until = now + valid
        match self.state:
            case Registered(expires_at=expires_at, in_doubt=True):
                refresh_at = now + self._timers.refresh * (expires_at - now)
                self.state = Registered(expires_at, refresh_at)

    def go_home(self, now: float) -> None:
        """Have nothing intercepted any more, at home: `care_of` is the home address then (11.5.5).

        Trying goes on for as long as there may be a binding.
        """
        self.care_of = self.home_address
        self._register(0, now)

    def stop(self, now: float) -> None:
        """Remove the binding (de-registration, section 11.7.1); done when it is acknowledged."""
        if not isinstance(self.state, Idle):
            self._register(0, now)

    def handle_message(self, data: bytes, source: Address, now: float) -> None:
        """Take one Mobility Header message, which IPsec has authenticated, or it does."""
        try:
            message = decode(data)
        except WireError as error:
            self._discard(source, str(error), now)
            return
        if address_of(source[0]) != self.home_agent:
            self._discard(source, "not from the home agent", now)
            return
        if not self._is_authentic(message, data):
            self._discard(source, "nothing shows that it is the home agent's", now)
            return
        self._handle(message, source, now)

    def _is_authentic(self, message: Message, data: bytes) -> bool:
        """Return whether a message is the home agent's; without IPsec it has to say so itself."""
        if self._authentication is None:
            return True
        if not isinstance(message, BindingAck):
            return False
        return self._authentication.takes(message, data, self.home_address)

    def _handle(self, message: Message, source: Address, now: float) -> None:
        match self.state, message:
            case Registering() as state, BindingAck(status=Status.SEQUENCE_OUT_OF_WINDOW):
                self._send_anew(state, message.sequence, message, now)
            case _, BindingAck(status=Status.AUTHENTICATION_FAILED) if self._authentication:
                self._discard(source, "somebody else has altered an update", now)
            case Registering() as state, BindingAck(
                status=Status.MESSAGE_ID_MISMATCH, sequence=sequence
            ) if self._authentication and sequence in dict(state.sent):
                self._authentication.go_by(message)
                self._send_anew(state, self._sequence, message, now)
            case Registering() as state, BindingAck(sequence=sequence) if sequence in dict(
                state.sent
            ):
                self._acknowledged(state, message, source, now)
            case (Registered(), BindingRefreshRequest()) | (
                Registered(),
                BindingError(status=ErrorStatus.UNKNOWN_BINDING, home_address=self.home_address),
            ):
                self._register(self._lifetime, now)
            case Registering(), BindingError(status=ErrorStatus.UNKNOWN_TYPE):
                self._fail("the home agent does not know Binding Updates", now)
            case _:
                text = f"unexpected {type(message).__name__} in state {type(self.state).__name__}"
                self._discard(source, text, now)

    def handle_timeout(self, now: float) -> None:
        """Retransmit, refresh, or notice that the binding is over."""
        match self.state:
            case Registering(expires_at=float() as expiry) as state if expiry <= now:
                self.state = replace(state, expires_at=None) if state.lifetime else Idle()
                self.events.append(BindingExpired(now))
            case Registering(impatient_at=at) as state if at <= now:
                self._lose_patience(state, now)
            case Registering(due=due) as state if due <= now:
                self._send(state, now)
            case Registered(refresh_at=refresh_at) if refresh_at <= now:
                self._register(self._lifetime, now)

    def next_timeout(self) -> float | None:
        """Return the earliest deadline, or None if no timer runs."""
        match self.state:
            case Registering(due=due, impatient_at=at, expires_at=expires_at):
                return min(t for t in (due, at, expires_at) if t is not None)
            case Registered(refresh_at=refresh_at):
                return refresh_at
            case _:
                return None

    def _register(self, lifetime: int, now: float) -> None:
        match self.state:
            case Registered(expires_at=expires_at) | Registering(expires_at=float() as expires_at):
                expiry: float | None = expires_at
            case _:
                expiry = None
        timers = self._timers
        if lifetime:
            lifetime = _whole_units(max(LIFETIME_UNIT, min(lifetime, self._valid_until - now)))
        state = Registering(
            lifetime,
            sent=(),
            due=now,
            timeout=timers.first if expiry is None else timers.initial,
            impatient_at=now + timers.patience,
            expires_at=expiry,
        )
        self._send(state, now)

    def _send(self, state: Registering, now: float) -> None:
        """Send an update with a new sequence number, unless three have left within a second."""
        if len(self._recent) == _MAX_UPDATES and now < self._recent[0] + _RATE_PERIOD:
            self.state = replace(state, due=self._recent[0] + _RATE_PERIOD)
            return
        self._recent.append(now)
        self._sequence = (self._sequence + 1) % 65536
        update = BindingUpdate(
            self._sequence,
            state.lifetime,
            link_local=self._link_local,
            key_management=self._key_management,
            care_of=None if self.care_of == self.home_address else self.care_of,
        )
        self.outbox.append((self._encoded(update, now), (str(self.home_agent), 0)))
        self.events.append(BindingUpdateSent(now, self._sequence, state.lifetime, self.care_of))
        self.state = replace(
            state,
            sent=(*state.sent[1 - _REMEMBERED :], (self._sequence, now)),
            due=now + state.timeout,
            timeout=min(2 * state.timeout, self._timers.maximum),
        )

    def _encoded(self, update: BindingUpdate, now: float) -> bytes:
        if self._authentication is None:
            return encode(update)
        return self._authentication.seal(update, self.care_of, self.home_address, now)

    def _send_anew(self, state: Registering, last: int, ack: BindingAck, now: float) -> None:
        """Go on from the sequence number that counts, or by the other clock (section 11.7.3)."""
        if state.sequence_retries == _MAX_SEQUENCE_RETRIES:
            self._refused(last, Status.of(ack.status), now)
            return
        self._sequence = last
        retries = state.sequence_retries + 1
        timeout = self._timers.initial
        self._send(replace(state, sent=(), timeout=timeout, sequence_retries=retries), now)

    def _acknowledged(
        self, state: Registering, ack: BindingAck, source: Address, now: float
    ) -> None:
        status = Status.of(ack.status)
        gone = state.lifetime == 0 and status == Status.NOT_HOME_AGENT
        if status >= Status.UNSPECIFIED and not gone:
            self._refused(ack.sequence, status, now)
            return
        # The countdown begins when the update was sent. What is granted beyond what was asked for
        # is not relied upon.
        granted = min(ack.lifetime, state.lifetime)
        sent_at = dict(state.sent)[ack.sequence]
        if not state.lifetime:
            self.state = Idle()
        elif not granted:
            self._fail("the home agent grants no time", now)
            return
        elif sent_at + granted <= now:
            self._discard(source, "an acknowledgement of a binding that is over already", now)
            return
        else:
            self.state = self._registered(ack, granted, sent_at, now)
        self.events.append(BindingAccepted(now, ack.sequence, granted, status))

    def _registered(self, ack: BindingAck, granted: int, sent_at: float, now: float) -> Registered:
        in_doubt = ack.status == Status.PREFIX_DISCOVERY_NECESSARY
        interval = (self._timers.last if in_doubt else self._timers.refresh) * granted
        if ack.refresh and not in_doubt:
            interval = min(interval, ack.refresh)
        return Registered(sent_at + granted, max(sent_at + interval, now), in_doubt)

    def _refused(self, sequence: int, status: Status, now: float) -> None:
        self.state = Idle()
        self.events.append(BindingRefused(now, sequence, status))

    def _lose_patience(self, state: Registering, now: float) -> None:
        """Tell that there is no answer, and go on as long as there is something to be had."""
        reason = "no answer from the home agent"
        if state.lifetime or state.expires_at is not None:
            self.state = replace(state, impatient_at=now + self._timers.patience)
            self.events.append(Unanswered(now, reason))
        else:
            self._fail(reason, now)

    def _fail(self, reason: str, now: float) -> None:
        self.state = Idle()
        self.events.append(Failed(now, reason))

    def _discard(self, source: Address, reason: str, now: float) -> None:
        self.events.append(Discarded(now, source[0], reason))


def _whole_units(seconds: float) -> int:
    units = int(min(seconds, MAX_LIFETIME)) // LIFETIME_UNIT
    if units < 1:
        raise ValueError(f"a lifetime of {seconds} s is shorter than {LIFETIME_UNIT} s")
    return units * LIFETIME_UNIT


def _identifier(address: IPv6Address) -> int:
    return int(address) & (2**64 - 1)
