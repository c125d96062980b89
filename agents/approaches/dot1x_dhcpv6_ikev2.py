"""The integrated scenario with IEEE 802.1X for access, where dhcpv6-ikev2 has PANA."""

from __future__ import annotations

import msgspec

from agents.approaches import dhcpv6_ikev2
from agents.approaches.dhcpv6_ikev2 import compose
from agents.approaches.preparation import prepare
from agents.approaches.roles import DOT1X, AccessRoles

NEEDS = (*dhcpv6_ikev2.NEEDS, *DOT1X)
REHEARSED = "dhcpv6-ikev2"
"""What stands for it where no daemon can run: what it has in common with PANA's."""

__all__ = ["NEEDS", "Settings", "compose", "prepare"]


class Settings(dhcpv6_ikev2.Settings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """As in dhcpv6-ikev2, with `roles.access.protocol` "802.1x" whatever the experiment says."""

    def __post_init__(self) -> None:
        super().__post_init__()
        roles = msgspec.structs.replace(self.roles, access=AccessRoles(protocol="802.1x"))
        msgspec.structs.force_setattr(self, "roles", roles)
