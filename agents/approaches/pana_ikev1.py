"""The paper's approach as implemented: PANA delivers HA, HoA and key; IKEv1 makes the SAs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from agents.approaches import Program
from agents.approaches.preparation import prepare
from agents.approaches.scene import KERNEL_NEEDS, Scene
from agents.approaches.settings import CommonSettings
from agents.nodes.habits import Habits, Profile, habits
from agents.nodes.ike_daemon.settings import Ikev1Settings
from topologies.model import Topology

NEEDS = KERNEL_NEEDS
__all__ = ["NEEDS", "Settings", "compose", "prepare"]


class Settings(CommonSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How IKE is started after PANA, how IKE negotiates, and the habits of the daemons.

    The profile `paper2006` launches by script and has the habits of the paper's daemons; `launch`
    and `habits` change it in part.
    """

    profile: Profile = "modern"
    launch: Literal["resident", "script"] | None = None
    habits: dict[str, Any] = msgspec.field(default_factory=dict)
    ike: Ikev1Settings = Ikev1Settings()

    def __post_init__(self) -> None:
        super().__post_init__()
        habits(self.profile, self.habits)  # Refuses what it cannot use.

    @property
    def all_habits(self) -> Habits:
        """The habits of the profile with the changes."""
        return habits(self.profile, self.habits)

    @property
    def processor_ghz(self) -> float:
        """The clock rate of the hosts' processors in GHz; 0: as they are."""
        return self.all_habits.processor_ghz

    @property
    def is_warm(self) -> bool:
        """Whether the programs are warm; those that a script starts are cold by their nature."""
        return self.launch_mode == "resident" if self.warm is None else self.warm

    @property
    def launch_mode(self) -> Literal["resident", "script"]:
        """How IKE is started after PANA."""
        return self.launch or ("script" if self.profile == "paper2006" else "resident")


def compose(settings: Settings, topology: Topology, shared: Path, run: Path) -> list[Program]:
    """Return the programs of home network, access router and mobile node."""
    scene = Scene(settings, topology, shared, run)
    ike: dict[str, Any] = {"launch": settings.launch_mode, "ikev1": settings.ike}
    daemons = settings.all_habits
    of_daemons = {} if daemons == Habits() else {"habits": daemons}
    return [
        *scene.strangers(ikev1=settings.ike),
        *scene.correspondents(),
        *scene.home(**ike),
        *scene.access_network(ikev1=settings.ike),
        scene.mobile_node(access=scene.access(), **ike, **of_daemons),
    ]
