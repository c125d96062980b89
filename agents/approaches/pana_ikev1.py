"""The paper's approach as implemented: PANA delivers HA, HoA and key; IKEv1 makes the SAs."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from agents.approaches import Role
from agents.approaches.scene import KERNEL_NEEDS, CommonSettings, Scene, prepare
from agents.roles.ike import IkeSettings
from topologies.model import Topology

NEEDS = KERNEL_NEEDS
__all__ = ["NEEDS", "Settings", "compose", "prepare"]


class Settings(CommonSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How PANA hands over to IKE, and how IKE negotiates."""

    launch: Literal["resident", "script"] = "resident"
    ike: IkeSettings = IkeSettings()


def compose(settings: Settings, topology: Topology, shared: Path, run: Path) -> list[Role]:
    """Return the roles of hosts C, B and A."""
    scene = Scene(settings, topology, shared, run)
    hand_over = {"launch": settings.launch, "ikev1": settings.ike}
    return [
        scene.home_network(home_agent=scene.home_agent_settings(), **hand_over),
        scene.access_router(),
        scene.mobile_node(access=scene.pana(), **hand_over),
    ]
