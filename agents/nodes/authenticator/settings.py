"""The configuration of an access router that is an authenticator by IEEE 802.1X."""

from __future__ import annotations

from agents.core.configuration import CommandNames
from agents.core.settings import PartOfLifetime, SessionLifetime
from agents.nodes.access_settings import RelaySettings
from agents.nodes.diameter_settings import AaaClientConfiguration
from agents.nodes.radius_settings import RadiusServerSettings


class AuthenticatorConfiguration(AaaClientConfiguration, frozen=True, kw_only=True):
    """The authenticator's configuration; times in seconds.

    hostapd asks it by RADIUS on this host, and it asks the home AAA server, by Diameter or with
    `radius` by that. With `mobility` every authentication asks for a home agent, which with `relay`
    the DHCPv6 relay agent supplies. A station is authenticated anew after the part `reauth_at` of a
    session's lifetime, 0 means never.
    """

    access_interface: str
    access_prefix: str
    address: str
    work: str
    keys: str | None = None
    mobility: bool = True
    relay: RelaySettings | None = None
    session_lifetime: SessionLifetime = 3600.0
    reauth_at: PartOfLifetime = 0.8
    radius: RadiusServerSettings | None = None

    @property
    def reauthentication(self) -> int:
        """Whole seconds from one authentication of a station to the next, 0 means never."""
        return int(self.session_lifetime * self.reauth_at)

    @property
    def commands(self) -> CommandNames:
        """For all sessions at once."""
        return {"reauthenticate": (), "terminate": ()}
