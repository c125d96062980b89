"""IKE of a home agent by pre-shared keys that somebody beside it knows."""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import Any

from agents.core.eventlog import EventLog
from agents.core.host import Host
from agents.mip6.home_addresses import Key
from agents.nodes.home_agent.service import HomeAgentService
from agents.nodes.ike_daemon.contract import MakeResponder, Responder
from agents.nodes.ike_daemon.ikev1 import Ikev1Daemon
from agents.nodes.ike_daemon.ikev2 import Ikev2Daemon
from agents.nodes.ike_daemon.ikev2_settings import Ikev2Settings
from agents.nodes.ike_daemon.settings import Ikev1Settings
from agents.nodes.keylog import KeyLog


class PresharedIke:
    """IKE of a home agent whose keys somebody beside it knows: the AAA server or the router.

    A peer has one key for as long as it holds its home address, and an early one in its stead
    while another authentication is under way. IKE knows the one that counts at present. Without
    `settings` the IKE daemon is one that a script starts; `make` makes another than the agents'.
    """

    def __init__(
        self,
        host: Host,
        home_agent: HomeAgentService,
        settings: Ikev1Settings | Ikev2Settings | None,
        log: EventLog,
        make: MakeResponder | None = None,
    ) -> None:
        self._home_agent = home_agent
        home_agent.on_released.append(self._released)
        self._ike = _daemon(host, home_agent, settings, log, make) if settings else None

    def share(
        self,
        identity: str,
        home_address: IPv6Address,
        psk: bytes,
        care_of: IPv6Address | None,
        lifetime: float | None = None,
        session: int | None = None,
    ) -> bool:
        """Let whoever holds the key make SAs for this home address, and register it, for so long.

        Returns False if the home address is another peer's, or none of the home link.
        """
        key = Key(psk, care_of)
        held = self._home_agent.hold(identity, home_address, lifetime, key, session)
        if held:
            self._use_key(identity)
        return held

    def expect(
        self, identity: str, home_address: IPv6Address, psk: bytes, care_of: IPv6Address | None
    ) -> None:
        """Share a key early: until the next `share`, or until it is withdrawn.

        It is good for SAs; the home address can be registered only when `share` has been called.
        """
        if self._home_agent.expect(identity, home_address, Key(psk, care_of)):
            self._use_key(identity)

    def withdraw(self, identity: str, psk: bytes) -> None:
        """Take an early key back, unless the peer has another one by now.

        The key of an authentication that still lasts counts again.
        """
        if self._home_agent.withdraw(identity, psk):
            self._use_key(identity)

    def _released(self, identity: str) -> None:
        """End the key of a peer whose hold is over, and its SAs."""
        self._use_key(identity)
        if self._ike:
            self._ike.delete_identity(identity)

    def _use_key(self, identity: str) -> None:
        """Have IKE know the one key that the peer may use now, or none."""
        if self._ike is None:
            return
        self._ike.remove_psk(identity)
        usable = self._home_agent.homes.usable(identity)
        if usable and (key := usable.key):
            home_address = usable.home_address
            self._ike.add_psk(
                key.psk, peer=key.care_of, identity=identity, home_address=home_address
            )

    def open(self) -> None:
        """Open the socket, if that is not done yet; raises OSError if it is not to be had."""
        if self._ike:
            self._ike.open()

    def close(self) -> None:
        """Close the socket."""
        if self._ike:
            self._ike.close()


def _daemon(
    host: Host,
    home_agent: HomeAgentService,
    settings: Ikev1Settings | Ikev2Settings,
    log: EventLog,
    make: MakeResponder | None,
) -> Responder:
    version = "ikev1" if isinstance(settings, Ikev1Settings) else "ikev2"
    if make:
        return make(host, home_agent.address, settings, log=log.child(version))
    options: dict[str, Any] = {"kernel": home_agent.kernel, "keys": KeyLog(), "identity": None}
    options["log"] = log.child(version)
    if isinstance(settings, Ikev1Settings):
        return Ikev1Daemon(host, home_agent.address, settings, **options)
    options["allocate"] = home_agent.grant
    return Ikev2Daemon(host, home_agent.address, settings, **options)
