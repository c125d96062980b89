"""What a home agent keeps of each home address, and what it tells its owner (RFC 6275 10.1)."""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import Protocol, TypeAlias

from agents.core.machine import Event
from agents.core.record import Record
from agents.mip6.codec import BindingUpdate, Status

_LINK_LOCAL_PREFIX = 0xFE80 << 112
_IDENTIFIER = 2**64 - 1


class BindingKernel(Protocol):
    """What the home agent asks of the kernel; a call that is refused raises OSError."""

    def owns(self, address: IPv6Address) -> bool:
        """Return whether this host has `address`; a link-local one, on the home link."""

    def leads_away(self, address: IPv6Address) -> bool:
        """Return whether packets to `address` leave this host, and not for the home link itself."""

    def reach(self, home_address: IPv6Address, care_of: IPv6Address) -> None:
        """Send Binding Acknowledgements for `home_address` to `care_of` (routing header)."""

    def unreach(self, home_address: IPv6Address) -> None:
        """Undo reach()."""

    def bind(
        self, home_address: IPv6Address, care_of: IPv6Address, link_local: IPv6Address | None
    ) -> None:
        """Intercept packets to `home_address` (and `link_local`); tunnel them to `care_of`."""

    def unbind(self, home_address: IPv6Address) -> None:
        """Undo bind()."""


class Tentative(Record, frozen=True):
    """Duplicate address detection is under way for `update`, the last one received."""

    update: BindingUpdate
    care_of: IPv6Address
    targets: tuple[IPv6Address, ...]
    nonce: bytes
    probes_left: int
    due: float


class Bound(Record, frozen=True):
    """A home registration."""

    care_of: IPv6Address
    sequence: int
    link_local: IPv6Address | None
    expires_at: float


class Ended(Record, frozen=True):
    """A binding that was de-registered: its sequence number counts until `forget_at` (10.3.2)."""

    sequence: int
    forget_at: float


Entry: TypeAlias = Tentative | Bound | Ended


def deadline(entry: Entry) -> float:
    """Return when an entry wants attention."""
    match entry:
        case Tentative(due=due):
            return due
        case Bound(expires_at=expires_at):
            return expires_at
        case Ended(forget_at=forget_at):
            return forget_at


def link_local_of(home_address: IPv6Address) -> IPv6Address:
    """Return the link-local address with the home address's interface identifier (10.3.1)."""
    return IPv6Address(_LINK_LOCAL_PREFIX | int(home_address) & _IDENTIFIER)


class BindingCreated(Event, frozen=True):
    """A home address is bound and intercepted; the acknowledgement is about to leave."""

    home_address: IPv6Address
    care_of: IPv6Address
    lifetime: int


class BindingUpdated(Event, frozen=True):
    """A binding was refreshed or moved."""

    home_address: IPv6Address
    care_of: IPv6Address
    lifetime: int


class BindingRemoved(Event, frozen=True):
    """A binding is over; `cause` is "de-registered", "expired" or "no longer authorised"."""

    home_address: IPv6Address
    cause: str


class BindingRejected(Event, frozen=True):
    """A Binding Update was refused."""

    home_address: IPv6Address
    status: Status


class DuplicateAddress(Event, frozen=True):
    """Another node on the home link has or wants `address`."""

    home_address: IPv6Address
    address: IPv6Address


class KernelRefused(Event, frozen=True):
    """The kernel did not do its part."""

    home_address: IPv6Address
    reason: str


class NeighbourSolicited(Event, frozen=True):
    """The owner is to multicast a solicitation for `target` from :: (RFC 4862 section 5.4.2)."""

    target: IPv6Address
    nonce: bytes


class NeighbourAdvertised(Event, frozen=True):
    """The owner is to multicast an overriding advertisement for `target` (section 10.4.1)."""

    target: IPv6Address
