"""Experiments: reading, checking and planning them."""

from __future__ import annotations

import importlib
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

_NAME = r"^[a-z0-9][a-z0-9_-]*$"
Name = Annotated[str, msgspec.Meta(pattern=_NAME)]
Positive = Annotated[float, msgspec.Meta(gt=0, le=86400)]


class SpecError(Exception):
    """An experiment that cannot be run; the text says what is wrong and where."""


class LinkSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rate in Mbit/s (0: unlimited), one-way delay in seconds, loss in percent."""

    rate: Annotated[float, msgspec.Meta(ge=0, le=100_000)] = 100.0
    delay: Annotated[float, msgspec.Meta(ge=0, le=10)] = 0.0
    loss: Annotated[float, msgspec.Meta(ge=0, lt=100)] = 0.0


class Variant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One way to run the bootstrap."""

    approach: Name
    topology: Name
    timeout: Positive
    description: str = ""
    links: dict[str, LinkSettings] = {}
    settings: dict[str, Any] = {}


class Experiment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An experiment's file: common values, and the variants that change some of them."""

    name: Name
    approach: Name
    topology: Name
    variants: Annotated[dict[Name, dict[str, Any]], msgspec.Meta(min_length=1)]
    title: str = ""
    runs: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 10
    seed: Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)] = 1
    timeout: Positive = 60.0
    links: dict[str, LinkSettings] = {}
    settings: dict[str, Any] = {}


class PlannedRun(msgspec.Struct, frozen=True):
    """One run: its number from 1, its variant and its seed."""

    run: int
    variant: str
    seed: int


def _merge(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in change.items():
        old = merged.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            merged[key] = _merge(old, value)
        else:
            merged[key] = value
    return merged


def _assign(document: dict[str, Any], assignment: str) -> None:
    """Carry out one `key.subkey=value`; the value is TOML, or a string if it is not."""
    path, separator, text = assignment.partition("=")
    keys = [k.strip() for k in path.split(".")]
    if not separator or not all(keys):
        raise SpecError(f"--set {assignment}: expected KEY=VALUE, as in settings.launch=script")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    place = document
    for key in keys[:-1]:
        place = place.setdefault(key, {})
        if not isinstance(place, dict):
            raise SpecError(f"--set {assignment}: {key} is a value and has no parts")
    place[keys[-1]] = value


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
            self.settings(name)
            self.topology(name)

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
        return self._module("agents.approaches", self.variants[variant].approach, "approach")

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

    def needs(self) -> set[str]:
        """Return the features and tools that the variants need, by the doctor's names."""
        needs: set[str] = set()
        for name in self.variants:
            needs |= set(self.approach(name).NEEDS)
            shapes = [link.shape for link in self.topology(name).links]
            needs |= {"sch_htb"} if any(s.rate for s in shapes) else set()
            needs |= {"sch_netem"} if any(s.delay or s.loss for s in shapes) else set()
        return needs

    def plan(self, runs: int | None = None, seed: int | None = None) -> list[PlannedRun]:
        """Return the runs in blocks of one run a variant, each block in random order."""
        rng = random.Random(self.experiment.seed if seed is None else seed)
        plan: list[PlannedRun] = []
        for _ in range(self.experiment.runs if runs is None else runs):
            block = list(self.variants)
            rng.shuffle(block)
            plan += [
                PlannedRun(len(plan) + offset, name, rng.getrandbits(32))
                for offset, name in enumerate(block, 1)
            ]
        return plan


def write_plan(path: Path, plan: Sequence[PlannedRun]) -> None:
    """Write a plan where a session in the lab reads it."""
    path.write_text(json.dumps(msgspec.to_builtins(plan), indent=1) + "\n", encoding="utf-8")


def read_plan(path: Path) -> list[PlannedRun]:
    """Read what write_plan() wrote."""
    return msgspec.json.decode(path.read_bytes(), type=list[PlannedRun])
