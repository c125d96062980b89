"""What nodes ask of IKE, whoever it is that negotiates."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Protocol

from agents.core.eventlog import EventLog
from agents.core.host import Host
from agents.eap.lower import EapPeerLike
from agents.nodes.habits import Habits

if TYPE_CHECKING:  # Of one version, which is started by a script, the other's are not read.
    from agents.nodes.ike_daemon.ikev2_settings import Ikev2Settings
    from agents.nodes.ike_daemon.settings import Ikev1Settings


class Responder(Protocol):
    """IKE of a home agent by pre-shared keys; SAs are the kernel's, of reqid 135."""

    @abstractmethod
    def open(self) -> None:
        """Listen, if that is not done yet; raises OSError if the address is not to be had."""

    @abstractmethod
    def add_psk(
        self,
        psk: bytes,
        *,
        peer: IPv6Address | None,
        identity: str | None,
        home_address: IPv6Address | None,
    ) -> None:
        """Share a key with a peer, for SAs of this home address alone."""

    @abstractmethod
    def remove_psk(self, identity: str) -> None:
        """Forget the key of a peer; SAs made with it stay until `delete_identity`."""

    @abstractmethod
    def delete_identity(self, identity: str) -> None:
        """Delete the SAs of a peer."""

    @abstractmethod
    def close(self) -> None:
        """Negotiate no more."""


class Initiator(Protocol):
    """IKE of a mobile node with one home agent after the other."""

    @abstractmethod
    def initiate(
        self,
        home_agent: IPv6Address,
        home_address: IPv6Address | None,
        *,
        psk: bytes | None = None,
        eap: EapPeerLike | None = None,
    ) -> None:
        """Make SAs with a home agent for Mobility Headers.

        By EAP if it is given, else with the key, or one that was given before. Without a home
        address the home agent is asked for one.
        """

    @abstractmethod
    def renew(self, home_agent: IPv6Address, home_address: IPv6Address | None, psk: bytes) -> None:
        """Go on with another key, which the home agent shares from now on."""

    @abstractmethod
    def take_key(
        self, home_agent: IPv6Address, home_address: IPv6Address | None, psk: bytes
    ) -> None:
        """Have another key for the next negotiation; the SAs that there are stay."""

    @abstractmethod
    def probe(self, home_agent: IPv6Address) -> None:
        """Find out whether the home agent still has the SAs; without them they are lost here."""

    @abstractmethod
    def leave(self, home_agent: IPv6Address) -> None:
        """Want no SAs with a home agent."""

    @abstractmethod
    def secured(self, home_agent: IPv6Address) -> bool:
        """Return whether there are ESP SAs, or some are being made, for the present address."""

    @abstractmethod
    def settled(self, home_agent: IPv6Address) -> bool:
        """Return whether the home agent has the SAs too that this kernel has."""

    @abstractmethod
    def move(self, local: IPv6Address) -> None:
        """Negotiate from another address from now on; ESP SAs stay until there are others."""

    @abstractmethod
    def close(self) -> None:
        """Negotiate no more."""


class MakeResponder(Protocol):
    """Makes the IKE of a home agent by another than the agents."""

    def __call__(
        self,
        host: Host,
        local: IPv6Address,
        settings: Ikev1Settings | Ikev2Settings,
        *,
        log: EventLog,
    ) -> Responder:
        """Return it; it may be given keys before it listens."""


class MakeInitiator(Protocol):
    """Makes the IKE of a mobile node by another than the agents."""

    def __call__(
        self,
        host: Host,
        local: IPv6Address,
        settings: Ikev1Settings | Ikev2Settings,
        *,
        identity: str,
        log: EventLog,
        on_failure: Callable[[str], None],
        on_lost: Callable[[], None],
        on_settled: Callable[[], None],
        on_address: Callable[[IPv6Address], None],
        habits: Habits,
    ) -> Initiator:
        """Return it; it negotiates when it is told to.

        `on_failure` hears why this host has no SAs with the peer that it wants some with, `on_lost`
        that all with that one are gone, `on_settled` that `settled` is true from now on,
        `on_address` which home address the home agent has assigned.
        """
