"""IKE and registration started by a shell script, as in the paper (section 5.3)."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import IPv6Address
from pathlib import Path
from typing import TypeAlias

import msgspec
import tomli_w

from agents.core.settings import IkeImplementation
from agents.nodes.habits import Habits
from agents.nodes.ike_daemon.settings import Ikev1Settings, Peer

SCRIPTS = Path(__file__).with_name("scripts")
_IKE_SCRIPT = "home_network.sh"

Variables: TypeAlias = Mapping[str, str | float]


class Launched:
    """A script at work and the daemons that it started."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def reload(self) -> bool:
        """Have the daemon that the script has become read its files; False if it has ended."""
        self._process.send_signal(signal.SIGHUP)
        return self._process.poll() is None

    def close(self) -> None:
        """End the script and its daemons."""
        if self._process.returncode is None:  # Else the number may be another's by now.
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGTERM)
            self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()


def launch(
    script: str,
    work: str,
    psk: bytes,
    ike: Ikev1Settings,
    variables: Variables,
    habits: Habits | None = None,
    daemon: IkeImplementation = "agent",
) -> Launched:
    """Start a script of this package in the background.

    It gets the folder WORK, the interpreter PYTHON, IKE's program IKE_DAEMON, the common settings
    of IKE and the daemons' habits in the files IKE_SETTINGS and HABITS, and as values in TOML,
    whatever is in them, the folder once more as FOLDER, the key's file PSK_FILE and `variables`.
    Keys travel in files of mode 0600, never in the environment or on a command line, which others
    can see.
    """
    folder = _own_folder(work, script)
    psk_file = folder / "psk"
    _write(psk_file, psk)
    _write_settings(folder, ike, habits or Habits())
    return _start(script, folder, {**variables, "PSK_FILE": str(psk_file)}, daemon)


class LaunchedIke:
    """The home agent's IKE daemon, which the script starts for the first peer of all.

    Each peer has a file, and the daemon reads what has come, changed or gone at SIGHUP. It ends
    when nobody holds the other end of its standard input any more.
    """

    def __init__(
        self,
        work: str,
        ike: Ikev1Settings,
        host: str,
        home_agent: IPv6Address,
        daemon: IkeImplementation = "agent",
    ) -> None:
        self._folder = _own_folder(work, _IKE_SCRIPT)
        _write_settings(self._folder, ike, Habits())
        self._peers = self._folder / "peers"
        self._peers.mkdir(mode=0o700)
        peers = str(self._peers)
        self._variables = {"HOST": host, "HOME_AGENT": str(home_agent), "PEERS": peers}
        self._program = daemon
        self._daemon: Launched | None = None

    def share(
        self, identity: str, home_address: IPv6Address, psk: bytes, care_of: IPv6Address | None
    ) -> None:
        """Let whoever holds the key make SAs for this home address, until it is forgotten."""
        name = self._name(identity)
        psk_file = name.with_suffix(".psk")
        _write(psk_file, psk)
        peer = Peer(
            psk_file=str(psk_file),
            home_address=str(home_address),
            address=str(care_of) if care_of else None,
            identity=identity,
        )
        _write(name.with_suffix(".toml"), _toml(peer))
        if not (self._daemon and self._daemon.reload()):
            self.close()
            self._daemon = _start(_IKE_SCRIPT, self._folder, self._variables, self._program)

    def forget(self, identity: str) -> None:
        """Have the daemon forget a peer's key, and delete the SAs that were made with it."""
        name = self._name(identity)
        for suffix in (".toml", ".psk"):
            name.with_suffix(suffix).unlink(missing_ok=True)
        if self._daemon:
            self._daemon.reload()

    def _name(self, identity: str) -> Path:
        """Return a path of a peer, without what the network may have put into its identity."""
        return self._peers / hashlib.sha256(identity.encode()).hexdigest()

    def close(self) -> None:
        """End the daemon."""
        if self._daemon:
            self._daemon.close()


_IKE_SETTINGS, _HABITS = "ike-settings.toml", "habits.toml"
_IKE_PROGRAMS: Mapping[IkeImplementation, str] = {
    "agent": "agents.nodes.ike_daemon.main",
    "strongswan": "agents.daemons.strongswan.main",
}


def _write_settings(folder: Path, ike: Ikev1Settings, habits: Habits) -> None:
    _write(folder / _IKE_SETTINGS, _toml({"settings": ike}))
    _write(folder / _HABITS, _toml({"habits": habits}))


def _start(script: str, folder: Path, variables: Variables, daemon: IkeImplementation) -> Launched:
    # Ignored by what is started until it listens, so that a reload in between does not end it.
    usual = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        process = subprocess.Popen(
            ["/bin/sh", str(SCRIPTS / script)],
            env={
                **os.environ,
                **{name: _value(value) for name, value in variables.items()},
                "FOLDER": _value(str(folder)),
                "WORK": str(folder),
                "PYTHON": sys.executable,
                "IKE_DAEMON": _IKE_PROGRAMS[daemon],
                "IKE_SETTINGS": str(folder / _IKE_SETTINGS),
                "HABITS": str(folder / _HABITS),
            },
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
    finally:
        signal.signal(signal.SIGHUP, usual)
    return Launched(process)


def _own_folder(work: str, script: str) -> Path:
    """Return a new folder for a script; what a predecessor has left there, its keys too, goes.

    OSError if somebody else is at work there, or has put something in its place.
    """
    folder = Path(work) / script.removesuffix(".sh")
    if folder.is_symlink() or folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(mode=0o700)
    return folder


def _write(path: Path, data: bytes) -> None:
    """Replace a file as a whole by one of mode 0600: a reader finds the old or the new one."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    new.replace(path)


def _toml(value: object) -> bytes:
    return tomli_w.dumps(msgspec.to_builtins(value)).encode()


def _value(value: str | float) -> str:
    """Return a value as it stands behind the equals sign in TOML, on one line."""
    return tomli_w.dumps({"v": value}).removeprefix("v = ").removesuffix("\n")
