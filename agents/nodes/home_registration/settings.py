"""The configuration of the mobile node's Mobile IPv6 daemon."""

from __future__ import annotations

from agents.core.configuration import Configuration
from agents.core.settings import BindingLifetime
from agents.core.unicast import home_agent_address
from agents.nodes.habits import Habits


class RegistrationConfiguration(Configuration, frozen=True, kw_only=True):
    """The daemon's configuration; the lifetime is in seconds."""

    home_agent: str
    home_address: str
    care_of: str
    lifetime: BindingLifetime = 420.0
    habits: Habits = Habits()

    def __post_init__(self) -> None:
        home_agent_address(self.home_agent)
