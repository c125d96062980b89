"""The pre-shared key of IKE that follows from EAP."""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import Literal, TypeAlias

from agents.bootstrap.assignment import Assignment
from agents.crypto.emsk import usage_root_key
from agents.crypto.prf import HMAC_SHA2_256

PSK_LABEL = b"MIPv6-IKE-PSK"

IKE_ROOT_LABEL = "mip6-ike-psk@mip6lab.example"
"""RFC 5295 wants labels of the form usage@organisation; this organisation can be nobody's."""

PskSource: TypeAlias = Literal["msk", "emsk"]
"""Which EAP key IKE's pre-shared key comes from: the access router knows the MSK, not the EMSK."""


def ike_root(emsk: bytes) -> bytes:
    """Return the 64-octet root key of IKE's pre-shared keys, for `ike_psk` (RFC 5295).

    The usage has no optional data: an EMSK is one EAP session's, and `ike_psk` binds the rest.
    """
    return usage_root_key(emsk, IKE_ROOT_LABEL)


def ike_secret(source: PskSource, msk: bytes, root: bytes) -> bytes:
    """Return the key to give to `ike_psk`: the MSK, or the root key that `ike_root` returned."""
    return msk if source == "msk" else root


def ike_psk(msk: bytes, assignment: Assignment) -> bytes:
    """Return the 32-octet pre-shared key for IKE: HMAC-SHA-256(MSK, label | HoA | HA).

    The paper derives the key from the MSK and prints no formula. Its published neighbours are
    HMAC-SHA-1(AAA-Key, "MIPv6-IKE-psk" | Session-Id) (draft-bournelle-pana-mip6-00) and
    HMAC-SHA-1(MIPv6-AAA-Key, "MIPv6-IKE-PSK" | MIPv6-Key-Id | HoA | HA)
    (draft-jee-mip6-bootstrap-pana-01); this one keeps the second's label and binding to both
    addresses, and leaves out the Key-Id, for one MSK gives one key. An HoA that is not assigned
    counts as the unspecified address. A root key from the EMSK may stand in the MSK's place.
    """
    home_address = assignment.home_address or IPv6Address(0)
    seed = PSK_LABEL + home_address.packed + assignment.home_agent.packed
    return HMAC_SHA2_256(msk, seed)
