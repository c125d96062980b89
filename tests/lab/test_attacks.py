"""Attacks on a real kernel: what must happen happens, and a run tells when it does not."""

import shutil

import pytest

from testbed.base.places import PROJECT
from tests.lab.experiment import NEEDS, carry_out_here
from tests.lab.needs import needs

pytestmark = [NEEDS, needs("bridge")]
ATTACKS = PROJECT / "experiments" / "attacks.toml"
SOME = (
    "after-refusal",
    "diameter-without-tls",
    "home-address-claim",
    "home-agent-revoked",
    "lease-exhaustion",
    "others-home-address",
    "pana-replay",
    "rogue-paa-md5",
)
SPOOF = "home-address-spoof"
THEFT = """
[variants.while-the-session-lasts]
threat = "RFC 4016 6.4"
settings.attack = "service-theft"
steps = [{ host = "E", command = "attack", until = "E Repelled" }]
"""


@pytest.fixture(scope="module")
def runs(place):
    """Runs of the experiment, and of one more variant, all from one warm image."""
    path = place / "attacks.toml"
    path.write_text(ATTACKS.read_text() + THEFT)
    spoof = [SPOOF] if shutil.which("ping") else []
    outcome = carry_out_here(path, place, variants=[*SOME, *spoof, "while-the-session-lasts"])
    return {run.variant: run for run in outcome.results.runs}


@pytest.mark.parametrize("attack", SOME)
def test_what_must_happen_happens(runs, attack):
    assert (runs[attack].reason, runs[attack].status in {"ok", "expected"}) == (None, True)


@pytest.mark.skipif(not shutil.which("ping"), reason="ping is not installed")
def test_the_home_agent_is_not_deceived_by_its_neighbours(runs):
    assert (runs[SPOOF].reason, runs[SPOOF].status in {"ok", "expected"}) == (None, True)


# On a link without protection the filter goes by addresses (docs/security.md, Limits).
def test_an_attack_that_succeeds_fails_the_run(runs):
    run = runs["while-the-session-lasts"]
    assert run.status == "failed"
    assert run.reason == "E, service-theft: it got answers from beyond the filter"
