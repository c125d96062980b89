"""What is to be done over an IKE SA that is up, and what the request under way stands for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from agents.crypto.dh import KeyPair
from agents.ike.selectors import Selectors

if TYPE_CHECKING:
    from agents.ikev2.sa import Child, IkeSa

# Tasks wait in the IKE SA's queue and are carried out one after the other.


@dataclass(frozen=True, slots=True)
class CreateChild:
    """Make a CHILD SA."""

    selectors: Selectors
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class RekeyChild:
    """Replace a CHILD SA."""

    old: Child
    attempts: int = 0

    @property
    def selectors(self) -> Selectors:
        """The traffic of the old CHILD SA, and of the new one."""
        return self.old.selectors


@dataclass(frozen=True, slots=True)
class RekeyIke:
    """Replace the IKE SA."""

    group: int | None = None
    """The group that the peer wants instead of the last one."""

    attempts: int = 0


@dataclass(frozen=True, slots=True)
class DeleteChildren:
    """Delete CHILD SAs."""

    children: tuple[Child, ...]
    reason: str
    refused: tuple[int, ...] = ()
    """Inbound SPIs of SAs that the peer has made and the local host has not."""


@dataclass(frozen=True, slots=True)
class DeleteIke:
    """Delete the IKE SA."""

    reason: str


@dataclass(frozen=True, slots=True)
class Probe:
    """Ask whether the peer lives."""


Task: TypeAlias = CreateChild | RekeyChild | RekeyIke | DeleteChildren | DeleteIke | Probe

# A task that needs to know more once its request is out becomes one of these. That the peer has
# done the same meanwhile is known here alone, and ends with the request.


@dataclass(frozen=True, slots=True)
class ChildCollision:
    """The peer has replaced the same CHILD SA by one of its own (section 2.8.1)."""

    made: Child
    lowest_nonce: bytes = field(repr=False)
    """The lower of the two nonces of the peer's exchange."""


@dataclass(frozen=True, slots=True)
class IkeCollision:
    """The peer has replaced the same IKE SA by one of its own (section 2.8.2)."""

    made: IkeSa
    lowest_nonce: bytes = field(repr=False)
    """The lower of the two nonces of the peer's exchange."""


@dataclass(frozen=True, slots=True)
class ChildRequested:
    """CREATE_CHILD_SA for a CHILD SA is out."""

    task: CreateChild | RekeyChild
    spi: int
    nonce: bytes = field(repr=False)
    key_pair: KeyPair | None = field(repr=False)
    group: int | None
    collision: ChildCollision | None = None


@dataclass(frozen=True, slots=True)
class IkeRekeyRequested:
    """CREATE_CHILD_SA for a new IKE SA is out."""

    task: RekeyIke
    spi: bytes
    nonce: bytes = field(repr=False)
    key_pair: KeyPair = field(repr=False)
    group: int
    collision: IkeCollision | None = None


@dataclass(frozen=True, slots=True)
class Initial:
    """IKE_SA_INIT or IKE_AUTH; the state of the IKE SA says more."""


Purpose: TypeAlias = (
    Initial | ChildRequested | IkeRekeyRequested | DeleteChildren | DeleteIke | Probe
)
