"""What all commands share: the terminal, the end with a message, the choice of a lab."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from typing import TYPE_CHECKING, NoReturn

import click

from testbed.base import places

if TYPE_CHECKING:
    from rich.console import Console

    from testbed.lab import Lab

FAILED, UNUSABLE = 1, 2
"""Exit statuses: a run failed or was not carried out; something is missing or was asked wrongly."""


def open_console(*, stderr: bool = False) -> Console:
    """Return the terminal, which is imported only when something is shown."""
    from rich.console import Console

    return Console(highlight=False, stderr=stderr)


def give_up(error: object) -> NoReturn:
    """End with one message and exit status 2."""
    from testbed.base.files import plain

    text = str(error)
    if isinstance(error, OSError) and error.filename:
        text = f"{os.fsdecode(error.filename)}: {error.strerror}"
    click.echo(f"mip6lab: {plain(text)}", err=True)
    raise SystemExit(UNUSABLE)


def handle_interrupts() -> None:
    """Let Ctrl-C, or SIGTERM, raise KeyboardInterrupt, unless ignored: there is more to end."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)


def choose_lab(
    name: str, needs: Iterable[str] | None = None, at_once: int = 1, asked: str = "as asked"
) -> Lab:
    """Choose a lab and say which; root that is not needed is given up. Raises LabError.

    There will be `at_once` of it; `asked` is why it is named.
    """
    from testbed.lab.caller import become, caller
    from testbed.lab.choice import KERNEL_FEATURES, choose

    def give_up_root() -> None:
        if user := caller(places.PROJECT):
            become(user)

    wanted = KERNEL_FEATURES if needs is None else needs
    place, why = choose(name, wanted, at_once, give_up_root, asked)
    click.echo(why, err=True)
    return place
