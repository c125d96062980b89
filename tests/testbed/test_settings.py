"""What is accepted the programs of every host can load; the rest is refused in plain words."""

from __future__ import annotations

import functools
import importlib
import json
import math
import re
import runpy
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import inspect

from agents.aaa import subscribers
from agents.approaches.settings import CommonSettings
from agents.shell import program as runtime
from testbed.base.places import PROJECT
from testbed.experiment.spec import Spec, SpecError

APPROACHES = {
    "pana-ikev1": "visited",
    "pana-ikev2": "visited",
    "pana-fast": "visited",
    "dhcpv6-ikev2": "dhcpv6-visited",
    "dns-ikev2": "paper",
    "static": "attacked",
}
NUMBERS = [0, -1, 1, 1e-300, 10**400, 2**32, 2**63, 1e308, math.inf, -math.inf, math.nan, 0.5]
TEXTS = [
    "",
    " ",
    "ca",
    "server",
    ".",
    "../x",
    "a/b",
    "%2e",
    "ä",
    "\0",
    "a\nb",
    "x" * 300,
    "-1",
    "1",
]
OTHERS = [True, [], {}, {"x": 1}, [1], None]
IDENTITIES = [
    "mn@home.test",
    "ca@home.test",
    "a+b/c%d'e`$f{g}@home.test",
    "@home.test",
    "mn@",
    "mn@home",
    "m@n@home.test",
    "mn@home.test\n",
    "jürgen@home.test",
    "mn@hömé.test",
    "../mn@home.test",
    "m" * 240 + "@home.test",
    "m" * 250 + "@home.test",
    "anonymous@home.test",
    'a"b@home.test',
]
# What people write that msgspec or Python says, and a user cannot know.
JARGON = re.compile(r"`(str|int|float|bool|object|array)`|regex|Expected|NoneType|Traceback|\$\.")


def values(kind: inspect.Type) -> st.SearchStrategy[Any]:
    """Values of a setting: those that it may have, and what it may not."""
    hostile = st.sampled_from([*NUMBERS, *TEXTS, *OTHERS, *IDENTITIES])
    return st.one_of(allowed(kind), allowed(kind), allowed(kind), hostile)


def allowed(kind: inspect.Type) -> st.SearchStrategy[Any]:
    match kind:
        case inspect.Metadata():
            return allowed(kind.type)
        case inspect.UnionType():
            return st.one_of(
                [allowed(t) for t in kind.types if not isinstance(t, inspect.NoneType)]
            )
        case inspect.StructType():
            return tables(kind)
        case inspect.LiteralType():
            return st.sampled_from(list(kind.values))
        case inspect.BoolType():
            return st.booleans()
        case inspect.FloatType() | inspect.IntType():
            least = next(n for n in (kind.ge, kind.gt, 0) if n is not None)
            return st.sampled_from(
                [n for n in (least, kind.le, kind.lt, least + 1) if n is not None]
            )
        case inspect.StrType():
            return st.sampled_from(IDENTITIES)
    return st.just({})


def tables(kind: inspect.StructType) -> st.SearchStrategy[dict[str, Any]]:
    fields = [f.encode_name for f in kind.fields]
    types = {f.encode_name: f.type for f in kind.fields}
    some = st.lists(st.sampled_from(fields), unique=True, max_size=4)
    return some.flatmap(lambda names: st.fixed_dictionaries({n: values(types[n]) for n in names}))


@functools.cache
def configuration_type(module: str) -> Any:
    """Return what a program reads its configuration as."""
    imported = importlib.import_module(module)
    assert imported.__file__
    with mock.patch.object(runtime, "run") as run:
        runpy.run_path(imported.__file__, run_name="__main__")
    return getattr(imported, run.call_args.args[1].__name__)


def files(configuration: Any) -> list[Path]:
    """Return the paths of what must be there in a configuration before a program starts."""
    if isinstance(configuration, dict):
        named = [
            Path(configuration[k])
            for k in ("ca", "certificate", "key", "psk_file")
            if isinstance(configuration.get(k), str)
        ]
        return named + [f for value in configuration.values() for f in files(value)]
    if isinstance(configuration, list | tuple):
        return [f for value in configuration for f in files(value)]
    return []


def load_all(spec: Spec, variant: str, folder: Path) -> None:
    """Prepare a variant and have each of its programs load its configuration."""
    approach, shared = spec.approach(variant), folder / "shared"
    shared.mkdir()
    approach.prepare(shared, spec.settings(variant), spec.sample_topology(variant))
    subscribers.load(shared / "subscribers.toml")
    programs = approach.compose(
        spec.settings(variant), spec.sample_topology(variant), shared, folder
    )
    assert len({program.name for program in programs}) == len(programs)
    for program in programs:
        path = folder / f"{program.name}.json"
        path.write_text(json.dumps(program.configuration))
        runtime.load(path, configuration_type(program.module))
        assert [f for f in files(program.configuration) if not f.exists()] == []


@pytest.mark.parametrize("approach", APPROACHES)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_what_is_accepted_the_programs_can_load(approach, data):
    document = {"name": "one", "approach": approach, "topology": APPROACHES[approach]}
    kind = Spec({**document, "variants": {"v": {}}}, "one.toml").settings("v").__class__
    chosen = data.draw(tables(inspect.type_info(kind)))
    # The longest to make, and no other path.
    if chosen.get("key_type") == "rsa2048":
        del chosen["key_type"]
    try:
        spec = Spec({**document, "variants": {"v": {"settings": chosen}}}, "one.toml")
    except SpecError as error:
        refused = str(error)
    else:
        refused = ""
    if refused:
        assert refused.startswith("one.toml: variant v: ")
        assert not JARGON.search(refused)
        return
    with tempfile.TemporaryDirectory() as folder:
        load_all(spec, "v", Path(folder))


@pytest.mark.parametrize("path", sorted((PROJECT / "experiments").glob("*.toml")))
def test_the_programs_of_what_ships_load_their_configurations(path, tmp_path):
    spec = Spec.load(path)
    for variant in spec.variants:
        (tmp_path / variant).mkdir()
        load_all(spec, variant, tmp_path / variant)


GOOD_IDENTITIES = {*IDENTITIES[:3], "m" * 240 + "@home.test", "anonymous@home.test"}


@pytest.mark.parametrize("identity", [*IDENTITIES, *TEXTS, *NUMBERS[:2]])
def test_an_identity_is_an_nai_that_a_certificate_can_hold(identity, tmp_path):
    document = {"name": "one", "approach": "static", "topology": "paper"}
    document |= {"variants": {"v": {"settings": {"identity": identity}}}}
    if identity in GOOD_IDENTITIES:
        load_all(Spec(document, "one.toml"), "v", tmp_path)
        return
    with pytest.raises(SpecError, match=r"settings\.identity: .* is not allowed; use a network"):
        Spec(document, "one.toml")


@pytest.mark.parametrize(
    ("chosen", "complaint"),
    [
        ({"prefer": "local"}, "local_allowed = true"),
        ({"pana_encryption": True, "dialect": "draft12"}, "rfc5191"),
        ({"habits": {"phase1_poll": 1e-9}}, "habits: phase1_poll: 1e-09 is not allowed; use 0, or"),
        ({"habits": {"processor_ghz": 0.001}}, "processor_ghz: 0.001 is not .* 0.05 or more"),
        ({"habits": {"phase1_pole": 1}}, "habits: .*unknown key phase1_pole, perhaps phase1_poll"),
        ({"session_lifetime": 2**32}, "session_lifetime: 4294967296 .* from 10 to 4294967295"),
        ({"ike": {"esp_lifetime": math.inf}}, r"settings\.ike\.esp_lifetime: inf"),
        ({"ike": {"key_bits": 129}}, r"settings\.ike\.key_bits: 129 .* 128, 192 or 256"),
        ({"eap_fragment_size": "1000"}, "'1000' is not allowed; use a whole number from 100"),
        ({"subscribed": 1}, "subscribed: 1 is not allowed; use true or false"),
        (
            {"rogue": "alte"},
            "rogue: 'alte' is not known, perhaps alter; use alter, claim or impersonate",
        ),
        ({"psk_source": "emsk", "launch": "moon"}, "launch: 'moon' is not known"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_in_plain_words(chosen, complaint):
    document = {"name": "one", "approach": "pana-ikev1", "topology": "paper"}

    with pytest.raises(SpecError, match=complaint) as raised:
        Spec({**document, "variants": {"v": {"settings": chosen}}}, "one.toml")
    assert not JARGON.search(str(raised.value))


def test_every_number_that_can_be_set_has_two_ends():
    def check(kind: inspect.Type, place: str) -> None:
        match kind:
            case inspect.Metadata():
                check(kind.type, place)
            case inspect.UnionType():
                for one in kind.types:
                    check(one, place)
            case inspect.StructType():
                for field in kind.fields:
                    check(field.type, f"{place}.{field.name}")
            case inspect.IntType() | inspect.FloatType():
                assert kind.ge is not None or kind.gt is not None, place
                assert kind.le is not None or kind.lt is not None, place

    for approach, topology in APPROACHES.items():
        document = {
            "name": "one",
            "approach": approach,
            "topology": topology,
            "variants": {"v": {}},
        }
        spec = Spec(document, "one.toml")
        assert isinstance(spec.settings("v"), CommonSettings)
        for value in (spec.settings("v"), spec.experiment, spec.variants["v"]):
            check(inspect.type_info(type(value)), approach)
