"""What is told of a daemon that ends by itself."""

import asyncio
import sys

import pytest

from agents.daemons.daemon import Daemon, DaemonError, in_one_line


def ends(tmp_path, program):
    """Return what is told of a Python program that ends."""

    async def work():
        log = tmp_path / "log"
        daemon = await Daemon.start([sys.executable, "-c", program], log)
        with pytest.raises(DaemonError) as told:
            await daemon.serve(asyncio.Event())
        await daemon.close()
        return str(told.value)

    return asyncio.run(work())


def test_the_first_line_is_told_as_well_as_the_last_and_where_all_of_it_is(tmp_path):
    said = ends(tmp_path, "print('error at line 3\\n\\nusage: it [-d]\\n  -d  stay'); exit(1)")
    assert "ended with status 1: error at line 3 / usage: it [-d] / -d  stay;" in said
    assert said.endswith(f"all of it is in {tmp_path / 'log'}")


def test_a_signal_has_its_name(tmp_path):
    assert "was killed by SIGSEGV: it said nothing" in ends(
        tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    )


def test_a_terminal_is_not_told_what_only_controls_it():
    assert in_one_line("\x1b[31mFATAL\x1b[0m bad\x07 zone\r\n") == "FATAL bad  zone"
    assert in_one_line("") == ""


def test_long_words_have_their_beginning_and_their_end():
    words = in_one_line("begin " + "x" * 5000 + " end")
    assert len(words) < 500
    assert words.startswith("begin")
    assert words.endswith("end")
