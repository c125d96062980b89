"""Who gets a home agent, and where: the home AAA server's policy as a table.

The paper leaves the choice to the AAAH (section 4.2); RFC 5447 section 4.2.5 says how it is asked
and answered.
"""

from __future__ import annotations

from enum import Enum

from agents.bootstrap.assignment import Wish
from agents.core.record import Record


class Place(Enum):
    """Where a home agent is: in the home domain, or in the visited network."""

    HOME = "home"
    LOCAL = "local"


class Subscription(Enum):
    """What a subscriber may have, and which of two the operator would rather give."""

    NO_MOBILITY = "no mobility"
    HOME_ONLY = "home only"
    RATHER_HOME = "rather home"
    RATHER_LOCAL = "rather local"


class Rule(Record, frozen=True):
    """A row: for these wishes (None: no home agent asked for), offers and subscriptions.

    `places` are tried in this order until one can serve; that is where load and free addresses
    count.
    """

    wishes: frozenset[Wish | None]
    offered: frozenset[bool]
    subscriptions: frozenset[Subscription]
    places: tuple[Place, ...]


def _rule(
    wish: Wish | str | None,
    offered: bool | str,
    subscription: Subscription | str,
    *places: Place,
) -> Rule:
    return Rule(
        frozenset((None, *Wish)) if isinstance(wish, str) else frozenset((wish,)),
        frozenset((True, False)) if isinstance(offered, str) else frozenset((offered,)),
        frozenset(Subscription) if isinstance(subscription, str) else frozenset((subscription,)),
        places,
    )


_ANY = "any"
_NO_MOBILITY, _HOME_ONLY = Subscription.NO_MOBILITY, Subscription.HOME_ONLY
_RATHER_HOME, _RATHER_LOCAL = Subscription.RATHER_HOME, Subscription.RATHER_LOCAL

POLICY: tuple[Rule, ...] = (
    #     wish         offered subscription   places
    _rule(None,        _ANY,   _ANY),
    _rule(_ANY,        _ANY,   _NO_MOBILITY),
    _rule(Wish.HOME,   _ANY,   _ANY,          Place.HOME),
    _rule(_ANY,        False,  _ANY,          Place.HOME),
    _rule(_ANY,        True,   _HOME_ONLY,    Place.HOME),
    _rule(Wish.LOCAL,  True,   _ANY,          Place.LOCAL, Place.HOME),
    _rule(Wish.EITHER, True,   _RATHER_LOCAL, Place.LOCAL, Place.HOME),
    _rule(Wish.EITHER, True,   _RATHER_HOME,  Place.HOME,  Place.LOCAL),
)  # fmt: skip
"""The first row that matches counts; the rows match everything.

A wish for a local home agent is one for a home agent first: who may not have it there gets it at
home. A wish for the home domain is never answered with a local home agent, for the mobile node may
have a reason not to show the visited network its traffic.
"""


def places(wish: Wish | None, *, offered: bool, subscription: Subscription) -> tuple[Place, ...]:
    """Return where to look for a home agent, the best place first; nowhere if there is to be none.

    `offered` tells whether the visited network has a local home agent to give.
    """
    for rule in POLICY:
        if wish in rule.wishes and offered in rule.offered and subscription in rule.subscriptions:
            return rule.places
    raise LookupError(f"no rule for {wish}, {offered}, {subscription}")
