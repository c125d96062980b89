"""charon-systemd, strongSwan's IKE daemon, as the child of a role."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

from vici import Session
from vici.exception import CommandException, SessionException

from agents.core.patience import patient
from agents.daemons import daemon
from agents.daemons.daemon import POLL, Daemon, DaemonError, executable
from agents.daemons.strongswan.vici import Section, ViciConnection, ViciError

NAME = "charon-systemd"
_EAP_PLUGINS = "x509 pubkey pem pkcs1 pkcs8 constraints revocation eap-identity eap-tls"
_START_DEADLINE, _COMMAND_DEADLINE = 30.0, 5.0
_PLUGINS = (
    "random nonce openssl sha1 sha2 aes gcm hmac kdf kernel-netlink socket-default vici gmp "
    "curve25519"
)

# Another daemon has the policies, tunnels and addresses. What is retransmitted, and how often, is
# as the agents' own IKE has it (1 s, doubling up to 8 s, five times).
_CONFIGURATION = """\
charon-systemd {{
  load = {plugins}
  install_routes = no
  install_virtual_ip = no
  make_before_break = yes
  retransmit_timeout = 1.0
  retransmit_base = 2.0
  retransmit_limit = 8
  retransmit_tries = 4
  delete_rekeyed = yes
  i_dont_care_about_security_and_use_aggressive_mode_psk = yes
  journal {{
    default = -1
  }}
  filelog {{
    log {{
      path = {log}
      default = 1
      flush_line = yes
      time_format = %H:%M:%S
      time_add_ms = yes
    }}
  }}
  plugins {{
    vici {{
      socket = unix://{socket}
    }}
    eap-tls {{
      fragment_size = {fragment_size}
    }}
  }}
}}
"""


class Charon:
    """The daemon while it runs: commands, initiations beside them, which last, and its events."""

    def __init__(self) -> None:
        self.on_event: Callable[[str, Section], None] = lambda *_: None
        self.commands = ViciConnection(self._hear)
        self.initiations = ViciConnection()
        self._control = socket.socket(socket.AF_UNIX)
        self._control.settimeout(patient(_COMMAND_DEADLINE))

    def _hear(self, name: str, told: Section) -> None:
        self.on_event(name, told)

    async def connect(self, path: str) -> None:
        """Connect to the daemon; OSError if it does not listen yet."""
        await self.commands.connect(path)
        await self.initiations.connect(path)
        self._control.connect(path)
        self.commands.listen("ike-updown", "child-updown")

    def do(self, command: str, message: Section) -> None:
        """Have a command carried out before this returns; ViciError if that cannot be.

        The daemon takes about a millisecond.
        """
        try:
            Session(self._control).request(command, message)
        except (CommandException, SessionException, OSError) as error:
            raise ViciError(str(error)) from None

    def close(self) -> None:
        """Close the connections."""
        self._control.close()
        self.commands.close()
        self.initiations.close()


@asynccontextmanager
async def running(
    host: str, work: str, stop: asyncio.Event, *, eap_fragment_size: int | None = None
) -> AsyncIterator[Charon]:
    """Run the daemon of a host; if it ends by itself, `stop` is set, and DaemonError raised.

    It has EAP-TLS if the octets of its fragments are given. Its configuration and its log are in
    the folder `work`, its socket in one of its own: a run's folder may have a longer name than a
    socket can.
    """
    folder = Path(work) / f"{host}-strongswan"
    folder.mkdir(mode=0o700, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="charon-", dir="/run") as place:
        path, settings, log = f"{place}/vici", folder / "strongswan.conf", folder / "charon.log"
        text = _CONFIGURATION.format(
            plugins=f"{_PLUGINS} {_EAP_PLUGINS}" if eap_fragment_size else _PLUGINS,
            log=log,
            socket=path,
            fragment_size=eap_fragment_size or 0,
        )
        settings.write_text(text, encoding="utf-8")
        command, output = [executable(NAME, folder)], folder / "output"
        environment = {"STRONGSWAN_CONF": str(settings)}
        async with daemon.running(command, output, stop, environment=environment) as process:
            with closing(Charon()) as charon:
                await _connected(charon, path, process)
                yield charon


async def _connected(charon: Charon, path: str, process: Daemon) -> None:
    """Connect as soon as the daemon listens; DaemonError if it ends, or does not in time."""
    try:
        async with asyncio.timeout(patient(_START_DEADLINE)):
            while process.alive:
                with suppress(FileNotFoundError, ConnectionRefusedError):
                    await charon.connect(path)
                    return
                await asyncio.sleep(POLL)
    except TimeoutError:
        raise DaemonError(f"{NAME} takes commands: not within {_START_DEADLINE:g} s") from None
