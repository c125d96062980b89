"""That what figures say can be read: inside, apart from each other, on one colour, in contrast."""

import itertools

import matplotlib as mpl
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from testbed.base.phases import PHASES, TOTAL
from testbed.report import bars, costs, curves, moves, plots, style, timeline
from testbed.results import folder as results
from testbed.results.runs import Member, Moved, Run
from tests.testbed import sample

LONG = "a-variant-whose-name-tells-all-of-what-it-changes"
VARIANTS = sample.VARIANTS | {
    "very-slow": (400, 150_000, 2_000, 100, 900),
    "slow-pana": (9_000, 800, 500, 400, 600),
    LONG: (20, 1.2, 27, 0.9, 1006),
}
AA = 4.5
"""The contrast that text must have by WCAG 2.2, success criterion 1.4.3."""


def luminance(colour):
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_that_of_the_standard():
    assert contrast("white", "black") == pytest.approx(21)
    assert contrast("#777777", "white") == pytest.approx(4.48, abs=0.01)


def test_text_has_enough_contrast_on_every_colour_that_it_is_written_on():
    for colour in (style.INK, style.QUIET):
        assert contrast(colour, "white") >= AA
    for phase, colour in style.PHASE_COLOURS.items():
        assert contrast(style.ON_COLOUR[colour], colour) >= AA, phase
    for colour in (*costs.COLOURS, style.FAINT):
        assert contrast(style.ON_COLOUR[colour], colour) >= AA


def ended_early(root):
    """Variants that got nowhere, through some phases, and nearly as far as the longest bar."""
    spec = sample.BASE + f"[variants.none]\n[variants.{LONG}]\n[variants.far]\n[variants.plain]\n"
    folder = results.create(root, "early", spec, "one")
    whole = dict.fromkeys(PHASES, 0.3) | {TOTAL: 1.5}
    said = "refused for $reasons$ that take many words to tell, more than any figure has room for"
    ways = {"none": {}, LONG: {"pana": 0.2, "pana_to_ike": 3.0}, "far": {"pana": 9.0}}
    for number, (name, way) in enumerate(ways.items(), 1):
        run = Run(run=number, variant=name, seed=1, status="failed", reason=said, phases=way)
        results.append(folder, run)
    results.append(folder, Run(run=9, variant="plain", seed=1, status="ok", phases=whole))
    return results.load(folder)


def with_costs(root):
    """Runs with many parts, and some that ended in their first."""
    folder = results.create(root, "costs", sample.BASE, "one")
    names = ("network", "measure", "start", "bootstrap", "steps", "teardown", "closing")
    every = {name: 2.0 / number for number, name in enumerate(names, 1)}
    ways = {LONG: every | {"whole": 7.5}, "early": {"network": 0.01, "whole": 0.02}, "none": {}}
    for number, (name, found) in enumerate(ways.items(), 1):
        results.append(folder, Run(run=number, variant=name, seed=1, status="failed", costs=found))
    return results.load(folder)


def with_parts(root):
    """Discovery and overlap, both wide and narrow within their phases."""
    folder = results.create(root, "parts", sample.BASE, "one")
    parts = {"search": {"discovery": 1.1}, "short": {"discovery": 0.1}, "fast": {"overlap": 0.9}}
    for number, (name, part) in enumerate(parts.items(), 1):
        times = dict.fromkeys(PHASES, 1.2) | {TOTAL: 6.0}
        results.append(
            folder, Run(run=number, variant=name, seed=1, status="ok", phases=times, **part)
        )
    return results.load(folder)


MOVES = """
name = "moves"
approach = "pana-ikev2"
topology = "operator"
operator = { mobile_nodes = 2, home_agents = 2 }
[variants.failed]
steps = [{ host = "HA1", kill = "host", moves = "HA1", cuts = true }]
[variants.drained]
steps = [{ host = "AAA", command = "drain ha1", moves = "HA1", cuts = true }]
"""


def moved(root):
    """Two mobile nodes of which one has to move, as its home agent fails or is drained."""
    folder = results.create(root, "moves", MOVES, "one")
    ha1, ha2 = "2001:db8:100::1", "2001:db8:101::1"
    move = Moved(home_agent=ha2, home_address="::1", noticed=9.0, bootstrapped=9.5, registered=10.5)
    members = [
        Member(host="MN0001", start=0.0, end=1.0, home_agent=ha1, moved=move),
        Member(host="MN0002", start=0.0, end=1.0, home_agent=ha2),
    ]
    times = dict.fromkeys(PHASES, 0.2) | {TOTAL: 1.0}
    for number, name in enumerate(("failed", "drained", "failed", "drained"), 1):
        run = Run(run=number, variant=name, seed=1, status="ok", phases=times, members=members)
        results.append(folder, run)
    return results.load(folder)


FIGURES = {
    "moves": lambda root: moves.figure(moved(root)),
    "phases": lambda root: plots.phases_figure(
        results.load(sample.make(root, runs=2, variants=VARIANTS, captures=False))
    ),
    "cdf": lambda root: plots.cdf_figure(
        results.load(sample.make(root, runs=2, variants=VARIANTS, captures=False))
    ),
    "approaches": lambda root: curves.stacked_figure(
        results.load(sample.make(root, runs=6, failed=0, variants=VARIANTS, captures=False))
    ),
    "phases of the refused": lambda root: plots.phases_figure(ended_early(root)),
    "approaches refused": lambda root: curves.stacked_figure(ended_early(root)),
    "phases with parts": lambda root: plots.phases_figure(with_parts(root)),
    "approaches with parts": lambda root: curves.stacked_figure(with_parts(root)),
    "costs": lambda root: costs.costs_figure(with_costs(root)),
    "rtt": lambda root: curves.rtt_figure(results.load(swept(root))),
    "round trips": lambda root: curves.round_trips_figure(results.load(swept(root))),
    "sweep": lambda root: curves.stacked_figure(results.load(swept(root))),
    "timeline": lambda root: timeline.timeline_figure(
        results.load(sample.make(root, runs=1, failed=0))
    ),
}


def swept(root):
    return sample.swept(root, runs=1, slow=0)


def words(fig):
    """All text but the numbers along the axes, for which there is always room."""
    found = [*fig.texts, *(text for legend in fig.legends for text in legend.get_texts())]
    for axes in fig.axes:
        found += [*axes.texts, axes.xaxis.label, axes.yaxis.label]
        found += axes.get_yticklabels() if axes.axison else []
        found += axes.get_legend().get_texts() if axes.get_legend() else []
    return [text for text in found if text.get_text().strip()]


def test_who_has_to_move_is_without_service_from_when_its_home_agent_serves_it_no_more(tmp_path):
    loaded = moved(tmp_path)
    _, (head, *rows) = moves.figure(loaded)
    told = [dict(zip(head, row, strict=True)) for row in rows]
    assert {row["variant"]: row["without_service"] for row in told} == {
        "failed": 10.5, "drained": 1.5,
    }  # fmt: skip
    assert {(row["mobile_node"], row["from"], row["to"]) for row in told} == {
        ("MN0001", "HA1", "HA2")
    }
    assert len(rows) == 4
    plots.draw(loaded)
    assert (loaded.folder / "figures" / "fleet_moves.png").exists()


@pytest.mark.parametrize("name", FIGURES)
def test_every_word_of_a_figure_can_be_read(tmp_path, name):
    with mpl.rc_context(style.SETTINGS):
        fig, _ = FIGURES[name](tmp_path)
        renderer = FigureCanvasAgg(fig).get_renderer()
        fig.canvas.draw()
    inside = fig.bbox
    boxes = {text: text.get_window_extent(renderer) for text in words(fig)}
    patches = [
        (patch, patch.get_window_extent(renderer))
        for axes in fig.axes
        for patch in axes.patches
        if isinstance(patch, Rectangle) and patch.get_window_extent(renderer).width > 1
    ]
    assert boxes
    for text, box in boxes.items():
        said = text.get_text()
        assert inside.x0 - 1 <= box.x0, said
        assert box.x1 <= inside.x1 + 1, said
        grounds = {
            on.get_facecolor()[:3]
            for on, extent in patches
            if extent.x0 < box.x1 - 1
            and box.x0 + 1 < extent.x1
            and extent.y0 < (box.y0 + box.y1) / 2 < extent.y1
        }
        covered = any(
            extent.x0 <= box.x0 and box.x1 <= extent.x1
            for on, extent in patches
            if on.get_facecolor()[:3] in grounds
        )
        assert len(grounds) <= 1, said
        assert not grounds or covered, said
        assert contrast(text.get_color(), next(iter(grounds), "white")) >= AA, said
    for (one, first), (other, second) in itertools.combinations(boxes.items(), 2):
        apart = not first.padded(-1).overlaps(second.padded(-1))
        assert apart, (one.get_text(), other.get_text())


def test_a_length_is_written_only_where_it_fits_on_its_colour():
    fig = style.figure(4.0, 1.0, "", "")
    axes = fig.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_xlim(0, 4.0)

    end = bars.stack(axes, 0, {"pana": 0.2, "ike": 2.0}, 1.0)

    assert end == pytest.approx(2.2)
    assert [text.get_text() for text in axes.texts] == ["2.00 s"]


def test_a_text_is_shortened_to_its_room():
    assert style.shortened("short", 5.0, 9) == "short"
    cut = style.shortened("a text that is much too long for it", 1.0, 9)
    assert cut.endswith("\N{HORIZONTAL ELLIPSIS}")
    assert style.width_of(cut, 9) <= 1.0


@pytest.mark.usefixtures("one_format")
def test_figures_of_other_runs_do_not_stay(tmp_path):
    loaded = results.load(sample.make(tmp_path, runs=1, failed=0))
    plots.draw(loaded)
    figures = loaded.folder / "figures"
    assert (figures / "timeline.svg").exists()
    for capture in loaded.folder.glob("runs/*/captures/A.pcapng"):
        capture.write_bytes(capture.read_bytes()[:100])
    again = results.load(loaded.folder)

    plots.draw(again)

    assert not list(figures.glob("timeline.*"))
    assert (figures / "phases.svg").exists()
    [warning] = again.warnings
    assert warning.startswith("figure timeline: ")


@pytest.mark.usefixtures("one_format")
def test_without_any_run_no_figure_stays(tmp_path):
    loaded = results.load(sample.make(tmp_path, runs=1, failed=0))
    plots.draw(loaded)
    (loaded.folder / "runs.jsonl").write_text("")

    assert plots.draw(results.load(loaded.folder)) == []
    assert not list((loaded.folder / "figures").iterdir())


@pytest.mark.usefixtures("one_format")
def test_what_is_too_tall_to_be_looked_at_is_not_drawn_and_said(tmp_path):
    first = next(iter(sample.VARIANTS))
    many = {f"{first}-{number}": sample.VARIANTS[first] for number in range(24)}
    folder = sample.make(tmp_path, runs=2, failed=0, variants=many, captures=False)
    loaded = results.load(folder)
    drawn = {path.stem for path in plots.draw(loaded)}
    assert "phases" not in drawn
    [said] = [one for one in loaded.warnings if one.startswith("figure phases")]
    assert "with 24 variants" in said
