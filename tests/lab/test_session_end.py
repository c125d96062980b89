"""The home AAA server takes back what it has granted by EAP, on real kernels (RFC 5778 4.3.3)."""

import shutil

import pytest

from tests.lab.experiment import NEEDS, carry_out_here

pytestmark = NEEDS
EXPERIMENT = """
name = "withdrawn"
approach = "{approach}"
topology = "paper"
settings.duplicate_address_detection = false
[variants.withdrawn]
steps = [
    {{ host = "C", command = "withdraw mn@home.test", until = "A BindingAccepted", packets = 5 }},
]
"""


@pytest.mark.parametrize("approach", ["pana-ikev2", "dns-ikev2"])
def test_a_withdrawn_subscriber_is_cut_off_and_comes_again(place, approach):
    if approach == "dns-ikev2" and not shutil.which("nsd"):
        pytest.skip("nsd not installed")
    path = place / f"{approach}.toml"
    path.write_text(EXPERIMENT.format(approach=approach))

    outcome = carry_out_here(path, place)

    assert [run.reason for run in outcome.results.failed] == []
    (run,) = outcome.results.runs
    events = (outcome.folder / "runs" / f"{run.run:04}" / "events.jsonl").read_text()
    for event in ("SessionEnded", "BindingRemoved", "IkeDeleted"):
        assert f'"{event}"' in events
    assert events.count('"BindingAccepted"') >= 2
