"""Time IKE and EAP-TLS beside others, in the same lab and by turns; see docs/performance.md.

    mip6lab exec -- python -m tests.lab.peers [--rounds N] [--warm N] [NAME ...]

The programs of a measurement have namespaces for themselves, as those of a run have: nothing of
one measurement is left when the next begins.
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
from functools import partial
from pathlib import Path

import topologies
from testbed.run import image
from testbed.run.namespaces import fork, isolate
from tests.lab.peers import eap, eap_program, ike
from tests.lab.peers.timing import Times, rows, table

SESSIONS: dict[str, Callable[[int, Path], list[float]]] = {
    "strongswan-1": partial(ike.session, "strongSwan", 1),
    "ours-1": partial(ike.session, "ours", 1),
    "strongswan-2": partial(ike.session, "strongSwan", 2),
    "ours-2": partial(ike.session, "ours", 2),
    "hostap": partial(eap.session, "hostap", "hostap"),
    "ours-eap": partial(eap.session, "ours", "ours"),
    "eapol_test-ours": partial(eap.session, "hostap", "ours"),
}
"""What is measured, so many times in new programs."""

COMPARISONS = {
    "IKEv1, main and quick mode, PSK, modp2048: strongSwan": ("strongswan-1", "ours-1"),
    "IKEv2, PSK, x25519: strongSwan": ("strongswan-2", "ours-2"),
    "EAP-TLS 1.3, P-256: eapol_test and hostapd": ("hostap", "ours-eap"),
    "EAP-TLS 1.3, P-256: hostapd, both with eapol_test": ("hostap", "eapol_test-ours"),
}
HEAD = ["between two hosts, beside", "", "theirs, ms", "ours, ms", "ours/theirs"]
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


def measured(name: str, number: int) -> list[float]:
    """Measure with a folder for the programs' files."""
    with tempfile.TemporaryDirectory(dir="/run") as folder:
        return SESSIONS[name](number, Path(folder))


def become_warm() -> None:
    """Make this process what a session of runs is, for our programs are forked from it."""
    image.keep_memory()
    image.warm_kernel()
    for approach in REHEARSED:
        image.rehearse(approach, {}, topologies.load("paper"))
    eap_program.rehearse()
    image.freeze()


def main() -> None:
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.peers", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *SESSIONS], help="all without any")
    parser.add_argument("--rounds", type=int, default=10, help="of every measurement, by turns")
    parser.add_argument("--warm", type=int, default=9, help="what follows the first in a session")
    options = parser.parse_args()
    become_warm()
    times = {name: Times() for name in options.names or SESSIONS}
    for number in range(options.rounds):
        for name in list(times)[:: -1 if number % 2 else 1]:
            taken = apart(partial(measured, name, 1 + options.warm))
            times[name].add(taken)
            shown = " ".join(f"{seconds * 1e3:.2f}" for seconds in taken)
            print(f"round {number + 1}: {name}: {shown}", file=sys.stderr)
    body = [
        row
        for what, (theirs, ours) in COMPARISONS.items()
        if {theirs, ours} <= times.keys()
        for row in rows(what, times[theirs], times[ours])
    ]
    print(table(HEAD, body))


if __name__ == "__main__":
    main()
