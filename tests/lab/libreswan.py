"""pluto, libreswan's IKE daemon, in a host, driven by whack.

Debian's package excludes strongSwan's, so setup/install does no more than unpack it.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from testbed.base.places import UNPACKED
from tests.lab.namespaces import DEADLINE, Host, wait_until

PACKAGE = UNPACKED / "libreswan"
PROGRAMS = PACKAGE / "usr/libexec/ipsec"
PLUTO = PROGRAMS / "pluto"
# It looks for its helpers where an installed package has them.
START = f'mount --bind {PACKAGE}/usr/libexec /usr/libexec && exec {PLUTO} "$@"'
FILES = ("config", "secretsfile", "nssdir", "rundir", "dumpdir")
SETUP = "config setup\n    ikev1-policy=accept\n"
CONNECTION = "mip"


class Libreswan:
    """The daemon and its one connection."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.folder = Path(tempfile.mkdtemp(prefix="pluto-", dir="/run"))
        (self.folder / "ipsec.conf").write_text(SETUP)
        (self.folder / "ipsec.secrets").touch(mode=0o600)
        host.run(f"certutil -N -d sql:{self.folder} --empty-password")
        self._output = (self.folder / "output.log").open("wb")
        options = ("--nofork", "--no-dnssec", "--logfile", f"{self.folder}/pluto.log")
        self.process = host.popen(
            ["unshare", "-m", "sh", "-c", START, "pluto", *options, *self._files(*FILES)],
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_until(self._serves, "pluto serves")
        except BaseException:
            self._end()
            raise

    def _files(self, *names: str) -> list[str]:
        places = {"config": "/ipsec.conf", "secretsfile": "/ipsec.secrets"}
        return [text for n in names for text in (f"--{n}", f"{self.folder}{places.get(n, '')}")]

    def _serves(self) -> bool:
        assert self.process.poll() is None, self.log
        return self._call("whack", "--status").returncode == 0

    @property
    def log(self) -> str:
        """What the daemon has written so far."""
        return (self.folder / "pluto.log").read_text()

    def _call(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        where = ("--ctlsocket", f"{self.folder}/pluto.ctl")
        command = self.host.command(str(PROGRAMS / program), *where, *arguments)
        return subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=DEADLINE
        )

    def whack(self, *arguments: str) -> bool:
        """Have the daemon do something with its connection; return whether that has succeeded."""
        return self._call("whack", "--name", CONNECTION, *arguments).returncode == 0

    def load(self, psk: str, settings: dict[str, str]) -> None:
        """Load the connection (ipsec.conf(5)) and its pre-shared key."""
        owners = f"{settings['leftid']} {settings['rightid']}"
        (self.folder / "ipsec.secrets").write_text(f'{owners} : PSK "{psk}"\n')
        lines = "".join(f"    {name}={value}\n" for name, value in settings.items())
        (self.folder / "ipsec.conf").write_text(f"{SETUP}\nconn {CONNECTION}\n{lines}")
        assert self._call("whack", "--listen").returncode == 0  # It reads the secrets, too.
        added = self._call("addconn", *self._files("config"), CONNECTION)
        assert added.returncode == 0, added.stdout + added.stderr

    def initiate(self) -> bool:
        """Initiate the connection; return whether it came up."""
        return self.whack("--initiate")

    def states(self) -> str:
        """Return what it says of the SAs that it has, nothing if there are none."""
        said = self._call("whack", "--showstates").stdout
        return "\n".join(line for line in said.splitlines() if "#" in line)

    def reset(self) -> None:
        """Drop the connection and its SAs."""
        self.whack("--delete")
        wait_until(lambda: not self.states(), "libreswan drops its SAs")

    def close(self) -> None:
        """End the daemon."""
        self._end()

    def _end(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(DEADLINE)
        self._output.close()
        shutil.rmtree(self.folder)
