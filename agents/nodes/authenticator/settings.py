"""The configuration of an access router that is an authenticator by IEEE 802.1X."""

from __future__ import annotations

from agents.core.configuration import CommandNames
from agents.core.settings import PartOfLifetime
from agents.nodes.access_settings import AccessConfiguration


class AuthenticatorConfiguration(AccessConfiguration, frozen=True, kw_only=True):
    """The authenticator's configuration; times in seconds.

    hostapd asks it by RADIUS on this host. A home agent that is assigned goes to the DHCPv6 relay
    agent, if there is one. A station is authenticated anew after the part `reauth_at` of a
    session's lifetime, 0 means never.
    """

    work: str
    reauth_at: PartOfLifetime = 0.8

    @property
    def reauthentication(self) -> int:
        """Whole seconds from one authentication of a station to the next, 0 means never."""
        return int(self.session_lifetime * self.reauth_at)

    @property
    def commands(self) -> CommandNames:
        """For all sessions at once."""
        return {"reauthenticate": (), "terminate": ()}
