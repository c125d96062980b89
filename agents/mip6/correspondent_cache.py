"""What a correspondent node keeps of each home address, and tells its owner (RFC 6275 9.1)."""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import Protocol

from agents.core.machine import Event
from agents.core.record import Record
from agents.mip6.codec import Status

MAX_RR_BINDING_LIFETIME = 420


class CorrespondentKernel(Protocol):
    """What a correspondent node asks of the kernel; a call that is refused raises OSError."""

    def owns(self, address: IPv6Address) -> bool:
        """Return whether this host has `address`."""

    def reach(self, home_address: IPv6Address, care_of: IPv6Address) -> None:
        """Send Binding Acknowledgements for `home_address` to `care_of` (routing header)."""

    def unreach(self, home_address: IPv6Address) -> None:
        """Undo reach()."""

    def bind(self, home_address: IPv6Address, care_of: IPv6Address) -> None:
        """Speak to `home_address` by way of `care_of`, and hear it from there, now or newly."""

    def unbind(self, home_address: IPv6Address) -> None:
        """Undo bind() and reach()."""

    def used(self, home_address: IPv6Address) -> int:
        """Return how many packets have gone to a bound home address by way of its care-of."""


class CorrespondentLimits(Record, frozen=True):
    """What a correspondent node grants; in seconds, and per second.

    A test costs its HMAC, some 20 microseconds. Home registrations are refused as often as what has
    old nonces, but each apart: none takes the other's answers.

    After the part `ask` of a binding's lifetime, if it is in use, there is a Binding Refresh
    Request, and another when half of the rest is over, but not sooner than after `interval`.
    Of home addresses within one /64 there are `bindings_of_link` at most. Bindings that are over,
    whose sequence numbers count, may be as many again as `bindings`.
    """

    lifetime: int = MAX_RR_BINDING_LIFETIME
    bindings: int = 10_000
    bindings_of_link: int = 2_500
    tests: float = 10_000.0
    refusals: float = 10.0
    errors: float = 10.0
    ask: float = 0.85
    interval: float = 2.0


class CorrespondentBound(Record, frozen=True):
    """A binding; `used` is how many packets had gone that way when it was made or renewed."""

    care_of: IPv6Address
    sequence: int
    updated_at: float
    expires_at: float
    ask_at: float
    used: int = 0


class Forgotten(Record, frozen=True):
    """A binding that is over; its sequence number counts while its nonces do (9.5.3)."""

    sequence: int
    forget_at: float


class CorrespondentBindingCreated(Event, frozen=True):
    """Packets for a home address go directly to the care-of address."""

    home_address: IPv6Address
    care_of: IPv6Address
    lifetime: int


class CorrespondentBindingUpdated(Event, frozen=True):
    """A binding was refreshed or moved."""

    home_address: IPv6Address
    care_of: IPv6Address
    lifetime: int


class CorrespondentBindingRemoved(Event, frozen=True):
    """A binding is over; `cause` is "removed", "expired", "displaced" or "refused"."""

    home_address: IPv6Address
    cause: str


class CorrespondentBindingRejected(Event, frozen=True):
    """A Binding Update was refused, and its sender is told."""

    home_address: IPv6Address
    status: Status


class RefreshRequested(Event, frozen=True):
    """A Binding Refresh Request is about to leave: the binding is in use, and ends soon."""

    home_address: IPv6Address


class UnknownBinding(Event, frozen=True):
    """A Binding Error is about to leave: a Home Address option without a binding."""

    home_address: IPv6Address
    care_of: IPv6Address
