"""The configuration of an access router that lies."""

from __future__ import annotations

from typing import Literal, TypeAlias

from agents.nodes.access_router.settings import AccessRouterConfiguration
from agents.nodes.ike_daemon.settings import Ikev1Settings

Attack: TypeAlias = Literal["impersonate", "alter", "claim"]


class RogueConfiguration(AccessRouterConfiguration, frozen=True, kw_only=True):
    """What it tries.

    To `impersonate` the mobile node, to `alter` the home agent's address, or to `claim` that a host
    of the home link is a home agent of its own.

    `own_address` and `interface` are its own towards the core; `home_prefix` is the home link's.
    """

    attack: Attack
    identity: str
    own_address: str
    interface: str
    home_prefix: str
    ikev1: Ikev1Settings = Ikev1Settings()
