"""The transition tables: complete, executable, and with the RFC's states."""

from pathlib import Path

import pytest

from agents.pana import draw
from agents.pana.paa_table import PAA_TABLE, PaaState
from agents.pana.pac_table import PAC_TABLE, PacState
from agents.pana.states import RECEIVED, Trigger
from agents.pana.wire import Kind
from tests.pana.fakes import World

WORLD = World().bootstrap(1)
MACHINES = [
    pytest.param(PAC_TABLE, WORLD.pac.session, id="PaC"),
    pytest.param(PAA_TABLE, WORLD.session(), id="PAA"),
]
TABLES = [
    pytest.param(PAC_TABLE, PacState, id="PaC"),
    pytest.param(PAA_TABLE, PaaState, id="PAA"),
]


@pytest.mark.parametrize(("table", "machine"), MACHINES)
def test_every_condition_and_action_is_implemented_and_used(table, machine):
    conditions = {name.removeprefix("!") for row in table for name in row.conditions}
    actions = {name for row in table for name in row.actions}
    assert conditions == machine.conditions().keys()
    assert actions == machine.actions().keys()


@pytest.mark.parametrize(("table", "states"), TABLES)
def test_every_state_is_reachable_and_can_be_left_but_closed(table, states):
    reached = {states("INITIAL")} | {row.to for row in table if row.to is not None}
    left = {state for row in table for state in row.states if row.to not in (None, state)}
    assert reached == set(states)
    assert left == set(states) - {states("CLOSED")}


@pytest.mark.parametrize("table", [PAC_TABLE, PAA_TABLE])
def test_no_two_rows_of_a_state_have_the_same_trigger_and_conditions(table):
    seen = [(state, row.trigger, row.conditions) for row in table for state in row.states]
    assert len(seen) == len(set(seen))


@pytest.mark.parametrize(("table", "states"), TABLES)
def test_every_state_but_closed_has_a_deadline(table, states):
    timed = {s for row in table if row.trigger is Trigger.SESS_TIMEOUT for s in row.states}
    assert timed == set(states) - {states("CLOSED")}


def test_the_page_in_the_docs_is_the_one_drawn_from_the_tables():
    page = Path(__file__).parents[2] / "docs" / "pana-states.md"
    assert page.read_text() == draw.page(), "run python -m agents.pana.draw docs/pana-states.md"


def test_every_message_has_a_trigger():
    """But a relay's, which the PAA takes off before."""
    assert {kind for kind, _ in RECEIVED} == set(Kind) - {Kind.RELAY}
    assert len(RECEIVED) == 2 * len(Kind) - 3
