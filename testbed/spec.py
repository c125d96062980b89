"""Experiments: reading, checking and planning them."""

from __future__ import annotations

import copy
import hashlib
import importlib
import itertools
import json
import random
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import msgspec

from topologies.model import Shape, Topology

_RUN_SECONDS = 6.0
_SLOWED = 3  # How many times longer it takes with slower processors and the waits of 2006.
_ONE_WAYS = 60  # How often a link is crossed by the bootstrap, and before it to measure the link.
_SWEPT = ("links", "settings")
_NAME = r"^[a-z0-9][a-z0-9_-]*$"
Name = Annotated[str, msgspec.Meta(pattern=_NAME)]
Runs = Annotated[int, msgspec.Meta(ge=1, le=100_000)]
Positive = Annotated[float, msgspec.Meta(gt=0, le=86400)]


class SpecError(Exception):
    """An experiment that cannot be run; the text says what is wrong and where."""


class LinkSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rate in Mbit/s (0: unlimited), one-way delay in seconds, loss in percent."""

    rate: Annotated[float, msgspec.Meta(ge=0, le=100_000)] = 100.0
    delay: Annotated[float, msgspec.Meta(ge=0, le=10)] = 0.0
    loss: Annotated[float, msgspec.Meta(ge=0, lt=100)] = 0.0


class Expectation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a run must come to, where that is not simply a bootstrap.

    `event` ("B Impersonated": host and event) ends the run well as soon as it is seen. `reason`, a
    regular expression, is what the bootstrap must fail for. `home_agent` is the address of the one
    that the mobile node must end up with. `silence` is how long, in seconds, the correspondent node
    may get no answer while steps are carried out, `lost` how many of its packets may stay without.
    """

    event: str = ""
    reason: str = ""
    home_agent: str = ""
    silence: Annotated[float, msgspec.Meta(gt=0)] | None = None
    lost: Annotated[int, msgspec.Meta(ge=0)] | None = None


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a host does after the bootstrap; traffic from the correspondent node goes on meanwhile.

    `run` is a shell command in the host, `command` a line for its role. The step is over with the
    event `until` ("A PingAnswered": host and event), for which it has `timeout` seconds, and when
    `packets` more of the traffic were answered. The traffic is judged up to the first step that
    `cuts` it.
    """

    host: str
    command: str = ""
    run: str = ""
    until: str = ""
    packets: Annotated[int, msgspec.Meta(ge=0)] = 0
    timeout: Positive = 15.0
    cuts: bool = False


class Variant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One way to run the bootstrap."""

    approach: Name
    topology: Name
    timeout: Positive
    runs: Runs
    description: str = ""
    links: dict[str, LinkSettings] = {}
    settings: dict[str, Any] = {}
    expect: Expectation | None = None
    steps: list[Step] = []

    def __post_init__(self) -> None:
        if self.expect and self.expect.reason:
            try:
                re.compile(self.expect.reason)
            except re.error as error:
                raise ValueError(f"expect.reason: {error}") from None


class Experiment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An experiment's file: common values, and the variants that change some of them.

    In one that is `cumulative`, each variant adds one thing to the variant before it.
    """

    name: Name
    approach: Name
    topology: Name
    variants: Annotated[dict[Name, dict[str, Any]], msgspec.Meta(min_length=1)]
    title: str = ""
    cumulative: bool = False
    runs: Runs = 10
    seed: Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)] = 1
    timeout: Positive = 60.0
    links: dict[str, LinkSettings] = {}
    settings: dict[str, Any] = {}
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
        swept = {k: v for k, v in self.parameters.items() if k.startswith("settings.")}
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


def parse_assignment(assignment: str, option: str = "--set") -> tuple[list[str], Any]:
    """Read one `key.subkey=value`; the value is TOML, or a string if it is not."""
    path, separator, text = assignment.partition("=")
    keys = _keys(path)
    if not separator or not keys:
        raise SpecError(f"{option} {assignment}: expected KEY=VALUE, as in settings.launch=script")
    try:
        return keys, tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return keys, text


def _assign(document: dict[str, Any], assignment: str) -> None:
    keys, value = parse_assignment(assignment)
    variants = document.get("variants")
    own = variants.values() if isinstance(variants, Mapping) else ()
    if own and all(isinstance(v, Mapping) and _has(v, keys) for v in own):
        path = ".".join(keys)
        raise SpecError(
            f"--set {assignment}: without effect, for every variant sets it itself; "
            f"set variants.NAME.{path}"
        )
    _put(document, keys, value, f"--set {assignment}")


def _keys(path: str) -> list[str]:
    """Return the parts of a dotted key, which may be quoted; none if it is no TOML."""
    try:
        place: Any = tomllib.loads(f"{path} = 0")
    except tomllib.TOMLDecodeError:
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


def _has(table: Mapping[str, Any], keys: Sequence[str]) -> bool:
    place: Any = table
    for key in keys:
        if not isinstance(place, Mapping) or key not in place:
            return False
        place = place[key]
    return True


def _convert(value: object, kind: Any, where: str) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        text = str(error).replace("Object ", "Table ")
        message, _, path = text.partition(" - at ")
        place = re.sub(r"^`(?:key in )?\$\.?|`$", "", path)
        raise SpecError(f"{where}: {f'{place}: ' if place else ''}{message}") from None


def _check_links(table: Mapping[str, Any], where: str) -> None:
    """Check each link by itself: msgspec does not name the key of a dictionary's bad value."""
    links = table.get("links")
    for name, settings in links.items() if isinstance(links, Mapping) else ():
        _convert(settings, LinkSettings, f"{where}: links.{name}")


class Spec:
    """A checked experiment: every variant's approach, topology and settings exist and fit."""

    def __init__(self, document: dict[str, Any], source: str) -> None:
        self.document = document
        self.source = source
        _check_links(document, source)
        self.experiment: Experiment = _convert(document, Experiment, source)
        self.variants = {name: self._variant(name) for name in self.experiment.variants}
        for name in self.variants:
            self._check_composition(name)
        for path, values in self.experiment.sweep.items():
            self._check_axis(path, values)

    def _check_composition(self, variant: str) -> None:
        """Refuse settings for which the topology lacks a host or a link."""
        settings, topology = self.settings(variant), self.topology(variant)
        try:
            self.approach(variant).compose(settings, topology, Path(), Path())
        except KeyError as error:
            raise SpecError(f"{self.source}: variant {variant}: {error.args[0]}") from None

    def _check_axis(self, path: str, values: Sequence[object]) -> None:
        where = f"{self.source}: sweep: {path}"
        keys = path.split(".")
        if keys[0] not in _SWEPT or len(keys) < 2 or not all(keys):
            raise SpecError(f"{where}: only links.* and settings.* can be swept")
        if any(value in values[:i] for i, value in enumerate(values)):
            raise SpecError(f"{where}: a value is there twice")
        for name, variant in self.experiment.variants.items():
            if _has(variant, keys):
                raise SpecError(f"{where}: variant {name} sets it too")
        for value in values:
            self.at({path: value})

    def at(self, point: Point) -> Spec:
        """Return the experiment at a point of its grid, which is no sweep."""
        if not point and not self.experiment.sweep:
            return self
        document = copy.deepcopy({k: v for k, v in self.document.items() if k != "sweep"})
        for name in document["variants"]:
            for path, value in point.items():
                keys = ["variants", name, *path.split(".")]
                _put(document, keys, value, f"{self.source}: sweep: {path}")
        return Spec(document, self.source)

    @property
    def points(self) -> list[Point]:
        """The points of the grid in order; the one empty point if nothing is swept."""
        axes = self.experiment.sweep
        return [
            dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())
        ]

    @classmethod
    def load(cls, path: Path, assignments: Sequence[str] = ()) -> Spec:
        """Read a TOML file; SpecError if it is missing, is no TOML, or asks for the impossible."""
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise SpecError(f"{path}: there is no such experiment") from None
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise SpecError(f"{path}: {error}") from None
        for assignment in assignments:
            _assign(document, assignment)
        return cls(document, str(path))

    def _variant(self, name: str) -> Variant:
        common: dict[str, Any] = {
            k: self.document[k] for k in ("links", "settings") if k in self.document
        }
        common["approach"] = self.experiment.approach
        common["topology"] = self.experiment.topology
        common["timeout"] = self.experiment.timeout
        common["runs"] = self.experiment.runs
        where = f"{self.source}: variant {name}"
        merged = _merge(common, self.experiment.variants[name])
        _check_links(merged, where)
        variant: Variant = _convert(merged, Variant, where)
        return variant

    def _module(self, package: str, name: str, what: str) -> ModuleType:
        module = f"{package}.{name.replace('-', '_')}"
        try:
            return importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name != module:
                raise
            raise SpecError(f'{self.source}: there is no {what} called "{name}"') from None

    def approach(self, variant: str) -> ModuleType:
        """Return the module of a variant's approach."""
        name = self.variants[variant].approach
        module = self._module("agents.approaches", name, "approach")
        if not hasattr(module, "compose"):
            raise SpecError(f'{self.source}: there is no approach called "{name}"')
        return module

    def settings(self, variant: str) -> Any:
        """Return a variant's settings as its approach defines them."""
        where = f"{self.source}: variant {variant}: settings"
        return _convert(self.variants[variant].settings, self.approach(variant).Settings, where)

    def topology(self, variant: str) -> Topology:
        """Return a variant's topology with its links shaped as asked."""
        wanted = self.variants[variant]
        module = self._module("topologies", wanted.topology, "topology")
        try:
            topology: Topology = module.TOPOLOGY
        except AttributeError:
            raise SpecError(
                f'{self.source}: there is no topology called "{wanted.topology}"'
            ) from None
        shapes = {n: Shape(s.rate, s.delay, s.loss) for n, s in wanted.links.items()}
        try:
            return topology.with_links(shapes)
        except KeyError as error:
            raise SpecError(f"{self.source}: variant {variant}: links: {error.args[0]}") from None

    def slows(self, variant: str) -> bool:
        """Return whether a variant's hosts have slower processors."""
        return bool(getattr(self.settings(variant), "processor_ghz", 0.0))

    def needs(self) -> set[str]:
        """Return the features and tools that the variants need, by the doctor's names."""
        needs: set[str] = set()
        swept = [{path: v} for path, values in self.experiment.sweep.items() for v in values]
        for spec in [self.at(point) for point in swept] or [self]:
            for name in spec.variants:
                needs |= set(spec.approach(name).NEEDS)
                needs |= {"cgroup_cpu"} if spec.slows(name) else set()
                links = spec.topology(name).links
                needs |= {"bridge"} if any(link.is_shared for link in links) else set()
                shapes = [link.shape for link in links]
                needs |= {"sch_htb"} if any(s.rate for s in shapes) else set()
                needs |= {"sch_netem"} if any(s.delay or s.loss for s in shapes) else set()
        return needs

    def plan(self, runs: int | None = None, seed: int | None = None) -> list[PlannedRun]:
        """Return the runs in blocks of one run a variant and point, each in random order.

        A variant with fewer runs than others is in some blocks only, evenly spread. `runs` is for
        every variant.
        """
        rng = random.Random(self.experiment.seed if seed is None else seed)
        points = self.points
        each = {name: runs or variant.runs for name, variant in self.variants.items()}
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

    def estimate(self, plan: Sequence[PlannedRun]) -> float:
        """Return about how many seconds runs take in user-mode Linux, the slowest lab."""
        return sum(self.durations(plan))

    def durations(self, plan: Sequence[PlannedRun]) -> list[float]:
        """Return about how many seconds each run takes in user-mode Linux."""
        points = {json.dumps(run.parameters, sort_keys=True): run.parameters for run in plan}
        seconds = {}
        for key, point in points.items():
            there = self.at(point)
            for name in there.variants:
                delays = sum(link.shape.delay for link in there.topology(name).links)
                factor = _SLOWED if there.slows(name) else 1
                seconds[key, name] = factor * _RUN_SECONDS + _ONE_WAYS * delays
        return [seconds[json.dumps(r.parameters, sort_keys=True), r.variant] for r in plan]
