"""The configuration of an access router that lies."""

from __future__ import annotations

from typing import Literal

from agents.nodes.access_router.settings import AccessRouterConfiguration
from agents.nodes.ike_daemon.settings import Ikev1Settings


class RogueConfiguration(AccessRouterConfiguration, frozen=True, kw_only=True):
    """What it tries: to `impersonate` the mobile node, or to `alter` the home agent's address.

    `own_address` and `interface` are its own towards the core; `home_prefix` is the home link's.
    """

    attack: Literal["impersonate", "alter"]
    identity: str
    own_address: str
    interface: str
    home_prefix: str
    ikev1: Ikev1Settings = Ikev1Settings()
