"""Standard output: lines stay whole and in order, and are kept back for a turn at most."""

import json
import os
import resource
from contextlib import contextmanager
from select import PIPE_BUF

import pytest

from agents.core.eventlog import EventLog
from agents.shell.output import Output, events_lost


@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    yield reader, Output(writer)
    os.close(reader)
    os.close(writer)


def available(reader):
    os.set_blocking(reader, False)
    try:
        return os.read(reader, 1 << 20)
    except BlockingIOError:
        return b""


def test_a_line_is_written_when_it_is_flushed(pipe):
    reader, output = pipe
    output.write("one\n")
    output.flush()
    assert available(reader) == b"one\n"


def test_what_is_held_is_kept_back_until_it_is_released(pipe):
    reader, output = pipe
    output.hold()
    for line in ("one\n", "two\n"):
        output.write(line)
        output.flush()
    assert available(reader) == b""
    output.release()
    assert available(reader) == b"one\ntwo\n"
    output.write("three\n")
    output.flush()
    assert available(reader) == b"three\n"


def test_no_line_is_split_between_two_writes(monkeypatch):
    written = []
    monkeypatch.setattr(os, "write", lambda _, data: written.append(data) or len(data))
    output = Output()
    output.hold()
    lines = [f"{n:0100}\n" for n in range(100)]
    for line in lines:
        output.write(line)
    output.release()
    assert len(written) == 3
    assert all(len(data) <= PIPE_BUF and data.endswith(b"\n") for data in written)
    assert b"".join(written).decode() == "".join(lines)


def test_a_line_longer_than_a_pipe_takes_at_once_is_written_all_the_same(pipe):
    reader, output = pipe
    line = "x" * (PIPE_BUF + 1) + "\n"
    output.write("short\n")
    output.write(line)
    output.flush()
    assert available(reader).decode() == "short\n" + line


@contextmanager
def room_for(size):
    """Have files grow no further than to this size."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "events"
    with path.open("ab", buffering=0) as opened:
        yield path, opened.fileno()


def missing(number, line):
    return b"%d are missing before %s" % (number, line)


@pytest.mark.parametrize("room", range(25))
@pytest.mark.parametrize("again", range(25, 60, 7))
def test_what_there_is_no_room_for_is_missing_and_counted_and_no_line_is_torn(file, room, again):
    path, descriptor = file
    output = Output(descriptor, missing)

    def say(*words):
        output.hold()
        for word in words:
            output.write(f"{word}\n")
        output.release()

    with room_for(room):
        say("one", "two", "three")
        say("four", "five")
    with room_for(again):
        say("six", "seven")
        say("eight")
    say("nine", "ten")
    say("eleven")

    lines = path.read_text().splitlines()
    said = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven"]
    place = 0
    for line in lines:
        if line.split()[1:4] == ["are", "missing", "before"]:
            place += int(line.split()[0])
        else:
            assert line == said[place]
            place += 1
    assert place == len(said)
    assert said[-1] == lines[-1]


def test_an_event_tells_how_many_are_missing(file):
    path, descriptor = file
    log = EventLog("A", "role", Output(descriptor, events_lost), clock=lambda: 7)
    with room_for(0):
        log.write("Ready")
        log.write("Breached")
    log.write("Repelled", reason="why")
    lost, event = map(json.loads, path.read_text().splitlines())
    origin = {"t": 7, "host": "A", "agent": "role"}
    assert lost == {**origin, "event": "EventsLost", "count": 2}
    assert event == {**origin, "event": "Repelled", "reason": "why"}


def test_nobody_need_read():
    reader, writer = os.pipe()
    os.close(reader)
    output = Output(writer)
    for _ in range(2):
        output.write("one\n")
        output.flush()
    os.close(writer)
