"""Types of settings that several programs have."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec

from agents.core.documents import shown

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"

Lifetime: TypeAlias = Annotated[float, msgspec.Meta(ge=1, le=0xFFFFFFFF)]
"""Seconds; where the wire has them, in 32 bits (RFC 2407 section 4.5, RFC 6733 section 8.13)."""

SessionLifetime: TypeAlias = Annotated[float, msgspec.Meta(ge=10, le=0xFFFFFFFF)]
"""Seconds, in 32 bits on the wire (RFC 5191 section 8.8)."""

InterimInterval: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=86400)]
"""Seconds between interim records of accounting, 0 for none (RFC 6733 section 9.8.2)."""

PartOfLifetime: TypeAlias = Annotated[float, msgspec.Meta(ge=0, lt=1)]
"""From 0, which means never, to less than 1."""

BindingLifetime: TypeAlias = Annotated[float, msgspec.Meta(ge=8, le=262140)]
"""Seconds, in units of 4 s and 16 bits on the wire (RFC 6275 section 6.1.7)."""

FragmentSize: TypeAlias = Annotated[int, msgspec.Meta(ge=100, le=1200)]
"""Octets of an EAP-TLS fragment."""

Identity: TypeAlias = Annotated[
    str,
    msgspec.Meta(
        pattern=rf"\A{_ATOM}(\.{_ATOM})*@({_LABEL}\.)+{_LABEL}\Z",
        max_length=253,
        description="a network access identifier user@realm such as mn@home.test, ASCII, "
        "up to 253 letters",
    ),
]
"""An NAI (RFC 7542 section 2.2); the rfc822Name of a certificate has ASCII only (RFC 5280)."""


def zero_or(least: float, **values: float) -> None:
    """Check that each value is 0, which means none, or `least` at least; ValueError if not."""
    for name, value in values.items():
        if 0 < value < least:
            raise ValueError(f"{name}: {shown(value)} is not allowed; use 0, or {least:g} or more")


DialectName: TypeAlias = Literal["rfc5191", "draft12"]

IkeImplementation: TypeAlias = Literal["agent", "strongswan"]
"""Who negotiates: the agents' own IKE, or strongSwan's daemon."""
