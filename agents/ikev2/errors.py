"""Errors in the peer's requests, and how it is told of them (RFC 7296 section 2.21)."""

from __future__ import annotations

from agents.core.machine import PeerError
from agents.ikev2.constants import NotifyType
from agents.ikev2.payloads import Notification


class WrongGroupError(PeerError):
    """A public value in another group than the one that is chosen."""

    def __init__(self, group: int) -> None:
        super().__init__(f"group {group} is wanted", NotifyType.INVALID_KE_PAYLOAD)
        self.group = group


def temporary(reason: str) -> PeerError:
    """Return the error of a request that may be repeated a little later (section 2.25)."""
    return PeerError(reason, NotifyType.TEMPORARY_FAILURE)


def error_notification(error: Exception) -> Notification:
    """Return what tells the peer of an error in its request."""
    code = getattr(error, "code", None) or NotifyType.INVALID_SYNTAX
    if isinstance(error, WrongGroupError):
        return Notification(code, error.group.to_bytes(2))
    kind = getattr(error, "kind", None)
    return Notification(code, b"" if kind is None else bytes([kind]))
