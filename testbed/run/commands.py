"""Mininet's prompt in a lab that is live: its own commands, and those that LiveLab carries out."""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Callable
from functools import wraps
from pathlib import Path

from mininet.log import error, output
from mininet.net import Mininet

from testbed.base.jsonl import DataError
from testbed.run.course import RunError
from testbed.run.live import CommandError, LiveLab, host_of
from testbed.run.nodes import CLI, NetError

_MOST_STEPS = 1000
_CAPTURE = "capture HOST [FILE], capture HOST stop, or capture HOST | COMMAND"

Command = Callable[["LiveCLI", list[str]], None]


def say(line: str) -> None:
    """Print a line among what Mininet says."""
    output(f"{line}\n")


def words_of(line: str, usage: str, most: int, least: int = 0) -> list[str]:
    """Split a command's arguments; CommandError, with its usage, if they are too few or many."""
    try:
        words = shlex.split(line)
    except ValueError as problem:
        raise CommandError(f"{problem}: {usage}") from None
    if not least <= len(words) <= most:
        raise CommandError(f"usage: {usage}")
    return words


def percentage(text: str) -> float:
    """Read a percentage; raises CommandError."""
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:
        raise CommandError(f"{text!r} is no percentage: a number from 0 to 100")
    return value


def steps(text: str) -> int:
    """Read a number of steps; raises CommandError."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= _MOST_STEPS):
        raise CommandError(f"{text!r} is no number of messages, from 1 to {_MOST_STEPS}")
    return int(text)


def capture_of(line: str) -> tuple[str, str, str]:
    """Split what capture is given into host, file and command; raises CommandError."""
    asked, bar, command = line.partition("|")
    if bar:
        [host] = words_of(asked, _CAPTURE, 1, 1)
        if not command.strip():
            raise CommandError(f"usage: {_CAPTURE}")
        return host, "", command.strip()
    host, *file = words_of(asked, _CAPTURE, 2, 1)
    return host, file[0] if file else "", ""


def _telling(action: Callable[[LiveCLI, str], None]) -> Callable[[LiveCLI, str], None]:
    """Have a command tell why it has failed, and the prompt go on."""

    @wraps(action)
    def command(self: LiveCLI, line: str) -> None:
        try:
            action(self, line)
        except (CommandError, RunError, NetError, DataError) as problem:
            self.fail(str(problem))
        except OSError as problem:
            self.fail(f"{problem.filename or 'host'}: {problem.strerror}")

    return command


class LiveCLI(CLI):
    """The prompt; `failed` tells whether any of its commands has."""

    def __init__(self, mininet: Mininet, lab: LiveLab) -> None:
        self._lab = lab
        self.failed = False
        super().__init__(mininet)

    def fail(self, text: str) -> None:
        """Tell why a command has failed."""
        self.failed = True
        error(f"*** {text}\n")

    def default(self, line: str) -> None:
        """Run a command in a host, or say what there is."""
        first, _, _ = self.parseline(line)
        if line != "EOF" and first not in self.mn:
            self.fail(f"there is no command {line.split(maxsplit=1)[0]!r}: help lists them all")
            return
        super().default(line)

    def do_help(self, line: str) -> None:
        """Describe a command, or list all."""
        if described := inspect.getdoc(getattr(self, f"do_{line}", None)):
            say(described)
        else:
            super().do_help(line)

    def _host(self, text: str) -> str:
        return host_of(self._lab.topology, text)

    @_telling
    def do_bootstrap(self, line: str) -> None:
        """Start the mobile node's bootstrap: its events as they come, then its phases."""
        words_of(line, "bootstrap", 0)
        self._lab.bootstrap()

    @_telling
    def do_pause(self, line: str) -> None:
        """Hold the bootstrap's messages at the access link."""
        words_of(line, "pause", 0)
        self._lab.pause()

    @_telling
    def do_resume(self, line: str) -> None:
        """Let the messages pass again, and follow the bootstrap to its end."""
        words_of(line, "resume", 0)
        self._lab.resume()

    @_telling
    def do_step(self, line: str) -> None:
        """Let the next message over the access link pass, and show it.

        step [HOW-MANY]
        """
        words = words_of(line, "step [HOW-MANY]", 1)
        for _ in range(steps(words[0]) if words else 1):
            if not self._lab.step():
                break

    @_telling
    def do_capture(self, line: str) -> None:
        """Capture what passes the interfaces of a host.

        capture HOST [FILE], capture HOST stop, or capture HOST | COMMAND

        The file is HOST.pcapng, written at stop or at the end. A command such as
        wireshark -k -i - reads what comes while it comes.
        """
        text, file, command = capture_of(line)
        host = self._host(text)
        if command:
            self._lab.pipe(host, command)
        elif file == "stop":
            self._lab.end_capture(host)
        else:
            self._lab.capture(host, Path(file or f"{host}.pcapng"))

    @_telling
    def do_ping(self, line: str) -> None:
        """Have the correspondent node ping the mobile node's home address."""
        words_of(line, "ping", 0)
        self._lab.ping()

    @_telling
    def do_events(self, line: str) -> None:
        """Show what the programs, or those of a host, have told so far.

        events [HOST]
        """
        words = words_of(line, "events [HOST]", 1)
        self._lab.show_events(*map(self._host, words))

    @_telling
    def do_move(self, line: str) -> None:
        """Move the mobile node to another access link.

        move [LINK]
        """
        self._lab.move(*words_of(line, "move [LINK]", 1))

    @_telling
    def do_kill(self, line: str) -> None:
        """Kill the programs of a host, which is named by itself or by its role.

        kill HOST-OR-ROLE, as in kill home network
        """
        self._lab.kill(self._host(" ".join(words_of(line, "kill HOST-OR-ROLE", 4, 1))))

    @_telling
    def do_start(self, line: str) -> None:
        """Start the programs of a host that were killed.

        start HOST-OR-ROLE
        """
        self._lab.start(self._host(" ".join(words_of(line, "start HOST-OR-ROLE", 4, 1))))

    @_telling
    def do_loss(self, line: str) -> None:
        """Lose a share of the packets on the access link, either way.

        loss PERCENT, as in loss 10
        """
        [text] = words_of(line, "loss PERCENT", 1, 1)
        self._lab.lose(percentage(text))
