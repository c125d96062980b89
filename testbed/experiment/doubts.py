"""What of an experiment can be carried out but is perhaps not meant, said before it starts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import msgspec

from testbed.experiment.spec import Spec, Variant
from testbed.experiment.steps import Expectation
from topologies.model import Topology


def doubts(spec: Spec) -> list[tuple[str, str]]:
    """Return variants of which something is doubtful, and what, in a sentence."""
    return [
        (name, what)
        for name, variant in spec.variants.items()
        for what in _of(variant, spec.topology(name))
    ]


def _of(variant: Variant, topology: Topology) -> Iterator[str]:
    if variant.expect and variant.expect.must and not _is_checked(variant.expect, variant):
        yield (
            "expect.must says what has to happen, and nothing checks it but that there is a"
            " bootstrap: add another expect.*, or steps that fail where it is not so"
        )
    for host, link in _left(variant, topology):
        what = f"link {link!r} of host {host} is cut" if link else f"host {host} is killed"
        undone = f"heal = {link!r}" if link else "start = true"
        yield f"{what} and stays so to the end: a later step of this host with {undone} undoes it"


def _is_checked(expect: Expectation, variant: Variant) -> bool:
    """Return whether anything but the bootstrap is looked at: steps fail where they cannot end."""
    return bool(variant.steps) or msgspec.structs.replace(expect, must="") != Expectation()


def _left(variant: Variant, topology: Topology) -> Iterator[tuple[str, str]]:
    """Yield what is cut, as host and link, or killed, as host alone, and never mended.

    Where another host can stand in for it, that is meant.
    """
    left: dict[tuple[str, str], None] = {}
    for step in variant.steps:
        if step.heal:
            left.pop((step.host, step.heal), None)
        if step.start:
            left.pop((step.host, ""), None)
        elif step.kill:
            left[step.host, ""] = None
        if step.cut and step.cut != step.heal:
            left[step.host, step.cut] = None
    roles = Counter(host.role for host in topology.hosts)
    alone = {host.name for host in topology.hosts if roles[host.role] == 1}
    yield from (one for one in left if one[0] in alone)
