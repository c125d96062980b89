"""Pre-shared keys of IKE peers (RFC 2409 section 5.4, RFC 4877 section 7.1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv6Address
from typing import Protocol


class Identity(Protocol):
    """What the ID payload of either IKE version says."""

    @property
    def address(self) -> IPv6Address | None:
        """The IPv6 address, if this is one."""

    @property
    def text(self) -> str:
        """The identity for people, and as the owner knows it."""


@dataclass(frozen=True, slots=True)
class PskEntry:
    """One peer's key; `home_address` is the only HoA that its holder may have SAs for."""

    key: bytes = field(repr=False)
    peer: IPv6Address | None
    identity: str | None
    home_address: IPv6Address | None

    @property
    def name(self) -> str:
        """Whom the key stands for: this, not what its holder claims, is authenticated."""
        return self.identity or str(self.peer)

    def belongs_to(self, claimed: Identity, source: IPv6Address) -> bool:
        """Return whether the key's holder may claim this identity."""
        if claimed.text == self.identity:
            return True
        if claimed.address is not None:
            return claimed.address in {source, self.peer, self.home_address}
        return self.identity is None


class PskStore:
    """Finds a key by the peer's address or identity."""

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

    def by_identity(self, claimed: Identity, source: IPv6Address) -> PskEntry | None:
        """Return the key of an identity, or else of an address that it names or is sent from."""
        entry = self._by_identity.get(claimed.text)
        if entry is None and claimed.address is not None:
            entry = self._by_peer.get(claimed.address)
        return entry or self._by_peer.get(source)
