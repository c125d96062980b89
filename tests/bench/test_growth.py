"""No program does more for a mobile node because others are served: counted, not timed."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

import agents
from agents.bench.growth import SCENES, Network
from testbed.base.places import PROJECT
from testbed.cli import main

_FEW, _MANY, _EACH = 5, 50, 2
_REST = 600.0
"""Virtual seconds after which what is kept for duplicates and late messages is gone."""

_HERE = str(Path(agents.__file__).parent)


def _lines(network, afterwards):
    """Serve a mobile node, and return how many lines each function has run for it."""
    counts = Counter()

    def count(frame, event, _):
        if event == "line":
            code = frame.f_code
            counts[code.co_filename.removeprefix(_HERE), code.co_firstlineno, code.co_name] += 1
        return count

    def enter(frame, _event, _):
        return count if frame.f_code.co_filename.startswith(_HERE) else None

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        network.serve(afterwards)
    finally:
        sys.settrace(before)
    return counts


@pytest.mark.parametrize(
    ("scene", "afterwards"),
    [
        ("pana-ikev1", ("refresh", "reauthenticate", "deregister", "terminate")),
        ("pana-ikev2", ("rekey-ike", "rekey-children", "reauthenticate", "terminate")),
    ],
)
def test_no_function_runs_through_those_who_are_served(tmp_path, scene, afterwards):
    network = Network(scene, tmp_path, _MANY + _EACH, SCENES[scene])
    measured = {}
    for served in (_FEW, _MANY):
        while network.served < served:
            network.serve()
        network.run(network.world.clock.now + _REST)
        measured[served] = [_lines(network, afterwards) for _ in range(_EACH)]
    most = Counter()
    for counts in measured[_FEW]:
        most |= counts
    # A loop over all runs a line for each of them at least.
    more = _MANY - _FEW
    loops = {
        where: [counts[where] for counts in measured[_MANY]]
        for where in measured[_MANY][0]
        if all(counts[where] >= most[where] + more for counts in measured[_MANY])
    }
    assert not loops


def test_the_costs_of_every_program_are_told():
    done = CliRunner().invoke(main, ["bench", "--nodes", "2", "--json"])
    found = json.loads(done.stdout)
    assert [(f["approach"], f["nodes"], f["action"]) for f in found] == [
        (approach, nodes, action)
        for approach in SCENES
        for nodes in (1, 2)
        for action in ("bootstrap", "refresh", "reauthenticate")
    ]
    together, apart = found[0]["seconds"].keys(), found[-1]["seconds"].keys()
    assert together == {"access_router", "home_network", "mobile_node"}
    assert apart == {*together, "home_agent"}
    for growth in found:
        assert min(growth["seconds"].values()) > 0
        assert growth["memory"] is None  # Of two it would be a few pages, or none.
        if growth["action"] == "bootstrap":
            assert growth["times"].keys() == growth["seconds"].keys()
            assert growth["held"].keys() == growth["seconds"].keys()
            assert all(1_000 < octets < 200_000 for octets in growth["held"].values())


MEMORY = """
from json import dumps
from agents.bench.growth import measure
found = measure([2, 15], ["pana-ikev1"], samples=5, telling=8)
print(dumps([growth.memory for growth in found]))
"""


def test_what_a_mobile_node_needs_of_memory_is_told():
    """In a process of its own: memory that was used before would hide growth."""
    done = subprocess.run(
        (sys.executable, "-c", MEMORY), cwd=PROJECT, capture_output=True, text=True, check=True
    )
    *first, some, same, same_again = json.loads(done.stdout)
    assert first == [None] * 3
    assert some == same == same_again
    assert 1_000 < some < 10_000_000
