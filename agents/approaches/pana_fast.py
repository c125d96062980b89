"""As few round trips as security allows; docs/pana-fast.md argues every one that is left out."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from agents.approaches import Program
from agents.approaches.preparation import prepare
from agents.approaches.scene import KERNEL_NEEDS, Scene
from agents.approaches.settings import CommonSettings
from agents.bootstrap.assignment import Protection
from agents.bootstrap.keys import PskSource
from agents.nodes.ike_daemon.ikev2_settings import Ikev2PskSettings
from topologies.model import Topology

NEEDS = KERNEL_NEEDS
__all__ = ["NEEDS", "Settings", "compose", "prepare"]


class Settings(CommonSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Each of the shortcuts, so that an experiment may take back one of them.

    `pana_start` has EAP's first request in PANA's; `first_request` "tls" has that start EAP-TLS,
    without asking for the identity; with `early` IKE begins while EAP is still at its last round.
    """

    pana_start: Literal["stateful", "stateless", "optimized"] = "optimized"
    first_request: Literal["identity", "tls"] = "tls"
    early: bool = True
    psk_source: PskSource = "emsk"
    protection: Protection = "sealed"
    duplicate_address_detection: bool = False
    ike: Ikev2PskSettings = Ikev2PskSettings()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ike.authentication != "psk":
            raise ValueError("IKEv2 with EAP is what this approach leaves out")
        if self.early and (self.protection != "sealed" or self.psk_source != "emsk"):
            raise ValueError("an early start needs a sealed assignment, and a key from the EMSK")


def compose(settings: Settings, topology: Topology, shared: Path, run: Path) -> list[Program]:
    """Return the programs of home network, access router and mobile node."""
    scene, early = Scene(settings, topology, shared, run), settings.early
    return [
        *scene.strangers(ikev2=settings.ike),
        *scene.correspondents(),
        *scene.home(
            ikev2=settings.ike,
            early=early,
            pick_up=settings.first_request == "tls",
        ),
        *scene.access_network(
            ikev2=settings.ike, first_request=settings.first_request, early=early
        ),
        scene.mobile_node(access=scene.access(), ikev2=settings.ike, early=early),
    ]
