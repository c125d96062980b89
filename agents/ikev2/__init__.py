"""IKEv2 (RFC 7296) for Mobile IPv6 (RFC 4877, RFC 5026): PSK, certificates, EAP; no I/O."""

from agents.ike.constants import Role
from agents.ike.selectors import Selectors
from agents.ikev2.config import Config, Credentials, EspProposal, Grant, IkeProposal
from agents.ikev2.events import (
    AddressAssigned,
    ChildDeleted,
    ChildEstablished,
    ChildRekeyed,
    EapEnded,
    EapResponse,
    Failed,
    IkeDeleted,
    IkeEstablished,
    IkeStarted,
)
from agents.ikev2.ikev2 import Ikev2

__all__ = [
    "AddressAssigned",
    "ChildDeleted",
    "ChildEstablished",
    "ChildRekeyed",
    "Config",
    "Credentials",
    "EapEnded",
    "EapResponse",
    "EspProposal",
    "Failed",
    "Grant",
    "IkeDeleted",
    "IkeEstablished",
    "IkeProposal",
    "IkeStarted",
    "Ikev2",
    "Role",
    "Selectors",
]
