"""The figures: that they are drawn, and say what the data say."""

import csv
import itertools
import json
import shutil

import pytest

from testbed.base.jsonl import DataError
from testbed.base.phases import PHASES
from testbed.report import curves, ladder, overlays, plots, style, summary, timeline
from testbed.report import page as report
from testbed.results import folder as results
from testbed.results.runs import Run
from tests.testbed import sample
from tests.testbed import synthesis as syn

FORMATS = ("png", "svg", "pdf", "csv")


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def texts(fig):
    found = [text.get_text() for text in fig.findobj(lambda item: hasattr(item, "get_text"))]
    return [text for text in found if text]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return sample.make(tmp_path_factory.mktemp("results"), runs=3)


def test_every_figure_in_every_format_with_its_data(folder):
    paths = plots.draw(results.load(folder))

    assert [path.name for path in paths] == [
        f"{stem}.{kind}"
        for stem in ("phases", "cdf", "timeline", "costs", "topology")
        for kind in FORMATS
    ]
    for path in paths:
        start = path.read_bytes()[:8]
        magic = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}
        assert start.startswith(magic.get(path.suffix, b""))
    data = rows(folder / "figures" / "phases.csv")
    assert {row["variant"] for row in data} == {"paper", *sample.VARIANTS}
    assert [row["seconds"] for row in data if row["phase"] == "unattributed"] == ["0.26"]
    assert len(rows(folder / "figures" / "cdf.csv")) == 8
    assert rows(folder / "figures" / "timeline.csv")[-1]["message"] == "first packet for the HoA"


def test_a_figure_drawn_again_is_the_same(folder, tmp_path):
    loaded = results.load(folder)
    for name in ("one", "two"):
        style.save(plots.phases_figure(loaded)[0], tmp_path / name, "phases", [["x"]])

    for kind in FORMATS:
        name = f"phases.{kind}"
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_the_phases_figure_is_labelled(folder):
    fig, _ = plots.phases_figure(results.load(folder))

    shown = texts(fig)
    for text in ("the paper", "8.4 s", "unattributed", "PANA to IKE", *sample.VARIANTS):
        assert text in shown


def test_the_first_phase_is_called_by_each_variants_protocol(tmp_path):
    folder = sample.make(tmp_path, runs=2, failed=0, captures=False)
    spec = folder / "spec.toml"
    dot1x = '[variants.resident]\nroles.access.protocol = "802.1x"\n'
    spec.write_text(spec.read_text().replace("[variants.resident]\n", dot1x))
    loaded = results.load(folder)

    shown = [text.partition("\n")[0] for text in texts(plots.phases_figure(loaded)[0])]
    titles = sorted(text for text in shown if text in {"PANA", "802.1X", "access"})
    assert titles == ["802.1X", "PANA", "PANA", "access"]  # Three variants, and the legend.
    assert "access to IKE" in summary.run_rows(loaded, lambda _: False)[0]
    firsts = {bar.name: bar.parts[0].text.partition(":")[0] for bar in summary.bars(loaded)}
    assert firsts == {
        "the paper": "PANA",
        "script": "PANA",
        "resident": "802.1X",
        "resident-no-dad": "PANA",
    }


def test_labels_are_spread_apart_in_order_and_inside():
    places = plots.spread([0.01, 0.02, 0.021, 0.5, 0.999], 0.1)

    assert places == sorted(places)
    assert all(b - a >= 0.1 - 1e-9 for a, b in itertools.pairwise(places))
    assert places[0] >= 0.05 - 1e-9
    assert places[-1] <= 0.95
    assert places[3] == 0.5


def test_the_time_axis_is_logarithmic_only_if_the_spread_is_wide(tmp_path, folder):
    fig, _ = plots.cdf_figure(results.load(folder))
    assert fig.axes[0].get_xscale() == "log"

    narrow = {"resident": sample.VARIANTS["resident"]}
    fig, _ = plots.cdf_figure(results.load(sample.make(tmp_path, variants=narrow, captures=False)))
    assert fig.axes[0].get_xscale() == "linear"
    labels = [text.get_text() for text in fig.axes[0].get_legend().get_texts()]
    assert labels[0].startswith("resident: n = 9 of 10, median 1.0")


@pytest.mark.usefixtures("one_format")
def test_without_captures_there_is_no_timeline(tmp_path):
    folder = sample.make(tmp_path, runs=2, failed=0, captures=False)

    drawn = {path.stem for path in plots.draw(results.load(folder))}
    assert drawn == {"phases", "cdf", "costs", "topology"}


@pytest.mark.usefixtures("one_format")
def test_a_single_run_and_a_variant_that_never_succeeded(tmp_path):
    folder = sample.make(tmp_path, runs=1, failed=1)

    drawn = {path.stem for path in plots.draw(results.load(folder))}
    assert drawn == {"phases", "timeline", "costs", "topology"}  # One run has no distribution.
    fig, _ = plots.phases_figure(results.load(folder))
    assert "none of 1 run succeeded: timed out <in> IKE" in texts(fig)


@pytest.mark.usefixtures("one_format")
def test_nothing_succeeded_nothing_drawn(tmp_path):
    folder = results.create(tmp_path, "paper")
    results.append(folder, Run(run=1, variant="x", seed=1, status="failed", reason="no"))

    assert plots.draw(results.load(folder)) == []
    with pytest.raises(DataError):
        results.load(tmp_path / "none")


def test_the_timeline_takes_the_middle_run_of_the_fastest_variant_with_a_capture(tmp_path):
    folder = sample.make(tmp_path, runs=3, failed=0)
    loaded = results.load(folder)

    fast = sorted(loaded.values("resident-no-dad", "total"))
    assert ladder.typical_run(loaded).phases["total"] == fast[1]

    for run in loaded.of("resident-no-dad"):
        shutil.rmtree(results.run_folder(folder, run.run))
    assert ladder.typical_run(loaded).variant == "resident"


@pytest.mark.usefixtures("one_format")
def test_a_damaged_capture_costs_only_the_timeline(tmp_path):
    folder = sample.make(tmp_path, runs=1, failed=0)
    for path in folder.glob("runs/*/captures/A.pcapng"):
        path.write_bytes(path.read_bytes()[:100])

    drawn = {path.stem for path in plots.draw(results.load(folder))}
    assert drawn == {"phases", "costs", "topology"}


def capture_of(loaded, run):
    return results.run_folder(loaded.folder, run.run) / "captures" / "A.pcapng"


def test_the_ladder_ends_with_the_bootstrap(tmp_path):
    folder = sample.make(tmp_path, runs=1, failed=0)
    loaded = results.load(folder)
    run = loaded.of("resident")[0]
    packets = [*syn.bootstrap(packet=None), (5.0, syn.update(2)), (5.1, syn.ack(2))]
    syn.write(capture_of(loaded, run), packets)

    _, data = timeline.timeline_figure(loaded, run)

    assert data[-1][5] == "Binding Ack in ESP"
    assert data[-1][0] == pytest.approx(0.055, abs=2e-6)


def test_a_ladder_without_pana_has_no_phase_of_it(tmp_path):
    folder = sample.make(tmp_path, runs=1, failed=0)
    loaded = results.load(folder)
    run = loaded.of("resident")[0]
    syn.write(capture_of(loaded, run), [p for p in syn.bootstrap() if p[0] > 0.021])

    fig, _ = timeline.timeline_figure(loaded, run)

    shown = texts(fig)
    assert "IKE" in shown
    assert not {"PANA", "PANA to IKE"} & set(shown)
    assert not [text for text in shown if "Diameter" in text]


def test_a_ladder_with_retransmissions_names_them(tmp_path):
    folder = sample.make(tmp_path, runs=1, failed=0)
    loaded = results.load(folder)
    run = loaded.of("resident")[0]
    packets = syn.bootstrap((0.02, 0.022, 0.05, 0.051, 3.2), 3.3)
    packets += [(0.021, syn.from_mn(syn.pana(2, syn.C, 106))), (1.551, syn.update(2))]
    packets += [(0.045, syn.from_mn(syn.ike(32, 1, 0xABCD), 500))]
    syn.write(capture_of(loaded, run), packets)

    fig, data = timeline.timeline_figure(loaded, run)

    assert "IKEv1 quick 1 again" in texts(fig)
    assert [row[5] for row in data].count("Binding Update in ESP") == 2
    assert "3.15 s" in texts(fig)


def with_parts(tmp_path):
    """An open network with discovery, PANA with it, and IKE beside PANA."""
    variants = {"open": (0, 20, 30, 1, 5), "search": (20, 10, 30, 1, 5), "fast": (40, 0, 5, 1, 5)}
    found = {"open": {"discovery": 0.015}, "search": {"discovery": 0.5}, "fast": {"overlap": 0.01}}
    spec = "".join(f'[variants.{name}]\napproach = "static"\n' for name in variants)
    folder = results.create(tmp_path, "parts", f'name = "parts"\n{spec}')
    for number, (name, lengths) in enumerate(variants.items(), 1):
        times = {p: ms / 1e3 for p, ms in zip(PHASES, lengths, strict=True)}
        times["total"] = sum(times.values())
        run = Run(run=number, variant=name, seed=1, status="ok", phases=times, **found[name])
        results.append(folder, run)
    return results.load(folder)


def test_discovery_and_overlap_lie_within_their_phases(tmp_path):
    loaded = with_parts(tmp_path)

    for fig, data in (plots.phases_figure(loaded), curves.stacked_figure(loaded)):
        lengths = {
            (name, part): next(item for item in row if isinstance(item, float))
            for row in data
            for name in ("open", "search", "fast")
            for part in ("discovery", "overlap")
            if name in row and part in row
        }
        assert lengths == {
            ("open", "discovery"): 0.015,
            ("search", "discovery"): pytest.approx(0.01),  # No longer than its phase.
            ("fast", "overlap"): 0.01,
        }
        assert set(overlays.LEGEND.values()) <= set(texts(fig))


def test_nothing_within_phases_is_not_in_the_legend(folder):
    loaded = results.load(folder)

    for fig, _ in (plots.phases_figure(loaded), curves.stacked_figure(loaded)):
        assert not set(overlays.LEGEND.values()) & set(texts(fig))


@pytest.mark.usefixtures("one_format")
@pytest.mark.parametrize("seconds", [(0.0,), (1e15,), (0.0, 1.0)])
def test_what_took_no_time_is_drawn_and_what_took_ages(tmp_path, seconds):
    folder = sample.make(tmp_path, runs=2, captures=False)
    lines = [json.loads(line) for line in (folder / "runs.jsonl").read_text().splitlines()]
    for line, times in zip(lines, itertools.cycle(seconds)):
        if line.get("phases"):
            line["phases"] = dict.fromkeys(line["phases"], times)
    (folder / "runs.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    loaded = results.load(folder)
    assert {path.stem for path in plots.draw(loaded)} >= {"phases", "cdf"}
    report.write(loaded)


def test_a_phase_of_no_length_is_not_named(tmp_path):
    fig, _ = plots.phases_figure(with_parts(tmp_path))

    assert not [text for text in texts(fig) if "0.00" in text]
