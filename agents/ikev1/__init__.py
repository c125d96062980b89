"""IKEv1 (RFC 2407, 2408, 2409) with pre-shared keys, no I/O."""

from agents.ike.constants import Role
from agents.ike.selectors import Selectors
from agents.ikev1.config import Config, EspProposal, IkeProposal
from agents.ikev1.constants import Mode
from agents.ikev1.events import (
    ChildAbandoned,
    ChildDeleted,
    ChildEstablished,
    ChildKeyed,
    Failed,
    Phase1Deleted,
    Phase1Established,
    Phase1Started,
)
from agents.ikev1.ikev1 import Ikev1

__all__ = [
    "ChildAbandoned",
    "ChildDeleted",
    "ChildEstablished",
    "ChildKeyed",
    "Config",
    "EspProposal",
    "Failed",
    "IkeProposal",
    "Ikev1",
    "Mode",
    "Phase1Deleted",
    "Phase1Established",
    "Phase1Started",
    "Role",
    "Selectors",
]
