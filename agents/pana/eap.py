"""EAP as the PaC needs it, and the two EAP packets that PANA itself knows (RFC 3748 section 4)."""

from __future__ import annotations

from typing import Protocol


class EapKeysLike(Protocol):
    """What an EAP method exports."""

    @property
    def msk(self) -> bytes:
        """The Master Session Key."""


class EapPeerLike(Protocol):
    """The EAP peer as the PaC uses it (RFC 5609 section 7.1)."""

    @property
    def outcome(self) -> str | None:
        """`"success"`, `"failure"`, or None while EAP goes on."""

    @property
    def reason(self) -> str:
        """Why EAP failed."""

    @property
    def keys(self) -> EapKeysLike | None:
        """The keys after success."""

    def handle_request(self, packet: bytes) -> bytes | None:
        """Take a request, success or failure; return the response if one is due."""


def identity_request(identifier: int) -> bytes:
    """Return an EAP-Request/Identity (RFC 3748 section 5.1)."""
    return bytes((1, identifier, 0, 5, 1))
