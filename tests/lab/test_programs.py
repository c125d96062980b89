"""Runs as process 1 of namespaces of their own, and programs forked into hosts."""

import sys
import textwrap
from pathlib import Path

import pytest

from testbed.lab import NativeLab
from tests.lab.needs import needs

pytestmark = needs("namespaces", "veth")

PROJECT = Path(__file__).parents[2]
PAGES = 2048
PROGRAM = """
import os, signal, sys, time
from pathlib import Path

def main():
    word, = Path(sys.argv[1]).read_text().split()
    print(word, os.getpid() != 1, sorted(os.listdir("/proc/self/fd")), sys.stdin.readline().strip())
    if word == "exit":
        raise SystemExit(3)
    if word == "fail":
        raise RuntimeError("a bug")
    if word == "sleep":
        sys.stdout.flush()
        time.sleep(60)
"""
PREPARE = """
import os, signal, subprocess, sys, time
from pathlib import Path
import topologies
from testbed.run import image, namespaces
from testbed.run.net import network
from testbed.run.programs import Forked
"""


@pytest.fixture
def place(place):
    """A folder with a program in it, whose argument is a file with one word."""
    (place / "program.py").write_text(PROGRAM)
    return place


def carry_out(script: str, folder: Path) -> list[str]:
    """Return what a script prints in a native lab; AssertionError with its errors if it fails."""
    log = folder / "lab.log"
    path = {"PYTHONPATH": f"{folder}:{PROJECT}"}
    command = [sys.executable, "-c", PREPARE + textwrap.dedent(script)]
    with NativeLab().start(command, cwd=folder, log=log, environment=path) as job:
        lines = list(job.lines())
        assert job.wait(60) == 0, log.read_text()
    return lines


FORK = """
import topologies
out, writer = os.pipe()
with network(topologies.load("paper")) as net:
    argument = Path("argument")
    argument.write_text(WORD)
    program = Forked(net, "A", "program", str(argument), writer, Path("log"))
    program.wait_until_populated()
    os.close(writer)
"""


@pytest.mark.parametrize(("word", "status"), [("end", 0), ("exit", 3), ("fail", 1)])
def test_a_forked_program_has_its_argument_its_input_and_its_exit_status(place, word, status):
    script = f"WORD = {word!r}\n{FORK}" + textwrap.indent(
        textwrap.dedent("""
        assert program.poll() is None
        program.go()
        program.stdin.write(b"command\\n")
        program.stdin.flush()
        print(program.wait(20))
        print(os.read(out, 1000).decode().strip())
        """),
        "    ",
    )
    exit_status, said = carry_out(script, place)
    assert exit_status == str(status)
    # The last descriptor is that of the folder that was listed.
    assert said == f"{word} True ['0', '1', '2', '3'] command"
    assert ("a bug" in (place / "log").read_text()) == (word == "fail")


def test_a_forked_program_that_nobody_lets_begin_ends_in_silence(place):
    script = f"WORD = 'end'\n{FORK}" + textwrap.indent(
        "program.stdin.close()\nprint(program.wait(20), os.read(out, 1000))\n", "    "
    )
    assert carry_out(script, place) == ["0 b''"]


def test_a_forked_program_ends_by_signals_and_waits_have_an_end(place):
    script = f"WORD = 'sleep'\n{FORK}" + textwrap.indent(
        textwrap.dedent("""
        program.go()
        program.stdin.write(b"\\n")
        program.stdin.flush()
        os.read(out, 1000)
        try:
            program.wait(0.05)
        except subprocess.TimeoutExpired:
            print("late")
        program.send_signal(signal.SIGTERM)
        print(program.wait(20), program.poll())
        program.kill()
        """),
        "    ",
    )
    assert carry_out(script, place) == ["late", "-15 -15"]


def test_a_forked_program_is_in_its_host(place):
    (place / "program.py").write_text(
        "import socket\ndef main():\n    print([n for _, n in socket.if_nameindex()])\n"
    )
    script = f"WORD = 'end'\n{FORK}" + textwrap.indent(
        "program.go()\nprint(program.wait(20), os.read(out, 1000).decode().strip())\n", "    "
    )
    [said] = carry_out(script, place)
    assert said.startswith("0 ")
    assert "'A-access'" in said
    assert "B-core" not in said


def test_each_run_has_namespaces_of_its_own_and_takes_all_with_it(place):
    script = """
    def inode(kind):
        return os.stat(f"/proc/thread-self/ns/{kind}").st_ino

    outside = {kind: inode(kind) for kind in ("net", "mnt", "pid", "pid_for_children")}
    for _ in range(2):
        reader, writer = os.pipe()
        pid = namespaces.fork()
        if pid == 0:
            namespaces.isolate()
            child = subprocess.Popen(["sleep", "1000"])
            changed = [kind for kind, number in outside.items() if inode(kind) != number]
            processes = sorted(int(n) for n in os.listdir("/proc") if n.isdecimal())
            folders = sorted(os.listdir("/run"))
            os.write(writer, f"{os.getpid()} {changed} {processes} {folders}".encode())
            time.sleep(1000)
        os.close(writer)
        print(os.read(reader, 1000).decode())
        os.kill(pid, signal.SIGKILL)
        print(os.waitpid(pid, 0)[1], os.read(reader, 1))  # `sleep` held the pipe too.
    print({kind: inode(kind) for kind in outside} == outside)
    """
    lines = carry_out(script, place)
    own = "1 ['net', 'mnt', 'pid', 'pid_for_children'] [1, 2] ['home', 'lock', 'netns', 'tmp']"
    assert lines == [own, "9 b''", own, "9 b''", "True"]


def test_no_program_draws_what_that_of_another_run_has_drawn(place):
    script = """
    import ssl
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    def draw():
        return X25519PrivateKey.generate().private_bytes_raw().hex(), ssl.RAND_bytes(32).hex()

    draw()
    image_number, seen = os.getpid(), []
    for _ in range(2):
        reader, writer = os.pipe()
        pid = namespaces.fork()
        if pid == 0:
            namespaces.isolate()
            image.draw_anew()
            while (program := os.fork()) < image_number:
                if program == 0:
                    if os.getpid() == image_number:
                        os.write(writer, " ".join(draw()).encode())
                    os._exit(0)
                os.wait()
            os.wait()
            os._exit(0)
        os.waitpid(pid, 0)
        seen += os.read(reader, 1000).decode().split()
    print(len(seen), len(set(seen)))
    """
    assert carry_out(script, place) == ["4 4"]


def test_a_run_ends_when_the_session_is_killed(place):
    script = """
    reader, writer = os.pipe()
    middle = os.fork()
    if middle == 0:
        pid = namespaces.fork()
        if pid == 0:
            os.write(writer, b"here")
            time.sleep(1000)
        time.sleep(1000)
    os.close(writer)
    print(os.read(reader, 10))
    os.kill(middle, signal.SIGKILL)
    print(os.read(reader, 10))  # The end: nobody holds it any more.
    """
    assert carry_out(script, place) == ["b'here'", "b''"]


def test_a_child_with_its_memory_takes_no_page_fault(place):
    script = f"""
    import resource
    held = bytearray({PAGES} * 4096)

    def faults(populated):
        reader, writer = os.pipe()
        if os.fork() == 0:
            if populated:
                image.populate()
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            for page in range(0, len(held), 4096):
                held[page] = 1
            after = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            os.write(writer, str(after - before).encode())
            os._exit(0)
        os.wait()
        return int(os.read(reader, 100))

    print(faults(False), faults(True))
    """
    [said] = carry_out(script, place)
    cold, warm = map(int, said.split())
    assert cold >= PAGES
    assert warm < PAGES / 100


def test_a_child_with_its_memory_does_not_wait_for_the_hosts_pages_either(place):
    script = f"""
    import json
    held = bytearray({PAGES} * 4096)

    def read():
        began = time.perf_counter()
        memoryview(held)[::4096].tobytes()
        return time.perf_counter() - began

    def twice():
        reader, writer = os.pipe()
        if os.fork() == 0:
            image.populate()
            os.write(writer, json.dumps([read(), read()]).encode())
            os._exit(0)
        os.wait()
        return json.loads(os.read(reader, 1000))

    print(*(min(times) for times in zip(*(twice() for _ in range(5)))))
    """
    [said] = carry_out(script, place)
    first, second = map(float, said.split())
    assert first < 5 * second
