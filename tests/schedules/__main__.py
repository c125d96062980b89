"""Carries out schedules by their seeds, on all processors; prints those that fail, minimised.

python -m tests.schedules --count 100000          seeds 0 to 99,999, their scenes in turn
python -m tests.schedules --seed 17               one of them, with all that is told
python -m tests.schedules --scene static --seed 17 --faults 0,3    only two of its faults
"""

import argparse
import gc
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from enum import Enum
from functools import partial

from testbed.base.words import several
from tests.numbers import whole
from tests.schedules.carried_out import carry_out
from tests.schedules.minimise import minimise
from tests.schedules.scenes import NAMES, scene
from tests.schedules.schedule import draw

_CHUNK = 10
_SHOWN = 10
"""Failures that are minimised and shown at most; all are counted."""


def schedule_of(seed, name=None):
    """Return the schedule of a seed; scenes take turns unless one is named."""
    return draw(seed, scene(name or NAMES[seed % len(NAMES)]))


def _carried_out(seeds, name):
    gc.collect()  # Here, and not amid a schedule: a sixth of the time was the collector's.
    return [carry_out(schedule_of(seed, name)) for seed in seeds]


def fewest_faults(outcome):
    """Return the schedule of a failure, with as few faults as break the same invariant."""
    return minimise(outcome.schedule, lambda fewer: carry_out(fewer).broken == outcome.broken)


def _show(outcome):
    whole = outcome.schedule
    again = f".venv/bin/python -m tests.schedules --scene {whole.scene!r} --seed {whole.seed}"
    print(f"\nseed {whole.seed}: {outcome.reason}\n  again: {again}", flush=True)
    fewest = fewest_faults(outcome)
    kept = ",".join(str(n) for n, fault in enumerate(whole.faults) if fault in fewest.faults)
    print(f"  with {len(fewest.faults)} of {len(whole.faults)} faults: {again} --faults {kept}")
    print(f"  {fewest}\n  as a test: {fewest!r}", flush=True)


def _tell(now, host, agent, name, told):
    if name != "Discarded":
        more = told.items() if isinstance(told, dict) else ()
        shown = (f"{key}: {_plain(value)}" for key, value in more)
        print(f"{now:10.4f} s {host} {agent} {name}", *shown, sep="  ")


def _plain(value):
    """Write a value of an event for people."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, tuple | list | set | frozenset):
        return ", ".join(map(_plain, value)) or "none"
    return str(value)


def _numbers(text):
    try:
        return {int(number) for number in text.split(",") if number}
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text}: use numbers of faults, as in 0,3,4") from None


def _one(seed, name, faults):
    schedule = schedule_of(seed, name)
    if faults is not None:
        schedule = schedule.with_faults(f for i, f in enumerate(schedule.faults) if i in faults)
    print(schedule)
    outcome = carry_out(schedule, _tell)
    recovered = f"all answered {outcome.recovered:.1f} s after the last fault was healed"
    print(outcome.reason or f"all invariants hold; {recovered}")
    return int(outcome.broken is not None)


def _prepare_process():
    gc.freeze()
    gc.disable()


def _many(first, count, name, jobs):
    for one in (name,) if name else NAMES:  # Before the processes are: they share what is prepared.
        scene(one)
    chunks = [
        range(at, min(at + _CHUNK, first + count)) for at in range(first, first + count, _CHUNK)
    ]
    begun, done = time.monotonic(), 0
    broken, whole_ones, slowest = Counter(), Counter(), Counter()
    with ProcessPoolExecutor(jobs, initializer=_prepare_process) as pool:
        for outcomes in pool.map(partial(_carried_out, name=name), chunks):
            for outcome in outcomes:
                done += 1
                where = outcome.schedule.scene
                if outcome.broken is None:
                    whole_ones[where] += 1
                    slowest[where] = max(slowest[where], outcome.recovered)
                    continue
                broken[outcome.broken] += 1
                if broken.total() <= _SHOWN:
                    _show(outcome)
            _progress(done, count, broken, begun)
    print(f"\n{done} schedules, {broken.total()} of them failed")
    print(
        "after how many seconds, since the last fault was healed, all mobile nodes answered again:"
    )
    for where, seconds in slowest.items():
        of = several(whole_ones[where], "schedule")
        print(f"  {where}: {seconds:.0f} s at the longest, of {of}")
    return int(bool(broken))


def _progress(done, count, broken, begun):
    rate = done / (time.monotonic() - begun)
    text = f"{done} of {count} schedules, {rate:.1f} a second, {broken.total()} failed"
    end = "\r" if sys.stdout.isatty() else "\n"
    if end == "\r" or done % 100 < _CHUNK:
        print(text, end=end, flush=True)


def main(arguments=None):
    """Run the program; return its exit status."""
    parser = argparse.ArgumentParser(prog="tests.schedules", description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=whole(1), default=1000, help="how many schedules (1000)")
    parser.add_argument("--first", type=whole(0), default=0, help="the first seed (0)")
    parser.add_argument(
        "--seed", type=whole(0), help="carry out this one alone, and tell what happens"
    )
    parser.add_argument(
        "--faults", type=_numbers, help="of that only the faults with these numbers, as 0,3,4"
    )
    parser.add_argument("--scene", choices=NAMES, help="one scene; they take turns otherwise")
    parser.add_argument(
        "--jobs", type=whole(1), default=os.cpu_count(), help="processes (all CPUs)"
    )
    options = parser.parse_args(arguments)
    if options.seed is not None:
        return _one(options.seed, options.scene, options.faults)
    return _many(options.first, options.count, options.scene, options.jobs)


if __name__ == "__main__":
    sys.exit(main())
