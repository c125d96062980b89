"""What the start exchange settles for a session, and what one authentication needs."""

from __future__ import annotations

from dataclasses import dataclass

from agents.core.record import Record
from agents.pana.keys import Suite
from agents.pana.mobility import MobilityCapability
from agents.pana.wire import Kind

NONCE_LENGTH = 20
"""Octets; RFC 5191 section 8.5 has 20 as the maximum, and half of SHA2-256's key is 16."""


class Start(Record, frozen=True):
    """What the start exchange has settled for the whole session.

    `nonce_kind` is the exchange that carries the nonces; the octets of request and answer go into
    the keys (RFC 5191 section 5.3).
    """

    nonce_kind: Kind
    request: bytes = b""
    answer: bytes = b""
    suite: Suite | None = None
    capability: MobilityCapability = MobilityCapability(0)
    isp: str | None = None


@dataclass(slots=True)
class Authentication:
    """What belongs to one authentication: each has a new record, see `begin_authentication`."""

    own_nonce: bytes = b""
    peer_nonce: bytes = b""
    lifetime: float = 0.0
