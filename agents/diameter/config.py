"""What a Diameter node is told: who it is, whom it knows, its routes and its timers."""

from __future__ import annotations

from dataclasses import dataclass, field

from agents.diameter.dictionary import APPLICATION_EAP, APPLICATION_RELAY
from agents.diameter.wire import MAXIMUM_LENGTH
from agents.machine import Address

PORT = 3868
TLS_PORT = 5868


@dataclass(frozen=True, slots=True)
class Timers:
    """Deadlines in seconds (RFC 6733 section 12, RFC 3539 section 3.4.1).

    `watchdog` is Twinit; the RFC wants at least 6. `reconnect` is Tc.
    """

    connect: float = 10.0
    capabilities: float = 10.0
    disconnect: float = 5.0
    reconnect: float = 30.0
    watchdog: float = 30.0
    duplicates: float = 240.0


@dataclass(frozen=True, slots=True)
class PeerConfig:
    """A peer by its Origin-Host. `address` None: it connects to us, not we to it."""

    host: str
    realm: str
    address: Address | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """Requests for `realm` go to the first usable one of `peers`; `*` is every other realm."""

    realm: str
    peers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """One Diameter node.

    A peer's own realm needs no route. `relay` makes the node forward requests for other realms.
    `accept_unknown` lets peers connect that are not in `peers`.
    """

    host: str
    realm: str
    peers: tuple[PeerConfig, ...] = ()
    routes: tuple[Route, ...] = ()
    applications: tuple[int, ...] = (APPLICATION_EAP,)
    relay: bool = False
    accept_unknown: bool = False
    vendor_id: int = 0
    product: str = "mip6lab"
    origin_state_id: int | None = None
    maximum_message: int = MAXIMUM_LENGTH
    timers: Timers = field(default_factory=Timers)

    @property
    def advertised(self) -> tuple[int, ...]:
        """The applications for the capabilities exchange."""
        return (*self.applications, APPLICATION_RELAY) if self.relay else self.applications


def same_identity(a: str, b: str) -> bool:
    """Compare two DiameterIdentity values (RFC 6733 section 4.3.1: as DNS names)."""
    return a.lower() == b.lower()
