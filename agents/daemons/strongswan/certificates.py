"""How a mobile node proves itself to strongSwan's peer by EAP-TLS, and whom it believes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agents.daemons.strongswan.vici import Section
from agents.nodes.mobile_node.settings import EapSettings


def credentials(settings: EapSettings) -> Iterator[tuple[str, Section]]:
    """Yield the commands by which strongSwan learns CA, revocations and key."""
    tls = settings.tls
    yield "load-cert", {"type": "X509", "flag": "CA", "data": _text(tls.ca)}
    if tls.crl:
        yield "load-cert", {"type": "X509_CRL", "flag": "NONE", "data": _text(tls.crl)}
    yield "load-key", {"type": "any", "data": _text(tls.key)}


def proofs(settings: EapSettings) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the mobile node's proof, EAP-TLS with that AAA server, and the home agent's."""
    own = {
        "auth": "eap-tls",
        "aaa_id": settings.server_name,
        "certs": [_text(settings.tls.certificate)],
    }
    return own, {"auth": "pubkey"}


def _text(file: str) -> str:
    return Path(file).read_text(encoding="utf-8")
