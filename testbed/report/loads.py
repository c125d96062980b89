"""What strangers sent in an experiment, and what programs used: CPU time and peak memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from testbed.analysis.samples import summarise
from testbed.analysis.stats import phase_summaries, programs
from testbed.base.phases import TOTAL
from testbed.report import style
from testbed.results.folder import Results
from testbed.results.runs import Run
from testbed.trace.floods import octets_back

MIB = 1 << 20
STRANGERS = ("flooder", "attacker")
Rows = list[tuple[str, ...]]


def flood_rows(results: Results) -> tuple[list[str], Rows]:
    """Return a row per variant: runs that succeeded, the flood, and each attacked program's use."""
    used = {name: programs(results.of(name)) for name in results.variants}
    servers = [name for name in _names(used.values()) if not _is_other(name)]
    head = [
        "variant",
        "runs",
        "packets/s\n(answers)",
        "octets back\nfor one",
        "total",
        *(_two_lines(s) for s in servers),
    ]
    rows: Rows = []
    for name in results.variants:
        runs = results.of(name)
        total = phase_summaries(results, name).get(TOTAL)
        cells = [_use(used[name].get(server)) for server in servers]
        shown = "\n".join(filter(None, style.parts(total))) if total else "-"
        good = f"{len(results.succeeded(name))}/{len(runs)}"
        rows.append((name, good, _rate(runs), _amplification(runs), shown, *cells))
    return head, rows


def program_rows(results: Results) -> tuple[list[str], Rows]:
    """Return a row per program: what it used in each variant, as medians."""
    used = [programs(results.of(name)) for name in results.variants]
    # Simulated programs take seconds of this machine, and of a CPU of theirs no part.
    write = _seconds if results.manifest and results.manifest.lab == "sim" else _use
    rows = [(name, *(write(one.get(name)) for one in used)) for name in _names(used)]
    return ["median of a run", *results.variants], rows


def _names(used: Iterable[Mapping[str, object]]) -> list[str]:
    return list(dict.fromkeys(name for one in used for name in one))


def _is_other(program: str) -> bool:
    """Return whether a program is the mobile node's or a stranger's, and not attacked."""
    return program.endswith(("mobile_node", *STRANGERS))


def _two_lines(program: str) -> str:
    host, _, role = program.partition("-")
    return f"{host}\n{role.replace('_', ' ')}"


def _use(use: dict[str, float] | None) -> str:
    """Write the part of a CPU that a program took, and its peak memory."""
    if not use or not use["seconds"]:
        return "-"
    share = f"{100 * use['cpu'] / use['seconds']:.0f} % CPU"
    return f"{share}\n{use['memory'] / MIB:.0f} MiB" if "memory" in use else share


def _seconds(use: dict[str, float] | None) -> str:
    return f"{style.seconds(use['cpu'])} CPU" if use else "-"


def _amplification(runs: Sequence[Run]) -> str:
    """Write how many octets came back for one that a stranger sent; older results do not know."""
    back = [octets_back(run.flood) for run in runs if run.flood]
    found = summarise([one for one in back if one is not None])
    return f"{found.median:.2f}" if found else "-"


def _rate(runs: Sequence[Run]) -> str:
    floods = [run.flood for run in runs if run.flood and run.flood["seconds"]]
    sent = summarise([flood["sent"] / flood["seconds"] for flood in floods])
    answered = summarise([flood["answered"] / flood["seconds"] for flood in floods])
    return f"{sent.median:.0f}\n({answered.median:.0f})" if sent and answered else "none"
