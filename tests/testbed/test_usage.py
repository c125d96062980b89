"""CPU time and peak memory of programs, from a /proc made by hand and from the kernel's."""

import os
import subprocess
import sys

import pytest

from testbed.run.usage import Meter, Usage, busy, read

TICK = 1 / os.sysconf("SC_CLK_TCK")


def process(proc, pid, parent, user, system, peak, name="a (strange) name"):
    folder = proc / str(pid)
    folder.mkdir(exist_ok=True)
    zeros = " 0" * 9
    (folder / "stat").write_text(f"{pid} ({name}) S {parent}{zeros} {user} {system} 0 0 20 0\n")
    (folder / "status").write_text(f"Name:\tx\nVmPeak:\t999 kB\nVmHWM:\t{peak} kB\n")


@pytest.fixture
def proc(tmp_path):
    (tmp_path / "self").mkdir()
    process(tmp_path, 10, 1, 100, 20, 1000)
    process(tmp_path, 11, 10, 3, 4, 500)
    process(tmp_path, 12, 11, 1, 0, 50)
    process(tmp_path, 20, 1, 7, 0, 10)
    return tmp_path


def test_a_process_counts_with_its_descendants(proc):
    found = read([10, 20, 99], proc)

    assert found == {
        10: Usage(pytest.approx(128 * TICK), 1550 * 1024),
        20: Usage(pytest.approx(7 * TICK), 10 * 1024),
    }


def test_a_program_that_another_has_started_counts_for_itself(proc):
    assert read([10, 11], proc)[10].cpu == pytest.approx(120 * TICK)


def test_the_meter_tells_what_was_used_since_it_was_made(proc):
    meter = Meter([10], proc)
    process(proc, 10, 1, 150, 20, 2000)
    (proc / "20" / "stat").unlink()
    process(proc, 30, 1, 5, 1, 10)

    found = meter.read({"B-access_router": 10, "C-gone": 20, "A-mobile_node": 30})

    assert found.keys() == {"B-access_router", "A-mobile_node"}
    assert found["B-access_router"]["cpu"] == pytest.approx(50 * TICK)
    assert found["A-mobile_node"]["cpu"] == pytest.approx(6 * TICK)
    assert found["B-access_router"]["seconds"] >= 0


def test_the_kernels_own_figures():
    script = "x = bytearray(20 << 20); sum(range(3_000_000)); input()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE) as child:
        meter = Meter([])
        while (used := meter.read({"x": child.pid}))["x"]["cpu"] < 2 * TICK:
            pass
        child.kill()

    assert used["x"]["memory"] > 5 << 20


def test_a_kernel_is_busy_with_all_but_idling_and_what_others_take(tmp_path):
    """Guests are in the first two numbers already (proc_stat)."""
    (tmp_path / "stat").write_text("cpu  100 20 3 1000 500 7 5 9000 40 2\ncpu0 0 0 0 0\n")
    assert busy(tmp_path) == pytest.approx(135 * TICK)
    assert busy() > 0
