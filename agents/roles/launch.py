"""Handing over by a shell script, as the paper's PaC and AAA server do (section 5.3)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec
import tomli_w

from agents.roles.habits import Habits
from agents.roles.ike import IkeSettings

SCRIPTS = Path(__file__).with_name("scripts")


class Launched:
    """A script at work and the daemons that it started."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def close(self) -> None:
        """End the script and its daemons."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait()


def launch(
    script: str,
    work: str,
    psk: bytes,
    ike: IkeSettings,
    variables: Mapping[str, str],
    habits: Habits | None = None,
) -> Launched:
    """Start a script of this package in the background.

    It gets the folder WORK, the interpreter PYTHON, the key's file PSK_FILE, the common settings
    of IKE and the daemons' habits in the files IKE_SETTINGS and HABITS, and `variables`. Keys
    travel in files of mode 0600, never in the environment or on a command line, which others can
    see.
    """
    folder = Path(work) / script.removesuffix(".sh")
    folder.mkdir(mode=0o700, exist_ok=True)
    psk_file, settings = folder / "psk", folder / "ike-settings.toml"
    habits_file = folder / "habits.toml"
    descriptor = os.open(psk_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(psk)
    settings.write_text(tomli_w.dumps({"settings": msgspec.to_builtins(ike)}), encoding="utf-8")
    of_daemons = msgspec.to_builtins(habits or Habits())
    habits_file.write_text(tomli_w.dumps({"habits": of_daemons}), encoding="utf-8")
    process = subprocess.Popen(
        ["/bin/sh", str(SCRIPTS / script)],
        env={
            **os.environ,
            **variables,
            "WORK": str(folder),
            "PYTHON": sys.executable,
            "PSK_FILE": str(psk_file),
            "IKE_SETTINGS": str(settings),
            "HABITS": str(habits_file),
        },
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    return Launched(process)
