"""How long an experiment will still take."""

import io
import threading

import pytest
from rich.console import Console

from testbed.base.words import about, several
from testbed.report import forecast
from testbed.report.forecast import Forecast


def begun(guessed, now, labs=1):
    runs = Forecast(guessed, labs)
    for lab in range(labs):
        runs.begun(lab, now)
    return runs


def test_before_a_run_has_ended_the_guess_counts_down():
    runs = begun([6.0, 6.0, 12.0], now=100.0)

    assert runs.left(100.0) == 24.0
    assert runs.left(104.0) == 20.0
    assert runs.left(112.0) == 2 * 18.0  # The first takes longer than was thought: so will others.
    assert runs.left(118.0) == 3 * 18.0


def test_the_start_of_the_lab_is_no_part_of_a_run():
    runs = Forecast([6.0, 6.0])
    assert runs.left(59.0) == 12.0
    runs.begun(0, 60.0)
    runs.begun(0, 61.0)  # Another phase of the same run.
    runs.finished(0, 66.0)

    assert runs.left(66.0) == pytest.approx(6.0)


def test_then_it_goes_by_what_runs_took():
    runs = begun([6.0, 6.0, 12.0], now=0.0)
    runs.finished(0, 12.0)

    assert runs.left(12.0) == pytest.approx(2 * 18.0)
    assert runs.left(15.0) == pytest.approx(33.0)
    runs.finished(0, 24.0)
    runs.finished(0, 48.0)
    assert runs.left(50.0) == 0.0


def test_labs_at_once_share_what_is_left():
    runs = begun([6.0, 6.0, 6.0, 6.0], now=0.0, labs=2)

    assert runs.left(0.0) == 12.0
    runs.finished(1, 12.0)  # It takes twice as long as was thought, and the other is as far.
    assert runs.left(12.0) == pytest.approx((0 + 12 + 12) / 2)
    runs.finished(0, 12.0)
    assert runs.left(12.0) == pytest.approx(12.0)
    runs.finished(0, 24.0)
    assert runs.left(20.0) == pytest.approx(4.0)  # There is none for the first any more.
    runs.finished(1, 24.0)
    assert (runs.done, runs.left(24.0)) == (4, 0.0)


def test_without_one_lab_the_other_has_to_do_it_all():
    runs = begun([6.0] * 4, now=0.0, labs=2)
    runs.ended(0)

    assert runs.left(0.0) == 18.0


def test_lines_where_there_is_no_terminal(monkeypatch):
    monkeypatch.setattr(forecast, "INTERVAL", 0.001)
    file, told = io.StringIO(), threading.Event()
    written = file.write

    def write(text):
        if "plain: IKE" in text:
            told.set()
        return written(text)

    file.write = write
    with forecast.following(Forecast([6.0, 30.0]), Console(file=file)) as show:
        show.phase(0, "plain", "ike")
        assert told.wait(10)

    assert "0 of 2 runs, plain: IKE, about 35 seconds left\n" in file.getvalue()


def test_every_lab_is_shown_and_then_what_follows():
    show = forecast.Show(Forecast([6.0, 6.0], 2), threading.Event())
    said = [show.line]
    show.phase(1, "two", "ike")
    show.phase(0, "one", "pana")
    said.append(show.line)
    show.finished(0)
    show.finished(1)  # What its lab did last is over, though the lab is still there.
    said.append(show.line)

    assert said[0] == "0 of 2 runs, starting the lab, then about 5 seconds"
    assert said[1] == "0 of 2 runs, one: PANA | two: IKE, about 5 seconds left"
    assert said[2] == "2 of 2 runs, drawing figures and writing the report"


def test_what_comes_first_is_what_the_lab_does():
    show = forecast.Show(Forecast([6.0]), threading.Event(), "preparing service times")
    assert show.line == "0 of 1 run, preparing service times, then about 5 seconds"


def test_what_is_being_stopped_is_said_at_once():
    file, told = io.StringIO(), threading.Event()
    written = file.write

    def write(text):
        told.set()
        return written(text)

    file.write = write
    with forecast.following(Forecast([6.0]), Console(file=file)) as show:
        show.stopping()
        assert told.wait(forecast.INTERVAL / 2)

    assert file.getvalue() == "0 of 1 run, stopping ...\n"


def test_a_bar_on_a_terminal_shows_what_is_left():
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=120, highlight=False)

    with forecast.following(Forecast([30.0]), console) as show:
        show.phase(0, "plain", "pana")
        show.stopping()

    assert "then about 30 seconds" in file.getvalue()
    assert "stopping ..." in file.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.5, "about 5 seconds"),
        (31, "about 30 seconds"),
        (60, "about 1 minute"),
        (280, "about 5 minutes"),
        (9000, "about 2.5 hours"),
    ],
)
def test_lengths_of_time(seconds, text):
    assert about(seconds) == text


def test_one_is_singular():
    assert [several(n, "run") for n in (0, 1, 2)] == ["0 runs", "1 run", "2 runs"]
