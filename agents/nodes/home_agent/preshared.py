"""IKE of a home agent by pre-shared keys that somebody beside it knows."""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import Any

from agents.core.eventlog import EventLog
from agents.core.host import Host
from agents.mip6.home_addresses import Key
from agents.nodes.home_agent.service import HomeAgentService
from agents.nodes.ike_daemon.ikev1 import Ikev1Daemon
from agents.nodes.ike_daemon.ikev2 import Ikev2Daemon
from agents.nodes.ike_daemon.ikev2_settings import Ikev2Settings
from agents.nodes.ike_daemon.settings import Ikev1Settings
from agents.nodes.keylog import KeyLog


class PresharedIke:
    """IKE of a home agent whose keys somebody beside it knows: the AAA server or the router.

    A peer has one key for as long as it holds its home address, and an early one in its stead
    while another authentication is under way. IKE knows the one that counts at present.
    """

    def __init__(
        self,
        host: Host,
        home_agent: HomeAgentService,
        ikev1: Ikev1Settings | None,
        ikev2: Ikev2Settings | None,
        log: EventLog,
    ) -> None:
        self._home_agent = home_agent
        home_agent.on_released.append(self._released)
        common: dict[str, Any] = {
            "identity": None,
            "kernel": home_agent.kernel,
            "keys": KeyLog(None),
        }
        address, allocate = home_agent.address, home_agent.grant
        self._ikev1 = self._ikev2 = None
        if ikev1:
            self._ikev1 = Ikev1Daemon(host, address, ikev1, log=log.child("ikev1"), **common)
        if ikev2:
            self._ikev2 = Ikev2Daemon(
                host, address, ikev2, log=log.child("ikev2"), allocate=allocate, **common
            )

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
        for service in (self._ikev1, self._ikev2):
            if service:
                service.delete_identity(identity)

    def _use_key(self, identity: str) -> None:
        """Have IKE know the one key that the peer may use now, or none."""
        usable = self._home_agent.homes.usable(identity)
        key = usable.key if usable else None
        if self._ikev1:
            self._ikev1.remove_psk(identity)
            if usable and key:
                self._ikev1.add_psk(
                    key.psk, peer=key.care_of, identity=identity, home_address=usable.home_address
                )
        if self._ikev2:
            self._ikev2.remove_psk(identity)
            if key:  # Without a home address here IKEv2 asks for the grant, with its prefix.
                self._ikev2.add_psk(key.psk, peer=None, identity=identity, home_address=None)

    def close(self) -> None:
        """Close the sockets."""
        for service in (self._ikev1, self._ikev2):
            if service:
                service.close()
