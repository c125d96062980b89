"""What a mobile node asks of its supplicant (IEEE 802.1X), whoever that is."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol

from agents.eap.tls import EapKeys


class Said(Enum):
    """What a supplicant tells of an authentication."""

    SUCCEEDED = auto()
    FAILED = auto()


class Supplicant(Protocol):
    """The supplicant on a mobile node's access interface; it begins when it is told to."""

    on_said: Callable[[Said], None]
    reason: str
    """Why the last authentication has failed, as far as it knows."""

    @property
    @abstractmethod
    def keys(self) -> EapKeys | None:
        """What the last EAP has exported, None if that is not told."""

    @abstractmethod
    def prepare(self) -> bool:
        """Make ready to log on, if that is not so; return whether that is possible."""

    @abstractmethod
    def log_on(self) -> bool:
        """Send EAPOL-Start now, the first time or after log_off(); return whether that was done."""

    @abstractmethod
    def reauthenticate(self) -> bool:
        """Ask the authenticator for another authentication; return whether that is possible."""

    @abstractmethod
    def log_off(self) -> bool:
        """Tell the authenticator that this host leaves; return whether that is possible."""
