"""Experiments: reading, checking and planning them."""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
import math
import random
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal, TypeVar

import msgspec

import topologies
from agents import approaches
from agents.approaches.roles import Roles
from agents.core.documents import DocumentError, absent, fit, listed, parse_toml, read, shown
from agents.core.settings import zero_or
from testbed.experiment import steps
from testbed.experiment.steps import MOST_SECONDS, Expectation, Seconds, Step, Text
from topologies import operator
from topologies.model import Shape, Topology

T = TypeVar("T")
_WARM_SECONDS, _COLD_SECONDS = 2.0, 8.0
_SLOWED = 3  # How many times longer it takes with slower processors and the waits of 2006.
EACH_SECONDS = 0.15
"""For each mobile node more than one, in user-mode Linux."""
_CYCLE_SECONDS = 0.25  # For each time that the steps are taken again.
_ONE_WAYS = 45  # How often a link is crossed by the bootstrap, and before it to measure the link.
_OPERATOR = operator.TOPOLOGY.name
SWEPT = ("links", "settings", "roles", "operator", "arrivals", "simulation")
TOGETHER = "links"  # May be swept as tables: several links and faults at once.
_PREPARED = ("settings.", "operator.")  # What is prepared depends on these.
_MOST_RUNS = 100_000  # Of one experiment in all; at 6 s a run they take a week.
_COMMON = (*SWEPT, "expect", "steps")
_MOST_SEED = (1 << 63) - 1
_SAID = 200  # Letters of an assignment that a message repeats.
Name = Annotated[
    str,
    msgspec.Meta(
        pattern=r"\A[a-z0-9][a-z0-9_-]*\Z",
        max_length=64,
        description="a name of up to 64 small letters, digits, - and _, not one of these in front",
    ),
]
Runs = Annotated[int, msgspec.Meta(ge=1, le=_MOST_RUNS)]
Delay = Annotated[
    float,
    msgspec.Meta(ge=0, le=0.9, description="seconds from 0 to 0.9, as in 0.010 for 10 ms"),
]


_MOST_LOSS = 50  # With more the harness could not measure links in time.
Percent = Annotated[float, msgspec.Meta(ge=0, le=100)]
Half = Annotated[float, msgspec.Meta(ge=0, le=_MOST_LOSS)]


class SpecError(Exception):
    """An experiment that cannot be run; the text says what is wrong and where."""


Attempts = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]


class LinkSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rate in Mbit/s (0: unlimited), one-way delay in seconds, faults in percent.

    They are those of topologies.model.Shape. The bounds are what can be set, and what can be
    measured before each run (testbed.run.probe).
    """

    rate: Annotated[float, msgspec.Meta(ge=0, le=1000)] = 100.0
    delay: Delay = 0.0
    loss: Half = 0.0
    burst_begins: Percent = 0.0
    burst_ends: Annotated[float, msgspec.Meta(ge=0.1, le=100)] = 100.0
    burst_loss: Percent = 100.0
    duplication: Percent = 0.0
    reordering: Percent = 0.0
    corruption: Half = 0.0

    def __post_init__(self) -> None:
        zero_or(0.1, rate=self.rate)
        shape = self.shape
        if shape.mean_loss > _MOST_LOSS:
            raise ValueError(
                f"with bursts {shape.mean_loss:.0f} % are lost in the long run; at most "
                f"{_MOST_LOSS} % may be: let them begin more rarely (burst_begins), end sooner "
                "(burst_ends), or lose less (burst_loss)"
            )
        if shape.reordering and not shape.delay:
            raise ValueError(
                "reordering without delay: what overtakes must have something to overtake; "
                "give the link a delay too"
            )

    @property
    def shape(self) -> Shape:
        """The same in a topology's words."""
        return Shape(**msgspec.structs.asdict(self))


class Operator(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many there are of each in the topology `operator`."""

    mobile_nodes: Annotated[int, msgspec.Meta(ge=1, le=operator.MOST["mobile_nodes"])] = 10
    access_routers: Annotated[int, msgspec.Meta(ge=1, le=operator.MOST["access_routers"])] = 1
    home_agents: Annotated[int, msgspec.Meta(ge=1, le=operator.MOST["home_agents"])] = 1


class Poisson(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Mobile nodes come one by one, at random: `rate` a second on average."""

    rate: Annotated[float, msgspec.Meta(gt=0, le=100_000)]

    def lasts(self, nodes: int) -> float:
        """Return the seconds in which so many come, on average."""
        return (nodes - 1) / self.rate

    def times(self, nodes: int, seed: int) -> list[float]:
        """Return when each of so many begins, in seconds after the first, in order."""
        rng = random.Random(seed)
        gaps = [rng.expovariate(self.rate) for _ in range(nodes - 1)]
        return [0.0, *itertools.accumulate(gaps)]


class Simulation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the sim lab alone has.

    Public keys are `real`, or a `model` whose messages are as long, for many mobile nodes. At a
    socket `receive_buffer` octets wait for its program at most, as Linux counts them; 0: any
    number. The home AAA server is `home_aaa_servers` that share their work and what they know. Up
    to so many mobile nodes their access routers' `captures` are kept.
    """

    public_keys: Literal["real", "model"] = "real"
    receive_buffer: Annotated[int, msgspec.Meta(ge=0, le=1 << 30)] = 212_992
    home_aaa_servers: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 1
    captures: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 200


Arrivals = Annotated[
    Literal["at once"] | Poisson,
    msgspec.Meta(description="'at once', or a table with the rate a second, as in {rate = 5.0}"),
]


class Variant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One way to run the bootstrap; of many mobile nodes, in the topology `operator`.

    A mobile node tries until it is bootstrapped; a run has failed when so many `attempts` have (0:
    any number, within `timeout`). `arrivals` says when each of many mobile nodes begins. Of an
    attack, `threat` says where in the RFCs it is foreseen. `roles` are those of real daemons. The
    `steps` are taken `cycles` times one after the other, and after every `sampled` times it is
    noted what is held (testbed.run.held).
    """

    approach: Name
    topology: Name
    timeout: Seconds
    runs: Runs
    attempts: Attempts
    description: Text = ""
    threat: Text = ""
    links: dict[str, LinkSettings] = {}
    settings: dict[str, Any] = {}
    roles: Roles = Roles()
    operator: Operator | None = None
    arrivals: Arrivals | None = None
    simulation: Simulation = Simulation()
    expect: Expectation | None = None
    steps: list[Step] = []
    cycles: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1
    sampled: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0

    def __post_init__(self) -> None:
        if (self.cycles > 1 or self.sampled) and not self.steps:
            raise ValueError("`cycles` and `sampled` are for `steps`; there are none")
        if self.sampled > self.cycles:
            raise ValueError(
                f"sampled: what is held would never be noted, for there are {self.cycles} cycles;"
                f" at most {self.cycles}"
            )
        if self.expect and self.expect.growth is not None and not self.sampled:
            raise ValueError(
                "expect.growth: it is noted nowhere what is held; set `sampled`, after how many"
                " cycles it is to be"
            )
        if (lasts := self.arriving) > MOST_SECONDS:
            raise ValueError(
                f"arrivals.rate: {self.mobile_nodes} mobile nodes would come within about "
                f"{lasts:.2g} s; at most {MOST_SECONDS} s, a day, are allowed: set a higher rate, "
                f"above {(self.mobile_nodes - 1) / MOST_SECONDS:.2g}"
            )

    @property
    def mobile_nodes(self) -> int:
        """How many there are."""
        if self.topology != _OPERATOR:
            return 1
        return (self.operator or Operator()).mobile_nodes

    @property
    def arriving(self) -> float:
        """Seconds in which all mobile nodes come, on average."""
        return self.arrivals.lasts(self.mobile_nodes) if isinstance(self.arrivals, Poisson) else 0.0

    @property
    def lasting(self) -> float:
        """Seconds that its steps take at least."""
        return self.cycles * sum(step.least for step in self.steps)

    def starts(self, nodes: int, seed: int) -> list[float]:
        """Return when each of so many mobile nodes begins, in seconds after the first."""
        if isinstance(self.arrivals, Poisson):
            return self.arrivals.times(nodes, seed)
        return [0.0] * nodes


class Experiment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An experiment's file: common values, and the variants that change some of them.

    In one that is `cumulative`, each variant adds one thing to the variant before it. One mobile
    node has one of the `attempts`, many have any number, unless they are said. A variant's own
    `steps` are in place of the common ones.
    """

    name: Name
    approach: Name
    topology: Name
    variants: Annotated[dict[Name, dict[str, Any]], msgspec.Meta(min_length=1)]
    title: Text = ""
    cumulative: bool = False
    runs: Runs = 10
    seed: Annotated[int, msgspec.Meta(ge=0, le=_MOST_SEED)] = 1
    timeout: Seconds = 60.0
    attempts: Attempts | None = None
    links: dict[str, LinkSettings] = {}
    settings: dict[str, Any] = {}
    roles: Roles = Roles()
    operator: Operator | None = None
    arrivals: Arrivals | None = None
    simulation: Simulation = Simulation()
    expect: Expectation | None = None
    steps: list[Step] = []
    sweep: dict[str, Annotated[list[Any], msgspec.Meta(min_length=1)]] = {}


Point = dict[str, Any]  # A point of a sweep's grid: values by their dotted paths.


class PlannedRun(msgspec.Struct, frozen=True):
    """One run: its number from 1, its variant, its seed, and its point of a sweep's grid."""

    run: int
    variant: str
    seed: int
    parameters: Point = {}

    @property
    def shared(self) -> str:
        """The name of the folder of what runs with the same settings share."""
        swept = {k: v for k, v in self.parameters.items() if k.startswith(_PREPARED)}
        if not swept:
            return self.variant
        digest = hashlib.sha256(json.dumps(swept, sort_keys=True).encode()).hexdigest()
        return f"{self.variant}-{digest[:12]}"


def _merge(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in change.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            merged[key] = _merge(old, value)
        else:
            merged[key] = value
    return merged


def _link_names(topology: Topology) -> Iterator[str]:
    """Yield what links can be called: by their kind, where there are several of it."""
    for link in topology.links:
        if link.kind != link.name:
            yield link.kind
        yield link.name


def _brief(text: str) -> str:
    """Return what somebody has written, as far as a message needs it."""
    return text if len(text) <= _SAID else f"{text[:_SAID]}... ({len(text)} letters)"


def parse_assignment(assignment: str, option: str = "--set") -> tuple[list[str], Any]:
    """Read one `key.subkey=value`; the value is TOML, or a string if it is not."""
    path, separator, text = assignment.partition("=")
    keys = _keys(path)
    if not separator or not keys:
        raise SpecError(
            f"{option} {_brief(assignment)}: expected KEY=VALUE, as in settings.launch=script"
        )
    try:
        document = parse_toml(f"value = {text}")
    except DocumentError:
        return keys, text
    return keys, document["value"] if len(document) == 1 else text


def _assign(document: dict[str, Any], assignment: str) -> None:
    keys, value = parse_assignment(assignment)
    path, said = ".".join(keys), _brief(assignment)
    swept = document.get("sweep")
    if isinstance(swept, Mapping) and path in swept:
        raise SpecError(
            f"--set {said}: without effect, for the experiment sweeps it; "
            f"use {_sweeping(path, assignment)}"
        )
    if keys[0] == "sweep" and len(keys) > 2:
        raise SpecError(
            f"--set {said}: what is swept has dots in its name and is quoted; "
            f"use {_sweeping('.'.join(keys[1:]), assignment)}"
        )
    variants = document.get("variants")
    own = variants.values() if isinstance(variants, Mapping) else ()
    if own and all(isinstance(v, Mapping) and _has(v, keys) for v in own):
        raise SpecError(
            f"--set {said}: without effect, for every variant sets it itself; "
            f"set variants.NAME.{path}"
        )
    named = keys[1] if keys[0] == "variants" and len(keys) > 1 else None
    if named is not None and isinstance(variants, Mapping) and named not in variants:
        raise SpecError(f"--set {said}: {absent(f'variant {named}', named, variants)}")
    _put(document, keys, value, f"--set {said}")


def _sweeping(path: str, assignment: str) -> str:
    """Return the option that sweeps what an assignment names, over the value that it has."""
    text = _brief(assignment.partition("=")[2]) or "VALUE, VALUE"
    values = text if text.startswith("[") else f"[{text}]"
    return "--set " + shlex.quote(f'sweep."{path}"={values}')


def _keys(path: str) -> list[str]:
    """Return the parts of a dotted key, which may be quoted; none if it is no TOML."""
    try:
        place: Any = parse_toml(f"{path} = 0")
    except DocumentError:
        return []
    keys = []
    while isinstance(place, dict) and len(place) == 1:
        [(key, place)] = place.items()
        keys.append(key)
    return keys if place == 0 else []


def _put(document: dict[str, Any], keys: Sequence[str], value: object, where: str) -> None:
    place = document
    for key in keys[:-1]:
        place = place.setdefault(key, {})
        if not isinstance(place, dict):
            raise SpecError(f"{where}: {key} is a value and has no parts")
    place[keys[-1]] = value


def _inmost(table: Mapping[str, Any]) -> Iterator[str]:
    """Yield the keys that lead to the first value in tables in tables."""
    for key, value in table.items():
        yield key
        if isinstance(value, Mapping):
            yield from _inmost(value)
        return


def _has(table: Mapping[str, Any], keys: Sequence[str]) -> bool:
    place: Any = table
    for key in keys:
        if not isinstance(place, Mapping) or key not in place:
            return False
        place = place[key]
    return True


class Spec:
    """A checked experiment: every variant's approach, topology and settings exist and fit."""

    def __init__(self, document: dict[str, Any], source: str) -> None:
        self.document = document
        self.source = source
        self._check_quoted()
        self.experiment = self._fit(document, Experiment, "")
        self.variants = {name: self._variant(name) for name in self.experiment.variants}
        for name in self.variants:
            self._check_composition(name)
        self._count(self.runs())
        for path, values in self.experiment.sweep.items():
            self._check_axis(path, values)

    def _fit(self, value: object, kind: type[T], where: str, place: str = "") -> T:
        try:
            return fit(value, kind, place)
        except DocumentError as error:
            raise SpecError(f"{self.source}: {where}{error}") from None

    def _check_composition(self, variant: str) -> None:
        """Refuse what the programs would, and that for which there is no host or link."""
        settings, topology = self.settings(variant), self.topology(variant)
        wanted = self.variants[variant]
        try:
            few = self.sample_topology(variant)
            programs = self.approach(variant).compose(settings, few, Path(), Path())
            steps.check(wanted.expect, wanted.steps, wanted.cycles, topology, programs)
        except (KeyError, ValueError) as error:
            text = error.args[0] if isinstance(error, KeyError) else error
            raise SpecError(f"{self.source}: variant {variant}: {text}") from None

    def runs(self, each: int | None = None) -> dict[str, int]:
        """Return how many runs each variant has at a point; `each` is for every variant."""
        return {name: each or variant.runs for name, variant in self.variants.items()}

    def _count(self, runs: Mapping[str, int]) -> None:
        """Refuse more runs than anybody can wait for, before they are written down."""
        points = math.prod(map(len, self.experiment.sweep.values()))
        if (total := points * sum(runs.values())) > _MOST_RUNS:
            at = f" at {points} points" if points > 1 else ""
            raise SpecError(
                f"{self.source}: {total} runs of {len(runs)} variants{at}; "
                f"at most {_MOST_RUNS} can be made"
            )

    def _check_quoted(self) -> None:
        """Refuse what is swept by tables in tables: TOML has them of a name that is not quoted."""
        sweep = self.document.get("sweep")
        for name, value in sweep.items() if isinstance(sweep, Mapping) else ():
            if isinstance(value, Mapping) and name in SWEPT:
                path = ".".join([name, *_inmost(value)])
                raise SpecError(
                    f"{self.source}: sweep: what is swept has dots in its name and is quoted; "
                    f'use "{path}" = [VALUE, VALUE]'
                )

    def _check_axis(self, path: str, values: Sequence[object]) -> None:
        where = f"{self.source}: sweep: {path}"
        keys = path.split(".")
        if keys[0] not in SWEPT or (len(keys) < 2 and path != TOGETHER) or not all(keys):
            allowed = " and ".join(f"{name}.*" for name in SWEPT)
            raise SpecError(f"{where}: only {allowed}, and {TOGETHER} as tables, can be swept")
        if any(value in values[:i] for i, value in enumerate(values)):
            raise SpecError(f"{where}: a value is there twice")
        for name, variant in self.experiment.variants.items():
            if _has(variant, keys):
                raise SpecError(f"{where}: variant {name} sets it too")
        for other in self.experiment.sweep:
            if other.startswith(f"{path}."):
                raise SpecError(f"{where}: {other}, which is swept too, is a part of it")

    def at(self, point: Point) -> Spec:
        """Return the experiment at a point of its grid, which is no sweep."""
        if not point and not self.experiment.sweep:
            return self
        document = copy.deepcopy({k: v for k, v in self.document.items() if k != "sweep"})
        for name in document["variants"]:
            for path, value in point.items():
                keys = ["variants", name, *path.split(".")]
                _put(document, keys, value, f"{self.source}: sweep: {path}")
        here = " and ".join(f"{path} = {shown(value)}" for path, value in point.items())
        return Spec(document, f"{self.source}: sweep: at {here}")

    @property
    def points(self) -> list[Point]:
        """The points of the grid in order; the one empty point if nothing is swept."""
        axes = self.experiment.sweep
        return [
            dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())
        ]

    @classmethod
    def load(cls, path: Path, assignments: Sequence[str] = (), *, every_point: bool = True) -> Spec:
        """Read a TOML file; SpecError if it is missing, is no TOML, or asks for the impossible.

        Of a sweep `every_point` is checked; what a results folder keeps has been.
        """
        try:
            document = parse_toml(read(path))
        except DocumentError as error:
            raise SpecError(f"{path}: {error}") from None
        for assignment in assignments:
            _assign(document, assignment)
        changes = "".join(f" --set {_brief(assignment)}" for assignment in assignments)
        spec = cls(document, f"{path} with{changes}" if changes else str(path))
        for point in spec.points if every_point and spec.experiment.sweep else ():
            spec.at(point)
        return spec

    @classmethod
    def of_approach(cls, approach: str, topology: str, assignments: Sequence[str] = ()) -> Spec:
        """Return an experiment of nothing but an approach in a topology; raises SpecError."""
        document: dict[str, Any] = {
            "name": topology,
            "approach": approach,
            "topology": topology,
            "variants": {approach: {}},
        }
        for assignment in assignments:
            _assign(document, assignment)
        return cls(document, f"approach {approach} in topology {topology}")

    def _variant(self, name: str) -> Variant:
        common: dict[str, Any] = {k: self.document[k] for k in _COMMON if k in self.document}
        common["approach"] = self.experiment.approach
        common["topology"] = self.experiment.topology
        common["timeout"] = self.experiment.timeout
        common["runs"] = self.experiment.runs
        merged = _merge(common, self.experiment.variants[name])
        usual = 0 if merged["topology"] == _OPERATOR else 1
        merged.setdefault(
            "attempts", usual if self.experiment.attempts is None else self.experiment.attempts
        )
        return self._fit(merged, Variant, f"variant {name}: ")

    def approach(self, variant: str) -> ModuleType:
        """Return the module of a variant's approach."""
        name = self.variants[variant].approach
        self._expect("approach", name, approaches.names())
        return approaches.load(name)

    def _expect(self, what: str, name: str, known: Sequence[str]) -> None:
        if name not in known:
            called = f'{what} called "{name}"'
            raise SpecError(f"{self.source}: {absent(called, name, known)}")

    def settings(self, variant: str) -> Any:
        """Return a variant's settings as its approach defines them."""
        wanted, kind = self.variants[variant], self.approach(variant).Settings
        if "roles" in wanted.settings:
            raise SpecError(
                f"{self.source}: variant {variant}: settings.roles: roles are no setting; they have"
                " a table of their own, as in roles.ike.initiator = 'strongswan'"
            )
        settings = self._fit(wanted.settings, kind, f"variant {variant}: ", "settings")
        return msgspec.structs.replace(settings, roles=wanted.roles)

    def topology(self, variant: str) -> Topology:
        """Return a variant's topology with its links shaped as asked."""
        return self._topology(variant, self.variants[variant].operator)

    def sample_topology(self, variant: str) -> Topology:
        """Return a variant's topology with one mobile node behind each access router."""
        wanted = self.variants[variant].operator
        if self.variants[variant].topology != _OPERATOR:
            return self.topology(variant)
        there = wanted or Operator()
        return self._topology(
            variant, msgspec.structs.replace(there, mobile_nodes=there.access_routers)
        )

    def small_topology(self, variant: str) -> Topology:
        """Return a variant's topology with one mobile node and one access router at most.

        All home agents stay, which settings may name.
        """
        wanted = self.variants[variant]
        if wanted.topology != _OPERATOR:
            return self._topology(variant, None)
        agents = (wanted.operator or Operator()).home_agents
        return self._topology(variant, Operator(1, home_agents=agents))

    def _topology(self, variant: str, parameters: Operator | None) -> Topology:
        wanted = self.variants[variant]
        self._expect("topology", wanted.topology, topologies.names())
        for name, unless in (("operator", None), ("arrivals", None), ("simulation", Simulation())):
            if getattr(wanted, name) != unless and wanted.topology != _OPERATOR:
                raise SpecError(
                    f"{self.source}: variant {variant}: {name}: only the topology {_OPERATOR} has "
                    f"many mobile nodes; this one is {wanted.topology}"
                )
        chosen = msgspec.structs.asdict(parameters) if parameters else {}
        topology = topologies.load(wanted.topology, **chosen)
        shapes = {name: link.shape for name, link in wanted.links.items()}
        try:
            return topology.with_links(shapes)
        except KeyError as error:
            raise SpecError(
                f"{self.source}: variant {variant}: links: {error.args[0]}; "
                f"use one of {listed(dict.fromkeys(_link_names(topology)))}"
            ) from None

    def slows(self, variant: str) -> bool:
        """Return whether a variant's hosts have slower processors."""
        return bool(getattr(self.settings(variant), "processor_ghz", 0.0))

    def needs(self) -> set[str]:
        """Return the features and tools that the variants need, by the doctor's names."""
        needs: set[str] = set()
        swept = [{path: v} for path, values in self.experiment.sweep.items() for v in values]
        for spec in [self.at(point) for point in swept] or [self]:
            for name in spec.variants:
                roles = spec.variants[name].roles
                needs |= {*spec.approach(name).NEEDS, *roles.needs} - {*roles.replaced}
                needs |= {"cgroup_cpu"} if spec.slows(name) else set()
                accounts = getattr(spec.settings(name), "accounting", False)
                needs |= {"cls_flower"} if accounts else set()
                transfers = any(step.throughput for step in spec.variants[name].steps)
                needs |= {"iperf3"} if transfers else set()
                links = spec.topology(name).links
                needs |= {"bridge"} if any(link.is_bridged for link in links) else set()
                shapes = [link.shape for link in links]
                needs |= {"sch_htb"} if any(s.rate for s in shapes) else set()
                needs |= {"sch_netem"} if any(s.delay or s.is_faulty for s in shapes) else set()
        return needs

    def plan(self, runs: int | None = None, seed: int | None = None) -> list[PlannedRun]:
        """Return the runs in blocks of one run per variant and point, each in random order.

        A variant with fewer runs than others is in some blocks only, evenly spread. `runs` is for
        every variant.
        """
        each = self.runs(runs)
        self._count(each)
        seed = self.experiment.seed if seed is None else seed
        if seed > _MOST_SEED:
            raise SpecError(f"a seed of {seed}: at most {_MOST_SEED} is allowed")
        rng = random.Random(seed)
        points = self.points
        blocks = max(each.values())
        plan: list[PlannedRun] = []
        for i in range(blocks):
            now = [name for name, n in each.items() if (i + 1) * n // blocks > i * n // blocks]
            block = [(name, point) for point in points for name in now]
            rng.shuffle(block)
            plan += [
                PlannedRun(len(plan) + offset, name, rng.getrandbits(32), point)
                for offset, (name, point) in enumerate(block, 1)
            ]
        return plan

    def durations(self, plan: Sequence[PlannedRun]) -> list[float]:
        """Return about how many seconds each run takes in user-mode Linux.

        It takes less natively, and several times as long on an emulated processor.
        """
        points = {json.dumps(run.parameters, sort_keys=True): run.parameters for run in plan}
        seconds = {}
        for key, point in points.items():
            there = self.at(point)
            for name in there.variants:
                topology = there.topology(name)
                delays = sum({link.kind: link.shape.delay for link in topology.links}.values())
                factor = _SLOWED if there.slows(name) else 1
                own = _WARM_SECONDS if there.settings(name).is_warm else _COLD_SECONDS
                variant = there.variants[name]
                more = max(EACH_SECONDS * (variant.mobile_nodes - 1), variant.arriving)
                steps = variant.lasting + _CYCLE_SECONDS * (variant.cycles - 1)
                seconds[key, name] = factor * own + _ONE_WAYS * delays + more + steps
        return [seconds[json.dumps(r.parameters, sort_keys=True), r.variant] for r in plan]
