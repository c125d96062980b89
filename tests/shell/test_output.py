"""Standard output: lines stay whole and in order, and are kept back for a turn at most."""

import os
from select import PIPE_BUF

import pytest

from agents.shell.output import Output


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
