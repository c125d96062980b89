"""charon-systemd of strongSwan in a host, driven by vici."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.lab.namespaces import DEADLINE, wait_until

vici = pytest.importorskip("vici")

CHARON = "/usr/sbin/charon-systemd"
# As a TLS 1.2 server strongSwan 5.9.8 sends points that OpenSSL refuses; hence dhe-rsa. Its EAP-TLS
# with TLS 1.3 is older than RFC 9190.
SETTINGS = """
charon-systemd {{
  load = {plugins}
  install_routes = no
  install_virtual_ip = no
  retransmit_timeout = 1.0
  retransmit_tries = 2
  delete_rekeyed = yes
  i_dont_care_about_security_and_use_aggressive_mode_psk = yes
  tls {{
    key_exchange = ecdhe-ecdsa, dhe-rsa
  }}
  filelog {{
    log {{
      path = {folder}/charon.log
      default = 1
      ike = 2
      cfg = 2
      flush_line = yes
    }}
  }}
  plugins {{
    vici {{
      socket = unix://{folder}/vici
    }}
  }}
}}
"""
PLUGINS = (
    "random nonce openssl x509 pubkey pem pkcs1 pkcs8 sha1 sha2 aes gcm hmac kdf kernel-netlink "
    "socket-default vici eap-identity eap-tls attr constraints revocation gmp curve25519 mgf1"
)


class Popener(Protocol):
    """A host of whatever kind."""

    def popen(self, command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start a program in it, as subprocess.Popen() does."""


class Strongswan:
    """The daemon; `session` is its vici session, `settings` are those of strongswan.conf."""

    def __init__(self, host: Popener, settings: str = SETTINGS) -> None:
        self.host = host
        self.folder = Path(tempfile.mkdtemp(prefix="charon-", dir="/run"))
        file = self.folder / "strongswan.conf"
        file.write_text(settings.format(folder=self.folder, plugins=PLUGINS))
        self._output = (self.folder / "output").open("wb")
        self.process = host.popen(
            [CHARON],
            env=os.environ | {"STRONGSWAN_CONF": str(file)},
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )
        try:
            self._socket = wait_until(self._connect, "vici")
        except BaseException:
            self._end()
            raise
        self.session = vici.Session(self._socket)

    def _connect(self) -> socket.socket | None:
        assert self.process.poll() is None, (self.folder / "output").read_text()
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        s.settimeout(DEADLINE)
        try:
            s.connect(str(self.folder / "vici"))
        except OSError:
            s.close()
            return None
        return s

    @property
    def log(self) -> str:
        """What the daemon has written so far."""
        return (self.folder / "charon.log").read_text()

    def load_psk(self, psk: str, *owners: str) -> None:
        """Load the pre-shared key of these identities."""
        key = {"id": "k", "type": "IKE", "data": psk, "owners": list(owners)}
        self.session.load_shared(key)

    def initiate(self, connection: str, child: str) -> bool:
        """Initiate a child; return whether it came up."""
        try:
            list(
                self.session.initiate(
                    {"child": child, "ike": connection, "timeout": "12000", "loglevel": "-1"}
                )
            )
        except vici.exception.CommandException:
            return False
        return True

    def sas(self) -> list[dict[str, Any]]:
        """Return the IKE SAs with their children."""
        return [sa for named in self.session.list_sas() for sa in named.values()]

    def children(self, state: bytes = b"INSTALLED") -> list[dict[str, Any]]:
        """Return the children in one state, of all IKE SAs."""
        found: Iterator[dict[str, Any]] = (c for sa in self.sas() for c in sa["child-sas"].values())
        return [c for c in found if c["state"] == state]

    def reset(self) -> None:
        """Drop connections, SAs, pools and secrets."""
        for named in list(self.session.list_sas()):
            for name in named:
                with contextlib.suppress(vici.exception.CommandException):
                    list(self.session.terminate({"ike": name, "force": "yes", "timeout": "-1"}))
        wait_until(lambda: not self.sas(), "strongSwan drops its SAs")
        for name in list(self.session.get_conns()["conns"]):
            self.session.unload_conn({"name": name})
        for name in list(self.session.get_pools()):
            self.session.unload_pool({"name": name})
        self.session.clear_creds()

    def close(self) -> None:
        """End the daemon."""
        self._socket.close()
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
