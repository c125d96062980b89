"""A results folder as an experiment leaves it."""

import random

from testbed import results
from testbed.phases import PHASES
from testbed.results import Run
from tests.testbed import synthesis as syn

# Phase lengths in milliseconds.
VARIANTS = {
    "script": (21, 1900, 31, 24, 1012),
    "resident": (20, 1.2, 27, 0.9, 1006),
    "resident-no-dad": (19.5, 1.1, 26, 0.8, 3.4),
}
SPEC = 'name = "paper"\n[variants.script]\n[variants.resident]\n[variants.resident-no-dad]\n'


def lengths(variant, rng):
    return {
        p: ms / 1e3 * rng.uniform(0.93, 1.15)
        for p, ms in zip(PHASES, VARIANTS[variant], strict=True)
    }


def marks(phases):
    ends, end = [], 0.0
    for name in PHASES:
        end += phases[name]
        ends.append(end)
    return tuple(ends)


def make(root, runs=10, failed=1, variants=VARIANTS, captures=True):
    """Write an experiment of `runs` a variant, in random order; return its folder."""
    rng = random.Random(7)
    folder = results.create(root, "paper", SPEC, "20260101T000000Z")
    manifest = results.begin_manifest(
        folder,
        lab="uml",
        seed=7,
        features={"esp6": True},
        delays_asked={"A-B": 0.0},
        delays_measured={"A-B": 0.0001},
    )
    plan = [name for name in variants for _ in range(runs)]
    rng.shuffle(plan)
    for number, variant in enumerate(plan, 1):
        phases = lengths(variant, rng)
        phases["total"] = sum(phases.values())
        run = results.run_folder(folder, number)
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
            costs={"setup": 0.4, "teardown": 0.2, "bootstrap": phases["total"]},
        )
        if number <= failed:
            line = Run(
                run=number, variant=variant, seed=7, status="failed", reason="timed out <in> IKE"
            )
        results.append(folder, line)
    results.end_manifest(folder, manifest)
    return folder
