"""The service times of simulated programs: measured on this machine, kept with the results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec

from agents.aaa.leases import LeaseError
from agents.approaches import Program
from agents.bench.services import hop, measure
from agents.simulation.laboratory import kind_of_program
from agents.simulation.services import Known, Service, Services, Took
from testbed.base.files import FORMAT, check_format, plain, write_json
from testbed.base.jsonl import DataError, read_json
from testbed.experiment.spec import PlannedRun, Spec
from testbed.results.manifest import cpu

FILE = "services.json"
Seconds = Annotated[float, msgspec.Meta(ge=0, le=60)]
Slowness = Annotated[float, msgspec.Meta(ge=0.01, le=1000)]


class _Event(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """One kind of event (agents.simulation.services.Known)."""

    protocol: int
    port: int
    message: str
    shortest: int
    longest: int
    sends: list[Seconds]
    total: Seconds

    @classmethod
    def of(cls, known: Known) -> _Event:
        """Return what is kept of an event."""
        took = known.took
        sends = [round(seconds, 7) for seconds in took.sends]
        return cls(*known.kind, known.shortest, known.longest, sends, round(took.total, 7))

    @property
    def known(self) -> Known:
        """The event as the simulator takes it."""
        took = Took(tuple(self.sends), self.total)
        kind = self.protocol, self.port, self.message
        return Known(*kind, self.shortest, self.longest, took)


class _With(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a variant's service times are measured with."""

    approach: str
    topology: str
    settings: dict[str, Any]

    @classmethod
    def of(cls, spec: Spec, planned: PlannedRun) -> _With:
        """Return that of a run, but for what many do at once, which changes no service time."""
        there, name = spec.at(planned.parameters), planned.variant
        settings = {**msgspec.to_builtins(there.settings(name)), "crowd": None}
        topology = there.small_topology(name).name
        return cls(approach=there.variants[name].approach, topology=topology, settings=settings)

    def differs(self, other: _With) -> Iterator[str]:
        """Yield the settings that are not the same."""
        for name in dict.fromkeys((*self.settings, *other.settings)):
            if self.settings.get(name) != other.settings.get(name):
                yield f"settings.{name}"


class ServiceTimes(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What programs take of a processor for each event, in seconds, and where that was measured.

    `hop` is what the kernel takes to hand one message on. `prepared` are the programs of each
    variant, by the name of what its runs share, measured with that which `measured_with` tells.
    Of the runs that they are used for `others` are the settings that differ from that. A lab's
    hosts are `slowness` times slower.
    """

    format: int = FORMAT
    cpu: str
    measured: str
    hop: Seconds
    slowness: Slowness = 1.0
    prepared: dict[str, dict[str, list[_Event]]]
    measured_with: dict[str, _With] = {}
    others: list[str] = []

    def __post_init__(self) -> None:
        check_format(self.format)

    @property
    def origin(self) -> str:
        """Where they are from, in words."""
        times = "" if self.slowness == 1 else f", times {self.slowness:g}"
        others = f", with other settings: {', '.join(self.others)}" if self.others else ""
        return f"measured {self.measured} on {self.cpu}{times}{others}"

    @property
    def forwarding(self) -> float:
        """Seconds that it takes to forward a packet."""
        return self.slowness * self.hop

    def of(self, shared: str) -> Callable[[Program], Service]:
        """Return what tells the service times of the programs of a run."""
        programs = {
            name: Services((event.known for event in events), self.hop, self.slowness)
            for name, events in self.prepared[shared].items()
        }
        nothing = Services((), self.hop, self.slowness)
        return lambda role: programs.get(kind_of_program(role), nothing)


def take(path: Path, spec: Spec, plan: Sequence[PlannedRun]) -> ServiceTimes:
    """Read what was kept of other runs; DataError if it has not all that the planned ones need."""
    times, wanted = read(path), {planned.shared: planned for planned in plan}
    lacks = sorted(what for one in wanted.values() for what in _lacks(times, spec, one))
    if lacks:
        raise DataError(f"{plain(path)}: it has no service times of {', '.join(lacks)}")
    times.others = sorted(set(_others(times, spec, wanted)))
    return times


def keep(
    folder: Path,
    spec: Spec,
    plan: Sequence[PlannedRun],
    taken: ServiceTimes | None = None,
    slowness: float | None = None,
) -> ServiceTimes:
    """Keep service times with the results; they are measured if none were taken.

    `slowness` is theirs if it is None. DataError or OSError if there is no room for any.
    """
    wanted = {planned.shared: planned for planned in plan}
    times = taken or ServiceTimes(
        cpu=cpu(),
        measured=datetime.now(UTC).isoformat(timespec="seconds"),
        hop=round(hop(), 7),
        prepared=_prepared(folder, spec, wanted),
        measured_with={shared: _With.of(spec, one) for shared, one in wanted.items()},
    )
    if slowness is not None:
        times.slowness = slowness
    write_json(folder / FILE, times)
    return times


def _prepared(
    folder: Path, spec: Spec, wanted: Mapping[str, PlannedRun]
) -> dict[str, dict[str, list[_Event]]]:
    """Measure what is wanted; one time for all that differ in what many do at once alone."""
    found: dict[str, dict[str, list[_Event]]] = {}
    known: dict[str, dict[str, list[_Event]]] = {}
    for shared, planned in wanted.items():
        key = repr(_With.of(spec, planned))
        if key not in known:
            known[key] = _measure(folder, spec.at(planned.parameters), planned)
        found[shared] = known[key]
    return found


def _others(times: ServiceTimes, spec: Spec, wanted: Mapping[str, PlannedRun]) -> Iterator[str]:
    """Yield what the runs have otherwise than what the service times were measured with."""
    for shared, planned in wanted.items():
        if before := times.measured_with.get(shared):
            yield from before.differs(_With.of(spec, planned))
        else:
            yield "not told"  # In files of before.


def _lacks(times: ServiceTimes, spec: Spec, planned: PlannedRun) -> Iterator[str]:
    """Yield what has no times: all of a variant, or some of its programs."""
    programs, before = times.prepared.get(planned.shared), times.measured_with.get(planned.shared)
    if programs is None:
        yield planned.shared
        return
    now = _With.of(spec, planned)
    for what in ("approach", "topology"):
        if before and getattr(before, what) != getattr(now, what):
            yield f"{planned.shared} with the {what} {getattr(now, what)}"
    there, name = spec.at(planned.parameters), planned.variant
    topology = there.small_topology(name)
    roles = there.approach(name).compose(there.settings(name), topology, Path(), Path())
    kinds = {kind_of_program(role).replace("fleet", "mobile_node") for role in roles}
    for program in sorted(kinds):
        if not programs.get(program):
            yield f"the {program.replace('_', ' ')} of {planned.shared}"


def _measure(folder: Path, there: Spec, planned: PlannedRun) -> dict[str, list[_Event]]:
    name, shared = planned.variant, folder / "shared" / planned.shared
    settings, topology = there.settings(name), there.small_topology(name)
    try:
        found = measure(there.approach(name), settings, topology, shared)
    except LeaseError as error:
        raise DataError(str(error)) from None
    return {program: [_Event.of(known) for known in events] for program, events in found.items()}


def read(path: Path) -> ServiceTimes:
    """Read what was kept; raises DataError."""
    times: ServiceTimes = read_json(path, ServiceTimes)
    return times
