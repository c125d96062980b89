"""The IKE daemon's configuration: how both versions negotiate, and with whom."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from agents.core.configuration import Configuration, ConfigurationError
from agents.core.settings import Lifetime
from agents.crypto.dh import ECP256, MODP2048
from agents.ike.esp import Integrity
from agents.ikev1.config import Config, EspProposal, IkeProposal
from agents.ikev1.constants import Mode
from agents.nodes.habits import Habits


class Peer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who shares a key with this host; the key is the whole content of `psk_file`.

    `address` may be missing of a peer with an identity.
    """

    psk_file: str
    home_address: str
    address: str | None = None
    identity: str | None = None

    def key(self) -> bytes:
        """Return the key; ConfigurationError if it cannot be read."""
        try:
            return Path(self.psk_file).read_bytes()
        except OSError as error:
            raise ConfigurationError(f"pre-shared key {self.psk_file}: {error.strerror}") from None


_GROUPS = {"modp2048": MODP2048, "ecp256": ECP256}
_HASHES = {"sha1": 2, "sha256": 4}
_INTEGRITY = {"sha1": Integrity.HMAC_SHA1_96, "sha256": Integrity.HMAC_SHA2_256_128}


class Ikev1Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How IKEv1 negotiates; lifetimes in seconds."""

    mode: Literal["main", "aggressive"] = "main"
    group: Literal["modp2048", "ecp256"] = "modp2048"
    key_bits: Literal[128, 192, 256] = 128
    hash: Literal["sha1", "sha256"] = "sha256"
    pfs: bool = False
    ike_lifetime: Lifetime = 28800.0
    esp_lifetime: Lifetime = 3600.0

    def config(self, identity: str | None) -> Config:
        """Return what an Ikev1 machine takes: one proposal for each phase."""
        group = _GROUPS[self.group]
        return Config(
            mode=Mode.MAIN if self.mode == "main" else Mode.AGGRESSIVE,
            identity=identity if self.mode == "aggressive" else None,
            proposals=(IkeProposal(self.key_bits, _HASHES[self.hash], group),),
            esp_proposals=(EspProposal(self.key_bits, _INTEGRITY[self.hash]),),
            pfs=group if self.pfs else None,
            ike_lifetime=self.ike_lifetime,
            esp_lifetime=self.esp_lifetime,
        )


class IkeConfiguration(Configuration, frozen=True, kw_only=True):
    """The daemon's configuration; with `initiate` it starts the exchange with its first peer.

    `peers_folder` holds further peers, a file each; at SIGHUP they are read again. Who keeps that
    folder holds the other end of standard input: the daemon ends with it. Another daemon than the
    agents' own has its files in the folder `work`.
    """

    local: str
    work: str = "."
    peers: tuple[Peer, ...] = ()
    peers_folder: str | None = None
    identity: str | None = None
    initiate: bool = False
    keys: str | None = None
    settings: Ikev1Settings = Ikev1Settings()
    habits: Habits = Habits()
