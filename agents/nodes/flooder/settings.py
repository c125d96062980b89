"""The flooder's configuration."""

from __future__ import annotations

import random
from ipaddress import IPv6Address, IPv6Network
from typing import Annotated, Literal, TypeAlias, get_args

import msgspec

from agents.core.configuration import Configuration
from agents.core.settings import DialectName
from agents.nodes.flooder.floods import (
    Attack,
    BindingUpdates,
    DiameterConnections,
    Ikev1Main,
    Ikev2Auth,
    Ikev2Init,
    PanaInitiation,
)
from agents.nodes.ike_daemon.ikev2_settings import Ikev2Settings
from agents.nodes.ike_daemon.settings import Ikev1Settings
from agents.pana.dialects import DIALECTS

AttackName: TypeAlias = Literal[
    "pana_initiation",
    "pana_start",
    "pana_eap",
    "ikev1_main",
    "ikev2_init",
    "ikev2_auth",
    "binding_updates",
    "diameter",
]

OneWay: TypeAlias = Literal["pana_initiation", "ikev1_main", "ikev2_init"]
"""Those that do without an answer."""

PORTS = 40_000
"""That datagrams come from, one after the other."""

LABORATORY = IPv6Network("2001:db8::/32")


class FloodSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a stranger does: `rate` attempts per second, `limit` in all.

    They come from its own address, or each from a `false` one. The mobile node starts when
    `head_start` of them have been made.
    """

    attack: AttackName
    sources: Literal["own", "false"] = "own"
    rate: Annotated[float, msgspec.Meta(gt=0, le=2000)] = 200.0
    head_start: Annotated[int, msgspec.Meta(ge=1, le=PORTS)] = 1
    limit: Annotated[int, msgspec.Meta(ge=1, le=PORTS)] = 30_000
    """More than `rate` allows while the other programs start and the bootstrap may last."""

    def __post_init__(self) -> None:
        if self.head_start > self.limit:
            raise ValueError(f"a head start of {self.head_start} attempts, of {self.limit} in all")
        if self.sources == "false" and self.attack not in get_args(OneWay):
            known = ", ".join(get_args(OneWay))
            raise ValueError(f"{self.attack} wants answers: false sources go with {known}")


class FlooderConfiguration(Configuration, frozen=True, kw_only=True):
    """Whom it attacks, from where, and what it knows.

    `identity` is a subscriber's, `home_address` that subscriber's own, `home_prefix` the home
    link's, `false_prefix` that of false sources, and `diameter_identity` the access router's.
    """

    flood: FloodSettings
    target: str
    address: str
    interface: str
    identity: str
    home_address: str
    home_prefix: str
    false_prefix: str
    diameter_identity: str
    diameter_realm: str
    dialect: DialectName = "rfc5191"
    ikev1: Ikev1Settings = Ikev1Settings()
    ikev2: Ikev2Settings = Ikev2Settings()

    def __post_init__(self) -> None:
        if IPv6Address(self.target) not in LABORATORY:
            raise ValueError(f"{self.target} is no address of a laboratory's host")

    def attack(self, rng: random.Random) -> Attack:
        """Return what it sends."""
        target, own = IPv6Address(self.target), IPv6Address(self.address)
        name = self.flood.attack
        match name:
            case "pana_initiation" | "pana_start" | "pana_eap":
                identity = self.identity if name == "pana_eap" else None
                starts = name != "pana_initiation"
                dialect = DIALECTS[self.dialect]
                return PanaInitiation(target, dialect, rng, starts=starts, identity=identity)
            case "ikev1_main":
                return Ikev1Main(target, own, self.ikev1.config(None), rng)
            case "ikev2_init":
                return Ikev2Init(self.ikev2.config(None, responder=False), rng)
            case "ikev2_auth":
                config = self.ikev2.config(self.identity, responder=False)
                return Ikev2Auth(target, config, rng)
            case "binding_updates":
                victim, prefix = IPv6Address(self.home_address), IPv6Network(self.home_prefix)
                return BindingUpdates(target, own, victim, prefix)
            case "diameter":
                return DiameterConnections(own, self.diameter_identity, self.diameter_realm)
