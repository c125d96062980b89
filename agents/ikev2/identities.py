"""Identities (RFC 7296 section 3.5) and pre-shared keys by peer (RFC 4877 section 7.1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv6Address
from typing import Self

from cryptography import x509

from agents.ikev2.config import Grant
from agents.ikev2.constants import IdType
from agents.wire import Reader, WireError


@dataclass(frozen=True, slots=True)
class Identity:
    """The body of an ID payload."""

    type: int
    data: bytes

    @classmethod
    def of(cls, text: str) -> Self:
        """Return the identity that a text means: an address, an NAI, a DN, or a domain name."""
        try:
            return cls(IdType.IPV6_ADDR, IPv6Address(text).packed)
        except AddressValueError:
            pass
        if "=" in text:
            return cls(IdType.DER_ASN1_DN, x509.Name.from_rfc4514_string(text).public_bytes())
        return cls(IdType.RFC822_ADDR if "@" in text else IdType.FQDN, text.encode())

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Read the body; an address must have its length."""
        r = Reader(body)
        kind, _ = r.u8(), r.u24()
        identity = cls(kind, r.rest())
        if kind == IdType.IPV6_ADDR and len(identity.data) != 16:
            raise WireError(f"an IPv6 address of {len(identity.data)} octets")
        return identity

    def encode(self) -> bytes:
        """Return the body; this is what AUTH covers too."""
        return bytes((self.type, 0, 0, 0)) + self.data

    @property
    def address(self) -> IPv6Address | None:
        """The IPv6 address, if this is one."""
        return IPv6Address(self.data) if self.type == IdType.IPV6_ADDR else None

    @property
    def text(self) -> str:
        """The identity for people, and as the owner knows it."""
        if self.type == IdType.IPV6_ADDR:
            return str(IPv6Address(self.data))
        if self.type in (IdType.FQDN, IdType.RFC822_ADDR):
            return self.data.decode("utf-8", "backslashreplace")
        return f"identity of type {self.type}: {self.data.hex()}"


@dataclass(frozen=True, slots=True)
class PskEntry:
    """One peer's key and what its holder may have SAs for."""

    key: bytes = field(repr=False)
    peer: IPv6Address | None
    identity: str | None
    grant: Grant | None

    @property
    def name(self) -> str:
        """Whom the key stands for: this, not what its holder claims, is authenticated."""
        return self.identity or str(self.peer)

    def belongs_to(self, claimed: Identity, source: IPv6Address) -> bool:
        """Return whether the key's holder may claim this identity."""
        if self.identity is not None and claimed.text == self.identity:
            return True
        if claimed.address is not None:
            home = self.grant.home_address if self.grant else None
            return claimed.address in {source, self.peer, home}
        return self.identity is None


class PskStore:
    """Finds a key by the peer's identity or address."""

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

    def of(self, claimed: Identity, source: IPv6Address) -> PskEntry | None:
        """Return the key of an identity, or else of an address that it names or is sent from."""
        entry = self._by_identity.get(claimed.text)
        if entry is None and claimed.address is not None:
            entry = self._by_peer.get(claimed.address)
        entry = entry or self._by_peer.get(source)
        return entry if entry and entry.belongs_to(claimed, source) else None
