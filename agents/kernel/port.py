"""What the roles ask of the kernel: IPsec, tunnels, addresses and the access filter.

Every call is synchronous, takes well under a few milliseconds, spawns nothing, and may be made
inside a running event loop. What was asked for twice is there once; what is removed twice is no
error. A call that fails raises KernelError and may be repeated.
"""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network
from typing import Protocol

from agents.core.record import Record
from agents.core.usage import Usage
from agents.ike.esp import EspPair


class KernelError(OSError):
    """The kernel refused; `errno` is its code, the text names the operation."""


class SaState(Record, frozen=True):
    """One IPsec security association as the kernel has it, whoever installed it.

    `selects` is the protocol that it is for, 0 for all.
    """

    source: IPv6Address
    destination: IPv6Address
    spi: int
    protocol: int
    reqid: int
    selects: int = 0


class SecurityAssociations(Protocol):
    """ESP security associations and the news of them."""

    def install(self, pair: EspPair) -> None:
        """Install both directions of `pair`; an SA with the same SPI is replaced."""

    def uninstall(self, pair: EspPair) -> None:
        """Remove both directions of `pair`."""

    def sas_between(self, source: IPv6Address, destination: IPv6Address) -> list[SaState]:
        """Return the usable ESP SAs for Mobility Headers from `source` to `destination`."""


class MobileNodeKernel(SecurityAssociations, Protocol):
    """The kernel's part in a mobile node with one home registration (RFC 6275 section 11)."""

    def warm_up(self) -> None:
        """Make the kernel load and test every algorithm now rather than in the first SA."""

    def prepare(
        self, home_address: IPv6Address, home_agent: IPv6Address, care_of: IPv6Address
    ) -> None:
        """Make ready for IKE and the Binding Update; no payload goes through the tunnel yet.

        Adds the home address, the policies that demand ESP for Mobility Headers, the Home Address
        option and type 2 routing header with `care_of`, and the tunnel's device.
        """

    def open_tunnel(self) -> None:
        """Send everything from the home address through the tunnel."""

    def close_tunnel(self) -> None:
        """Undo open_tunnel()."""

    def move(self, care_of: IPv6Address) -> None:
        """Use a new care-of address; the ESP SAs stay."""

    def go_home(self) -> None:
        """Let packets of the home address go as they are, on the home link; ESP stays (11.5.5)."""

    def settle(self, care_of: IPv6Address) -> str:
        """Have the home address, without duplicate address detection, where `care_of` is.

        Returns the interface; prepare() undoes it, and go_home().
        """

    def clear(self) -> None:
        """Remove all that was made, by a predecessor that was killed too: SAs, tunnel, address."""

    def routes(self) -> RouteKernel:
        """Return the kernel's part in route optimisation."""


class RouteKernel(Protocol):
    """The kernel's part in a mobile node's routes to correspondent nodes (section 11.3.1)."""

    def prepare(self, home_address: IPv6Address, care_of: IPv6Address) -> None:
        """Have the kernel tell to whom the home address speaks (agents.core.host: watch_routes)."""

    def detour(self, correspondent: IPv6Address) -> None:
        """Send payload by way of the home agent, Binding Updates directly.

        Binding Updates have the Home Address option; what comes with a type 2 routing header is
        taken.
        """

    def optimise(self, correspondent: IPv6Address) -> None:
        """Send everything directly, with the Home Address option, but for Home Test Inits."""

    def used(self, correspondent: IPv6Address) -> int:
        """Return how many packets with the option have gone to a correspondent node."""

    def forget(self, correspondent: IPv6Address) -> None:
        """Undo what was done for a correspondent node; the kernel tells of it again."""

    def move(self, care_of: IPv6Address) -> None:
        """Use a new care-of address."""

    def release(self) -> None:
        """Remove all that was made."""

    def close(self) -> None:
        """Let go of the kernel; what was set up stays."""


class CorrespondentNodeKernel(Protocol):
    """The kernel's part in a correspondent node of many mobile nodes (RFC 6275 section 9)."""

    def prepare(self) -> None:
        """Serve as a correspondent node; what a predecessor that was killed has left goes.

        Takes the Home Address option in Binding Updates, and else where there is a binding.
        """

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

    def release(self) -> None:
        """Remove all that was made."""

    def close(self) -> None:
        """Let go of the kernel; what was set up stays."""


class HomeAgentKernel(SecurityAssociations, Protocol):
    """The kernel's part in a home agent for many mobile nodes (RFC 6275 section 10)."""

    def warm_up(self) -> None:
        """Make the kernel load and test every algorithm now rather than in the first SA."""

    def prepare(self) -> None:
        """Serve as a home agent: closed but for what ESP protects.

        Takes Mobility Headers, and the Home Address option in them, only under ESP; serves as a
        proxy on the home link; takes from a tunnel only packets of the home addresses behind it.
        """

    def owns(self, address: IPv6Address) -> bool:
        """Return whether this host has `address`; a link-local one, on the home link."""

    def leads_away(self, address: IPv6Address) -> bool:
        """Return whether packets to `address` leave this host, and not for the home link itself."""

    def forget(self, home_address: IPv6Address) -> None:
        """Remove the SAs of the home address."""

    def reach(self, home_address: IPv6Address, care_of: IPv6Address) -> None:
        """Send Binding Acknowledgements for `home_address` to `care_of` (routing header)."""

    def unreach(self, home_address: IPv6Address) -> None:
        """Undo reach()."""

    def bind(
        self, home_address: IPv6Address, care_of: IPv6Address, link_local: IPv6Address | None
    ) -> None:
        """Intercept packets to `home_address` and tunnel them to `care_of`, now or newly.

        `link_local` is defended on the home link too.
        """

    def unbind(self, home_address: IPv6Address) -> None:
        """Undo bind()."""

    def usage(self, home_address: IPv6Address) -> Usage | None:
        """Return what has gone through the tunnel in a home address's name since bind().

        Of a binding that is over it is told once, and not after forget(). None if it is not known:
        home addresses that share a tunnel are not told apart.
        """

    def release(self) -> None:
        """Remove all that was made, SAs too: nobody's packets are intercepted any more."""


class EnforcementPoint(Protocol):
    """The filter on an access link: closed but for those who have been authorised."""

    def close_access(self) -> None:
        """Let only network access, address configuration and neighbour discovery pass.

        Nobody is authorised then, whatever an earlier filter has left.
        """

    def authorise(self, address: IPv6Address) -> None:
        """Let the packets of `address` pass, both ways."""

    def revoke(self, address: IPv6Address) -> None:
        """Undo authorise()."""

    def admit(self, address: IPv6Address, destination: IPv6Address, port: int) -> None:
        """Let UDP between two hosts pass that goes to this port of either, and nothing else."""

    def dismiss(self, address: IPv6Address, destination: IPv6Address, port: int) -> None:
        """Undo admit()."""

    def release(self) -> None:
        """Remove the filter."""


class Meter(Protocol):
    """What counts on an access link, by address; octets are those of whole IPv6 packets."""

    def count(self, address: IPv6Address) -> None:
        """Count what passes from and to `address` from now on."""

    def usage(self, address: IPv6Address) -> Usage:
        """Return what has passed since count(); KernelError if it is not counted."""

    def forget(self, address: IPv6Address) -> None:
        """Count what passes from and to `address` no more."""


class ControlledPorts(Protocol):
    """The ports on an access link by IEEE 802.1X: closed to all stations but those authorised."""

    def close_access(self) -> None:
        """Let only EAPOL pass; nobody is authorised then, whatever an earlier filter has left."""

    def authorise(self, station: bytes) -> None:
        """Let the frames of a station, by its MAC address, pass both ways."""

    def revoke(self, station: bytes) -> None:
        """Undo authorise()."""

    def release(self) -> None:
        """Remove the filter."""


class AccessLink(Record, frozen=True):
    """An access router's interface and the prefix on it."""

    interface: str
    prefix: IPv6Network
