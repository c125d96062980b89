"""Pre-shared keys of IKE peers (RFC 2409 section 5.4, RFC 4877 section 7.1)."""

from __future__ import annotations

from ipaddress import IPv6Address

from agents.core.machine import text_of
from agents.core.record import Record, Secret
from agents.eap.names import canonical_identity
from agents.ike.identities import Identity

MAX_CANDIDATES = 8
"""Keys that are tried for one address, the latest first: each costs a derivation of keys."""


class PskEntry(Record, frozen=True):
    """One peer's key; `home_address` is the only HoA that its holder may have SAs for."""

    key: Secret[bytes]
    peer: IPv6Address | None
    identity: str | None
    home_address: IPv6Address | None

    @property
    def name(self) -> str:
        """Whom the key stands for: this, not what its holder claims, is authenticated."""
        return self.identity or (text_of(self.peer) if self.peer else "")

    @property
    def holder(self) -> str:
        """The name to compare with others: realms have no case (RFC 7542 section 2.4)."""
        return canonical_identity(self.name)

    def belongs_to(self, claimed: Identity, source: IPv6Address) -> bool:
        """Return whether the key's holder may claim this identity."""
        if self.identity and canonical_identity(claimed.text) == canonical_identity(self.identity):
            return True
        if claimed.address is not None:
            return claimed.address in {source, self.peer, self.home_address}
        return self.identity is None


class PskStore:
    """Finds keys by the peer's identity, or by its address, which several peers may share."""

    def __init__(self) -> None:
        self._by_identity: dict[str, PskEntry] = {}
        self._by_peer: dict[IPv6Address, dict[str, PskEntry]] = {}
        """The keys of each address by their holders, the latest last."""

    def add(self, entry: PskEntry) -> None:
        """Take a key; it replaces an earlier one of the same holder, and nobody else's."""
        if entry.peer is None and entry.identity is None:
            raise ValueError("a pre-shared key needs the peer's address or identity")
        if not entry.key:
            raise ValueError("the pre-shared key is empty")
        if entry.identity is not None:
            self.remove(None, entry.identity)
            self._by_identity[entry.holder] = entry
        if entry.peer is not None:
            there = self._by_peer.setdefault(entry.peer, {})
            there.pop(entry.holder, None)
            there[entry.holder] = entry

    def remove(self, peer: IPv6Address | None, identity: str | None) -> None:
        """Forget the key of this identity, and all those of this address."""
        doomed: list[PskEntry] = []
        if identity is not None and (named := self._by_identity.get(canonical_identity(identity))):
            doomed.append(named)
        if peer is not None:
            doomed += self._by_peer.get(peer, {}).values()
        for entry in doomed:
            self._forget(entry)

    def _forget(self, entry: PskEntry) -> None:
        if entry.identity is not None:
            self._by_identity.pop(entry.holder, None)
        if entry.peer is not None and (there := self._by_peer.get(entry.peer)):
            there.pop(entry.holder, None)
            if not there:
                del self._by_peer[entry.peer]

    def by_address(self, address: IPv6Address) -> list[PskEntry]:
        """Return the keys of the peers at this address, the latest first, a few at most."""
        there = [*self._by_peer.get(address, {}).values()]
        return there[: -MAX_CANDIDATES - 1 : -1]

    def by_identity(self, claimed: Identity, source: IPv6Address) -> list[PskEntry]:
        """Return the key of an identity, or else those of an address that it names or comes from.

        Whose it is the peer has to prove. Keys that are known by the address alone come first:
        the others' holders have a name to go by.
        """
        if named := self._by_identity.get(canonical_identity(claimed.text)):
            return [named]
        found = self.by_address(claimed.address) if claimed.address is not None else []
        own = [e for e in found or self.by_address(source) if e.belongs_to(claimed, source)]
        return sorted(own, key=lambda e: e.identity is not None)
