"""Keys for Wireshark, in the run's own folder and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from agents.core.machine import text_of
from agents.ike.esp import EspPair

if TYPE_CHECKING:
    from agents.ikev2.events import IkeEstablished


class KeyLog:
    """Keeps lines of `tls.keys` (the format of SSLKEYLOGFILE) and of `keys.jsonl`.

    `append` gets the file's name and the line; without it nothing is kept.
    """

    def __init__(self, append: Callable[[str, str], None] | None = None) -> None:
        self._append = append or _forget

    def tls(self, line: str) -> None:
        """Keep one line of a TLS key log."""
        self._append("tls.keys", line)

    def ikev1(self, initiator_cookie: bytes, encryption_key: bytes) -> None:
        """Keep the key of an ISAKMP SA."""
        entry = {
            "kind": "ikev1",
            "initiator_cookie": initiator_cookie.hex(),
            "encryption_key": encryption_key.hex(),
        }
        self._append("keys.jsonl", msgspec.json.encode(entry).decode())

    def ikev2(self, established: IkeEstablished) -> None:
        """Keep the keys of an IKE SA, with the algorithms' names as Wireshark spells them."""
        entry = {
            "kind": "ikev2",
            "spi_i": established.spi_i.hex(),
            "spi_r": established.spi_r.hex(),
            "sk_ei": established.sk_ei.hex(),
            "sk_er": established.sk_er.hex(),
            "encryption": established.encryption,
            "sk_ai": established.sk_ai.hex(),
            "sk_ar": established.sk_ar.hex(),
            "integrity": established.integrity,
        }
        self._append("keys.jsonl", msgspec.json.encode(entry).decode())

    def esp(self, pair: EspPair) -> None:
        """Keep the keys of both directions of an ESP SA."""
        for sa in (pair.inbound, pair.outbound):
            entry = {
                "kind": "esp",
                "source": text_of(sa.source),
                "destination": text_of(sa.destination),
                "spi": sa.spi,
                "encryption": sa.encryption.value,
                "encryption_key": sa.encryption_key.hex(),
                "integrity": sa.integrity.value[0],
                "integrity_key": sa.integrity_key.hex(),
            }
            self._append("keys.jsonl", msgspec.json.encode(entry).decode())


def _forget(_name: str, _line: str) -> None:
    """Keep nothing."""
