"""What can be carried out and is perhaps not meant: `validate` and `run` say it."""

import pytest
from click.testing import CliRunner

from agents.core.documents import parse_toml
from testbed.base.places import experiments
from testbed.cli import main
from testbed.experiment.doubts import doubts
from testbed.experiment.spec import Spec

BASE = """
name = "doubtful"
approach = "pana-ikev2"
topology = "{topology}"
runs = 1
[variants.x]
{variant}
"""
CUT = 'steps = [{ host = "B", cut = "access" }'
KILLED = 'steps = [{ host = "B", kill = "program" }'


def found(variant, topology="paper"):
    spec = Spec(parse_toml(BASE.format(variant=variant, topology=topology)), "x.toml")
    return [what for _, what in doubts(spec)]


@pytest.mark.parametrize(
    ("variant", "said"),
    [
        ('expect.must = "nobody gets in"', "nothing checks it but that there is a bootstrap"),
        (f"{CUT}]", "link 'access' of host B is cut and stays so to the end"),
        (f"{KILLED}]", "host B is killed and stays so to the end"),
        (
            f'{KILLED}, {{ host = "B", start = true }}, {{ host = "B", kill = "host" }}]',
            "host B is killed and stays so to the end",
        ),
    ],
)
def test_what_is_doubtful_is_said(variant, said):
    [what] = found(variant)
    assert said in what


@pytest.mark.parametrize(
    "variant",
    [
        'expect = { must = "nobody gets in", reason = "refused" }',
        'expect.must = "it lives"\nsteps = [{ host = "A", command = "ping" }]',
        f'{CUT}, {{ host = "B", heal = "access" }}]',
        f'{KILLED}, {{ host = "B", start = true }}]',
        'steps = [{ host = "B", kill = "program", lasts = 2.0, start = true }]',
    ],
)
def test_what_is_meant_is_not_doubted(variant):
    assert found(variant) == []


def test_what_another_host_stands_in_for_may_stay_dead():
    assert found('steps = [{ host = "S1", kill = "program" }]', "redundant") == []


@pytest.mark.parametrize("name", experiments())
def test_nothing_of_what_ships_is_doubtful(name):
    assert doubts(Spec.load(experiments()[name], every_point=False)) == []


def test_validate_says_it_and_goes_on(tmp_path):
    path = tmp_path / "x.toml"
    path.write_text(BASE.format(variant=f"{CUT}]", topology="paper"))
    done = CliRunner().invoke(main, ["validate", str(path)])
    assert done.exit_code == 0
    assert "warning: variant x: link 'access' of host B is cut" in done.stderr
