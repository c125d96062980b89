"""The correspondent node's configuration."""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import Annotated

import msgspec

from agents.core.configuration import Configuration
from agents.core.unicast import is_unicast
from agents.mip6.correspondent_cache import MAX_RR_BINDING_LIFETIME


class CorrespondentConfiguration(Configuration, frozen=True, kw_only=True):
    """The correspondent node's address, and the longest binding that it grants, in seconds."""

    address: str
    lifetime: Annotated[int, msgspec.Meta(ge=4, le=MAX_RR_BINDING_LIFETIME)] = (
        MAX_RR_BINDING_LIFETIME
    )

    def __post_init__(self) -> None:
        if not is_unicast(IPv6Address(self.address)):
            raise ValueError(f"address: {self.address!r} is not a global unicast address")
