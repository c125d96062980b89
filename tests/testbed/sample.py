"""A results folder as an experiment leaves it."""

import itertools
import random

from testbed.base.phases import PHASES
from testbed.results import folder as results
from testbed.results.manifest import begin_manifest, end_manifest
from testbed.results.runs import Run
from testbed.trace.counts import Count, LinkTraffic, Traffic
from tests.testbed import synthesis as syn

# Phase lengths in milliseconds.
VARIANTS = {
    "script": (21, 1900, 31, 24, 1012),
    "resident": (20, 1.2, 27, 0.9, 1006),
    "resident-no-dad": (19.5, 1.1, 26, 0.8, 3.4),
}
BASE = 'name = "paper"\napproach = "pana-ikev1"\ntopology = "paper"\n'
NEAR = {"links.access.delay": (0.0, 0.1), "links.core.delay": (0.0, 0.1)}
"""Delays of a small sweep, in seconds."""
SPEC = BASE + "".join(f"[variants.{name}]\n" for name in VARIANTS)


def lengths(milliseconds, rng):
    return {
        p: ms / 1e3 * rng.uniform(0.93, 1.15) for p, ms in zip(PHASES, milliseconds, strict=True)
    }


def marks(phases):
    ends, end = [], 0.0
    for name in PHASES:
        end += phases[name]
        ends.append(end)
    return tuple(ends)


def make(root, runs=10, failed=1, variants=VARIANTS, captures=True):
    """Write an experiment of `runs` per variant, in random order; return its folder."""
    rng = random.Random(7)
    spec = BASE + "".join(f"[variants.{name}]\n" for name in variants)
    folder = results.create(root, "paper", spec, "20260101T000000Z")
    manifest = begin_manifest(
        folder,
        lab="uml",
        seed=7,
        delays_asked={"A-B": 0.0},
    )
    manifest.delays_measured = {"A-B": 0.0001}
    plan = [name for name in variants for _ in range(runs)]
    rng.shuffle(plan)
    for number, variant in enumerate(plan, 1):
        phases = lengths(variants[variant], rng)
        phases["total"] = sum(phases.values())
        run = results.make_run_folder(folder, number)
        ends = marks(phases)
        if captures:
            syn.write(run / "captures" / "A.pcapng", syn.bootstrap(ends, phases["total"] + 0.004))
        line = Run(
            run=number,
            variant=variant,
            seed=7,
            status="ok",
            phases=phases,
            event_phases={name: value + 0.0002 for name, value in phases.items()},
            first_packet=phases["total"] + 0.004,
            warm=variant != "script",
            costs={"setup": 0.4, "teardown": 0.2, "bootstrap": phases["total"]},
        )
        if number <= failed:
            line = Run(
                run=number, variant=variant, seed=7, status="failed", reason="timed out <in> IKE"
            )
        results.append(folder, line)
    end_manifest(folder, manifest)
    return folder


# Round trips over the access and the core link, and what else a bootstrap takes in seconds.
APPROACHES = {
    "pana-ikev1": (11, 9, 0.05),
    "pana-ikev2": (9, 7, 0.045),
    "dhcpv6-ikev2": (10, 7, 0.05),
    "pana-fast": (5, 4, 0.04),
}
FAIR = "settings.duplicate_address_detection = false\n"
GRID = {"links.access.delay": (0.0, 0.02, 0.1), "links.core.delay": (0.0, 0.05, 0.1)}


def traffic(access, core, dhcpv6=0):
    protocols = {"PANA": Count(13, 3438), "IKEv2": Count(4, 1200), "MIPv6": Count(2, 316)}
    if dhcpv6:
        protocols["DHCPv6"] = Count(dhcpv6, 300)
    home_agent = "2001:db8:100::1"
    return Traffic(
        {
            "access": LinkTraffic(access, protocols),
            "core": LinkTraffic(core, {"TCP": Count(4, 344)}),
        },
        [home_agent],
        home_agent,
    )


def swept(root, runs=2, approaches=APPROACHES, grid=GRID, slow=0.05, failed=0, settings=FAIR):
    """Write a sweep whose totals follow from round trips; a share of `slow` runs takes 1 s more."""
    rng = random.Random(11)
    spec = (
        'name = "rtt"\napproach = "pana-ikev1"\ntopology = "paper"\n'
        + settings
        + "".join(
            f'[variants.{name}]\napproach = "{name}"\n'
            + ('topology = "dhcpv6"\n' if name == "dhcpv6-ikev2" else "")
            for name in approaches
        )
    )
    folder = results.create(root, "rtt", spec, "20260101T000000Z")
    manifest = begin_manifest(folder, lab="uml", seed=7)
    paths = list(grid)
    points = [dict(zip(paths, values, strict=True)) for values in itertools.product(*grid.values())]
    plan = [(name, point) for name in approaches for point in points for _ in range(runs)]
    rng.shuffle(plan)
    for number, (name, point) in enumerate(plan, 1):
        access, core, rest = approaches[name]
        delays = {path.split(".")[1]: delay for path, delay in point.items()}
        measured = {link: {"delay": delay + 3e-5} for link, delay in delays.items()}
        trips = {"access": access, "core": core}
        total = rest * rng.uniform(0.95, 1.2) + (rng.random() < slow)
        total += sum(2 * trips[link] * one["delay"] for link, one in measured.items())
        shares = (0.5, 0.01, 0.3, 0.01, 0.18)
        phases = {p: total * share for p, share in zip(PHASES, shares, strict=True)}
        line = Run(
            run=number,
            variant=name,
            seed=number,
            status="failed" if number <= failed else "ok",
            reason="no answer" if number <= failed else None,
            phases=None if number <= failed else phases | {"total": total},
            measured=measured,
            parameters=point,
            traffic=None
            if number <= failed
            else traffic(round(access), round(core), 2 * (name[0] == "d")),
        )
        results.append(folder, line)
    end_manifest(folder, manifest)
    return folder
