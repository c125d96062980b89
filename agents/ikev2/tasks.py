"""What is to be done over an IKE SA that is up, and what the request under way stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from agents.core.record import Record, Secret
from agents.crypto.dh import KeyPair
from agents.ike.selectors import Selectors

if TYPE_CHECKING:
    from agents.ikev2.sa import Child, IkeSa

# Tasks wait in the IKE SA's queue and are carried out one after the other.


class CreateChild(Record, frozen=True):
    """Make a CHILD SA."""

    selectors: Selectors
    attempts: int = 0


class RekeyChild(Record, frozen=True):
    """Replace a CHILD SA."""

    old: Child
    attempts: int = 0

    @property
    def selectors(self) -> Selectors:
        """The traffic of the old CHILD SA, and of the new one."""
        return self.old.selectors


class RekeyIke(Record, frozen=True):
    """Replace the IKE SA."""

    group: int | None = None
    """The group that the peer wants instead of the last one."""

    attempts: int = 0


class DeleteChildren(Record, frozen=True):
    """Delete CHILD SAs."""

    children: tuple[Child, ...]
    reason: str
    refused: tuple[int, ...] = ()
    """Inbound SPIs of SAs that the peer has made and the local host has not."""


class DeleteIke(Record, frozen=True):
    """Delete the IKE SA."""

    reason: str


class Probe(Record, frozen=True):
    """Ask whether the peer lives."""


Task: TypeAlias = CreateChild | RekeyChild | RekeyIke | DeleteChildren | DeleteIke | Probe

# A task that needs to know more once its request is out becomes one of these. That the peer has
# done the same meanwhile is known here alone, and ends with the request.


class ChildCollision(Record, frozen=True):
    """The peer has replaced the same CHILD SA by one of its own (section 2.8.1)."""

    made: Child
    lowest_nonce: Secret[bytes]
    """The lower of the two nonces of the peer's exchange."""


class IkeCollision(Record, frozen=True):
    """The peer has replaced the same IKE SA by one of its own (section 2.8.2)."""

    made: IkeSa
    lowest_nonce: Secret[bytes]
    """The lower of the two nonces of the peer's exchange."""


class ChildRequested(Record, frozen=True):
    """CREATE_CHILD_SA for a CHILD SA is out."""

    task: CreateChild | RekeyChild
    spi: int
    nonce: Secret[bytes]
    key_pair: Secret[KeyPair | None]
    group: int | None
    collision: ChildCollision | None = None


class IkeRekeyRequested(Record, frozen=True):
    """CREATE_CHILD_SA for a new IKE SA is out."""

    task: RekeyIke
    spi: bytes
    nonce: Secret[bytes]
    key_pair: Secret[KeyPair]
    group: int
    collision: IkeCollision | None = None


class Initial(Record, frozen=True):
    """IKE_SA_INIT or IKE_AUTH; the state of the IKE SA says more."""


Purpose: TypeAlias = (
    Initial | ChildRequested | IkeRekeyRequested | DeleteChildren | DeleteIke | Probe
)
