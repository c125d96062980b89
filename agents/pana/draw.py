"""Draws the transition tables as a page: `python -m agents.pana.draw docs/pana-states.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from agents.pana import paa_table, pac_table
from agents.pana.draft12 import DRAFT12
from agents.pana.paa_table import PAA_TABLE
from agents.pana.pac_table import PAC_TABLE
from agents.pana.rfc5191 import RFC5191
from agents.pana.states import RECEIVED, S, Table, Transition
from agents.pana.wire import Kind

MANY = 5
"""States that a row may leave to have them listed, and arrows of its own in the diagram."""

INTRODUCTION = """\
# PANA state machines

Made from the tables that the agents run
([pac_table.py](../agents/pana/pac_table.py), [paa_table.py](../agents/pana/paa_table.py), and
[common_table.py](../agents/pana/common_table.py), the last rows of both) by
`.venv/bin/python -m agents.pana.draw docs/pana-states.md`.

Both dialects run the same tables. Their notation is that of RFC 5609: `Rx` receives, `Tx` sends,
the letters in brackets are the header's flags and those in parentheses the AVPs; `!` negates a
condition, and an AVP or a timer with `?` is there only if it is due. A row without a next state
leaves the state as it is. The diagrams leave out what may happen in nearly every state: time-outs,
fatal errors, a session replaced by another.

Messages have the names of RFC 5191; `draft12` has them as follows.
"""


def page() -> str:
    """Return the page in Markdown."""
    parts = [
        INTRODUCTION,
        *_names(),
        *_machine("PaC", PAC_TABLE, pac_table.__doc__),
        *_machine("PAA", PAA_TABLE, paa_table.__doc__),
    ]
    return "\n".join(parts)


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _head(*cells: str) -> tuple[str, str]:
    return _row(cells), _row("---" for _ in cells)


def _names() -> Iterator[str]:
    yield from _head("table", "rfc5191", "draft12")
    for (kind, request), trigger in RECEIVED.items():
        there = [
            dialect.grammar[kind, request].label if (kind, request) in dialect.grammar else ""
            for dialect in (RFC5191, DRAFT12)
        ]
        yield _row((f"`{trigger.value.removeprefix('Rx:')}`", *there))
    relay = RFC5191.grammar[Kind.RELAY, False].label
    yield f"\n{relay} (RFC 6345) is taken off before the PAA's table, and has no row."
    yield ""


def _machine(name: str, table: Table[S], notes: str | None) -> Iterator[str]:
    title, _, departures = (notes or "").strip().partition("\n\n")
    yield f"## {name}\n\n{title}\n\n{departures}\n"
    yield from _diagram(table)
    yield ""
    yield from _rows(table)
    yield ""


def _diagram(table: Table[S]) -> Iterator[str]:
    """Yield a Mermaid diagram: an arrow for each pair of states, with what leads there.

    Rows out of (nearly) any state are left to the table.
    """
    arrows: dict[tuple[str, str], list[str]] = {}
    for transition in table:
        anywhere = len(transition.states) > MANY
        for state in transition.states:
            if transition.to is not None and transition.to is not state and not anywhere:
                labels = arrows.setdefault((str(state.value), str(transition.to.value)), [])
                if transition.trigger.value not in labels:
                    labels.append(transition.trigger.value)
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield "    [*] --> INITIAL"
    for (source, target), labels in arrows.items():
        # Mermaid takes a colon for the end of a name.
        yield f"    {source} --> {target} : {', '.join(labels).replace(':', ' ')}"
    yield "    CLOSED --> [*]"
    yield "```"


def _rows(table: Table[S]) -> Iterator[str]:
    yield from _head("state", "trigger", "conditions", "actions", "next")
    for transition in table:
        yield _row(_cells(transition))


def _states(states: tuple[S, ...]) -> str:
    if len(states) <= MANY:
        return "<br>".join(str(state.value) for state in states)
    others = (str(state.value) for state in type(states[0]) if state not in states)
    return f"ANY except {', '.join(others)}"


def _cells(transition: Transition[S]) -> Iterator[str]:
    yield _states(transition.states)
    yield f"`{transition.trigger.value}`"
    yield "<br>".join(f"`{condition}`" for condition in transition.conditions)
    yield "<br>".join(f"`{action}`" for action in transition.actions)
    yield "" if transition.to is None else str(transition.to.value)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m agents.pana.draw FILE")
    Path(sys.argv[1]).write_text(page())
