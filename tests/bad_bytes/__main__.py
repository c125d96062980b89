"""Feeds so many inputs to each target, one target after the other; prints what they have found.

python -m tests.bad_bytes --inputs 1000000           all targets, each for its share
python -m tests.bad_bytes --inputs 1000000 --target dns
python -m tests.bad_bytes --target dns --input 00ff  one input, in hexadecimal
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import warnings
from importlib.util import find_spec
from pathlib import Path

from tests.bad_bytes.target import CORPUS, MOST, kept
from tests.bad_bytes.targets import ALL
from tests.numbers import whole

_KEPT = 800
"""Octets that a target's corpus has at most."""

_SILENCE = 30.0
"""Seconds between two words on how far it is, where there is no terminal."""

_MEMORY = Path("/dev/shm")
"""Where files cost no disk its time, on Linux."""


def fuzz(name, inputs, seconds=0, keep=False):
    """Feed inputs under atheris; return the figures and what was found."""
    with tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as folder:
        corpus, found = Path(folder) / "corpus", Path(folder) / "found.json"
        corpus.mkdir()
        for number, data in enumerate(kept(name)):
            (corpus / f"kept{number:04}").write_bytes(data)
        options = [f"-runs={inputs}", f"-max_len={MOST}", "-rss_limit_mb=2048", "-timeout=60"]
        options += ["-print_final_stats=1", "-use_value_profile=0", "-len_control=0"]
        options += [f"-max_total_time={seconds}"] if seconds else []
        command = [sys.executable, "-m", "tests.bad_bytes.guided", name, str(found), str(corpus)]
        before = _processor_time()
        with subprocess.Popen(
            [*command, *options],
            env=os.environ | {"TMPDIR": folder},  # libFuzzer leaves no time to clean up.
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        ) as done:
            told = _told(name, inputs, done.stderr)
        findings = json.loads(found.read_text()) if found.exists() else {}
        if done.returncode:
            findings["the process"] = ("", told[-3000:])
        if keep:
            _keep(name, corpus)
        return _figures(told, _processor_time() - before), findings


def _told(name, inputs, lines):
    """Return all that libFuzzer tells; show from time to time how far it is."""
    told, shown = [], time.monotonic()
    once = sys.stderr.isatty()
    for line in lines:
        told.append(line)
        number = re.match(r"#(\d+)\s", line)
        if number and (now := time.monotonic()) > shown + (1.0 if once else _SILENCE):
            shown = now
            text = f"{name}: {int(number[1]):,} of {inputs:,} inputs"
            print(f"{text:60}", end="\r" if once else "\n", file=sys.stderr, flush=True)
    return "".join(told)


def _processor_time():
    """Return the CPU time in seconds of the processes that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def _keep(name, corpus):
    """Keep the smallest of the inputs that reach what those before them and the seeds do not."""
    found = {path.read_bytes() for path in corpus.iterdir()}
    known = {path.read_bytes() for path in corpus.glob("seed*")}
    lines, room = [], _KEPT
    for data in sorted(found - known, key=lambda data: (len(data), data)):
        room -= len(data)
        if room >= 0:
            lines.append(data.hex() + "\n")
    CORPUS.mkdir(exist_ok=True)
    (CORPUS / f"{name}.hex").write_text("".join(lines))


def _figures(told, seconds):
    """Return inputs, inputs a second of CPU time, covered edges, and MB of memory."""
    covered = re.findall(r"cov: (\d+)", told)
    stats = dict(re.findall(r"stat::(\w+): +(\d+)", told))
    inputs, memory = (int(stats.get(n, 0)) for n in ("number_of_executed_units", "peak_rss_mb"))
    return inputs, round(inputs / seconds), int(covered[-1]) if covered else 0, memory


def _octets(text):
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text} is not hexadecimal, two digits an octet, as in 00ff"
        ) from None


def _one(name, data):
    warnings.simplefilter("ignore")
    ALL[name]().check(data)
    print(f"{name}: nothing wrong with these {len(data)} octets")
    return 0


def main(arguments=None):
    """Run the program; return its exit status."""
    parser = argparse.ArgumentParser(prog="tests.bad_bytes", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--inputs", type=whole(1), default=100_000, help="for each target (100,000)"
    )
    parser.add_argument(
        "--seconds", type=whole(0), default=0, help="for each target at most; 0: any"
    )
    parser.add_argument("--target", choices=ALL, action="append", help="this alone, or these")
    parser.add_argument(
        "--input", type=_octets, help="feed this one, in hexadecimal, to the target"
    )
    parser.add_argument("--keep", action="store_true", help="keep what reaches more in the corpus")
    options = parser.parse_args(arguments)
    names = options.target or list(ALL)
    if options.input is not None:
        if len(options.target or ()) != 1:
            parser.error(f"--input is for one --target; use one of {', '.join(ALL)}")
        return _one(names[0], options.input)
    if not find_spec("atheris"):
        parser.error("atheris is not installed; there is none for this machine or this Python")
    broken = 0
    print(f"{'target':20} {'inputs':>10} {'a CPU s':>9} {'edges':>7} {'MB':>5} found", flush=True)
    for name in names:
        figures, findings = fuzz(name, options.inputs, options.seconds, options.keep)
        inputs, rate, edges, memory = figures
        print(f"{name:20} {inputs:10,} {rate:9,} {edges:7,} {memory:5} {len(findings)}", flush=True)
        for place, (data, text) in findings.items():
            again = f".venv/bin/python -m tests.bad_bytes --target {name} --input {data}"
            print(f"  {place}\n  again: {again}\n{text}", flush=True)
        broken += len(findings)
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
