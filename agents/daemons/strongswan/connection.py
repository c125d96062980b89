"""strongSwan's configuration of a peer, as vici takes it (swanctl.conf(5))."""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import Any

from agents.daemons.strongswan.vici import Section
from agents.kernel.associations import REQID
from agents.kernel.xfrm import MOBILITY_HEADER
from agents.nodes.ike_daemon.ikev2_settings import Ikev2Settings
from agents.nodes.ike_daemon.settings import Ikev1Settings

CHILD = "mh"
"""What each peer's ESP SAs are called."""

ASKING = "asking"
"""What those are called that come with an address that is asked for: they are of another one."""

PSK = {"auth": "psk"}

_GROUPS = {"x25519": "curve25519"}


def _algorithms(settings: Ikev1Settings | Ikev2Settings) -> tuple[list[str], list[str]]:
    """Return what is proposed for IKE and for ESP: what the agents propose first."""
    group = _GROUPS.get(settings.group, settings.group)
    pfs = f"-{group}" if settings.pfs else ""
    if isinstance(settings, Ikev1Settings):
        cipher = f"aes{settings.key_bits}-{settings.hash}"
        return [f"{cipher}-{group}"], [f"{cipher}{pfs}"]
    ciphers = ("aes128gcm16-prfsha256", "aes128-sha256")
    return (
        [f"{cipher}-{group}" for cipher in ciphers],
        [f"{cipher}{pfs}" for cipher in ("aes128gcm16", "aes128-sha256")],
    )


def connection(
    settings: Ikev1Settings | Ikev2Settings,
    *,
    local: IPv6Address,
    remote: IPv6Address | None,
    local_id: str,
    remote_id: str,
    local_end: IPv6Address | None,
    remote_end: IPv6Address,
    local_proof: Section = PSK,
    remote_proof: Section = PSK,
) -> dict[str, Any]:
    """Return a connection; `remote` is unknown of who comes from anywhere.

    Without an own end it asks for an address, and its ESP SAs are no good but for that.
    ESP is in transport mode between the ends, which are not those of IKE, and for Mobility Headers
    alone (RFC 4877 section 4). The policies are somebody else's, who knows the SAs by their reqid.
    """
    ike, esp = _algorithms(settings)
    is_ikev1 = isinstance(settings, Ikev1Settings)
    common: dict[str, Any] = {
        "version": "1" if is_ikev1 else "2",
        "local_addrs": [str(local)],
        "remote_addrs": [str(remote) if remote else "%any"],
        "proposals": ike,
        "mobike": "no",
        "unique": "never",
        "local": {**local_proof, "id": local_id},
        "remote": {**remote_proof, "id": remote_id},
        "children": {
            CHILD if local_end else ASKING: {
                "mode": "transport_proxy",
                "local_ts": [f"{local_end or 'dynamic'}[{MOBILITY_HEADER}]"],
                "remote_ts": [f"{remote_end}[{MOBILITY_HEADER}]"],
                "esp_proposals": esp,
                "policies": "no",
                "reqid": str(REQID),
                "life_time": _seconds(settings.esp_lifetime),
                "rekey_time": _seconds(settings.esp_lifetime * _REKEY_AT),
                "rand_time": "0s",
            }
        },
    }
    if isinstance(settings, Ikev1Settings):
        common["aggressive"] = "yes" if settings.mode == "aggressive" else "no"
        common["reauth_time"] = _seconds(settings.ike_lifetime * _REKEY_AT)
    else:
        common["dpd_delay"] = _seconds(settings.liveness)
        common["rekey_time"] = _seconds(settings.ike_lifetime * _REKEY_AT)
        common["over_time"] = _seconds(_OVER_TIME)
    return common


_REKEY_AT = 0.85
_OVER_TIME = 15.0
"""Seconds before the end that a peer tells (RFC 4478) at which it authenticates anew.

So long an IKE SA also outlasts its rekeying. The daemon's own rule is a tenth of the lifetime, 20
minutes here: told of less than that, it authenticates anew at once, and again, and again.
"""


def _seconds(time: float) -> str:
    return f"{max(1, round(time))}s"
