"""Has a disk be full, or read-only, while results or leases are written, and then be well again.

A program, in a mount namespace of its own: python -m tests.testbed.full_disk FOLDER WHAT [KIB].
"""

import subprocess
import sys
from ipaddress import IPv6Address
from pathlib import Path

import pytest

from agents.aaa.leases import Leases, StoreError
from agents.aaa.subscribers import AddressRange
from testbed.results import folder as results
from tests.testbed import killed

POOL = AddressRange(IPv6Address("2001:db8:100::10"), IPv6Address("2001:db8:100::ffff"))


def mount(folder, options):
    """Mount a file system in memory, or change the one that is there."""
    subprocess.run(("mount", "-t", "tmpfs", "-o", options, "tmpfs", folder), check=True)


def fill(folder):
    """Leave no octet free; return what takes the room."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return ballast


def check_results(folder, size):
    """Carry out an experiment without room for all of it, and go on with it when there is room."""
    place = killed.Place(folder, "sim", services=folder / "services.json")
    mount(place.results, f"size={size}k")
    said, status = end_of(place.run(1))
    assert status not in (0, None)
    assert "Traceback" not in said, said
    assert said.count("No space left on device") == 1, said
    done = go_on(place, said, "size=64m")
    return f"{done} were done"


def check_read_only(folder):
    """Have the results be read-only while the experiment goes on."""
    place = killed.Place(folder, "sim", services=folder / "services.json")
    mount(place.results, "size=64m")
    process = place.run(1)
    assert killed.until(lambda: place.made and (place.made / "runs" / "0001").exists())
    # Files are open for writing in it, so that it cannot be made so itself, but what is seen can.
    subprocess.run(("mount", "--bind", place.results, place.results), check=True)
    read_only = ("mount", "-o", "remount,bind,ro", place.results)  # Refused amid a write by it.
    assert killed.until(lambda: subprocess.run(read_only, check=False).returncode == 0)
    said, status = end_of(process)
    assert status not in (0, None)
    assert "Traceback" not in said, said
    subprocess.run(("umount", place.results), check=True)
    return f"{go_on(place, said, 'size=64m')} were done"


def end_of(process):
    """Wait for a process; return what it said, and its exit status."""
    said, _ = process.communicate(timeout=killed.PATIENCE)
    return said, process.returncode


def go_on(place, said, options):
    """See that what is there is whole, make room, and go on as it says; return what was there."""
    if place.made is None:
        assert str(place.results / "killed") in said, said
        return 0
    before = results.load(place.made)
    assert f"mip6lab run --resume {place.made}" in said, said
    assert all(run.status == "ok" for run in before.runs)
    mount(place.results, f"remount,{options}")
    told, status = end_of(place.begin("--resume", str(place.made)))
    assert status == 0, told
    after = results.load(place.made)
    assert not after.missing
    assert not after.failed
    assert [run for run in after.runs if run in before.runs] == before.runs
    return len(before.runs)


def check_leases(folder):
    """Give leases while there is room, and none that is not stored."""
    mount(folder, "size=512k")

    def lease(name):
        given = leases.lease(name, "ha1", POOL, lifetime=3600.0)
        leases.commit()
        return given

    with Leases(folder / "leases.db") as leases:
        held = lease("first@home.test")
        ballast = fill(folder)
        given, refused = [held.identity], list[str]()
        for number in range(10):
            try:
                given.append(lease(f"mn{number}@home.test").identity)
            except StoreError as error:
                refused.append(str(error))
        assert refused
        assert all("leases.db: database or disk is full" in reason for reason in refused)
        assert leases.lasting("first@home.test", held.address) > 3000.0
        with pytest.raises(StoreError, match=r"others\.db: "):
            Leases(folder / "others.db")
        assert sorted(given) == sorted(one.identity for one in leases)
        ballast.unlink()
        again = lease("later@home.test")
        assert lease("first@home.test").address == held.address
    with Leases(folder / "leases.db") as leases:
        assert {*given, again.identity} == {one.identity for one in leases}
    return f"{len(refused)} refused"


def main():
    """Check what is asked for."""
    folder, what, *size = sys.argv[1:]
    check = {"results": check_results, "read-only": check_read_only, "leases": check_leases}[what]
    print(check(Path(folder), *size))


if __name__ == "__main__":
    main()
