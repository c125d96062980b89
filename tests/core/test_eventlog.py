"""What the log of a host tells, and what it leaves out."""

from __future__ import annotations

import io
import json

from agents.core.eventlog import DISCARDED_AT_ONCE, DISCARDED_PER_SECOND, EventLog
from agents.core.machine import Discarded


class Log(EventLog):
    def __init__(self):
        self.now, self.stream = 1.0, io.StringIO()
        super().__init__("B", "pana", self.stream, lambda: int(self.now * 1e9))

    def lines(self):
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]


def test_a_line_an_event():
    log = Log()
    log(Discarded(0.5, "fe80::1", "nonsense"))
    log.write("Ready", pid=1)
    assert log.lines() == [
        {
            "t": 10**9,
            "host": "B",
            "agent": "pana",
            "event": "Discarded",
            "source": "fe80::1",
            "reason": "nonsense",
        },
        {"t": 10**9, "host": "B", "agent": "pana", "event": "Ready", "pid": 1},
    ]


def test_a_flood_fills_no_disk_and_is_counted():
    log = Log()
    for _ in range(10_000):
        log(Discarded(0.0, "fe80::1", "nonsense"))
    assert len(log.lines()) == DISCARDED_AT_ONCE
    log.write("Ready")  # What the host says of itself is always told.
    assert log.lines()[-1]["event"] == "Ready"
    log.now += 1 / DISCARDED_PER_SECOND
    log(Discarded(0.0, "fe80::1", "nonsense"))
    log(Discarded(0.0, "fe80::1", "nonsense"))
    assert log.lines()[-1]["omitted"] == 10_000 - DISCARDED_AT_ONCE
    log.now += 100.0
    for _ in range(10_000):
        log(Discarded(0.0, "fe80::1", "nonsense"))
    told = [line for line in log.lines() if line["event"] == "Discarded"]
    assert len(told) == 2 * DISCARDED_AT_ONCE + 1
    assert sum(line.get("omitted", 0) + 1 for line in told) == 10_002 + DISCARDED_AT_ONCE
