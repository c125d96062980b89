"""What of an experiment cannot be carried out on a virtual clock, said before anything starts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from ipaddress import IPv6Interface
from pathlib import Path

from agents.approaches import Program
from agents.approaches.preparation import MOST_CERTIFICATES
from testbed.experiment.spec import Spec

MOST_MEMBERS = 10_000
"""Mobile nodes of which each is kept in a run's line; of more there is only what all came to."""

_ADDRESS = re.compile(r"ip -6 address add (?P<address>\S+) dev (?P<interface>\S+) nodad")


def added_address(script: str) -> tuple[str, IPv6Interface] | None:
    """Return interface and address of the one shell command that the simulator knows."""
    found = _ADDRESS.fullmatch(script.strip())
    try:
        return (found["interface"], IPv6Interface(found["address"])) if found else None
    except ValueError:
        return None


def obstacles(spec: Spec, can_run: Callable[[Program], bool]) -> list[tuple[str, str]]:
    """Return variants that cannot be simulated, and why; `can_run` tells of a program."""
    found: dict[tuple[str, str], None] = {}
    swept = [{path: v} for path, values in spec.experiment.sweep.items() for v in values]
    for there in [spec.at(point) for point in swept] or [spec]:
        for name in there.variants:
            found |= dict.fromkeys((name, why) for why in _of(there, name, can_run))
    return list(found)


def _of(spec: Spec, variant: str, can_run: Callable[[Program], bool]) -> Iterator[str]:
    settings = spec.settings(variant)
    if getattr(settings, "launch_mode", "resident") == "script":
        yield 'a launch script starts real programs: set settings.launch = "resident"'
    elif not settings.is_warm:
        yield "programs that begin cold have a real interpreter to warm up: leave out settings.warm"
    if spec.slows(variant):
        yield "slower processors are a kernel's: set settings.habits.processor_ghz = 0"
    if needs := settings.roles.needs:
        own = needs[0] in spec.approach(variant).NEEDS
        instead = "use another approach" if own else "leave out the roles of daemons"
        yield f"{needs[0]} is a real program: {instead}"
    if settings.diameter_tls:
        yield "streams have no TLS there: leave out settings.diameter_tls"
    few = spec.sample_topology(variant)
    composed = spec.approach(variant).compose(settings, few, Path(), Path())
    for program in composed:
        if not can_run(program):
            kind = program.module.removesuffix(".main").rpartition(".")[2].replace("_", " ")
            yield f"the {kind} on host {program.host} sends from real sockets"
    wanted, nodes = spec.variants[variant], spec.variants[variant].mobile_nodes
    if nodes > MOST_CERTIFICATES and wanted.simulation.public_keys == "real":
        yield (
            f"{nodes} mobile nodes: at most {MOST_CERTIFICATES} get certificates; set"
            ' simulation.public_keys = "model"'
        )
    if any(step.throughput for step in wanted.steps):
        yield (
            "throughput is measured by iperf3, a real program, and models of kernels take no time"
            " for payload: leave out steps with it"
        )
    for number, step in enumerate(wanted.steps):
        if step.run and added_address(step.run) is None:
            known = "only 'ip -6 address add ADDRESS dev INTERFACE nodad' is known"
            yield f"steps[{number}].run: there is no shell; {known}"
        if nodes > MOST_MEMBERS:
            yield f"steps[{number}]: of more than {MOST_MEMBERS} mobile nodes none is followed"
