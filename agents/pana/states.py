"""State machines as data: states, triggers and transitions in the notation of RFC 5609."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum, StrEnum
from typing import Generic, TypeVar

from agents.core.record import Record
from agents.pana.wire import Kind

S = TypeVar("S", bound=Enum)
T = TypeVar("T")


class Trigger(StrEnum):
    """What makes a machine move: event variables and received messages (RFC 5609 section 6.2).

    Messages have RFC 5191's names. RFC 5609 has no ADDRESS_CHANGED, PAC_HEARD, REPLACED and
    REFUSED, and Rx:PER, PEA, PUR and PUA are draft-ietf-pana-pana-12's.
    """

    AUTH_USER = "AUTH_USER"
    REAUTH = "REAUTH"
    TERMINATE = "TERMINATE"
    PANA_PING = "PANA_PING"
    ADDRESS_CHANGED = "ADDRESS_CHANGED"
    PAC_HEARD = "PAC_HEARD"
    REPLACED = "REPLACED"
    REFUSED = "REFUSED"
    RTX_TIMEOUT = "RTX_TIMEOUT"
    SESS_TIMEOUT = "SESS_TIMEOUT"
    REAUTH_TIMEOUT = "REAUTH_TIMEOUT"
    EAP_REQUEST = "EAP_REQUEST"
    EAP_RESPONSE = "EAP_RESPONSE"
    EAP_SUCCESS = "EAP_SUCCESS"
    EAP_FAILURE = "EAP_FAILURE"
    EAP_DISCARD = "EAP_DISCARD"
    EAP_TIMEOUT = "EAP_TIMEOUT"
    RX_PCI = "Rx:PCI[]"
    RX_PAR_S = "Rx:PAR[S]"
    RX_PAN_S = "Rx:PAN[S]"
    RX_PAR = "Rx:PAR[]"
    RX_PAN = "Rx:PAN[]"
    RX_PAR_C = "Rx:PAR[C]"
    RX_PAN_C = "Rx:PAN[C]"
    RX_PTR = "Rx:PTR[]"
    RX_PTA = "Rx:PTA[]"
    RX_PNR_A = "Rx:PNR[A]"
    RX_PNA_A = "Rx:PNA[A]"
    RX_PNR_P = "Rx:PNR[P]"
    RX_PNA_P = "Rx:PNA[P]"
    RX_PER = "Rx:PER[]"
    RX_PEA = "Rx:PEA[]"
    RX_PUR = "Rx:PUR[]"
    RX_PUA = "Rx:PUA[]"


RECEIVED = {
    (Kind.INITIATION, False): Trigger.RX_PCI,
    (Kind.START, True): Trigger.RX_PAR_S,
    (Kind.START, False): Trigger.RX_PAN_S,
    (Kind.AUTH, True): Trigger.RX_PAR,
    (Kind.AUTH, False): Trigger.RX_PAN,
    (Kind.RESULT, True): Trigger.RX_PAR_C,
    (Kind.RESULT, False): Trigger.RX_PAN_C,
    (Kind.TERMINATION, True): Trigger.RX_PTR,
    (Kind.TERMINATION, False): Trigger.RX_PTA,
    (Kind.REAUTH, True): Trigger.RX_PNR_A,
    (Kind.REAUTH, False): Trigger.RX_PNA_A,
    (Kind.PING, True): Trigger.RX_PNR_P,
    (Kind.PING, False): Trigger.RX_PNA_P,
    (Kind.ERROR, True): Trigger.RX_PER,
    (Kind.ERROR, False): Trigger.RX_PEA,
    (Kind.UPDATE, True): Trigger.RX_PUR,
    (Kind.UPDATE, False): Trigger.RX_PUA,
}
"""The trigger of a received message by its kind and whether it is a request."""


class Transition(Record, Generic[S], frozen=True):
    """One row of a table: exit condition, exit action, exit state (RFC 5609 section 5).

    `conditions` and `actions` are the RFC's names, a condition with "!" is negated, an AVP with
    "?" is sent only if it is due. `to` None leaves the state as it is.
    """

    states: tuple[S, ...]
    trigger: Trigger
    conditions: tuple[str, ...]
    actions: tuple[str, ...]
    to: S | None


Table = tuple[Transition[S], ...]


_Condition = tuple[str, bool]
"""A condition's name, and whether it has to hold."""


Rows = Mapping[tuple[S, Trigger], Sequence[tuple[Transition[S], Sequence[_Condition]]]]


def by_start(table: Table[S]) -> Rows[S]:
    """Return the rows of a table by what they start from, in their order."""
    rows = defaultdict[tuple[S, Trigger], list[tuple[Transition[S], list[_Condition]]]](list)
    for row in table:
        conditions = [(name.removeprefix("!"), name[0] != "!") for name in row.conditions]
        for state in row.states:
            rows[state, row.trigger].append((row, conditions))
    return rows


class Runner(Generic[S, T]):
    """Runs a table: at most one row per trigger, triggers raised by actions after the move.

    Conditions and actions are the same functions for all machines of a kind, each of which is given
    as their `subject`.
    """

    def __init__(
        self,
        rows: Rows[S],
        state: S,
        subject: T,
        conditions: Mapping[str, Callable[[T], bool]],
        actions: Mapping[str, Callable[[T], object]],
    ) -> None:
        self.state = state
        self._subject = subject
        self._rows = rows
        self._conditions = conditions
        self._actions = actions
        self._raised: deque[Trigger] = deque()

    def find(self, trigger: Trigger) -> Transition[S] | None:
        """Return the row that the trigger would run now, None if the table has none."""
        for row, conditions in self._rows.get((self.state, trigger), ()):
            for name, wanted in conditions:
                if self._conditions[name](self._subject) is not wanted:
                    break
            else:
                return row
        return None

    def raise_(self, trigger: Trigger) -> None:
        """Let an action raise a trigger; it is looked at after the transition is complete."""
        self._raised.append(trigger)

    def run(self, row: Transition[S]) -> None:
        """Take a transition, then those that its actions raise."""
        self._take(row)
        while self._raised:
            if (following := self.find(self._raised.popleft())) is not None:
                self._take(following)

    def fire(self, trigger: Trigger) -> bool:
        """Take the trigger's transition; return whether there is one."""
        row = self.find(trigger)
        if row is not None:
            self.run(row)
        return row is not None

    def _take(self, row: Transition[S]) -> None:
        for action in row.actions:
            self._actions[action](self._subject)
        if row.to is not None:
            self.state = row.to


def row(
    states: S | Iterable[S],
    trigger: Trigger,
    conditions: Iterable[str],
    actions: Iterable[str],
    to: S | None,
) -> Transition[S]:
    """Return a transition out of one state or several."""
    several = (states,) if isinstance(states, Enum) else tuple(states)
    return Transition(several, trigger, tuple(conditions), tuple(actions), to)
