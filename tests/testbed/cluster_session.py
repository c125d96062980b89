"""A session in which runs take no time, once they may go on: cluster_session.py RESULTS --fed.

It says in MIP6LAB_TEST what it does: a file for each beginning of a run. There is what each leaves.
"""

import json
import os
import shutil
import sys
import time
from pathlib import Path

from testbed.base.files import replace
from testbed.results import folder as results

KERNEL = "Linux 6.1.0 #1 x86_64"


def main():
    folder, place = Path(sys.argv[1]), Path(os.environ["MIP6LAB_TEST"])
    print(json.dumps({"kernel": KERNEL}), flush=True)
    print("a complaint", file=sys.stderr, flush=True)
    while True:
        for planned in results.take(folder, results.missing_runs(folder)):
            run = results.run_folder(folder, planned.run)
            began = {"run": planned.run, "variant": planned.variant, "phase": "pana"}
            print(json.dumps(began), flush=True)
            shared = folder / "shared" / planned.shared
            told = {"worker": os.getppid(), "folder": str(folder), "shared": os.listdir(shared)}
            replace(place / f"began-{planned.run}-{os.getpid()}", json.dumps(told))
            while not any((place / name).exists() for name in ("go", f"go-{planned.run}")):
                time.sleep(0.02)
            if (place / f"break-{planned.run}").exists():
                sys.exit("out of memory")
            shutil.copy(place / "A.pcapng", run / "captures")
            shutil.copy(place / "events.jsonl", run)
            (run / "keys" / "secret").touch(mode=0o600)
            line = {"run": planned.run, "variant": planned.variant, "seed": planned.seed}
            print(json.dumps({"result": line | {"status": "ok", "costs": {}}}), flush=True)
        time.sleep(0.02)


if __name__ == "__main__":
    main()
