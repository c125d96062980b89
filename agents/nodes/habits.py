"""What daemons do by habit rather than by protocol: today's, and those of the paper's stacks.

Every habit is a mechanism that was read in the sources of the stacks that the paper used, KAME's
SHISA and racoon (github.com/kame/kame; racoon went on as NetBSD's ipsec-tools). None is a delay
that was chosen to meet a measurement.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from agents.core.documents import DocumentError, fit
from agents.core.settings import zero_or
from agents.mip6.mobile_node import BindingTimers

Seconds = Annotated[float, msgspec.Meta(ge=0, le=60)]
Profile = Literal["modern", "paper2006"]


class Habits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The habits of one mobile node; the defaults are those of the profile `modern`."""

    movement_detection: Seconds = 0.0
    """The step of the movement detector; 0: the first registration starts at once.

    SHISA's babymdd.c looks after the links when more than one of time()'s whole seconds has
    passed (`-p`), which is every 2 s, and asks for the registration then. Its clock has nothing
    to do with the bootstrap's: steps are at multiples of this on the host's clock.
    """

    ike_trigger: Literal["handover", "acquire"] = "handover"
    """What starts IKE: the news of a home agent, or a packet that needs a security association.

    SHISA's mnd sends its Binding Update as soon as the movement is known. The kernel holds no
    SA, drops the packet and sends a PF_KEY ACQUIRE, which is what makes racoon start
    (isakmp_post_acquire). With "handover" the Binding Update waits for the SAs.
    """

    phase1_poll: Seconds = 0.0
    """How often quick mode looks whether phase 1 is complete; 0: it starts when that happens.

    After an ACQUIRE without an ISAKMP SA, racoon's isakmp.c puts the request into a queue and
    has isakmp_chkph1there() look every second; schedule.c knows whole seconds only.
    """

    binding_timer: Literal["rfc6275", "shisa"] = "rfc6275"
    """When a Binding Update is repeated: after 1.5 s at first and 1 s later, or after 2 s.

    SHISA's fsm.c sets initial_bindack_timeout_first_reg to 2 because its timers (callout.c) take
    whole seconds. Both double the time.
    """

    processor_ghz: Annotated[float, msgspec.Meta(ge=0, le=10)] = 0.0
    """The clock rate of the hosts' processors, of a P6 core such as a Pentium III; 0: as they are.

    The paper's section 5.6 has "about 1 GHz". The harness sees to it, not the agents.
    """

    def __post_init__(self) -> None:
        # What looks all the time starves the rest, and no quota is that small.
        zero_or(0.01, movement_detection=self.movement_detection, phase1_poll=self.phase1_poll)
        zero_or(0.05, processor_ghz=self.processor_ghz)

    @property
    def timers(self) -> BindingTimers:
        """The timers of the home registration."""
        return BindingTimers(first=2.0) if self.binding_timer == "shisa" else BindingTimers()


PROFILES: Mapping[Profile, Habits] = {
    "modern": Habits(),
    "paper2006": Habits(
        movement_detection=2.0,
        ike_trigger="acquire",
        phase1_poll=1.0,
        binding_timer="shisa",
        processor_ghz=1.0,
    ),
}


def habits(profile: Profile, changes: Mapping[str, Any]) -> Habits:
    """Return the habits of a profile with some changed; ValueError if one is bad."""
    try:
        return fit(msgspec.to_builtins(PROFILES[profile]) | dict(changes), Habits)
    except DocumentError as error:
        raise ValueError(f"habits: {error}") from None
