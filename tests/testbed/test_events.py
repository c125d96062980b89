"""The events of a run: handed out, kept whole, or the run is told."""

import json
import os
import time
from pathlib import Path

import pytest

from testbed.run.events import Events

EVENT = b'{"t": 7, "host": "A", "agent": "role", "event": "Ready"}\n'


def test_events_are_kept_and_handed_out(tmp_path):
    events = Events(tmp_path / "events.jsonl")
    events.collect()
    os.write(events.writer, b"no event\n" + EVENT)

    assert events.next(time.monotonic() + 10) == json.loads(EVENT)
    events.close()
    assert (tmp_path / "events.jsonl").read_bytes() == b"no event\n" + EVENT


@pytest.mark.parametrize(
    "line", [b"5\n", b"{}\n", EVENT.replace(b"7", b"7" * 400), b"\0\n", b"[" * 50_000 + b"\n"]
)
def test_what_else_a_program_prints_is_kept_and_stops_nothing(tmp_path, line):
    events = Events(tmp_path / "events.jsonl")
    events.collect()
    os.write(events.writer, line + EVENT)

    assert events.next(time.monotonic() + 10) == json.loads(EVENT)
    events.close()
    assert (tmp_path / "events.jsonl").read_bytes() == line + EVENT


def test_a_program_that_outlives_the_run_does_not_hold_it_up(tmp_path):
    events = Events(tmp_path / "events.jsonl")
    held = os.dup(events.writer)
    os.write(held, EVENT + b'{"event": "Unfin')

    events.close()

    os.close(held)
    assert (tmp_path / "events.jsonl").read_bytes() == EVENT + b'{"event": "Unfin'


def test_what_was_told_before_anybody_collected_is_kept(tmp_path):
    events = Events(tmp_path / "events.jsonl")
    os.write(events.writer, EVENT)
    events.close()
    assert (tmp_path / "events.jsonl").read_bytes() == EVENT


def test_what_cannot_be_written_is_told_at_once_and_at_the_end():
    events = Events(Path("/dev/full"))
    events.collect()
    for _ in range(2000):
        os.write(events.writer, EVENT)

    deadline = time.monotonic() + 10
    with pytest.raises(OSError, match="No space left"):
        assert not [event for event in iter(lambda: events.next(deadline), None) if not event]
    with pytest.raises(OSError, match="No space left"):
        events.close()


def test_a_short_record_that_cannot_be_written_is_told_at_the_end():
    events = Events(Path("/dev/full"))
    events.collect()
    os.write(events.writer, EVENT)

    with pytest.raises(OSError, match="No space left"):
        events.close()
