"""What an experiment may set whatever the approach."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec

from agents.aaa.selection import Strategy
from agents.aaa.subscribers import State
from agents.approaches.roles import Roles
from agents.bootstrap.assignment import DEFAULT_PROTECTION, Protection
from agents.bootstrap.keys import PskSource
from agents.core.settings import (
    BindingLifetime,
    DialectName,
    FragmentSize,
    Identity,
    InterimInterval,
    PartOfLifetime,
    SessionLifetime,
)
from agents.nodes.attacker.settings import AttackName
from agents.nodes.crowd import USUAL, CrowdSettings
from agents.nodes.diameter_settings import Watchdog
from agents.nodes.flooder.settings import FloodSettings
from agents.nodes.mobile_node.settings import LIVENESS, Liveness, WishName
from agents.nodes.rogue_router.settings import Attack

IDENTITY = "mn@home.test"
ANOTHER = "another@home.test"
"""A subscriber too."""

Credential: TypeAlias = Literal["valid", "expired", "other-ca", "revoked", "another's"]
"""What is to be said of a certificate; one of another's names somebody else."""


HOSTILE = (
    "attack",
    "flood",
    "rogue",
    "credential",
    "aaa_credential",
    "home_agent_credential",
    "crl",
    "home_addresses",
)
"""What makes a run one of an attack: without these it is an ordinary bootstrap."""


class HomeAgentSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the home AAA server knows of a home agent beside its addresses."""

    weight: Annotated[float, msgspec.Meta(gt=0, le=1e6)] = 1.0
    capacity: Annotated[int, msgspec.Meta(ge=0)] | None = None
    state: State = "serve"


class CommonSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What an experiment may set whatever the approach; times in seconds.

    `home_agents` are by their names: ha1, ha2, ... There are so many `home_addresses` for all
    subscribers; by default each has one of its own, but in a fleet. With `accounting` sessions are
    accounted, every `interim_interval` seconds too, 0 for at their ends alone. `roles` are the
    experiment's own table of that name.
    """

    dialect: DialectName = "rfc5191"
    pana_start: Literal["stateful", "stateless", "optimized"] = "stateful"
    pana_encryption: bool = False
    pana_liveness: Liveness = LIVENESS
    wish: WishName = "either"
    duplicate_address_detection: bool = True
    identity: Identity = IDENTITY
    key_type: Literal["p256", "rsa2048"] = "p256"
    tls_version: Literal["TLSv1.2", "TLSv1.3"] = "TLSv1.3"
    eap_fragment_size: FragmentSize = 1000
    session_lifetime: SessionLifetime = 3600.0
    binding_lifetime: BindingLifetime = 420.0
    route_optimisation: bool = False
    reauth_at: PartOfLifetime = 0.8
    diameter_tls: bool = False
    credential: Credential = "valid"
    aaa_credential: Credential = "valid"
    home_agent_credential: Credential = "valid"
    crl: Literal["none", "valid", "outdated"] = "none"
    subscribed: bool = True
    mobility_subscribed: bool = True
    mobility_wanted: bool = True
    mobility_offered: bool = True
    local_offered: bool = False
    local_allowed: bool = False
    prefer: Literal["home", "local"] = "home"
    rogue: Attack | None = None
    flood: FloodSettings | None = None
    attack: AttackName | None = None
    psk_source: PskSource = "msk"
    protection: Protection = DEFAULT_PROTECTION
    crowd: CrowdSettings = USUAL
    warm: bool | None = None
    diameter_watchdog: Watchdog = 30.0
    accounting: bool = False
    interim_interval: InterimInterval = 0
    selection: Strategy = "least-loaded"
    home_agents: dict[str, HomeAgentSettings] = {}
    home_addresses: Annotated[int, msgspec.Meta(ge=1, le=1 << 32)] | None = None
    roles: Roles = Roles()

    @property
    def is_warm(self) -> bool:
        """Whether the programs have carried out a bootstrap in memory before they begin."""
        return self.warm is not False

    def __post_init__(self) -> None:
        if self.attack and self.identity.lower() == ANOTHER:
            raise ValueError(f"identity: {ANOTHER} is who attacks; let the mobile node be another")
        if self.interim_interval and not self.accounting:
            raise ValueError(
                f"interim_interval = {self.interim_interval} needs accounting = true: there are no "
                "records otherwise"
            )
        if self.prefer == "local" and not self.local_allowed:
            raise ValueError("a subscription can prefer = 'local' only with local_allowed = true")
        if self.pana_encryption and self.dialect == "draft12":
            raise ValueError("pana_encryption needs dialect = 'rfc5191': RFC 6786 belongs to that")
