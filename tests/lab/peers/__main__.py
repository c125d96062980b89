"""Time IKE beside strongSwan, in the same lab and by turns; see docs/performance.md.

    mip6lab exec -- python -m tests.lab.peers [--rounds N] [--warm N]

The daemons of a measurement are process 1's children in namespaces of their own, as those of a run
are: nothing of one measurement is left when the next begins.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

import topologies
from testbed.run import image
from testbed.run.namespaces import fork, isolate
from tests.lab.peers import ike
from tests.lab.peers.timing import Times, rows, table

KINDS = {1: "IKEv1, main and quick mode, modp2048", 2: "IKEv2, x25519"}
REHEARSED = ("pana-ikev1", "pana-ikev2")


def apart(work: Callable[[], list[float]]) -> list[float]:
    """Return what `work` returns in a child that has namespaces for itself."""
    reader, writer = os.pipe()
    pid = fork()
    if pid == 0:
        try:
            isolate()
            os.write(writer, json.dumps(work()).encode())
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as output:
        said = output.read()
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    if not said:
        raise SystemExit("a measurement failed")
    found: list[float] = json.loads(said)
    return found


def measured(side: str, version: int, number: int) -> list[float]:
    """Measure with a folder for the daemons' files."""
    with tempfile.TemporaryDirectory(dir="/run") as folder:
        return ike.session(side, version, number, Path(folder))


def main() -> None:
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.peers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="of every measurement, by turns")
    parser.add_argument("--warm", type=int, default=9, help="negotiations after the first")
    options = parser.parse_args()
    image.keep_memory()
    image.warm_kernel()
    for approach in REHEARSED:
        image.rehearse(approach, {}, topologies.load("paper"))
    image.freeze()
    times = {(side, version): Times() for side in ike.PAIRS for version in KINDS}
    for number in range(options.rounds):
        for version in KINDS:
            sides = list(ike.PAIRS)[:: -1 if number % 2 else 1]
            for side in sides:
                taken = apart(lambda s=side, v=version: measured(s, v, 1 + options.warm))
                times[side, version].add(taken)
                shown = " ".join(f"{seconds * 1e3:.2f}" for seconds in taken)
                print(f"round {number + 1}: IKEv{version} {side}: {shown}", file=sys.stderr)
    body = [
        row
        for version, what in KINDS.items()
        for row in rows(what, *(times[side, version] for side in ike.PAIRS))
    ]
    head = ["negotiation", "", "strongSwan with strongSwan, ms", "ours with ours, ms", "ratio"]
    print(table(head, body))


if __name__ == "__main__":
    main()
