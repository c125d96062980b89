"""Mininet's prompt in a running network, inside a lab: python -m testbed.run.shell WHAT.

WHAT is the name of a topology; or, as JSON, an experiment's document and a variant of it, whose
programs are ready then.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import topologies
from agents.core.patience import SLOWNESS
from testbed.base.jsonl import DataError
from testbed.experiment.spec import Spec
from testbed.run.commands import LiveCLI, say
from testbed.run.course import RunError
from testbed.run.cpu import CpuError
from testbed.run.live import LiveLab
from testbed.run.net import prompt, speak
from testbed.run.nodes import NetError
from testbed.run.session import prepare
from testbed.run.speed import slowness
from topologies.model import Topology


def _show_hosts(topology: Topology) -> None:
    hosts = ", ".join(f"{host.name} ({host.role})" for host in topology.hosts)
    sys.stdout.write(f"{hosts}\n")
    sys.stdout.flush()


def _live(document: dict[str, Any], variant: str) -> bool:
    """Open the prompt in a variant's lab; return whether all of its commands succeeded."""
    os.environ[SLOWNESS] = f"{slowness():g}"
    spec = Spec(document, "shell")
    speak()
    warm = prepare(spec, [variant])
    with tempfile.TemporaryDirectory(prefix="mip6lab-") as folder:
        lab = LiveLab(Path(folder), spec, variant, warm=variant in warm, say=say)
        _show_hosts(lab.topology)
        with lab.running() as net:
            say(f"approach {spec.variants[variant].approach}: all but the mobile node are ready;")
            say("bootstrap, or step by step; help lists all commands")
            prompt = LiveCLI(net.mininet, lab)
        net.mininet.stop()
        return not prompt.failed or prompt.isatty()


def main() -> None:
    """Build the network and open the prompt."""
    what = sys.argv[1]
    try:
        if what.startswith("{"):
            asked = json.loads(what)
            sys.exit(0 if _live(asked["document"], asked["variant"]) else 1)
        topology = topologies.load(what)
        _show_hosts(topology)
        prompt(topology)
    except (LookupError, NetError, RunError, CpuError, DataError, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
