"""Experiments on the virtual clock by the command line, for tests of what comes of them."""

import pytest
from click.testing import CliRunner

from agents.bench import services
from testbed.cli import main
from testbed.report import plots, style

RUN = ("run", "--lab", "sim")


def quickly(patch):
    """Have service times be of one bootstrap, and figures drawn as SVG alone."""
    patch.setattr(services, "WARM_UP", 1)
    patch.setattr(services, "REPEATS", 1)
    patch.setattr(style, "FORMATS", {"svg": style.FORMATS["svg"]})


def carry_out(folder, text, *options, drawn=False):
    """Carry out an experiment, its figures `drawn` as SVG or not; return its results' folder.

    Service times are of one bootstrap: they are not what is looked at.
    """
    path = folder / "experiment.toml"
    path.write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        quickly(patch)
        if not drawn:
            patch.setattr(plots, "draw", lambda _: [])
        command = ("sweep", *RUN[1:]) if "[sweep]" in text else RUN
        done = CliRunner().invoke(main, [*command, str(path), "--output", str(folder), *options])
    assert done.exit_code in (0, 1), done.output
    [made] = {line.parent for line in folder.glob("*/2*/runs.jsonl")}
    return made
