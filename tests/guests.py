"""What every lab with a kernel of its own has to do, tried on the lab given."""

import json
import os
import select
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from testbed.base.places import PROJECT
from testbed.lab import LabError
from testbed.lab.guest import GuestLab

PATIENCE = 300.0  # s that a kernel may take on a busy machine


def check_output_log_status_and_ownership(lab: GuestLab, folder: Path) -> None:
    """They are the host's, and exact."""
    # A path that is awkward in a shell and on a kernel's command line, lines that a console would
    # cut or recode.
    folder /= "a 'quoted' $folder"
    folder.mkdir()
    program = (
        "import json, os, sys, time\n"
        "open('made', 'w').close()\n"
        "print('bad', file=sys.stderr)\n"
        "for n in range(3): print(json.dumps({'n': n, 'pad': '\u00e9\\t' * 50000}, "
        "ensure_ascii=False), flush=True)\n"
        "print(json.dumps([os.geteuid(), time.time(), os.getcwd()]))\n"
        "sys.stdout.write('no newline'); sys.exit(9)"
    )
    log = folder / "log"
    with lab.start([sys.executable, "-c", program], cwd=folder, log=log) as job:
        *long, facts, last = job.lines()
        status = job.wait(PATIENCE)
    assert [json.loads(line)["n"] for line in long] == [0, 1, 2]
    assert all(len(json.loads(line)["pad"]) == 100000 for line in long)
    user, clock, cwd = json.loads(facts)
    assert (user, cwd, last, status) == (0, str(folder), "no newline", 9)
    assert clock == pytest.approx(time.time(), abs=PATIENCE)
    assert log.read_text() == "bad\n"
    assert (folder / "made").stat().st_uid == os.geteuid()


def check_kernel_features(lab: GuestLab) -> None:
    """All that the doctor knows are there."""
    program = (
        "from testbed.lab.doctor import examine\n"
        "print([f.name for f in examine() if f.kind == 'kernel' and not f.here])"
    )
    with lab.start([sys.executable, "-c", program], cwd=Path.cwd()) as job:
        assert list(job.lines()) == ["[]"]


def check_standard_input(lab: str, folder: Path) -> None:
    """Without a terminal a command that reads gets it; `lab` is Python."""
    given = "one\n\x03\u00e9 two"  # A terminal would take the second line for an interrupt.
    program = (
        "import sys; from pathlib import Path; from testbed.lab.choice import choose\n"
        f"lab = choose({lab!r})[0]\n"
        f"sys.exit(lab.interact(['sh', '-c', 'cat; exit 7'], cwd=Path({str(folder)!r}), "
        "reads=True))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], input=given, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == (f"{given}\n", 7), done.stderr


def check_terminal(lab: str, folder: Path) -> None:
    """A command has the caller's terminal with its size, and its exit status comes back."""
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (33, 101))
    script = "stty size; read -r line; echo got $line; exit 6"
    process = subprocess.Popen(
        (sys.executable, "-m", "testbed", "exec", "--lab", lab, "--", "sh", "-c", script),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs)
    try:
        _wait_for(ours, b"33 101")
        os.write(ours, "h\u00e9llo\r".encode())
        _wait_for(ours, "got h\u00e9llo".encode())
        assert process.wait(PATIENCE) == 6
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def _wait_for(terminal: int, wanted: bytes) -> None:
    said = b""
    while wanted not in said:
        assert select.select([terminal], [], [], PATIENCE)[0], said
        said += os.read(terminal, 4096)


def check_nothing_is_left_of_a_killed_caller(lab: str, program: str, folder: Path) -> None:
    """`program` is the kernel's, as it stands in command lines."""
    caller = (
        "from pathlib import Path; from testbed.lab.choice import choose\n"
        f"lab = choose({lab!r})[0]\n"
        f"job = lab.start(['sh', '-c', 'pwd; sleep 1000'], cwd=Path({str(folder)!r}))\n"
        "print(job._folder, flush=True)\n"
        "for line in job.lines(): print(line, flush=True)"
    )
    with subprocess.Popen([sys.executable, "-c", caller], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        place = process.stdout.readline().decode().strip()
        assert process.stdout.readline().decode().strip() == str(folder)
        assert at_work(program, place)
        process.kill()
    deadline = time.monotonic() + PATIENCE
    while at_work(program, place) or Path(place).exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def check_last_words(lab: GuestLab, folder: Path) -> None:
    """A kernel that dies is told with what it said last."""
    command = ["sh", "-c", "echo c >/proc/sysrq-trigger; sleep 1000"]
    with lab.start(command, cwd=folder) as job, pytest.raises(LabError, match="panic"):
        job.wait(PATIENCE)


def at_work(program: str, text: str) -> list[str]:
    """Return the command lines of a program at work that have a text; defunct ones have none."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in line and program in line:
            found.append(line)
    return found
