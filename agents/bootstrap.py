"""What a bootstrap delivers to the mobile node: home agent, home address, and the key for IKE."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from ipaddress import IPv6Address

PSK_LABEL = b"MIPv6-IKE-PSK"


@dataclass(frozen=True, slots=True)
class Assignment:
    """The home agent and home address that the home AAA server chose for one mobile node."""

    home_agent: IPv6Address
    prefix_length: int
    home_address: IPv6Address | None = None


def ike_psk(msk: bytes, assignment: Assignment) -> bytes:
    """Return the 32-octet pre-shared key for IKE: HMAC-SHA-256(MSK, label | HoA | HA).

    The paper derives the key from the MSK and prints no formula. Its published neighbours are
    HMAC-SHA-1(AAA-Key, "MIPv6-IKE-psk" | Session-Id) (draft-bournelle-pana-mip6-00) and
    HMAC-SHA-1(MIPv6-AAA-Key, "MIPv6-IKE-PSK" | MIPv6-Key-Id | HoA | HA)
    (draft-jee-mip6-bootstrap-pana-01); this one keeps the second's label and binding to both
    addresses, and leaves out the Key-Id, for one MSK gives one key. An HoA that is not assigned
    counts as the unspecified address.
    """
    home_address = assignment.home_address or IPv6Address(0)
    seed = PSK_LABEL + home_address.packed + assignment.home_agent.packed
    return hmac.new(msk, seed, hashlib.sha256).digest()
