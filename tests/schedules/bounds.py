"""How long recovery may take when nothing goes wrong any more, as the protocols' timers have it.

First a node has to notice that what it has is served no more, then it has to get all of it again,
stage by stage: a pause before the stage is under way yet, and the first attempt may be in vain, for
the other end still has what was there before.
"""

from agents.diameter.config import DiameterTimers
from agents.dns.lookup import QUERY_TIMING
from agents.ikev1.config import TIMING as IKEV1_TIMING
from agents.ikev2.config import TIMING_SUSPECTED, TIMING_UP
from agents.mip6.mobile_node import BindingTimers
from agents.nodes.crowd import USUAL
from agents.nodes.home_registration.machine import SILENCE
from agents.nodes.mobile_node.settings import PanaSettings
from agents.pana.config import PCI_TIMING
from tests.schedules.scenes import BINDING, IKE_LIVENESS

_ATTEMPTS = 2
_PAUSE = USUAL.retry_longest * (1 + USUAL.retry_jitter)


def longest_pause(timing):
    """Return the longest pause between two transmissions (RFC 8415 section 15)."""
    return timing.maximum * (1 + timing.jitter)


def given_up_after(timing):
    """Return after how many seconds at most a message is given up."""
    pauses, total = timing.initial, 0.0
    for _ in range(timing.count):
        total += pauses * (1 + timing.jitter)
        pauses = min(2 * pauses, timing.maximum or 2 * pauses)
    return total


def noticing():
    """Return after how many seconds a mobile node knows that it is not served any more.

    The access router, the home agent's IKE and its binding cache are each asked in their own time.
    """
    bindings = BindingTimers()
    unanswered = sum(min(bindings.initial * 2**n, bindings.maximum) for n in range(SILENCE))
    return max(
        PanaSettings(paa="::").liveness + USUAL.patience,
        IKE_LIVENESS + given_up_after(TIMING_UP),
        BINDING * bindings.refresh + unanswered + given_up_after(TIMING_SUSPECTED),
    )


def regaining():
    """Return how many seconds all stages take that are begun anew, each in vain at first."""
    diameter = DiameterTimers()
    connection = diameter.reconnect + diameter.connect + diameter.capabilities
    access = longest_pause(PCI_TIMING) + USUAL.patience + _PAUSE
    discovery = longest_pause(QUERY_TIMING) + _PAUSE
    ike = max(given_up_after(IKEV1_TIMING), USUAL.ike_patience)
    ike += _PAUSE
    binding = BindingTimers().maximum + _PAUSE
    return connection + _ATTEMPTS * (access + discovery + ike + binding)


def recovery():
    """Return within how many seconds everybody who may be served has to be."""
    return noticing() + regaining()
