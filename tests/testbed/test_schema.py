"""The JSON Schema of experiments: takes what ships, refuses what `validate` refuses by type."""

import copy
import json
import tomllib

import jsonschema
import pytest
import tomli_w
from click.testing import CliRunner

from testbed.base import places
from testbed.cli import main
from testbed.experiment.schema import schema
from testbed.experiment.spec import Spec, SpecError

SHIPPED = places.experiments()
BASE = """
name = "mine"
approach = "pana-ikev1"
topology = "paper"
[variants.plain]
[variants.other]
approach = "pana-ikev2"
"""


@pytest.fixture(scope="module")
def validator():
    made = schema()
    kind = jsonschema.Draft202012Validator
    kind.check_schema(made)
    return kind(made)


def document(more="", base=BASE):
    return tomllib.loads(f"{more}\n{base}")


def leaves(table, *above):
    """Yield the keys that lead to each value that is no table."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from leaves(value, *above, key)
        else:
            yield *above, key


def tables(table, *above):
    yield above
    for key, value in table.items():
        if isinstance(value, dict):
            yield from tables(value, *above, key)


def put(document, keys, value):
    changed = copy.deepcopy(document)
    place = changed
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    return changed


@pytest.mark.parametrize("name", SHIPPED)
def test_what_ships_is_valid(validator, name):
    shipped = tomllib.loads(SHIPPED[name].read_text(encoding="utf-8"))
    assert [error.message for error in validator.iter_errors(shipped)] == []


@pytest.mark.parametrize("name", ["paper", "ha_choice", "floods", "rtt", "scale", "outage", "loss"])
def test_a_value_of_no_type_is_refused_wherever_it_stands(validator, name):
    shipped = tomllib.loads(SHIPPED[name].read_text(encoding="utf-8"))
    places_of = [keys for keys in leaves(shipped) if keys[0] != "sweep"]
    assert len(places_of) > 8
    for keys in places_of:
        wrong = put(shipped, keys, [["wrong"]])
        assert not validator.is_valid(wrong), keys
        with pytest.raises(SpecError):
            Spec(wrong, "x.toml")


@pytest.mark.parametrize("name", ["paper", "floods", "storm"])
def test_an_unknown_key_is_refused_in_every_table(validator, name):
    shipped = tomllib.loads(SHIPPED[name].read_text(encoding="utf-8"))
    for keys in tables(shipped):
        if keys in {("variants",), ("links",)} or keys[:1] == ("sweep",):
            continue  # What is in there has names of the experiment's own.
        wrong = put(shipped, (*keys, "nonsense"), 1)
        assert not validator.is_valid(wrong), keys
        with pytest.raises(SpecError):
            Spec(wrong, "x.toml")


@pytest.mark.parametrize(
    "more",
    [
        "runs = 0",
        "runs = 2.5",
        "runs = true",
        "seed = -1",
        'title = "two\\nlines"',
        "timeout = 0",
        "timeout = 1e9",
        "attempts = 'many'",
        "links.access.delay = 1.0",
        "links.access.loss = '5 %'",
        "links.access.dely = 0.1",
        "settings.dialect = 'rfc4016'",
        "settings.identity = 'nobody'",
        "settings.launch = 'script'",  # pana-ikev2 has none.
        "settings.ike.mode = 'aggressive'",  # Nor this.
        "settings.home_agents.ha1.weight = 'heavy'",
        "settings.flood = { attack = 'unheard_of' }",
        "roles.ike.initiator = 'racoon'",
        "roles.dhcpv6.server = 'isc'",
        "roles.dns.server = { command = [] }",
        "operator.mobile_nodes = 0",
        "arrivals = 'now'",
        "simulation.public_keys = 'none'",
        "variants.third = { expect = { lost = -1 } }",
        "variants.third = { expect = { silent = 1 } }",
        "variants.third = { steps = [{ command = 'ping' }] }",
        "variants.third = { steps = [{ host = 'A', kill = 'kernel' }] }",
        "variants.third = { topology = 'nowhere' }",
        "variants.third = { approach = 'magic' }",
        "variants.third = { approach = 'pana-ikev2', settings.launch = 'script' }",
        "variants.third = { settings.early = true }",
        "variants.Third = {}",
        "cumulative = 1",
        "nonsense = 1",
    ],
)
def test_what_validate_refuses_by_type_is_refused(validator, more):
    wrong = document(more, BASE.replace("[variants.plain]", "[variants.plain]\nruns = 1"))
    with pytest.raises(SpecError):
        Spec(wrong, "x.toml")
    assert not validator.is_valid(wrong)


@pytest.mark.parametrize("missing", ["name", "approach", "topology", "variants"])
def test_what_an_experiment_cannot_be_without_is_missed(validator, missing):
    wrong = {key: value for key, value in document().items() if key != missing}
    with pytest.raises(SpecError):
        Spec(wrong, "x.toml")
    assert not validator.is_valid(wrong)


@pytest.mark.parametrize(
    "swept",
    [
        '"links.access.delay" = [2.0]',
        '"links.access.delay" = []',
        '"links.access.dely" = [0.1]',
        '"settings.dialect" = ["rfc4016"]',
        '"settings.nothing" = [1]',
        '"roles.ike.responder" = ["racoon"]',
        '"operator.mobile_nodes" = ["ten"]',
        '"runs" = [1, 2]',
        '"links" = [{ access.delay = "far" }]',
    ],
)
def test_what_cannot_be_swept_is_refused(validator, tmp_path, swept):
    wrong = document(base=f"{BASE}[sweep]\n{swept}\n")
    path = tmp_path / "x.toml"
    path.write_text(tomli_w.dumps(wrong))
    with pytest.raises(SpecError):
        Spec.load(path)
    assert not validator.is_valid(wrong)


@pytest.mark.parametrize(
    "more",
    [
        # What one table lacks the other one has.
        "settings.flood = { rate = 5, attack = 'pana_start' }\n"
        "variants.third.settings.flood.rate = 9",
        # Settings of one approach where each variant has its own.
        "variants.third = { approach = 'pana-fast', settings.early = true }",
        "timeout = 5",
        "variants.third = { steps = [{ host = 'A', lasts = 1 }] }",
    ],
)
def test_what_only_the_merged_tables_tell_is_not_refused(validator, more):
    good = document(more)
    good["topology"] = "attacked"
    Spec(good, "x.toml")
    assert [error.message for error in validator.iter_errors(good)] == []


def test_settings_are_those_of_the_approaches_that_the_variants_have(validator):
    fast = "[variants.plain]\napproach = 'pana-fast'\nsettings.early = true\n"
    good = document(base=f"{BASE.partition('[')[0]}{fast}")
    Spec(good, "x.toml")
    assert validator.is_valid(good)


def test_the_command_prints_it():
    done = CliRunner().invoke(main, ["schema"])
    assert done.exit_code == 0
    assert json.loads(done.stdout) == json.loads(json.dumps(schema()))
