"""What nodes do where many mobile nodes come at once."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

Seconds = Annotated[float, msgspec.Meta(ge=0, le=86400)]
Number = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]


class CrowdSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How mobile nodes keep out of each other's way, and how many a server takes at once.

    A mobile node begins after a random time of up to `start_delay` seconds (as SOL_MAX_DELAY has
    it, RFC 8415 section 18.2.1). After a failure it pauses for `retry_first` seconds, then for
    twice as long up to `retry_longest`, each longer or shorter by a part `retry_jitter` at most,
    which is RAND's of RFC 8415 section 15.
    Messages are sent again after `timeout` seconds first. An authentication by PANA may last
    `patience`, a negotiation of IKEv2 `ike_patience`, an answer of the AAA server `aaa_timeout`.

    A PAA has `half_open` authentications under way, a home agent `ike_half_open`, of one /64
    `ike_half_open_per_link`. When there are so many, a PAA lets a newcomer `displace` another one,
    so that a flood keeps nobody out; or `wait`, so that what has begun is ended.
    """

    start_delay: Seconds = 0.0
    retry_first: Seconds = 0.25
    retry_longest: Seconds = 60.0
    retry_jitter: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.1
    timeout: Annotated[float, msgspec.Meta(gt=0, le=600)] = 1.0
    patience: Annotated[float, msgspec.Meta(ge=1, le=86400)] = 30.0
    ike_patience: Annotated[float, msgspec.Meta(ge=1, le=86400)] = 120.0
    aaa_timeout: Annotated[float, msgspec.Meta(ge=1, le=86400)] = 10.0
    half_open: Number = 256
    ike_half_open: Number = 512
    ike_half_open_per_link: Number = 64
    newcomers: Literal["displace", "wait"] = "displace"


USUAL = CrowdSettings()
