"""Identities (RFC 2407 section 4.6.2, RFC 7296 section 3.5)."""

from __future__ import annotations

from ipaddress import AddressValueError, IPv6Address
from struct import Struct
from typing import Self

from agents.core.machine import text_of
from agents.core.reader import Reader, WireError
from agents.core.record import Record
from agents.ike.constants import IdType

_HEADER = Struct("!BBH")
MAX_LENGTH = 1024
MAX_NAME = 253
"""Octets of an identity, and of an NAI or a domain name (RFC 7542 section 2.3, RFC 1035)."""


class Identity(Record, frozen=True):
    """The body of an ID payload."""

    type: int
    data: bytes
    protocol: int = 0
    port: int = 0
    """IKEv1: of what traffic alone, 0 for all; reserved in IKEv2."""

    @classmethod
    def of(cls, text: str) -> Self:
        """Return the identity that a text means: an address, an NAI, or a domain name."""
        try:
            return cls.of_address(IPv6Address(text))
        except AddressValueError:
            pass
        return cls(IdType.RFC822_ADDR if "@" in text else IdType.FQDN, text.encode())

    @classmethod
    def of_address(cls, address: IPv6Address, protocol: int = 0) -> Self:
        """Return the identity of an address, of one upper-layer protocol if not 0."""
        return cls(IdType.IPV6_ADDR, address.packed, protocol)

    @classmethod
    def decode(cls, body: bytes) -> Self:
        """Read the body; an address must have its length, a name no more than it may."""
        r = Reader(body)
        kind, protocol, port = r.fields(_HEADER)
        identity = cls(kind, r.rest(), protocol, port)
        if kind == IdType.IPV6_ADDR and len(identity.data) != 16:
            raise WireError(f"an IPv6 address of {len(identity.data)} octets")
        name = kind in (IdType.FQDN, IdType.RFC822_ADDR)
        if len(identity.data) > (MAX_NAME if name else MAX_LENGTH):
            raise WireError(f"an identity of {len(identity.data)} octets")
        return identity

    def encode(self) -> bytes:
        """Return the body; this is what AUTH covers too."""
        return bytes((self.type, self.protocol)) + self.port.to_bytes(2) + self.data

    @property
    def address(self) -> IPv6Address | None:
        """The IPv6 address, if this is one."""
        return IPv6Address(self.data) if self.type == IdType.IPV6_ADDR else None

    @property
    def text(self) -> str:
        """The identity for people, and as the owner knows it."""
        if self.type == IdType.IPV6_ADDR:
            return text_of(IPv6Address(self.data))
        if self.type in (IdType.FQDN, IdType.RFC822_ADDR):
            return self.data.decode("utf-8", "backslashreplace")
        return f"identity of type {self.type}: {self.data.hex()}"
