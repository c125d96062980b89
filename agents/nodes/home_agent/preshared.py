"""IKE of a home agent by pre-shared keys that somebody beside it knows."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv6Address
from typing import Any

from agents.core.eventlog import EventLog
from agents.core.host import Host
from agents.ikev2.config import Grant
from agents.nodes.home_agent.service import HomeAgentService
from agents.nodes.ike_daemon.ikev1 import IkeService
from agents.nodes.ike_daemon.ikev2 import Ike2Service, Ike2Settings
from agents.nodes.ike_daemon.settings import IkeSettings
from agents.nodes.keylog import KeyLog


@dataclass(frozen=True, slots=True)
class _Key:
    """A pre-shared key, good for SAs of one home address."""

    psk: bytes = field(repr=False)
    home_address: IPv6Address
    care_of: IPv6Address | None


class PresharedIke:
    """IKE of a home agent whose keys somebody beside it knows: the AAA server or the router.

    A peer has one key for as long as its authentication lasts, and an early one in its stead while
    another authentication is under way. With the authentication end the key, all that was made
    with it, and the binding; then, and not before, the home address may be another peer's.
    """

    def __init__(
        self,
        host: Host,
        home_agent: HomeAgentService,
        ikev1: IkeSettings | None,
        ikev2: Ike2Settings | None,
        log: EventLog,
    ) -> None:
        self._home_agent = home_agent
        self._authorisations = home_agent.authorisations
        self._authorisations.on_ended.append(self._ended)
        self._log = log
        self._keys: dict[str, _Key] = {}
        self._early: dict[str, _Key] = {}
        self._expected: dict[IPv6Address, str] = {}
        """Whose early key is for a home address."""

        common: dict[str, Any] = {
            "identity": None,
            "kernel": home_agent.kernel,
            "keys": KeyLog(None),
        }
        address = home_agent.address
        self._ikev1 = self._ikev2 = None
        if ikev1:
            self._ikev1 = IkeService(host, address, ikev1, log=log.child("ikev1"), **common)
        if ikev2:
            self._ikev2 = Ike2Service(
                host, address, ikev2, log=log.child("ikev2"), allocate=self._allocate, **common
            )

    def _key(self, identity: str) -> _Key | None:
        return self._early.get(identity) or self._keys.get(identity)

    def _allocate(self, identity: str, _asked: IPv6Address | None) -> Grant | None:
        key = self._key(identity)
        return Grant(key.home_address, self._home_agent.prefix.prefixlen) if key else None

    def share(
        self,
        identity: str,
        home_address: IPv6Address,
        psk: bytes,
        care_of: IPv6Address | None,
        lifetime: float | None = None,
    ) -> bool:
        """Let whoever holds the key make SAs for this home address, and register it, for so long.

        Returns False if the home address is another peer's, or none of the home link.
        """
        if self._is_anothers(home_address, identity, self._expected.get(home_address)):
            return False
        if not self._authorisations.authorise(identity, home_address, lifetime):
            return False
        self._drop_early(identity)
        self._keys[identity] = _Key(psk, home_address, care_of)
        self._use(identity)
        return True

    def _is_anothers(self, home_address: IPv6Address, identity: str, holder: str | None) -> bool:
        """Return whether a home address is another peer's, and tell."""
        if holder in (None, identity):
            return False
        reason = f"{home_address} is {holder}'s, not {identity}'s"
        self._log.write("HomeAddressRefused", reason=reason)
        return True

    def _drop_early(self, identity: str) -> None:
        if early := self._early.pop(identity, None):
            del self._expected[early.home_address]

    def _ended(self, identity: str, home_address: IPv6Address) -> None:
        """Forget the key of a peer whose authentication is over, and end its SAs."""
        key = self._keys.get(identity)
        if key and key.home_address == home_address:
            del self._keys[identity]
            self._use(identity)
        self._delete(identity)

    def _delete(self, identity: str) -> None:
        for service in (self._ikev1, self._ikev2):
            if service:
                service.delete_identity(identity)

    def end(self, identity: str) -> None:
        """End a peer's authentication before its time."""
        self._authorisations.end(identity)

    def expect(
        self, identity: str, home_address: IPv6Address, psk: bytes, care_of: IPv6Address | None
    ) -> None:
        """Share a key early: until the next `share`, or until it is withdrawn.

        It is good for SAs; the home address can be registered only when `share` has been called.
        """
        holders = (self._expected.get(home_address), self._authorisations.holder(home_address))
        if any(self._is_anothers(home_address, identity, holder) for holder in holders):
            return
        self._drop_early(identity)
        self._early[identity] = _Key(psk, home_address, care_of)
        self._expected[home_address] = identity
        self._use(identity)

    def withdraw(self, identity: str, psk: bytes) -> None:
        """Take an early key back, unless the peer has another one by now.

        The key of an authentication that still lasts counts again; without one, the peer's SAs
        end.
        """
        early = self._early.get(identity)
        if early is None or early.psk != psk:
            return
        self._drop_early(identity)
        self._use(identity)
        if identity not in self._keys:
            self._delete(identity)

    def _use(self, identity: str) -> None:
        """Have IKE know the one key that the peer may use now, or none."""
        key = self._key(identity)
        if self._ikev1:
            self._ikev1.remove_psk(identity)
            if key:
                self._ikev1.add_psk(
                    key.psk, peer=key.care_of, identity=identity, home_address=key.home_address
                )
        if self._ikev2:
            self._ikev2.remove_psk(identity)
            if key:  # Without a home address here IKEv2 asks _allocate, which knows the prefix.
                self._ikev2.add_psk(key.psk, peer=None, identity=identity, home_address=None)

    def close(self) -> None:
        """Close the sockets."""
        for service in (self._ikev1, self._ikev2):
            if service:
                service.close()
