"""The JSON Schema of experiment files, for editors and other programs: what `fit` checks by type.

A variant's table and the common one are merged before they are checked, so that a key which one of
them lacks is no error here; what else several values say together is for `mip6lab validate`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

import topologies
from agents import approaches
from agents.approaches.roles import DhcpRoles, DnsRoles, servers
from testbed.experiment.spec import SWEPT, TOGETHER, Experiment, Variant
from testbed.experiment.steps import Step

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_ANY = r"[^.]+"  # A part of a swept name that is the experiment's own, such as a link.
_ECMA = ((r"\A", "^"), (r"\Z", "$"), (r"\ud800-\udfff", ""))
"""What patterns have of Python's alone; a document of text has no lone surrogates."""


def schema() -> Schema:
    """Return the schema of a file, with the settings of every approach that there is."""
    settings = {name: approaches.load(name).Settings for name in approaches.names()}
    kinds = [Experiment, Variant, Step, *dict.fromkeys(settings.values())]
    refs, defs = msgspec.json.schema_components(kinds, ref_template="#/$defs/{name}")
    whole = dict(zip(kinds, refs, strict=True))
    merged = {name: _plain(one) for name, one in defs.items()}
    steps = _name(whole[Step])
    for name, one in merged.items():
        if name != steps:
            one.pop("required", None)
    of = {name: whole[kind] for name, kind in settings.items()}
    for ref in of.values():  # They have a table of their own.
        merged[_name(ref)]["properties"].pop("roles", None)
    variant = merged[_name(whole[Variant])]
    experiment = merged.pop(_name(whole[Experiment]))
    for table in (variant, experiment):
        table["properties"]["approach"] = {"enum": approaches.names()}
        table["properties"]["topology"] = {"enum": topologies.names()}
    for kind, role in ((DhcpRoles, "dhcpv6"), (DnsRoles, "dns")):
        server = merged[kind.__name__]["properties"]["server"]
        own = [one for one in server["anyOf"] if "$ref" in one]
        server["anyOf"] = [{"enum": servers(role)}, *own]
    variant["allOf"] = [
        {"if": _is(name), "then": {"properties": {"settings": ref}}} for name, ref in of.items()
    ]
    properties = experiment["properties"]
    properties["variants"]["additionalProperties"] = whole[Variant]
    properties["sweep"] = _sweep({**properties, "settings": {"anyOf": [*of.values()]}}, merged)
    return {
        "$schema": DIALECT,
        **experiment,
        "required": defs[_name(whole[Experiment])]["required"],
        "allOf": [one for name, ref in of.items() for one in _by_approach(name, ref)],
        "$defs": merged,
    }


def _name(ref: Schema) -> str:
    return str(ref["$ref"]).rpartition("/")[2]


def _is(approach: str) -> Schema:
    """Match what names an approach itself."""
    return {"properties": {"approach": {"const": approach}}, "required": ["approach"]}


def _some(variant: Schema) -> Schema:
    """Match an experiment of which some variant is such a one."""
    among = {"not": {"additionalProperties": {"not": variant}}}
    return {"properties": {"variants": among}, "required": ["variants"]}


def _by_approach(approach: str, settings: Schema) -> Iterator[Schema]:
    """Yield what settings have to be if an experiment, or some of its variants, has an approach."""
    common, silent = {"properties": {"settings": settings}}, {"not": {"required": ["approach"]}}
    own = {"variants": {"additionalProperties": {"if": silent, "then": common}}}
    yield {"if": _is(approach), "then": {"properties": own}}
    yield {"if": {"allOf": [_is(approach), _some(silent)]}, "then": common}
    yield {"if": _some(_is(approach)), "then": common}


def _plain(node: Any) -> Any:
    """Return a schema without null, which TOML has not, and with patterns as ECMA-262 has them."""
    if isinstance(node, list):
        return [_plain(one) for one in node if one != {"type": "null"}]
    if not isinstance(node, dict):
        return node
    made = {key: _plain(value) for key, value in node.items() if (key, value) != ("default", None)}
    if isinstance(pattern := made.get("pattern"), str):
        for python, ecma in _ECMA:
            pattern = pattern.replace(python, ecma)
        made["pattern"] = pattern
    if isinstance(text := made.get("description"), str):
        made["description"] = " ".join(text.split())
    if len(made.get("anyOf", ())) == 1:
        made |= made.pop("anyOf")[0]
    return made


def _sweep(properties: Schema, defs: Schema) -> Schema:
    """Return the table of what is swept: lists of values by their dotted paths."""
    found: dict[str, list[Schema]] = {}
    for name in SWEPT:
        for path, value in _parts(properties[name], defs, name):
            if value not in found.setdefault(path, []):
                found[path].append(value)
    found[TOGETHER] = [properties[TOGETHER]]
    lists = {
        f"^{path}$": {"type": "array", "minItems": 1, "items": {"anyOf": values}}
        for path, values in found.items()
    }
    return {"type": "object", "patternProperties": lists, "additionalProperties": False}


def _parts(node: Schema, defs: Schema, above: str) -> Iterator[tuple[str, Schema]]:
    """Yield the parts of a table, and theirs, each with the pattern of its dotted path."""
    for other in node.get("anyOf", ()):
        yield from _parts(other, defs, above)
    if "$ref" in node:
        node = defs[_name(node)]
    parts = dict(node.get("properties", {}))
    if isinstance(rest := node.get("additionalProperties"), dict):
        parts[_ANY] = rest
    for key, value in parts.items():
        path = rf"{above}\.{key}"
        yield path, value
        yield from _parts(value, defs, path)
