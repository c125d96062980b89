"""Sweeps: planning them, fitting round trips, and what is drawn and written of them."""

import csv
import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from testbed.analysis import fits, stats
from testbed.base.places import PROJECT
from testbed.experiment.spec import Spec, SpecError
from testbed.report import curves, plots, terminal
from testbed.report import page as report
from testbed.results import folder as results
from testbed.results.folder import read_plan, write_plan
from tests.testbed import sample

SWEEP = """
name = "one"
approach = "pana-ikev1"
topology = "paper"
runs = 3
[sweep]
"links.access.delay" = [0.0, 0.05]
"links.core.delay" = [0.0, 0.02, 0.1]
[variants.main]
[variants.aggressive]
settings.ike.mode = "aggressive"
"""


def load(folder, text=SWEEP, assignments=()):
    path = folder / "one.toml"
    path.write_text(text)
    return Spec.load(path, assignments)


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    return sample.swept(tmp_path_factory.mktemp("results"))


def test_the_plan_has_every_point_in_every_block(tmp_path):
    spec = load(tmp_path)

    plan = spec.plan(seed=5)

    assert len(spec.points) == 6
    assert len(plan) == 3 * 2 * 6
    for start in range(0, 36, 12):
        block = {(p.variant, json.dumps(p.parameters)) for p in plan[start : start + 12]}
        assert len(block) == 12
    assert [p.variant for p in plan[:12]] != [p.variant for p in plan[12:24]]
    assert spec.plan(seed=5) == plan
    write_plan(tmp_path, plan)
    assert read_plan(tmp_path) == plan


def test_the_experiment_at_a_point(tmp_path):
    spec = load(tmp_path)

    there = spec.at({"links.access.delay": 0.05, "links.core.delay": 0.1})

    delays = {link.name: link.shape.delay for link in there.topology("aggressive").links}
    assert delays == {"access": 0.05, "core": 0.1, "home": 0.0}
    assert there.settings("aggressive").ike.mode == "aggressive"
    assert there.points == [{}]
    assert spec.topology("main").link("core").shape.delay == 0.0
    assert "sch_netem" in spec.needs()


def test_runs_share_what_depends_on_their_settings_only(tmp_path):
    text = SWEEP.replace(
        '"links.core.delay" = [0.0, 0.02, 0.1]', '"settings.key_type" = ["p256", "rsa2048"]'
    )
    plan = load(tmp_path, text).plan(1)

    assert {p.shared for p in load(tmp_path).plan(1)} == {"main", "aggressive"}
    assert len({p.shared for p in plan}) == 4
    of = {(p.variant, p.parameters["settings.key_type"]): p.shared for p in plan}
    assert len(set(of.values())) == 4


def test_a_sweep_can_be_changed_for_one_run(tmp_path):
    spec = load(tmp_path, assignments=['sweep."links.core.delay"=[0.01]'])

    assert spec.points[-1] == {"links.access.delay": 0.05, "links.core.delay": 0.01}


def test_the_estimate_grows_with_runs_and_delays(tmp_path):
    spec = load(tmp_path)

    plan = spec.plan()
    assert sum(spec.durations(plan)) > sum(spec.durations(plan[:12])) > 12 * 4.0
    near = [p for p in plan if not any(p.parameters.values())]
    far = [p for p in plan if all(p.parameters.values())]
    assert sum(spec.durations(far)) / len(far) > sum(spec.durations(near)) / len(near)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("links.core.delay", "links.cord.delay", "no link cord"),
        ("links.core.delay", "links.core.delai", "unknown key delai, perhaps delay"),
        ("links.core.delay", "runs", r"only links\.\* and settings\.\*"),
        ("links.core.delay", "links", "links.access.delay, which is swept too, is a part of it"),
        ("links.core.delay", "links..delay", r"only links\.\* and settings\.\*"),
        ("links.core.delay", "settings.ike.mode", "variant aggressive sets it too"),
        ("0.02, 0.1]", "0.02, 0.02]", "twice"),
        ("0.02, 0.1]", "0.02, -0.1]", "sweep: at .*core.delay = -0.1: .* use seconds"),
        ("[0.0, 0.05]", "[]", "sweep"),
        ("[0.0, 0.05]", "0.05", "sweep"),
        ("links.core.delay", "links.access", "links.access.delay, which is swept too, is a part"),
        ("[0.0, 0.05]", "[" + ", ".join(map(str, range(20_000))) + "]", "at most 100000"),
        ("links.core.delay", "settings.launch.mode", "settings.launch: a table is not known"),
    ],
)
def test_a_bad_sweep_is_refused(tmp_path, old, new, complaint):
    assert old in SWEEP

    with pytest.raises(SpecError, match=complaint):
        load(tmp_path, SWEEP.replace(old, new, 1))


def test_the_fit_finds_the_round_trips_in_spite_of_slow_runs(swept):
    loaded = results.load(swept)

    for name, (access, core, rest) in sample.APPROACHES.items():
        (fit,) = fits.fits(loaded, name)
        assert fit.round_trips["access"].value == pytest.approx(access, abs=0.1)
        assert fit.round_trips["core"].value == pytest.approx(core, abs=0.1)
        assert fit.constant.value == pytest.approx(rest, abs=0.03)
        assert fit.agrees("access")
        assert fit.counted["core"].median == core
        for one in (*fit.round_trips.values(), fit.constant):
            assert one.ci95[0] <= one.value <= one.ci95[1]
        far = fit.total({"access": 0.1, "core": 0.1})
        assert far.value == pytest.approx(0.2 * (access + core) + rest, abs=0.05)
        assert far.ci95[0] <= far.value <= far.ci95[1]
        assert fit.total({"access": 0.0, "core": 0.0}).ci95 == pytest.approx(fit.constant.ci95)


@settings(max_examples=10)
@given(st.floats(0.5, 20), st.floats(0.5, 20), st.floats(0, 2))
def test_the_fit_of_exact_totals_is_exact(access, core, rest):
    grid = np.array([[2 * a, 2 * c, 1.0] for a in (0, 0.02, 0.1) for c in (0, 0.05)])

    best, threshold = fits._huber(grid, grid @ [access, core, rest])

    assert best == pytest.approx([access, core, rest], abs=1e-6)
    assert threshold == fits.FLOOR


def test_a_count_that_is_off_is_told(tmp_path):
    folder = sample.swept(tmp_path, approaches={"pana-ikev2": (9, 7, 0.04)})
    loaded = results.load(folder)
    for run in loaded.runs:
        run.traffic.links["core"].round_trips = 6

    (fit,) = fits.fits(loaded, "pana-ikev2")

    assert (fit.agrees("access"), fit.agrees("core")) == (True, False)
    assert fit.as_json()["links"]["core"]["counted"] == {"median": 6.0, "min": 6, "max": 6}


def test_too_few_runs_or_points_have_no_fit(tmp_path):
    one = {"links.access.delay": (0.0, 0.1), "links.core.delay": (0.0,)}
    loaded = results.load(sample.swept(tmp_path / "a", runs=6, grid=one))
    assert fits.swept_links(loaded) == ["access"]
    (fit,) = fits.fits(loaded, "pana-ikev2")
    assert list(fit.round_trips) == ["access"]
    assert fit.draws.shape[1] == 2
    assert fits.fits(results.load(sample.swept(tmp_path / "b", runs=5, grid=one)), "x") == []

    for runs, found in ((2, 0), (3, 1)):  # 5 and 9 runs more than coefficients.
        grid = {"links.access.delay": (0.0, 0.1), "links.core.delay": (0.0, 0.1)}
        loaded = results.load(sample.swept(tmp_path / str(runs), runs=runs, grid=grid))
        assert len(fits.fits(loaded, "pana-fast")) == found
    none = {"links.access.delay": (0.0,)}
    assert fits.fits(results.load(sample.swept(tmp_path / "c", grid=none)), "pana-fast") == []


def test_runs_that_the_fit_goes_by_must_tell_the_links_apart(tmp_path):
    grid = {"links.access.delay": (0.0, 0.1)}
    loaded = results.load(
        sample.swept(tmp_path, runs=8, grid=grid, slow=0, approaches={"pana-fast": (5, 4, 0.04)})
    )
    near = [run for run in loaded.runs if not run.parameters["links.access.delay"]]
    for i, run in enumerate(run for run in loaded.runs if run not in near):
        run.phases["total"] += i  # No two of them agree.
    loaded.runs.extend(near)

    assert fits.fits(loaded, "pana-fast") == []


def test_parameters_that_are_no_delay_make_series(tmp_path):
    grid = {"links.access.delay": (0.0, 0.02, 0.1)}
    loaded = results.load(sample.swept(tmp_path, runs=12, grid=grid))
    for i, run in enumerate(loaded.runs):
        run.parameters["settings.ike.mode"] = ("main", "aggressive")[i % 2]

    found = fits.fits(loaded, "pana-ikev2")

    assert {fit.fixed["settings.ike.mode"] for fit in found} == {"main", "aggressive"}
    assert len(curves.round_trips_figure(loaded)[1]) == 1 + len(sample.APPROACHES)


def test_the_summary_has_points_fits_and_traffic(swept):
    loaded = results.load(swept)

    summary = json.loads(stats.write_summary(loaded).read_text())

    one = summary["variants"]["pana-fast"]
    assert len(one["points"]) == 9
    assert one["points"][0]["parameters"] == {"links.access.delay": 0.0, "links.core.delay": 0.0}
    assert sum(point["runs"] for point in one["points"]) == one["runs"] == 18
    assert one["points"][0]["phases"]["total"]["n"] == 2
    (fit,) = one["fits"]
    assert fit["links"]["access"]["counted"]["median"] == 5
    assert fit["links"]["access"]["agrees"] is True
    assert one["traffic"]["access"]["protocols"]["PANA"] == {
        "messages": 13.0,
        "octets": 3438.0,
        "repeated": 0,
    }


def test_points_are_in_the_order_of_their_values(swept):
    loaded = results.load(swept)

    assert list(loaded.axes["links.access.delay"]) == [0.0, 0.02, 0.1]
    assert [tuple(p.values()) for p in loaded.points][:4] == [
        (0, 0),
        (0, 0.05),
        (0, 0.1),
        (0.02, 0),
    ]
    assert len(loaded.at({"links.core.delay": 0.1}).runs) == 4 * 3 * 2


@pytest.mark.usefixtures("one_format")
def test_the_figures_of_a_sweep(tmp_path):
    folder = sample.swept(tmp_path, failed=3)

    stems = {path.stem for path in plots.draw(results.load(folder))}

    assert stems == {"topology", "rtt", "approaches", "round_trips"}
    with (folder / "figures" / "rtt.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["link"] for row in rows} == {"access", "core"}
    assert len(rows) == 2 * 3 * 4
    for row in rows:
        low, fitted, high = (float(row[k]) for k in ("ci95_low", "fitted_seconds", "ci95_high"))
        assert low <= fitted <= high
    with (folder / "figures" / "round_trips.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["counted"] for row in rows[:4]] == ["11.0", "9.0", "10.0", "5.0"]
    assert float(rows[1]["fitted"]) == pytest.approx(9, abs=0.1)


def test_a_sweep_of_too_few_runs_is_drawn_without_a_band(tmp_path):
    grid = {"links.access.delay": (0.0, 0.1)}
    loaded = results.load(sample.swept(tmp_path, runs=3, grid=grid))

    fig, rows = curves.rtt_figure(loaded)

    assert [row[4:7] for row in rows[1:]] == [["", "", ""]] * 8
    assert any("24 successful runs" in text.get_text() for text in fig.texts)


@pytest.mark.usefixtures("one_format")
def test_the_figures_survive_points_without_success(tmp_path):
    folder = sample.swept(tmp_path, runs=1, failed=20)

    drawn = plots.draw(results.load(folder))

    assert {path.stem for path in drawn} == {"topology", "rtt", "approaches", "round_trips"}


def test_the_tables_and_the_report(swept):
    loaded = results.load(swept)
    console = Console(width=200, file=io.StringIO())

    terminal.show(loaded, console)
    text = console.file.getvalue()
    page = report.write(results.load(swept)).read_text()

    for expected in ("100 ms", "counted", "pana-fast"):
        assert expected in text
        assert expected in page
    assert "DHCPv6" in page
    assert "2 / 300" in page
    narrow = Console(width=80, file=io.StringIO())
    terminal.show(loaded, narrow)
    assert "\N{HORIZONTAL ELLIPSIS}" not in narrow.file.getvalue()
    assert "PANA saves the exchange" in page
    assert "8.4 s" not in text
    assert "{{" not in page


def test_the_sweep_that_ships_is_wide_enough_to_fit():
    spec = Spec.load(PROJECT / "experiments" / "rtt.toml")

    axes = spec.experiment.sweep
    assert axes["links.access.delay"] == [0.0, 0.005, 0.02, 0.05, 0.1]
    assert axes["links.core.delay"] == [0.0, 0.02, 0.05, 0.1]


RTT_GRID = [
    [2 * a, 2 * c, 1.0] for a in (0, 0.005, 0.02, 0.05, 0.1) for c in (0, 0.02, 0.05, 0.1)
] * 3
SMALL_GRID = [[2 * a, 2 * c, 1.0] for a in (0, 0.1) for c in (0, 0.1)] * 3


@pytest.mark.parametrize(
    ("rows", "slow", "least"),
    [(RTT_GRID, 0.0, 0.92), (RTT_GRID, 0.05, 0.92), (SMALL_GRID, 0.0, 0.9)],
)
def test_intervals_hold_the_truth_as_often_as_they_say(rows, slow, least):
    rng = np.random.default_rng(3)
    grid, truth = np.array(rows), np.array([13.0, 11.0, 0.08])
    held, times = np.zeros(3), 200
    for _ in range(times):
        noise = rng.normal(0, 0.005, len(grid))
        y = grid @ truth + noise + (rng.random(len(grid)) < slow) * rng.uniform(0, 1, len(grid))
        draws = fits._draws(grid, y, *fits._huber(grid, y), rng)
        ends = np.array([fits.interval(one) for one in draws.T])
        held += (ends[:, 0] <= truth) & (truth <= ends[:, 1])
    trips = held[:2] / times  # The constant takes up what slow runs add on average.
    assert trips.min() >= least
    assert trips.max() < 1


def test_variants_draw_apart(tmp_path):
    loaded = results.load(
        sample.swept(tmp_path, approaches={"pana-ikev2": (9, 7, 0.04), "pana-fast": (5, 4, 0.04)})
    )

    one, other = (fits.fits(loaded, name)[0].link_draws("access") for name in loaded.variants)

    assert abs(np.corrcoef(one, other)[0, 1]) < 0.1
    again = fits.fits(loaded, loaded.variants[0])[0].link_draws("access")
    assert np.array_equal(one, again)
