"""What runs say of the claims of the paper and of docs/."""

import pytest

from testbed.analysis import claims
from testbed.analysis.claims import CONTRADICTED, NOT_SHOWN, SUPPORTED
from testbed.base.phases import PHASES, TOTAL
from testbed.base.places import PROJECT
from testbed.results import folder as results
from testbed.results.runs import Run
from testbed.trace.counts import Count
from tests.testbed import sample

HOME, LOCAL = "2001:db8:100::1", "2001:db8:200::1"
PHASED = dict.fromkeys([*PHASES, TOTAL], 0.1)
FAR_ONLY = {"links.access.delay": (0.1,), "links.core.delay": (0.1,)}


def judged(folder):
    return claims.findings([results.load(folder)])


def verdicts(folder):
    return [one.verdict for one in judged(folder)]


def test_the_claims_are_supported(tmp_path):
    found = judged(sample.swept(tmp_path, runs=4, slow=0))

    known = [one.verdict for one in found]
    assert known[:5] == [SUPPORTED, SUPPORTED, NOT_SHOWN, SUPPORTED, NOT_SHOWN]
    assert set(known[5:]) == {NOT_SHOWN}  # They are other experiments'.
    saved, infrastructure, _, fast, *_ = found
    assert saved.data["saved"] == 1
    assert saved.data["fitted"]["saved"] == pytest.approx(1, abs=0.15)
    low, high = saved.data["fitted"]["ci95"]
    assert 0 < low <= saved.data["fitted"]["saved"] <= high
    assert saved.data["dhcpv6_messages"] == [0, 2]
    assert "works without any DHCP server: 108 of 108 runs succeeded" in infrastructure.evidence
    assert infrastructure.data["with_dhcpv6"] == 2
    assert fast.data["ratio"] < 0.6
    assert fast.data["by"] == "the fits"


PANA_ONLY = {"pana-ikev2": (9, 7, 0.05)}


@pytest.mark.parametrize(
    ("dhcp", "counted", "expected"),
    [
        ((9, 7, 0.05), 9, CONTRADICTED),
        ((8, 7, 0.05), 8, CONTRADICTED),
        ((11, 7, 0.05), 11, CONTRADICTED),  # Two are not one.
        ((10, 7, 0.05), 10, SUPPORTED),
        ((10, 7, 0.05), 9, CONTRADICTED),
        ((9, 7, 0.05), 10, CONTRADICTED),  # The fit says otherwise.
        ((9.7, 7, 0.05), 10, CONTRADICTED),
    ],
)
def test_whether_pana_saves_an_exchange(tmp_path, dhcp, counted, expected):
    folder = sample.swept(tmp_path, slow=0, approaches=PANA_ONLY | {"dhcpv6-ikev2": dhcp})
    loaded = results.load(folder)
    for run in loaded.of("dhcpv6-ikev2"):
        run.traffic.links["access"].round_trips = counted

    assert claims.findings([loaded])[0].verdict == expected


def test_a_fit_that_does_not_tell_supports_nothing(tmp_path):
    folder = sample.swept(tmp_path, approaches=PANA_ONLY | {"dhcpv6-ikev2": (10, 7, 0.05)})
    loaded = results.load(folder)
    for i, run in enumerate(loaded.runs):
        run.phases["total"] += i % 7 / 5

    found = claims.findings([loaded])[0]

    low, high = found.data["fitted"]["ci95"]
    assert (found.verdict, low < 0 < high) == (NOT_SHOWN, True)


def test_one_approach_alone_shows_nothing_of_another(tmp_path):
    found = judged(sample.swept(tmp_path, approaches=PANA_ONLY))

    assert (found[0].verdict, found[3].verdict) == (NOT_SHOWN, NOT_SHOWN)
    assert "needs successful runs of pana-ikev2 and dhcpv6-ikev2" in found[0].evidence


def test_variants_must_differ_in_their_approach_alone(tmp_path):
    folder = sample.swept(tmp_path, runs=4, slow=0, settings="")

    saved, _, _, fast, *_ = judged(folder)
    assert saved.verdict == SUPPORTED  # Both detect duplicates.
    assert fast.verdict == NOT_SHOWN
    assert "duplicate_address_detection (True and False)" in fast.evidence

    spec = (folder / "spec.toml").read_text()
    at = spec.index("[variants.dhcpv6-ikev2]")
    (folder / "spec.toml").write_text(f"{spec[:at]}links.core.rate = 10.0\n{spec[at:]}")
    saved = judged(folder)[0]
    assert saved.verdict == NOT_SHOWN
    assert "links.core.rate (10.0 and 100.0)" in saved.evidence

    (folder / "spec.toml").write_text('approach = "pana-ikev1"\n' + spec.split("\n", 3)[3])
    assert judged(folder)[0].verdict == NOT_SHOWN  # No approach is known.


def test_a_pana_that_needs_dhcp(tmp_path):
    folder = sample.swept(tmp_path, runs=1, approaches={"pana-ikev2": (9, 7, 0.04)})
    loaded = results.load(folder)
    loaded.runs[3].traffic.links["access"].protocols["DHCPv6"] = Count(2, 200)

    assert claims.findings([loaded])[1].verdict == CONTRADICTED


def test_a_topology_with_a_dhcp_server_shows_nothing(tmp_path):
    folder = sample.swept(tmp_path, runs=1, approaches={"pana-ikev2": (9, 7, 0.04)}, failed=2)
    assert "7 of 9 runs succeeded" in judged(folder)[1].evidence

    spec = (folder / "spec.toml").read_text()
    (folder / "spec.toml").write_text(spec.replace('"paper"', '"dhcpv6"'))
    assert judged(folder)[1].verdict == NOT_SHOWN


def choice(tmp_path, outcomes):
    """Return findings on experiment ha-choice, whose variants came to some home agents."""
    spec = (PROJECT / "experiments" / "ha_choice.toml").read_text()
    folder = results.create(tmp_path, "ha-choice", spec)
    phases = dict.fromkeys([*PHASES, TOTAL], 0.1)
    for number, (variant, (named, reached)) in enumerate(outcomes.items(), 1):
        seen = sample.traffic(9, 7)
        seen.home_agents, seen.home_agent = [named], reached
        run = Run(run=number, variant=variant, seed=1, status="ok", phases=phases, traffic=seen)
        results.append(folder, run)
    return judged(folder)[2]


def test_the_aaah_chooses_where_there_is_a_choice(tmp_path):
    granted = {"either-rather-local": (LOCAL, LOCAL), "home": (HOME, HOME)}
    only_one = {"local-not-offered": (HOME, HOME)}
    overruled = {"local-not-allowed": (HOME, HOME), "either-rather-home": (HOME, HOME)}

    assert choice(tmp_path, granted | only_one).verdict == NOT_SHOWN
    found = choice(tmp_path, granted | only_one | overruled)
    assert found.verdict == SUPPORTED
    assert found.data == {
        "runs": 4,
        "registered_with_it": 4,
        "overruled": 2,
        "home_agents": [HOME, LOCAL],
    }
    disobeyed = granted | {"local-not-allowed": (HOME, LOCAL)}
    assert choice(tmp_path, disobeyed).verdict == CONTRADICTED


@pytest.mark.parametrize(("trips", "expected"), [((8, 7), CONTRADICTED), ((5, 4), SUPPORTED)])
@pytest.mark.parametrize(("grid", "runs"), [(sample.NEAR, 3), (FAR_ONLY, 6)])
def test_whether_pana_fast_is_fast(tmp_path, trips, expected, grid, runs):
    approaches = {"pana-ikev2": (9, 7, 0.04), "pana-fast": (*trips, 0.04)}
    folder = sample.swept(tmp_path, runs=runs, approaches=approaches, grid=grid, slow=0)

    found = judged(folder)[3]

    assert found.verdict == expected
    assert found.data["by"] == ("the fits" if grid is sample.NEAR else "the medians")
    assert found.data["ci95"][0] <= found.data["ratio"] <= found.data["ci95"][1]


@pytest.mark.parametrize(("grid", "runs"), [(FAR_ONLY, 5), ({"links.core.delay": (0.0, 0.05)}, 6)])
def test_too_few_or_too_near_runs_do_not_show_that_pana_fast_is_fast(tmp_path, grid, runs):
    grid = {"links.access.delay": (0.0,)} | grid
    found = judged(sample.swept(tmp_path, runs=runs, grid=grid))[3]

    assert found.verdict == NOT_SHOWN
    assert "6 runs" in found.evidence


def test_runs_without_counts_show_nothing(tmp_path):
    assert verdicts(sample.make(tmp_path, runs=2, captures=False)) == [NOT_SHOWN] * len(
        claims.CLAIMS
    )


def of(name, folder):
    return next(
        one for claim, one in zip(claims.CLAIMS, judged(folder), strict=True) if claim.name == name
    )


def shipped(tmp_path, experiment, statuses):
    """Return results of an experiment that ships; `statuses` are those of its variants' runs."""
    spec = (PROJECT / "experiments" / f"{experiment}.toml").read_text()
    folder = results.create(tmp_path, experiment.replace("_", "-"), spec)
    for number, (variant, status) in enumerate(statuses.items(), 1):
        results.append(
            folder, Run(run=number, variant=variant, seed=1, status=status, phases=PHASED)
        )
    return folder


def test_what_an_experiment_expects_is_judged_in_all_of_its_variants(tmp_path):
    good = {"access": "ok", "core": "expected"}

    found = of("outage", shipped(tmp_path / "good", "outage", good))
    assert (found.verdict, found.data["as_expected"]) == (SUPPORTED, 2)

    found = of("outage", shipped(tmp_path / "bad", "outage", good | {"core": "failed"}))
    assert (found.verdict, found.data["failed"]) == (CONTRADICTED, ["core"])

    found = of("outage", shipped(tmp_path / "part", "outage", {"access": "ok"}))
    assert (found.verdict, "without a run: core" in found.evidence) == (NOT_SHOWN, True)


@pytest.mark.parametrize(
    ("variant", "total", "name", "expected"),
    [
        ("resident", 1.1, "mostly-daemons", SUPPORTED),
        ("resident", 4.3, "mostly-daemons", CONTRADICTED),
        ("script", 1.1, "mostly-daemons", NOT_SHOWN),
        ("paper2006", 7.1, "like-the-paper", SUPPORTED),
        ("paper2006", 12.7, "like-the-paper", CONTRADICTED),
        ("paper2006", 4.1, "like-the-paper", CONTRADICTED),
        ("script", 8.4, "like-the-paper", NOT_SHOWN),
    ],
)
def test_totals_are_held_against_the_papers(tmp_path, variant, total, name, expected):
    folder = shipped(tmp_path, "paper", {})
    phases = dict.fromkeys(PHASES, 0.0) | {TOTAL: total}
    line = Run(run=1, variant=variant, seed=1, status="ok", phases=phases)
    results.append(folder, line)

    assert of(name, folder).verdict == expected
