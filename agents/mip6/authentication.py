"""The mobility message authentication option, in IPsec's place (RFC 4285; names by RFC 4283).

Departures from RFC 4285: messages without timestamps are not taken, nor timestamps that are more
than a second ahead, so that none of them can be new again to a home agent that has been started
anew. That does not answer (5.1.1: MIPV6-AUTH-FAIL) who has no key while there is a binding, for it
would show others' ways, nor more than once in a second; and no mobile node stops for such an answer
(5.3): it comes to who has the key when somebody else has altered a message.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv6Address

from cryptography.hazmat.primitives.constant_time import bytes_eq

from agents.core.folding import ascii_lower
from agents.core.record import Record, replace
from agents.mip6.binding_keys import HMAC_SHA1_96, authenticator
from agents.mip6.codec import (
    AUTHENTICATION,
    IDENTIFIER,
    REPLAY_PROTECTION,
    BindingAck,
    BindingUpdate,
    Option,
    Status,
    encode,
)

SPI = 256
"""The mobility SPI that both ends are configured with: the first that is not reserved."""

KEY_LENGTH = 16
CLOSE_ENOUGH, AHEAD = 7.0, 1.0
"""Seconds that a mobile node's clock may be behind a home agent's, and ahead of it."""

Ends = tuple[IPv6Address, IPv6Address]
"""Care-of and home address."""

_NAI, _MN_HA = b"\1", b"\1"
_OPTIONS_AT = 12
_PADDING = 0, 1
_REMEMBERED = 16
"""Updates of which an acknowledgement is known."""

_SECONDS, _ALL = 32, (1 << 64) - 1
_NTP_EPOCH = 2_208_988_800
"""Seconds from 1900, where NTP's time begins, to 1970."""

Clock = Callable[[float], float]
"""Tells the time of day, in seconds since 1970, of a time of the host's clock."""


def check_key(key: bytes | None, source: str | None) -> None:
    """Raise ValueError unless a key, of the file `source`, is one (section 5.1)."""
    if key is None or len(key) != KEY_LENGTH:
        raise ValueError(
            f"{source}: the key of the authentication option has {KEY_LENGTH} octets, and not"
            f" {len(key or b'')}"
        )


def timestamp(seconds: float) -> int:
    """Return NTP's 64 bits for a time of day: seconds, and their fraction (RFC 1305)."""
    return int((seconds + _NTP_EPOCH) * (1 << _SECONDS)) & _ALL


def later(one: int, other: int) -> int:
    """Return how much later than another a timestamp is, in units of 2**-32 s, or less than 0.

    NTP's seconds begin anew in 2036.
    """
    return (one - other + (1 << 63) & _ALL) - (1 << 63)


def _in_seconds(units: int) -> float:
    return units / (1 << _SECONDS)


def identifier(identity: str) -> Option:
    """Return an MN-NAI mobility option (RFC 4283 section 3.1)."""
    return Option(IDENTIFIER, _NAI + identity.encode())


def replay_protection(stamp: int) -> Option:
    """Return a mobility message replay protection option (section 6)."""
    return Option(REPLAY_PROTECTION, stamp.to_bytes(8))


def _value(message: BindingUpdate | BindingAck, kind: int) -> bytes:
    return next((option.value for option in message.options if option.kind == kind), b"")


def identity_of(message: BindingUpdate | BindingAck) -> bytes | None:
    """Return the identity that a message names, if it does."""
    value = _value(message, IDENTIFIER)
    return value[1:] if value[:1] == _NAI else None


def timestamp_of(message: BindingUpdate | BindingAck) -> int | None:
    """Return the timestamp of a message, if it has one."""
    value = _value(message, REPLAY_PROTECTION)
    return int.from_bytes(value) if len(value) == 8 else None


def sealed(
    message: BindingUpdate | BindingAck, key: bytes, care_of: IPv6Address, home: IPv6Address
) -> bytes:
    """Return a message with its MN-HA authentication option, the last one (section 5.1)."""
    empty = Option(AUTHENTICATION, _MN_HA + SPI.to_bytes(4) + bytes(HMAC_SHA1_96.length))
    data = encode(replace(message, options=(*message.options, empty)))
    head = data[: -HMAC_SHA1_96.length]
    return head + authenticator(head, key, care_of, home)


def is_authentic(data: bytes, key: bytes, care_of: IPv6Address, home: IPv6Address) -> bool:
    """Return whether a received Binding Update or Acknowledgement is of the owner of the key."""
    at, last = _OPTIONS_AT, None
    while at < len(data):
        if data[at] not in _PADDING:
            last = at
        at += 1 if data[at] == 0 else 2 + data[at + 1]
    head = bytes((AUTHENTICATION, 5 + HMAC_SHA1_96.length)) + _MN_HA + SPI.to_bytes(4)
    if last is None or data[last : last + len(head)] != head:
        return False
    end = last + len(head)
    found = data[end : end + HMAC_SHA1_96.length]
    return bytes_eq(found, authenticator(data[:end], key, care_of, home))


class UpdateAuthentication:
    """A home agent's part: whose each Binding Update is, and that it is no old one.

    None is taken that one may have taken which was here before, by the same clock.
    """

    def __init__(self, clock: Clock, now: float) -> None:
        self._clock = clock
        self._start = timestamp(clock(now) + AHEAD) - 1
        self._latest: dict[IPv6Address, int] = {}
        """The last timestamp of each home address, for as long as an older one would be taken."""

    def objection(
        self,
        identity: str,
        key: bytes,
        update: BindingUpdate,
        data: bytes,
        ends: Ends,
        now: float,
    ) -> Status | str | None:
        """Return why an update is to be refused, or in silence discarded; what is taken is noted.

        It has to be from the `identity` with this key.
        """
        named = identity_of(update) or b""
        if ascii_lower(named.decode(errors="replace")) != ascii_lower(identity):
            return "it does not name who holds the home address"
        if not _value(update, AUTHENTICATION):
            return "it has no authentication option"
        if not is_authentic(data, key, *ends):
            return Status.AUTHENTICATION_FAILED
        _, home = ends
        stamp = timestamp_of(update)
        if stamp is None:
            return Status.MESSAGE_ID_REQUIRED
        here = timestamp(self._clock(now))
        before = self._latest.get(home, self._start)
        close = -CLOSE_ENOUGH <= _in_seconds(later(stamp, here)) < AHEAD
        if not close or later(stamp, before) <= 0:
            return Status.MESSAGE_ID_MISMATCH
        self._latest.pop(home, None)
        self._latest[home] = stamp
        self._forget(here)
        return None

    def _forget(self, here: int) -> None:
        """Forget timestamps than which none is older that is close enough."""
        for home, stamp in tuple(self._latest.items()):
            if _in_seconds(later(here, stamp)) <= CLOSE_ENOUGH:
                break
            del self._latest[home]

    def answer(
        self,
        ack: BindingAck,
        update: BindingUpdate,
        key: bytes,
        ends: Ends,
        now: float,
    ) -> bytes:
        """Return the acknowledgement of an update, with the options that it has to have."""
        options = [Option(IDENTIFIER, _value(update, IDENTIFIER))]
        if (stamp := timestamp_of(update)) is not None:
            if ack.status == Status.MESSAGE_ID_MISMATCH:  # The high bits are this clock's.
                low = (1 << _SECONDS) - 1
                stamp = timestamp(self._clock(now)) & ~low | stamp & low
            options.append(replay_protection(stamp))
        return sealed(replace(ack, options=(*ack.options, *options)), key, *ends)


class _Sent(Record, frozen=True):
    """What an update left with; `ahead` is by how much the other clock was thought to be ahead."""

    stamp: int
    ahead: int
    care_of: IPv6Address


class RegistrationAuthentication:
    """A mobile node's part: it signs its updates, and knows the acknowledgements of these."""

    def __init__(self, identity: str, key: bytes, clock: Clock) -> None:
        self._identity = identity
        self._key = key
        self._clock = clock
        self._ahead = 0
        """By how much the home agent's clock is ahead of this one's, in units of 2**-32 s."""

        self._last = 0
        self._sent: dict[int, _Sent] = {}

    def seal(
        self, update: BindingUpdate, care_of: IPv6Address, home: IPv6Address, now: float
    ) -> bytes:
        """Return an update as it is to leave; each is later than the one before."""
        stamp = timestamp(self._clock(now)) + self._ahead & _ALL
        if self._sent and later(stamp, self._last) <= 0:
            stamp = self._last + 1 & _ALL
        self._last = stamp
        self._sent[update.sequence] = _Sent(stamp, self._ahead, care_of)
        while len(self._sent) > _REMEMBERED:
            del self._sent[next(iter(self._sent))]
        options = (*update.options, identifier(self._identity), replay_protection(stamp))
        return sealed(replace(update, options=options), self._key, care_of, home)

    def takes(self, ack: BindingAck, data: bytes, home: IPv6Address) -> bool:
        """Return whether an acknowledgement is the home agent's, of an update sent from here."""
        sent = self._sent.get(ack.sequence)
        stamp = timestamp_of(ack)
        if sent is None or not is_authentic(data, self._key, sent.care_of, home):
            return False
        return stamp == sent.stamp or ack.status == Status.MESSAGE_ID_MISMATCH

    def go_by(self, ack: BindingAck) -> None:
        """Set the clock right by an acknowledgement that was taken, and says so (section 6)."""
        sent, stamp = self._sent.get(ack.sequence), timestamp_of(ack)
        if sent is not None and stamp is not None:
            # The answer has whole seconds of the other clock: if they are the same, the next one.
            self._ahead = sent.ahead + (later(stamp, sent.stamp) or 1 << _SECONDS)
            self._last = stamp
