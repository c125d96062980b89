"""EAP as its lower layers, PANA and IKEv2, need it (RFC 3748 section 2.2)."""

from __future__ import annotations

from typing import Protocol

SUCCESS, FAILURE = 3, 4
"""EAP codes (RFC 3748 section 4)."""


class EapKeysLike(Protocol):
    """What an EAP method exports."""

    @property
    def msk(self) -> bytes:
        """The Master Session Key."""


class EapPeerLike(Protocol):
    """The EAP peer as a lower layer uses it (RFC 5609 section 7.1, RFC 7296 section 2.16)."""

    @property
    def outcome(self) -> str | None:
        """`"success"`, `"failure"`, or None while EAP goes on."""

    @property
    def reason(self) -> str:
        """Why EAP failed."""

    @property
    def keys(self) -> EapKeysLike | None:
        """The keys after success."""

    @property
    def early_keys(self) -> EapKeysLike | None:
        """The keys from the moment when the server has announced success under protection."""

    def handle_request(self, packet: bytes) -> bytes | None:
        """Take a request, success or failure; return the response if one is due."""


def identity_request(identifier: int) -> bytes:
    """Return an EAP-Request/Identity (RFC 3748 section 5.1)."""
    return bytes((1, identifier, 0, 5, 1))


def identity_response(identity: str) -> bytes:
    """Return the EAP-Response/Identity that stands for IDi (RFC 5778 section 4.1)."""
    data = identity.encode()
    return bytes((2, 0)) + (5 + len(data)).to_bytes(2) + b"\1" + data
