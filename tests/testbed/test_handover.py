"""Handovers: steps that move a mobile node, what a run notes of them, and how that is shown."""

import pytest

from testbed.base.places import PROJECT
from testbed.experiment.spec import SpecError
from testbed.report import handovers
from testbed.results import folder as results
from testbed.run.handover import Following
from tests.testbed.simulated import carry_out
from tests.testbed.test_steps import spec

THERE, BACK = {"host": "A", "attach": "access2"}, {"host": "A", "attach": "access"}
MOBILITY = {"topology": "mobility"}


def test_a_mobile_node_moves_to_where_it_is_not():
    assert spec({"steps": [THERE, BACK, THERE], **MOBILITY})
    assert spec({"steps": [THERE, BACK], "cycles": 20, **MOBILITY})


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"steps": [THERE]}, r"steps\[0\]\.attach: host A is no mobile node that moves"),
        ({"steps": [BACK], **MOBILITY}, r"steps\[0\]\.attach: host A is on link 'access' already"),
        ({"steps": [THERE, THERE], **MOBILITY}, r"steps\[1\]\.attach: .*'access2' already"),
        ({"steps": [THERE], "cycles": 2, **MOBILITY}, r"cycle 2: steps\[0\]\.attach: .*already"),
        (
            {"steps": [THERE | {"attach": "core"}], **MOBILITY},
            r"no access link 'core'; use one of access, access2",
        ),
        ({"steps": [THERE | {"host": "B"}], **MOBILITY}, r"host B is no mobile node that moves"),
        (
            {"steps": [THERE], **MOBILITY, "links": {"access": {"loss": 1.0}}},
            r"what goes wrong on link 'access'",
        ),
    ],
)
def test_a_movement_that_cannot_be_is_refused(changes, complaint):
    with pytest.raises(SpecError, match=complaint):
        spec(changes)


def test_what_a_script_starts_does_not_move():
    with pytest.raises(SpecError, match="know of no movement"):
        spec({**MOBILITY, "settings": {"launch": "script"}}, "pana-ikev1")


def told(*events):
    """Return events of host A, a tenth of a second after each other."""
    named = [one.split() for one in events]
    return [
        {"host": "A", "agent": agent, "event": event, "t": 100_000_000 * number}
        for number, (agent, event) in enumerate(named)
    ]


WHOLE = ("mip6 LinkUp", "mip6 Moved", "role CareOfAddress", "pana Authenticated")


@pytest.mark.parametrize(
    ("events", "parts"),
    [
        ([*WHOLE, "mip6 BindingAccepted"], {"access": 0.1, "binding": 0.1}),
        ([*WHOLE[:3], "mip6 BindingAccepted"], {"access": 0.0, "binding": 0.1}),
        ([WHOLE[0], "mip6 BindingAccepted", *WHOLE[1:3], "mip6 BindingAccepted"], {"access": 0.0}),
        ([WHOLE[0], "pana Authenticated", *WHOLE[1:], "mip6 BindingAccepted"], {"access": 0.1}),
        (WHOLE, None),
        (["mip6 LinkUp", "mip6 BindingAccepted"], None),
    ],
)
def test_the_parts_of_a_handover_are_those_of_the_new_link(events, parts):
    following = Following("A", "access2", 1)
    for event in told(*events):
        following.note(event)
    if parts is None:
        assert following.parts == {}
    else:
        assert following.parts["address"] == 0.1
        assert following.parts.items() >= parts.items()


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The experiment that ships, on the virtual clock."""
    text = (PROJECT / "experiments" / "handover.toml").read_text()
    folder = tmp_path_factory.mktemp("handover")
    return results.load(carry_out(folder, text, "--runs", "1"))


def test_each_of_twenty_handovers_in_a_row_comes_to_its_end(done):
    assert not [(run.variant, run.reason) for run in done.failed]
    for run in done.runs:
        assert len(run.handovers) == 20
        assert [one.cycle for one in run.handovers] == [n // 2 + 1 for n in range(20)]
        assert [one.link for one in run.handovers] == ["access2", "access"] * 10


def test_a_handover_is_noted_whichever_step_waits_for_it(tmp_path):
    text = (PROJECT / "experiments" / "handover.toml").read_text()
    head = text.partition("[variants.")[0]
    variant = """[variants.static]
approach = "static"
steps = [
    { host = "A", attach = "access2" },
    { host = "CN", packets = 50 },
    { host = "A", attach = "access", until = "A BindingAccepted" },
]
"""
    [run] = results.load(carry_out(tmp_path, head + variant, "--runs", "1")).runs
    assert [one.link for one in run.handovers] == ["access2", "access"]
    assert run.handovers[0].gap > 0.04
    assert run.handovers[1].gap is None  # Nothing was waited for.


def test_nothing_is_received_for_as_long_as_the_handover_takes(done):
    """Access is 2 ms away and the home agent 12, so that a round trip takes 24 ms and more."""
    for run in done.runs:
        for one in run.handovers:
            whole = sum(one.parts.values())
            assert whole <= one.gap <= whole + 2 * 0.024 + 0.02
            assert (one.parts["access"] > 0.05) == (run.variant != "static")


def test_the_table_and_the_figure_have_every_variant(done):
    head, rows = handovers.rows(done)
    assert head == ["variant", "n", "Detection", "Address", "PANA", "BU/BA", "Total", "Gap"]
    assert [row[:2] for row in rows] == [(name, "20") for name in done.variants]
    figure, data = handovers.figure(done)
    shown = [text.get_text() for text in figure.texts]
    assert any("20 handovers per variant" in text for text in shown)
    assert {row[0] for row in data[1:]} == set(done.variants)
