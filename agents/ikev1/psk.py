"""Pre-shared keys and what each entitles its holder to (RFC 2409 section 5.4)."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv6Address

from agents.ikev1.constants import IdType, NotifyType
from agents.ikev1.wire import Identification
from agents.machine import PeerError


@dataclass(frozen=True, slots=True)
class PskEntry:
    """One peer's key; `home_address` is the only HoA that it may ask SAs for."""

    key: bytes = field(repr=False)
    peer: IPv6Address | None
    identity: str | None
    home_address: IPv6Address | None

    def check_identity(self, claimed: Identification, source: IPv6Address) -> None:
        """Raise PeerError if the identity is not one that the key's holder may claim."""
        if claimed.type == IdType.IPV6_ADDR:
            known = {source, self.peer, self.home_address}
            ok = claimed.address in known or claimed.text == self.identity
        else:
            ok = self.identity is None or claimed.text == self.identity
        if not ok:
            raise PeerError(
                f"the identity {claimed.text} does not belong to the pre-shared key",
                NotifyType.INVALID_ID_INFORMATION,
            )


class PskStore:
    """Finds a key by the peer's address, or in aggressive mode by its identity."""

    def __init__(self) -> None:
        self._by_peer: dict[IPv6Address, PskEntry] = {}
        self._by_identity: dict[str, PskEntry] = {}

    def add(self, entry: PskEntry) -> None:
        """Take a key; it replaces an earlier one of the same address or identity."""
        if entry.peer is None and entry.identity is None:
            raise ValueError("a pre-shared key needs the peer's address or identity")
        if not entry.key:
            raise ValueError("the pre-shared key is empty")
        if entry.peer is not None:
            self._by_peer[entry.peer] = entry
        if entry.identity is not None:
            self._by_identity[entry.identity] = entry

    def remove(self, peer: IPv6Address | None, identity: str | None) -> None:
        """Forget the keys of this address and of this identity."""
        doomed = []
        if peer is not None and peer in self._by_peer:
            doomed.append(self._by_peer[peer])
        if identity is not None and identity in self._by_identity:
            doomed.append(self._by_identity[identity])
        self._by_peer = {k: v for k, v in self._by_peer.items() if v not in doomed}
        self._by_identity = {k: v for k, v in self._by_identity.items() if v not in doomed}

    def by_address(self, address: IPv6Address) -> PskEntry | None:
        """Return the key of the peer at this address."""
        return self._by_peer.get(address)

    def by_identity(self, claimed: Identification, source: IPv6Address) -> PskEntry | None:
        """Return the key of this identity, or else of the address that the peer sends from."""
        entry = self._by_identity.get(claimed.text)
        if entry is None and claimed.address is not None:
            entry = self._by_peer.get(claimed.address)
        return entry or self._by_peer.get(source)
