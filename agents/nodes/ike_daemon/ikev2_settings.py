"""How IKEv2 negotiates."""

from __future__ import annotations

from typing import Literal

import msgspec

from agents.core.settings import Lifetime
from agents.crypto.dh import CURVE25519, ECP256, MODP2048
from agents.ikev2.config import (
    ESP_PROPOSALS,
    IKE_PROPOSALS,
    Config,
    IkeProposal,
)

_GROUPS = {"x25519": CURVE25519, "ecp256": ECP256, "modp2048": MODP2048}


class Ikev2Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How IKEv2 negotiates; times in seconds.

    `authentication` is the mobile node's; with `eap` the home agent shows a certificate. After
    `liveness` without a word the peer is asked whether it lives.
    """

    authentication: Literal["eap", "psk"] = "eap"
    group: Literal["x25519", "ecp256", "modp2048"] = "x25519"
    pfs: bool = False
    ike_lifetime: Lifetime = 14400.0
    esp_lifetime: Lifetime = 3600.0
    liveness: Lifetime = 60.0

    def config(self, identity: str | None, *, responder: bool) -> Config:
        """Return what an Ikev2 machine takes."""
        group = _GROUPS[self.group]
        proposals: tuple[IkeProposal, ...] = tuple(p for p in IKE_PROPOSALS if p.group == group)
        return Config(
            identity=identity,
            proposals=proposals,
            esp_proposals=ESP_PROPOSALS,
            pfs=group if self.pfs else None,
            accept_certificates=False,
            accept_eap=responder and self.authentication == "eap",
            ike_lifetime=self.ike_lifetime,
            esp_lifetime=self.esp_lifetime,
            liveness_interval=self.liveness,
        )


class Ikev2PskSettings(Ikev2Settings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The same where a pre-shared key is the rule: a change of another setting leaves it so."""

    authentication: Literal["eap", "psk"] = "psk"
