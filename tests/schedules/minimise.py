"""The fewest faults with which a schedule still fails (Zeller's ddmin)."""

from dataclasses import replace


def minimise(schedule, fails):
    """Return a schedule with some of the faults, of which none can be left out.

    `fails` tells whether a schedule still does.
    """
    faults, parts = list(schedule.faults), 2
    while faults:
        size = -(-len(faults) // parts)
        for start in range(0, len(faults), size):
            fewer = faults[:start] + faults[start + size :]
            if fails(schedule.with_faults(fewer)):
                faults, parts = fewer, max(parts - 1, 2)
                break
        else:
            if size == 1:
                break
            parts = min(2 * parts, len(faults))
    return _with_fewer_nodes(schedule.with_faults(faults), fails)


def _with_fewer_nodes(schedule, fails):
    """Leave out mobile nodes from the last one on, as long as that changes nothing."""
    while len(schedule.starts) > 1:
        fewer = replace(schedule, starts=schedule.starts[:-1])
        if not fails(fewer):
            break
        schedule = fewer
    return schedule
