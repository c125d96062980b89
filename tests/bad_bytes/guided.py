"""One target under atheris, in a process of its own: what has been found goes into a file.

python -m tests.bad_bytes.guided TARGET FOUND CORPUS [options of libFuzzer]
"""

import gc
import random
import sys
import warnings
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["agents", "testbed"]):
    from tests.bad_bytes.findings import Findings
    from tests.bad_bytes.targets import ALL


def main(name: str, found: str, corpus: str, *options: str) -> None:
    """Feed inputs until libFuzzer has had enough; it ends the process."""
    warnings.simplefilter("ignore")  # Of cryptography, about strange DER.
    with atheris.instrument_imports(include=["agents", "testbed"]):  # What it alone needs.
        target = ALL[name]()
    gc.freeze()  # What is there now is not looked through for garbage after each few inputs.
    findings, seeds = Findings(Path(found)), list(target.seeds)
    for number, seed in enumerate(seeds):
        (Path(corpus) / f"seed{number:04}").write_bytes(seed)

    def alter(data: bytes, most: int, seed: int) -> bytes:
        rng = random.Random(seed)
        if rng.random() < 0.3:
            return target.fix(bytes(atheris.Mutate(data, most)))[:most]
        return target.alter(bytes(data), rng, rng.choice(seeds))[:most]

    def take(data: bytes) -> None:
        findings.look(target, data)

    atheris.Setup([sys.argv[0], *options, corpus], take, custom_mutator=alter)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
